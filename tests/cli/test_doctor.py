"""`nightpress doctor` on machines that would spoil a night, and on one that would not."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from daemon.adapters.guard import Guard
from daemon.cli.examining import examined
from daemon.wire.health import Finding
from tests.process import RealStudio

pytestmark = pytest.mark.realprocess


@pytest.fixture
def studio(tmp_path: Path) -> RealStudio:
    return RealStudio(tmp_path)


def found(studio: RealStudio, *, code: int) -> dict[str, Any]:
    said = studio.nightpress("doctor", "--json", patience_s=60.0)
    assert said.returncode == code, said
    return {row["code"]: row for row in json.loads(said.stdout)}


def test_a_studio_that_rehearses_is_looked_at_and_left_as_it_was(studio: RealStudio) -> None:
    """V2: the trainer is asked what it can do; nothing is left behind."""
    before = sorted(str(path) for path in studio.root.rglob("*"))
    rows = found(studio, code=0)
    assert {"REHEARSAL", "TRAINER_READY", "FOLDER", "DISK", "QUIET"} <= set(rows)
    assert rows["NO_REPOSITORY"]["remedy"].startswith("`git init`")
    left = {path for path in map(str, studio.root.rglob("*")) if "/.nightpress" not in path}
    assert left == {path for path in before if "/.nightpress" not in path}
    assert list((studio.root / ".nightpress").glob("doctor-*")) == []


def test_the_page_for_people_has_a_sign_a_code_and_an_arrow_to_the_remedy(
    studio: RealStudio,
) -> None:
    said = studio.nightpress("doctor", patience_s=60.0)
    assert "  ! NO_REPOSITORY: The studio is in no git repository" in said.stdout
    assert "      → `git init` in the studio, then commit it." in said.stdout
    assert "\x1b" not in said.stdout


def test_a_comfyui_that_is_away_and_models_that_are_not_there_are_bad(studio: RealStudio) -> None:
    base = studio.root / "comfyui"
    (base / "models").mkdir(parents=True)
    studio.environment |= {"COMFYUI_BASE_PATH": str(base), "COMFYUI_URL": "http://127.0.0.1:1"}
    rows = found(studio, code=1)
    assert {"COMFY_NOT_READY", "MODEL_MISSING", "TRAINER_MISSING", "NO_REFERENCE"} <= set(rows)
    assert rows["COMFY_NOT_READY"]["severity"] == "bad"


def test_a_managed_comfyui_that_cannot_be_started_says_what_is_missing(studio: RealStudio) -> None:
    base = studio.root / "comfyui"
    (base / "models").mkdir(parents=True)
    studio.environment |= {"COMFYUI_BASE_PATH": str(base)}
    (studio.root / "nightpress.toml").write_text('[comfyui]\nmode = "managed"\n')
    assert "main.py" in found(studio, code=1)["ENGINE_START"]["what"]


def test_wrong_settings_and_a_damaged_ledger_are_findings_too(studio: RealStudio) -> None:
    settings = studio.root / "nightpress.toml"
    settings.write_text("[windows]\ntraining = 3\n")
    assert "line 2" in found(studio, code=1)["SETTINGS"]["what"]
    settings.write_text("")
    host = next(path for path in (studio.root / "ledger").iterdir() if path.is_dir())
    (host / "2026-11.jsonl").write_text("{}\n")
    assert "2026-11.jsonl" in found(studio, code=1)["LEDGER_DAMAGED"]["what"]


def test_a_ledger_that_git_ignores_is_bad(studio: RealStudio) -> None:
    host = next(path for path in (studio.root / "ledger").iterdir() if path.is_dir())
    with studio.running():
        pass
    assert list(host.glob("*.jsonl"))
    (studio.root / ".gitignore").write_text("ledger/\n")
    quiet = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null"}
    subprocess.run(["git", "init", "-q", studio.root], check=True, env=quiet)
    assert found(studio, code=1)["LEDGER_IGNORED"]["severity"] == "bad"


def told(
    studio: RealStudio, monkeypatch: pytest.MonkeyPatch, **environment: str
) -> dict[str, Finding]:
    """What is not fine, by code; in this process, which is quicker."""
    for name, value in (studio.environment | environment).items():
        monkeypatch.setenv(name, value)
    found = asyncio.run(examined(studio.root))
    return {each.code: each for each in found if each.severity != "fine"}


def program(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True)
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return file


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("echo 'xcrun: error: invalid path' >&2; exit 1", "git status: xcrun: error: invalid path"),
        ("exit 128", "git status: exit status 128"),
        ("kill -9 $$", "git status: exit status -9"),
    ],
)
def test_a_git_that_does_not_answer_is_not_seen_and_never_fine(
    studio: RealStudio, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    (studio.root / ".git").mkdir()
    git = program(studio.root.parent / "bin" / "git", text)
    found = told(studio, monkeypatch, PATH=f"{git.parent}:{os.environ['PATH']}")
    assert found["UNSEEN"].what == f"It could not be seen: {said}"


def test_a_link_in_place_of_a_folder_is_what_the_daemon_would_refuse(
    studio: RealStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    (studio.root / "inbox").rename(studio.root / "elsewhere")
    (studio.root / "inbox").symlink_to("elsewhere")
    host = next(path for path in (studio.root / "ledger").iterdir() if path.is_dir())
    os.mkfifo(host / "2026-11.jsonl")  # Whoever opened it would wait for ever.
    refused = told(studio, monkeypatch)["FOLDER_REFUSED"]
    assert refused.severity == "bad"
    assert "inbox is a link." in refused.what


def test_settings_that_are_no_file_are_not_waited_for(
    studio: RealStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    (studio.root / "nightpress.toml").unlink()
    os.mkfifo(studio.root / "nightpress.toml")
    assert "nightpress.toml is no file" in told(studio, monkeypatch)["SETTINGS"].what


def test_a_trainer_whose_python_fails_is_bad_and_said_in_words(
    studio: RealStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """V2: and the program that asked it is not told to the maker."""
    checkout = studio.root.parent / "sd-scripts"
    program(checkout / "venv" / "bin" / "python", "exit 3")
    (checkout / "train_network.py").write_text("")
    base = studio.root / "comfyui"
    (base / "models").mkdir(parents=True)
    found = told(
        studio,
        monkeypatch,
        COMFYUI_BASE_PATH=str(base),
        COMFYUI_URL="http://127.0.0.1:1",
        SD_SCRIPTS_PATH=str(checkout),
    )
    assert found["TRAINER_MISSING"].severity == "bad"
    assert "does not answer (it ended with exit status 3)" in found["TRAINER_MISSING"].what


def test_what_a_managed_comfyui_computes_on_is_told_by_the_living_daemon(
    studio: RealStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A1.7: nothing is started, and nobody else is asked."""
    base = studio.root / "comfyui"
    (base / "models").mkdir(parents=True)
    (studio.root / "nightpress.toml").write_text('[comfyui]\nmode = "managed"\n')
    for name, value in (studio.environment | {"COMFYUI_BASE_PATH": str(base)}).items():
        monkeypatch.setenv(name, value)
    seen = {"name": "comfyui", "version": "0.3.64", "code": "", "device": "mps"}
    (studio.root / "outbox" / "status.json").write_text(json.dumps({"engine": seen}))
    without = asyncio.run(examined(studio.root))
    assert [each for each in without if each.code == "ENGINE_READY"] == []
    (studio.root / ".nightpress").mkdir(exist_ok=True)
    guard = Guard(studio.root / ".nightpress" / "guard")
    guard.take(since="now")
    alive = asyncio.run(examined(studio.root))
    guard.give_back()
    ready = [each.what for each in alive if each.code == "ENGINE_READY"]
    assert ready == ["comfyui 0.3.64 on mps"]
