"""One GPU for all studios of a user."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.adapters.gpu_lock import NoGpuLock, UserGpuLock, gpu_lock_path
from daemon.errors import PersonNeeded
from daemon.ports import GpuLock

CHILD = "import time; print('alive', flush=True); time.sleep(60)"


def test_one_studio_at_a_time_and_taking_twice_is_once(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "gpu.lock"
    ours, theirs = UserGpuLock(path, who="a"), UserGpuLock(path, who="b")
    assert ours.try_take()
    assert ours.try_take()
    assert not theirs.try_take()
    assert path.read_text().strip() == f"pid {os.getpid()}, studio a"
    ours.give_back()
    ours.give_back()
    assert theirs.try_take()
    assert not ours.try_take()
    theirs.give_back()
    assert path.exists()


@pytest.mark.realprocess
def test_a_child_that_inherited_it_keeps_it_until_it_is_killed(tmp_path: Path) -> None:
    """The shim of a training outlives the daemon, and so does its right to the GPU."""
    path = tmp_path / "gpu.lock"
    ours, next_life = UserGpuLock(path, who="a"), UserGpuLock(path, who="a")
    assert ours.try_take()
    assert ours.fd is not None
    with subprocess.Popen(
        [sys.executable, "-c", CHILD], stdout=subprocess.PIPE, pass_fds=[ours.fd]
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        ours.give_back()
        taken = next_life.try_take()
        os.kill(child.pid, signal.SIGKILL)
        child.wait(timeout=10)
        assert not taken
        assert next_life.try_take()
    next_life.give_back()


def test_a_lock_that_cannot_be_made_needs_a_person(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PersonNeeded, match=r"gpu\.lock"):
        UserGpuLock(tmp_path / "file" / "gpu.lock", who="a")


def test_a_lock_that_went_away_is_not_ours(tmp_path: Path) -> None:
    lock = UserGpuLock(tmp_path / "cache" / "gpu.lock", who="a")
    (tmp_path / "cache" / "gpu.lock").unlink()
    (tmp_path / "cache").rmdir()
    assert not lock.try_take()


def test_the_rehearsal_needs_no_gpu() -> None:
    lock: GpuLock = NoGpuLock()
    assert lock.try_take()
    lock.give_back()
    assert lock.try_take()


def test_the_file_is_the_users_and_not_a_studios() -> None:
    home = Path("/somewhere")
    if sys.platform == "darwin":
        expected = home / "Library/Caches/nightpress/gpu.lock"
        assert gpu_lock_path({}, home=home) == expected
    else:
        ordinary = home / ".cache/nightpress/gpu.lock"
        assert gpu_lock_path({}, home=home) == ordinary
        assert gpu_lock_path({"XDG_CACHE_HOME": "relative"}, home=home) == ordinary
        assert gpu_lock_path({"XDG_CACHE_HOME": "/c"}, home=home) == Path("/c/nightpress/gpu.lock")
