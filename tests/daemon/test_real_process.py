"""The daemon as a process: what no simulator can show, with the rehearsal as its engine."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

from daemon.shim import is_held
from tests.process import PANEL, RealStudio, end, until

pytestmark = pytest.mark.realprocess

SLOW_PANEL = PANEL.replace("steps = 1", "steps = 60")


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[RealStudio]:
    real = RealStudio(tmp_path)
    yield real
    real.close()


def published(studio: RealStudio, job: str) -> bool:
    return any(line["job"] == job for line in studio.events("result.published"))


def test_a_dropped_file_becomes_a_picture_and_its_inbox_file_goes(studio: RealStudio) -> None:
    with studio.running():
        began_s = monotonic()
        studio.drop("ch01_p003")
        until(lambda: studio.events("job.accepted"))
        # A renamed file is taken at once, not after it was quiet for two seconds.
        assert monotonic() - began_s < 1.5
        until(lambda: published(studio, "ch01_p003_r1"))
        until(lambda: not list((studio.root / "inbox").glob("*.toml")))
    folder = studio.root / "outbox" / "ch01_p003_r1"
    assert (folder / "ch01_p003_r1.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "job.toml").read_text() == PANEL
    assert studio.nightpress("verify").returncode == 0
    lost = ("job.toml", "status.toml", "ch01_p003_r1.lock.toml")
    before = [(folder / name).read_bytes() for name in lost]
    for name in lost:
        (folder / name).unlink()
    assert studio.nightpress("rebuild").returncode == 0
    assert [(folder / name).read_bytes() for name in lost] == before


def test_a_killed_daemon_leaves_a_picture_in_flight_that_the_next_one_adopts(
    studio: RealStudio,
) -> None:
    first = studio.start()
    studio.drop("ch01_p003", SLOW_PANEL)
    until(lambda: studio.engine("/queue")["queue_running"])
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert studio.engine("/queue")["queue_running"], "the engine outlives the daemon"
    with studio.running():
        until(lambda: published(studio, "ch01_p003_r1"))
        assert len(studio.engine("/history")) == 1
    assert len(studio.events("prompt.sent")) == 1
    assert len(studio.events("attempt.started")) == 1


def test_sigterm_ends_the_daemon_within_two_seconds_and_is_recorded(studio: RealStudio) -> None:
    with studio.running() as child:
        studio.drop("ch01_p003", SLOW_PANEL)
        until(lambda: studio.engine("/queue")["queue_running"])
        began_s = monotonic()
        child.send_signal(signal.SIGTERM)
        assert child.wait(10) == 0
        assert monotonic() - began_s < 2
    assert len(studio.events("daemon.stopped")) == 1
    assert studio.engine("/queue")["queue_running"], "what is being drawn goes on"


def test_an_idle_engine_ends_with_its_daemon(studio: RealStudio) -> None:
    child = studio.start()
    end(child)
    (alive,) = studio.rehearsal.glob("lives/*/alive")
    assert not is_held(alive)


def test_a_second_daemon_is_refused_and_harms_nothing(studio: RealStudio) -> None:
    with studio.running() as child:
        second = studio.nightpress("run")
        assert second.returncode == 1
        assert "Another daemon works in this studio" in second.stderr
        assert str(child.pid) in second.stderr
        assert child.poll() is None


def test_a_module_that_lies_in_the_studio_is_never_run(studio: RealStudio) -> None:
    for name in ("aiohttp", "daemon", "json"):
        (studio.root / f"{name}.py").write_text("raise SystemExit('run')")
        (studio.root / ".nightpress" / "rehearsal").mkdir(parents=True, exist_ok=True)
        trap = studio.root / ".nightpress" / "rehearsal" / f"{name}.py"
        trap.write_text("raise SystemExit('run')")
    with studio.running():
        assert studio.engine("/system_stats")["system"]["os"]


def test_submit_waits_for_the_end_and_tells_it_by_its_exit_status(
    studio: RealStudio, tmp_path: Path
) -> None:
    good, bad = tmp_path / "ch01_p003.toml", tmp_path / "ch01_p004.toml"
    good.write_text(PANEL)
    bad.write_text(PANEL + "width = 4096\n")
    with studio.running():
        done = studio.nightpress("submit", str(good), "--wait")
        assert (done.returncode, done.stderr) == (0, "")
        assert "published" in done.stdout
        refused = studio.nightpress("submit", str(bad), "--wait")
        assert refused.returncode == 1
        assert "width" in refused.stdout
        paused = studio.nightpress("pause")
        assert (paused.returncode, paused.stdout) == (0, "pause: ok\n")


def test_an_engine_that_is_not_wanted_any_more_is_ended_with_its_prompt(tmp_path: Path) -> None:
    """A2.3: settings that were changed in the midst of a prompt do not leave two engines."""
    studio = RealStudio(tmp_path)
    try:
        with studio.running():
            studio.drop("slow", PANEL.replace("steps = 1", "steps = 60"))
            until(lambda: bool(studio.events("prompt.sent")))
        (life,) = studio.rehearsal.glob("lives/*")
        assert is_held(life / "alive"), "it is drawing, so the daemon's end has left it alone"
        (tmp_path / "base").mkdir()
        studio.environment |= {
            "COMFYUI_BASE_PATH": str(tmp_path / "base"),
            "COMFYUI_URL": "http://127.0.0.1:9",
        }
        child = studio.spawn()
        try:
            until(lambda: not is_held(life / "alive"))
            assert child.poll() is None
        finally:
            end(child)
    finally:
        studio.close()
