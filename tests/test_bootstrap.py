"""Where a daemon finds itself: its studio, its host's ledger, its engine, and what stops it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC
from pathlib import Path

import pytest

from daemon.adapters.machine import fresh_binding, host_name
from daemon.bootstrap import make_studio, run_daemon
from daemon.core.events import AttemptStarted
from daemon.core.jobs import JobId
from daemon.errors import AskerError, PersonNeeded, StudioBusy
from daemon.home import at_home
from daemon.settings import Settings, read_settings
from tests.cli.studio import StudioFiles, started, taken

ELSEWHERE = fresh_binding("another machine", salt="0" * 32)


@pytest.fixture
def environment(tmp_path: Path) -> Mapping[str, str]:
    return {"HOME": str(tmp_path / "home")}


@pytest.fixture
def folder(tmp_path: Path, environment: Mapping[str, str]) -> Path:
    folder = tmp_path / "studio"
    make_studio(folder, environment)
    return folder


def drew_for_real(folder: Path, environment: Mapping[str, str]) -> None:
    """A ledger of this machine with an attempt on ComfyUI."""
    host = at_home(folder, environment).host
    job = JobId("ch01_p003_v1")
    StudioFiles(folder, host=host).write(
        started(), *taken(), AttemptStarted(job, 1, "comfyui", "default", 0, stage="")
    )


def test_the_settings_of_a_new_studio_are_commented_out_and_are_the_defaults(folder: Path) -> None:
    text = (folder / "nightpress.toml").read_text()
    usual = _settings("")
    assert _settings(text) == usual
    awake = re.sub(r"^# (?=[a-z_]+ = )", "", text, flags=re.MULTILINE)
    assert awake.count(" = ") == text.count(" = ")
    # The address is the default one; now it was named.
    assert _settings(awake) == replace(usual, url_given=True)


def _settings(text: str) -> Settings:
    return read_settings(studio_toml=text, user_toml=None, environment={}, zone_of=lambda _: UTC)


def test_a_new_studio_has_an_id_and_a_ledger_of_this_machine(
    folder: Path, environment: Mapping[str, str]
) -> None:
    home = at_home(folder, environment)
    assert re.fullmatch(r"[0-9a-f]{12}", home.id)
    assert home.host == host_name()
    assert home.engine == "rehearsal"


def test_init_goes_on_where_it_was_interrupted_and_overwrites_nothing(
    folder: Path, environment: Mapping[str, str]
) -> None:
    (folder / "ledger" / "studio").unlink()
    (folder / ".gitignore").write_text("mine\n")
    (folder / "workflows" / "blank.json").unlink()
    for host in (folder / "ledger").iterdir():
        if host.is_dir():
            (host / "machine").unlink()
            host.rmdir()
    kept = make_studio(folder, environment)
    assert ".gitignore" in kept
    assert (folder / ".gitignore").read_text() == "mine\n"
    assert (folder / "workflows" / "blank.json").exists()


@pytest.mark.parametrize("conflict", ["studio", "inbox", "link"])
def test_init_refuses_what_it_would_have_to_share(
    tmp_path: Path, environment: Mapping[str, str], conflict: str
) -> None:
    folder = tmp_path / "manga"
    if conflict == "studio":
        make_studio(folder, environment)
    elif conflict == "inbox":
        (folder / "inbox").mkdir(parents=True)
        (folder / "inbox" / "letter.txt").write_text("x")
    else:
        folder.mkdir()
        (folder / "outbox").symlink_to(tmp_path)
    before = sorted(path.name for path in folder.rglob("*"))
    with pytest.raises(AskerError):
        make_studio(folder, environment)
    assert sorted(path.name for path in folder.rglob("*")) == before


def test_a_ledger_bound_to_another_machine_is_never_ours(
    folder: Path, environment: Mapping[str, str]
) -> None:
    bound = folder / "ledger" / host_name() / "machine"
    bound.write_text(ELSEWHERE)
    assert at_home(folder, environment).host == ""
    (folder / "ledger" / "studio").unlink()
    for name in ("inbox", "outbox", "ledger"):
        (folder / name / "README.md").unlink()
    with pytest.raises(AskerError, match="not empty"):
        make_studio(folder, environment)
    assert bound.read_text() == ELSEWHERE


def test_a_studio_that_drew_for_real_never_falls_back_by_itself(
    folder: Path, environment: Mapping[str, str]
) -> None:
    drew_for_real(folder, environment)
    assert at_home(folder, environment).engine == "none"
    (folder / "nightpress.toml").write_text('[engine]\nuse = "rehearsal"\n')
    assert at_home(folder, environment).engine == "rehearsal"
    (folder / "nightpress.toml").unlink()
    comfyui = {**environment, "COMFYUI_BASE_PATH": str(folder)}
    assert at_home(folder, comfyui).engine == "comfyui"


def test_what_a_request_says_is_not_what_has_happened(
    folder: Path, environment: Mapping[str, str]
) -> None:
    host = at_home(folder, environment).host
    forged = '"type":"attempt.started","job":"a_v1","attempt":1,"engine":"comfyui"'
    [accepted] = taken()
    studio = StudioFiles(folder, host=host)
    studio.write(started(), accepted)
    text = studio.segment.read_text()
    studio.segment.write_text(text.replace("leaping", forged.replace('"', '\\"')))
    assert at_home(folder, environment).engine == "rehearsal"


def test_comfyui_without_its_folder_is_refused_with_the_variables_name(
    folder: Path, environment: Mapping[str, str]
) -> None:
    (folder / "nightpress.toml").write_text('[comfyui]\nurl = "http://127.0.0.1:8188"\n')
    with pytest.raises(AskerError, match="COMFYUI_BASE_PATH"):
        run_daemon(folder, environment)


def test_settings_that_others_could_have_written_are_not_believed(
    folder: Path, environment: Mapping[str, str]
) -> None:
    user = Path(environment["HOME"]) / ".config" / "nightpress" / "config.toml"
    user.parent.mkdir(parents=True, exist_ok=True)
    user.write_text(f'[comfyui]\nbase_path = "{folder}"\n')
    user.chmod(0o600)
    assert at_home(folder, environment).engine == "comfyui"
    user.chmod(0o620)
    with pytest.raises(AskerError, match="chmod 600"):
        at_home(folder, environment)


@pytest.mark.parametrize("name", ["inbox", "outbox", "ledger", ".nightpress"])
def test_a_link_in_place_of_a_folder_stops_the_start(
    folder: Path, environment: Mapping[str, str], tmp_path: Path, name: str
) -> None:
    path = folder / name
    if path.exists():
        path.rename(tmp_path / "moved")
    path.symlink_to(tmp_path / "moved")
    with pytest.raises(PersonNeeded, match="is a link"):
        run_daemon(folder, environment)


def test_a_studio_id_that_is_none_stops_the_start(
    folder: Path, environment: Mapping[str, str]
) -> None:
    (folder / "ledger" / "studio").write_text("hello\n")
    with pytest.raises(PersonNeeded, match="no studio id"):
        run_daemon(folder, environment)


def test_a_guarded_studio_is_busy(folder: Path, environment: Mapping[str, str]) -> None:
    with StudioFiles(folder).guarded(), pytest.raises(StudioBusy):
        run_daemon(folder, environment)


def test_a_lost_id_of_a_studio_with_a_history_is_not_replaced_by_another(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path / "home")}
    studio = tmp_path / "studio"
    make_studio(studio, home)
    (studio / "ledger" / "studio").unlink()
    host = next(path for path in (studio / "ledger").iterdir() if path.is_dir())
    (host / "2026-11.jsonl").write_bytes(b"")
    with pytest.raises(PersonNeeded, match="git checkout"):
        run_daemon(studio, home)
