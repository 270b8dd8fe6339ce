"""`status` and `why`, from the files alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.cli import main
from daemon.core.events import Incident, JobHeld
from daemon.core.jobs import JobId
from tests.cli.studio import StudioFiles, failed, started, taken, training, whole_story

Captured = pytest.CaptureFixture[str]

STATUS = {
    "schema": 1,
    "at": "2026-11-22T17:50:00.123Z",
    "daemon": {"version": "0.1.0", "pid": 4242, "started_at": "2026-11-22T17:00:00.000Z"},
    "engine": {"name": "rehearsal", "ready": True, "version": "0.3.64", "device": "cpu"},
    "paused": True,
    "hashing": {"name": "large.safetensors", "bytes_done": 1_200_000_000, "bytes": 2_132_000_000},
    "lease": {"job": "a_r1", "image": 2, "images": 3, "step": 12, "steps": 20},
    "queue": [
        {"job": "a_r1", "phase": "running"},
        {"job": "b_r1", "phase": "waiting", "code": "PAUSED", "reason": "It is paused.\x1b[2J"},
    ],
    "queue_count": 2,
    "recent": [
        {"job": "c_r1", "phase": "failed", "changed_at": "2026-11-21T17:50:00Z", "sentence": "No."}
    ],
    "rejected_count": 1,
    "incidents": [{"at": "2026-11-22T17:49:00Z", "code": "DISK_LOW", "text": "Little is left."}],
}


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudioFiles:
    monkeypatch.setenv("NIGHTPRESS_STUDIO", str(tmp_path))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return StudioFiles(tmp_path)


def test_a_living_daemons_status_is_shown_and_nothing_in_it_moves_a_cursor(
    studio: StudioFiles, capsys: Captured
) -> None:
    (studio.root / "outbox" / "status.json").write_text(json.dumps(STATUS))
    with studio.guarded():
        assert main(["status"]) == 0
    shown = capsys.readouterr().out
    for part in (
        "running since",
        "(pid 4242)",
        "rehearsal",
        "Paused",
        "Hashing large.safetensors, 1200 of 2132 MB: jobs that name it wait in inbox/",
        "picture 2 of 3, step 12 of 20",
        "QUEUE (1)",
        "It is paused.\\x1b[2J",
        "c_r1  failed",
        "outbox/rejected/",
        "DISK_LOW",
    ):
        assert part in shown
    assert "\x1b" not in shown


def test_a_training_is_shown_with_its_true_steps(studio: StudioFiles, capsys: Captured) -> None:
    lease = {"job": "spyke_v1", "kind": "train", "step": 120, "steps": 990, "epochs": 5}
    for more, words in (
        ({"epoch": 1, "loss": 0.12}, "step 120 of 990, epoch 1 of 5, loss 0.12"),
        ({"epoch": 0, "loss": None}, "step 120 of 990"),
    ):
        seen = {**STATUS, "lease": {**lease, **more}}
        (studio.root / "outbox" / "status.json").write_text(json.dumps(seen))
        with studio.guarded():
            assert main(["status"]) == 0
        assert f"TRAINING\n  spyke_v1  {words}\n" in capsys.readouterr().out


def test_with_no_daemon_a_training_stands_where_it_was_last_saved(
    studio: StudioFiles, capsys: Captured
) -> None:
    studio.write(started(), *training())
    assert main(["status"]) == 0
    shown = capsys.readouterr().out
    assert "WAS TRAINING\nIt goes on by itself; the next daemon finds it.\n" in shown
    assert "  spyke_v1  step 198 of 990\n" in shown
    assert main(["why", "spyke"]) == 0
    assert "Attempt 2 is being trained." in capsys.readouterr().out


def test_with_no_daemon_status_says_so_and_comes_from_the_ledger(
    studio: StudioFiles, capsys: Captured
) -> None:
    (studio.root / "outbox" / "status.json").write_text(json.dumps(STATUS))
    studio.write(started(), *whole_story(), *taken("ch01_p004"), Incident("NOTE", "Look."))
    assert main(["status"]) == 0
    shown = capsys.readouterr().out
    assert "No daemon is alive" in shown
    assert "ch01_p003_v1  published" in shown
    assert "ch01_p004_v1  waiting" in shown
    assert "a_r1" not in shown


def test_with_no_daemon_a_status_that_tells_of_the_last_line_is_good_enough(
    studio: StudioFiles, capsys: Captured
) -> None:
    (studio.root / "outbox" / "status.json").write_text(json.dumps(STATUS))
    studio.write(started())
    (studio.root / ".nightpress" / "shown").write_text("1\n")
    assert main(["status", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["alive"], answer["lease"]["job"]) == (False, "a_r1")


def test_an_empty_studio_has_a_status(studio: StudioFiles, capsys: Captured) -> None:
    assert main(["status"]) == 0
    assert "Nothing waits" in capsys.readouterr().out
    assert main(["status", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["at"], answer["daemon"]["started_at"]) == (None, None)


def test_a_living_daemon_is_not_called_dead_when_its_status_cannot_be_read(
    studio: StudioFiles, capsys: Captured
) -> None:
    studio.write(started(), *taken())
    with studio.guarded():
        assert main(["status"]) == 0
        assert main(["why", "ch01_p003"]) == 0
    shown = capsys.readouterr().out
    assert "status.json cannot be read; this is from the ledger" in shown
    assert "No daemon is alive" not in shown
    assert "pid 0" not in shown


@pytest.mark.parametrize("garbage", ["[]", '{"queue":7,"recent":[3],"lease":"x"}', "\x00", ""])
def test_a_status_file_of_any_shape_is_no_crash(
    studio: StudioFiles, capsys: Captured, garbage: str
) -> None:
    (studio.root / "outbox" / "status.json").write_text(garbage)
    with studio.guarded():
        assert main(["status"]) == 0
    assert capsys.readouterr().out


def test_why_gives_the_reason_and_the_newest_job_of_a_name(
    studio: StudioFiles, capsys: Captured
) -> None:
    studio.write(started(), *taken(), JobHeld(JobId("ch01_p003_v1"), "DISK_LOW", "Full.", 0))
    assert main(["why", "ch01_p003", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["job"], answer["code"]) == ("ch01_p003_v1", "NO_DAEMON")
    assert main(["why", "ch01_p009"]) == 1
    assert "no job ch01_p009" in capsys.readouterr().err


def test_why_says_what_to_look_at_first(studio: StudioFiles, capsys: Captured) -> None:
    studio.write(started(), *taken(), *failed())
    assert main(["why", "ch01_p003"]) == 0
    assert "First check: Run the VAE in fp32 first" in capsys.readouterr().out
    held = {"job": "b_r1", "phase": "held", "code": "DISK_LOW", "reason": "Full."}
    (studio.root / "outbox" / "status.json").write_text(json.dumps({**STATUS, "queue": [held]}))
    with studio.guarded():
        assert main(["why", "b_r1"]) == 0
    assert "First check: Free some space" in capsys.readouterr().out


def test_status_imports_neither_asyncio_nor_pydantic_nor_dataclasses(studio: StudioFiles) -> None:
    (studio.root / "outbox" / "status.json").write_text(json.dumps(STATUS))
    code = (
        "import sys; from daemon.cli import main; main(['status']); "
        "heavy = {'asyncio', 'pydantic', 'dataclasses', 'rich', 'subprocess', 'daemon.settings'}; "
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    with studio.guarded():
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_wrong_with_the_engine_is_said_once_for_all_who_wait(
    studio: StudioFiles, capsys: Captured
) -> None:
    away = "The engine is silent: look at its log."
    seen = {
        **STATUS,
        "engine": {"name": "comfyui", "ready": False, "code": "COMFY_NOT_READY", "text": away},
        "queue": [
            {"job": f"p{number}_v1", "phase": "waiting", "reason": away} for number in range(5)
        ],
    }
    (studio.root / "outbox" / "status.json").write_text(json.dumps(seen))
    with studio.guarded():
        assert main(["status"]) == 0
    shown = capsys.readouterr().out
    assert (shown.count(away), shown.count("It waits for the engine.")) == (1, 5)
