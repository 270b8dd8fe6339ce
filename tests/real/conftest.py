"""The real engine for each test, one test at a time whatever the number of workers."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.engine import RealEngine, find


@pytest.fixture
def alone() -> Iterator[None]:
    """No other test with a real engine or trainer meanwhile."""
    with (Path(tempfile.gettempdir()) / "nightpress-tests-real.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def real(alone: None) -> RealEngine:
    """The server of the environment, for this test alone; skips aloud when there is none."""
    return find()
