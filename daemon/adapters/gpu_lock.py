"""Adapters room: the lock of the one GPU, shared by every studio of a user.

Law: it is a flock on one file a user, so it ends with the processes that hold it. A child that
inherits ``fd`` keeps it when the daemon is gone; the file is never removed.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from daemon.errors import PersonNeeded

_log = logging.getLogger(__name__)


class UserGpuLock:
    """Implements ``ports.GpuLock``. ``who``: this studio, for the people of the others.

    Raises ``PersonNeeded`` when the file cannot be opened: without it two studios would draw at
    once, and the second would take the first one's memory.
    """

    def __init__(self, path: Path, *, who: str) -> None:
        self._path = path
        self._who = who
        self._fd: int | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(self._open())
        except OSError as error:
            raise PersonNeeded(
                f"The GPU's lock {path} cannot be opened ({error.strerror}). Make its folder"
                " writable for you; every studio of yours shares that file."
            ) from error

    @property
    def fd(self) -> int | None:
        """The open file while it is ours, for a child that is to keep the GPU; else None."""
        return self._fd

    def try_take(self) -> bool:
        """Take it if it is free; True when it is (already) ours. Never waits."""
        if self._fd is not None:
            return True
        try:
            fd = self._open()
        except OSError as error:
            _log.warning("The GPU's lock cannot be opened (%s); jobs wait.", error.strerror)
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A note for people who look.
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"pid {os.getpid()}, studio {self._who}\n".encode(), 0)
        except OSError:
            os.close(fd)
            return False
        self._fd = fd
        return True

    def give_back(self) -> None:
        """Close it. A child that has inherited it keeps it until it ends, and that is meant."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


class NoGpuLock:
    """``ports.GpuLock`` of the rehearsal, which draws without a GPU: always to be had."""

    fd: int | None = None

    def try_take(self) -> bool:
        """True."""
        return True

    def give_back(self) -> None:
        """Nothing to give back."""


def gpu_lock_path(environ: Mapping[str, str], *, home: Path) -> Path:
    """The file that every studio of this user shares: in ~/Library/Caches, or XDG's cache."""
    caches = home / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    # XDG: a path that is not absolute is to be ignored.
    cache = environ.get("XDG_CACHE_HOME", "")
    if cache.startswith("/") and sys.platform != "darwin":
        caches = Path(cache)
    return caches / "nightpress" / "gpu.lock"
