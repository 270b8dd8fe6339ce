"""Thousands of broken and poisoned job files: each is answered, quickly, and none does harm."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.shell.hostile_files import hostile_file

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S, LIMIT_MB = 1.0, 256


def reading(first: int, count: int) -> dict[str, Any]:
    """What ``hostile_files`` prints, read by a process of its own: its memory is theirs alone."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.shell.hostile_files", str(first), str(count)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def hold_the_promise(first: int, count: int) -> dict[str, Any]:
    """No crash, none over a second of processor or 256 MB, each answered by a ledger line."""
    found = reading(first, count)
    assert found["wrong"] == []
    assert sum(found["answers"].values()) >= count
    assert found["slowest_s"] < LIMIT_S, found["slowest"]
    assert found["peak_mb"] < LIMIT_MB
    return found


def test_a_file_is_its_number() -> None:
    assert hostile_file(421) == hostile_file(421) != hostile_file(422)


@pytest.mark.realprocess
def test_two_thousand_hostile_files_and_every_bomb_are_answered() -> None:
    """The promise of the inbox: nothing stops the daemon, nothing goes without a ledger line."""
    found = hold_the_promise(0, 2_000)
    assert min(found["answers"].values()) >= 10, "chance must write some that pass, too"
    assert len(found["answers"]) == 4
