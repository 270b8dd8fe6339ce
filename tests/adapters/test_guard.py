"""One studio has one daemon, and the lock ends with the process whatever ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.adapters.guard import Guard, held
from daemon.errors import StudioBusy

TAKER = """
import sys, time
from daemon.adapters.guard import Guard
Guard(sys.argv[1]).take(since="last night")
print("taken", flush=True)
time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".nightpress" / "guard"


@contextmanager
def another_daemon(path: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", TAKER, path], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "taken\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.realprocess
def test_a_second_daemon_is_told_who_has_the_studio(path: Path) -> None:
    with another_daemon(path) as process:
        assert held(path)
        with pytest.raises(StudioBusy, match=f"pid {process.pid}, since last night"):
            Guard(path).take(since="now")


@pytest.mark.realprocess
def test_a_killed_daemon_has_no_guard_any_more_and_its_file_stays(path: Path) -> None:
    with another_daemon(path) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=10)
        assert not held(path)
        assert path.exists()
        guard = Guard(path)
        guard.take(since="now")
        assert path.read_text() == f"pid {os.getpid()}, since now\n"
        guard.give_back()


def test_two_guards_in_one_process_exclude_each_other_too(path: Path) -> None:
    first, second = Guard(path), Guard(path)
    first.take(since="now")
    with pytest.raises(StudioBusy):
        second.take(since="now")
    first.give_back()
    first.give_back()
    second.take(since="now")
    second.give_back()


def test_asking_changes_nothing_and_a_missing_file_is_nobodys(path: Path) -> None:
    assert not held(path)
    assert not path.exists()
    guard = Guard(path)
    guard.take(since="now")
    guard.give_back()
    before = path.read_bytes()
    assert not held(path)
    assert path.read_bytes() == before


def test_a_fifo_in_its_place_does_not_keep_anyone_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "guard")
    started = time.monotonic()
    assert not held(tmp_path / "guard")
    assert time.monotonic() - started < 1


def test_a_note_that_would_move_the_cursor_is_not_shown(path: Path) -> None:
    guard = Guard(path)
    guard.take(since="now")
    path.write_bytes(b"\x1b[2J")
    with pytest.raises(StudioBusy, match="another process"):
        Guard(path).take(since="now")
    guard.give_back()


@pytest.mark.realprocess
def test_asking_imports_little() -> None:
    code = (
        "import sys; import daemon.adapters.guard; "
        "print(*({'pathlib', 'pydantic', 'asyncio', 'logging'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, timeout=20
    )
    assert done.stdout.strip() == ""
