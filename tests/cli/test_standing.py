"""`status` and `why`, from the files alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from time import tzset

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

GIB = 2**30
MEMORY = {
    "total_bytes": 16 * GIB,
    "free_bytes": 4 * GIB,
    "ours_bytes": 2 * GIB,
    "reserve_bytes": GIB,
    "need_bytes": 3 * GIB,
    "code": "",
    "unknown": [
        {"signal": "pressure", "since": "2026-11-22T17:14:00.000Z"},
        {"signal": "swap", "since": "2026-11-22T17:14:00.000Z"},
    ],
    "programs": [{"name": "Chrome\x1b[2J", "bytes": 2 * GIB}],
    "users": 1,
}
NEED = {
    "total_bytes": 3 * GIB,
    "correction_bytes": -GIB // 2,
    "terms": [["UNet fp16", 2 * GIB], ["working memory", 3 * GIB // 2]],
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


def shown(studio: StudioFiles, capsys: Captured, *words: str, **more: object) -> str:
    """What is said of a living daemon's status with these parts."""
    (studio.root / "outbox" / "status.json").write_text(json.dumps({**STATUS, **more}))
    with studio.guarded():
        assert main(list(words)) == 0
    return capsys.readouterr().out


def test_status_says_what_can_be_had_what_is_unknown_and_what_is_beside_us(
    studio: StudioFiles, capsys: Captured
) -> None:
    """A2.7, A2.10, K2.6"""
    told = shown(studio, capsys, "status", memory=MEMORY)
    for line in (
        "Memory: 6.0 of 16.0 GB can be had (2.0 with the engine); the next job needs 3.0 GB ",
        " 3.0 GB and 1.0 in reserve\n",
        ": memory pressure, swap. What is known decides.\n",
        "Large programs beside it: Chrome\\x1b[2J 2.0 GB\n",
        "Another user is logged in",
    ):
        assert line in told
    assert told.count("Unknown since") == 1
    blind = {"total_bytes": 16 * GIB, "free_bytes": None}
    assert "unknown how much of 16.0 GB" in shown(studio, capsys, "status", memory=blind)
    assert "Memory" not in shown(studio, capsys, "status", memory={})


def test_status_says_why_nothing_starts_once(studio: StudioFiles, capsys: Captured) -> None:
    text = "Level 2 of 4."
    queue = [{"job": "b_r1", "phase": "held", "code": "SWAPPING", "reason": text}]
    memory = {**MEMORY, "code": "SWAPPING", "text": text}
    told = shown(studio, capsys, "status", memory=memory, queue=queue)
    assert "SWAPPING: nothing starts. Level 2 of 4.\n" in told
    assert "b_r1  held  It waits for the memory.\n" in told


def test_status_says_when_hours_turn_and_nothing_of_those_that_do_not(
    studio: StudioFiles, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    tzset()
    opened = {"open": True, "closes": "2026-11-23T06:00:00.000Z", "opens": None}
    closed = {"open": False, "closes": None, "opens": "2026-11-27T21:00:00.000Z"}
    always, never = {"open": True, "closes": None}, {"open": False, "opens": None}
    hours = {"training": opened, "panels": always}
    told = shown(studio, capsys, "status", windows=hours)
    assert "\nTrainings: open until Mon 07:00\n" in told
    assert "Panels" not in told
    told = shown(studio, capsys, "status", windows={"training": closed, "panels": never})
    assert "Trainings: closed until Fri 22:00\nPanels: closed, and never to open\n" in told
    monkeypatch.undo()
    tzset()


def test_a_training_says_what_tonight_holds_of_it(studio: StudioFiles, capsys: Captured) -> None:
    lease = {"job": "spyke_v1", "kind": "train", "tonight": "3 of 5 epochs."}
    queue = [{"job": "spyke_v1", "phase": "running", "reason": "It is trained."}]
    for words in (["status"], ["why", "spyke_v1"]):
        told = shown(studio, capsys, *words, lease=lease, queue=queue)
        assert "\n  Tonight: 3 of 5 epochs.\n" in told


def test_why_adds_up_what_a_job_needs(studio: StudioFiles, capsys: Captured) -> None:
    """A2.7"""
    job: dict[str, object] = {"job": "b_r1", "phase": "held", "code": "MEMORY_SHORT"}
    job |= {
        "reason": "Short.",
        "not_before": None,
        "next_look": "2026-11-22T17:50:05.000Z",
        "need": NEED,
    }
    told = shown(studio, capsys, "why", "b_r1", memory=MEMORY, queue=[job])
    assert told.endswith(
        "  At its peak it needs:\n"
        "    UNet fp16           2.00 GB\n"
        "    working memory      1.50 GB\n"
        "    as measured here   -0.50 GB\n"
        "    in reserve          1.00 GB\n"
        "    together            4.00 GB\n"
        "  Earliest start: as soon as that is over.\n"
        "  Next look: within seconds.\n"
    )
    job |= {"not_before": "2026-11-22T21:00:00.000Z", "next_look": "2026-11-22T21:00:00.000Z"}
    told = shown(studio, capsys, "why", "b_r1", queue=[{**job, "need": None}])
    assert "Earliest start: 2026-11-2" in told
    assert "Next look" not in told
    assert "needs" not in told


def test_on_a_narrow_terminal_no_word_is_cut(
    studio: StudioFiles, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr("daemon.cli.say.columns", lambda: 60)
    told = shown(studio, capsys, "status", memory=MEMORY)
    assert "6.0 of 16.0 GB can be had (2.0 with the engine); the\n  next job needs" in told
