"""Under launchd the daemon stays up idle with its reason, and goes on once that is gone."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.adapters.guard import Guard, held
from daemon.wire.launch_agent import SERVICE
from tests.process import RealStudio, end, until

pytestmark = pytest.mark.realprocess

AGENT = """
import os
from pathlib import Path
from daemon.bootstrap import run_daemon
from daemon.service import keep
folder = Path(os.environ["NIGHTPRESS_STUDIO"])
raise SystemExit(keep(lambda: run_daemon(folder, os.environ), folder, again_s={}))
"""


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[RealStudio]:
    real = RealStudio(tmp_path)
    real.environment[SERVICE] = "com.nightpress.test"
    yield real
    real.close()


@contextmanager
def agent(studio: RealStudio, *, again_s: float = 0.2) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon as launchd keeps it, that looks again so often."""
    with (studio.root / "stderr.txt").open("ab") as said:
        child = subprocess.Popen(
            [sys.executable, "-c", AGENT.format(again_s)],
            env=studio.environment,
            stderr=said,
            stdout=said,
        )
    try:
        yield child
    finally:
        end(child)


def code(studio: RealStudio) -> str:
    """What its status.json gives as the reason; '' while it works or says nothing."""
    return str(studio.status().get("daemon", {}).get("code", ""))


def test_each_reason_is_told_in_turn_and_it_goes_on_when_the_last_is_gone(
    studio: RealStudio, tmp_path: Path
) -> None:
    root, settings = studio.root, studio.root / "nightpress.toml"
    right, status = settings.read_text(), root / "outbox" / "status.json"
    settings.write_text("[disk]\nmin_free = 3\n")
    (host,) = [path for path in (root / "ledger").iterdir() if path.is_dir()]
    (host / "2026-11.jsonl").write_text('{"seq":7}\n{"seq":8}\n')
    (root / "inbox").rename(tmp_path / "elsewhere")
    (root / "inbox").symlink_to(tmp_path / "elsewhere")
    other = Guard(root / ".nightpress" / "guard")
    other.take(since="now")
    status.write_text('{"schema":1,"queue_count":3,"daemon":{"pid":1}}')
    with agent(studio) as child:
        # What another daemon writes is that one's.
        (root / "inbox").unlink()
        (tmp_path / "elsewhere").rename(root / "inbox")
        until(lambda: "STUDIO_BUSY" in studio.said())
        assert studio.status()["daemon"] == {"pid": 1}
        (root / "inbox").rename(tmp_path / "elsewhere")
        (root / "inbox").symlink_to(tmp_path / "elsewhere")
        other.give_back()
        until(lambda: code(studio) == "PERSON_NEEDED")
        assert "is a link" in studio.status()["daemon"]["text"]
        (root / "inbox").unlink()
        (tmp_path / "elsewhere").rename(root / "inbox")
        until(lambda: code(studio) == "SETTINGS_WRONG")
        child.send_signal(signal.SIGHUP)
        assert "min_free_gb" in studio.nightpress("status").stdout
        settings.write_text(right)
        until(lambda: code(studio) == "LEDGER_DAMAGED")
        daemon = studio.status()["daemon"]
        assert "2026-11.jsonl line 1" in daemon["text"]
        assert daemon["pid"] == child.pid
        assert daemon["studio"] == (root / "ledger" / "studio").read_text().strip()
        assert studio.status()["queue_count"] == 3, "the rest stays as it was last known"
        (host / "2026-11.jsonl").write_text("")
        until(lambda: studio.events("daemon.started") and code(studio) == "")
        child.send_signal(signal.SIGTERM)
        assert child.wait(2) == 0
    said = studio.said()
    assert said.count("SETTINGS_WRONG") == 1, "a reason is said once"
    assert "drop job files" not in said, "its log is its own; launchd never turns this one over"


def test_while_it_is_idle_it_holds_the_studio_and_ends_at_sigterm(studio: RealStudio) -> None:
    (studio.root / "nightpress.toml").write_text("[disk]\nmin_free = 3\n")
    with agent(studio, again_s=60) as child:
        until(lambda: code(studio) == "SETTINGS_WRONG")
        assert held(studio.root / ".nightpress" / "guard")
        child.send_signal(signal.SIGTERM)
        assert child.wait(2) == 0
    assert not held(studio.root / ".nightpress" / "guard")
