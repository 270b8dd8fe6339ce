"""`rebuild`: what a maker removed or spoilt in the outbox, by the ledger alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from daemon.cli import folded, main
from daemon.core.events import (
    AttemptEnded,
    AttemptStarted,
    Event,
    ImageJudged,
    JobEnded,
    ResultPublished,
)
from daemon.core.jobs import JobId, Outcome, Phase
from daemon.core.tools import EngineRecorded, ModelRecorded
from daemon.wire.lock_file import read_lock
from daemon.wire.making import digest, picture_lock
from tests.cli.studio import StudioFiles, refusal, started, taken
from tests.core.asking import ENGINE, MAKING, VAE
from tests.examples import FILE
from tests.release import LEDGERS

Captured = pytest.CaptureFixture[str]
JOB = JobId("ch01_p003_v1")
LOCK = f"outbox/{JOB}/{JOB}.lock.toml"


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudioFiles:
    """One with a published picture and a refusal; its outbox is what `rebuild --all` makes it."""
    monkeypatch.setenv("NIGHTPRESS_STUDIO", str(tmp_path))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    files = StudioFiles(tmp_path)
    files.write(started(), *taken(), *refusal(FILE), *drawn())
    lock = picture_lock(folded.fold(tmp_path).jobs[JOB], 1, MAKING, host="mac")
    png = {f"{JOB}.png": "d" * 64}
    files.write(ResultPublished(JOB, {f"{JOB}.lock.toml": digest(lock), **png}))
    files.write(JobEnded(JOB, Phase.PUBLISHED, ""))
    assert main(["rebuild", "--all"]) == 0
    return files


def drawn() -> list[Event]:
    """A picture up to its verdict. The lines of what drew it are the fourth and the fifth."""
    judged = ImageJudged(
        job=JOB,
        attempt=1,
        image=1,
        sha256="d" * 64,
        verdict="good",
        scores={},
        engine=4,
        models=(5,),
        template=MAKING.template,
        template_sha256=MAKING.template_sha256,
        workflow_sha256=MAKING.workflow_sha256,
        bytes=MAKING.bytes,
        perceptual_hash=MAKING.perceptual_hash,
        rung=MAKING.rung,
        map_sha256=MAKING.map_sha256,
    )
    return [
        EngineRecorded(**asdict(ENGINE)),
        ModelRecorded(VAE.role, VAE.name, VAE.sha256, VAE.bytes, VAE.dtype, {}),
        AttemptStarted(JOB, 1, "comfyui", "default", 0, stage=""),
        judged,
        AttemptEnded(JOB, 1, Outcome.SUCCEEDED, "", "", 0, 0.0),
    ]


def outbox(studio: StudioFiles) -> Mapping[str, bytes]:
    """All but the review sheet, which tells where the ledger ends."""
    paths = (studio.root / "outbox").rglob("*.[!h]*")
    return {str(p.relative_to(studio.root)): p.read_bytes() for p in paths if p.is_file()}


def test_the_review_sheet_is_written_again_and_says_that_nobody_is_at_work(
    studio: StudioFiles,
) -> None:
    shutil.rmtree(studio.root / "outbox")
    assert main(["rebuild"]) == 0
    [month] = (studio.root / "outbox" / "sheet").iterdir()
    assert f'id="{JOB}"' in month.read_text()
    assert "No daemon is at work here" in (studio.root / "outbox" / "index.html").read_text()


def said(capsys: Captured) -> str:
    captured = capsys.readouterr()
    return captured.out + captured.err


def test_a_lock_from_the_ledger_says_all_that_made_the_picture(studio: StudioFiles) -> None:
    """S3.2."""
    lock = read_lock((studio.root / LOCK).read_bytes())
    assert lock.engine == ENGINE
    assert [model.sha256 for model in lock.model] == [VAE.sha256]


def test_a_model_that_changed_later_leaves_old_locks_as_they_were(studio: StudioFiles) -> None:
    before = outbox(studio)
    newer = replace(VAE, sha256="f" * 64)
    studio.write(ModelRecorded(newer.role, newer.name, newer.sha256, newer.bytes, newer.dtype, {}))
    (studio.root / LOCK).unlink()
    assert main(["rebuild"]) == 0
    assert outbox(studio) == before


def test_what_is_missing_is_written_again_byte_for_byte(
    studio: StudioFiles, capsys: Captured
) -> None:
    before = outbox(studio)
    for path in before:
        if not path.endswith("job.toml"):
            (studio.root / path).unlink()
    refused = [path for path in before if "/rejected/" in path]
    assert main(["rebuild"]) == 0
    assert f"{LOCK}: written\n" in said(capsys)
    assert outbox(studio) == {path: before[path] for path in before if path not in refused}
    assert main(["rebuild", "--all"]) == 0
    assert outbox(studio) == before
    assert main(["rebuild"]) == 0
    assert "as the ledger says" in capsys.readouterr().out.splitlines()[-1]


def test_a_lock_that_says_something_else_is_named_and_left(
    studio: StudioFiles, capsys: Captured
) -> None:
    (studio.root / LOCK).write_bytes(b"other")
    (studio.root / f"outbox/{JOB}/status.toml").write_bytes(b"other")
    assert main(["rebuild"]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(f"{LOCK}: not the file that the ledger recorded")
    assert f"outbox/{JOB}/status.toml: said something else" in captured.out
    assert (studio.root / LOCK).read_bytes() == b"other"


def test_a_folder_that_was_removed_is_counted_and_left_out(
    studio: StudioFiles, capsys: Captured
) -> None:
    shutil.rmtree(studio.root / "outbox" / JOB)
    assert main(["rebuild"]) == 0
    assert "1 folder that somebody removed left out; `nightpress rebuild --all`" in said(capsys)
    assert not (studio.root / "outbox" / JOB).exists()


def test_nothing_is_written_beside_a_living_daemon(studio: StudioFiles, capsys: Captured) -> None:
    (studio.root / LOCK).unlink()
    with studio.guarded():
        assert main(["rebuild"]) == 1
    assert "A daemon is alive in this studio" in said(capsys)
    assert not (studio.root / LOCK).exists()


def test_a_status_json_is_kept_while_it_agrees_with_the_ledger(studio: StudioFiles) -> None:
    status = studio.root / "outbox" / "status.json"
    told = json.loads(status.read_bytes())
    status.write_text(json.dumps({**told, "daemon": {"pid": 7}}))
    before = status.read_bytes()
    assert main(["rebuild"]) == 0
    assert status.read_bytes() == before
    status.write_text(json.dumps({**told, "recent": []}))
    assert main(["rebuild"]) == 0
    assert json.loads(status.read_bytes()) == told


def test_locks_of_release_0_1_0_are_told_when_they_are_gone_and_only_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """Its ledger does not hold what was in them."""
    monkeypatch.setenv("NIGHTPRESS_STUDIO", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    files = StudioFiles(tmp_path, host="press")
    shutil.copy(LEDGERS / "0.1.0" / "2026-11.jsonl", files.segment)
    assert main(["rebuild"]) == 0
    assert main(["rebuild", "--all"]) == 1
    captured = capsys.readouterr()
    lost = [line for line in captured.err.splitlines() if ".lock.toml: " in line]
    assert len(lost) == 6
    assert all("release 0.1.0 recorded less" in line for line in lost)
    assert "outbox/spyke_v1/status.toml: written" in captured.out
