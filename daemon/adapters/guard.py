"""Adapters room: the guard that keeps a second daemon out of a studio.

Law: the lock is the system's (flock), so it ends with the process whatever ends it; the file's text
is for people only, and the file is never removed. Small, since the command line asks it often.
"""

from __future__ import annotations

import fcntl
import os
import time

from daemon.errors import StudioBusy

_TEXT_BYTES = 200
# A command that asks `held` has the lock for some microseconds; a start must not fail for that.
_TRIES = 5
_REST_S = 0.02


class Guard:
    """A studio's guard; ``path`` is its .nightpress/guard."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)
        self._fd: int | None = None

    def take(self, *, since: str) -> None:
        """Take it for the life of this process. ``since``: the time, as people will read it.

        Raises ``StudioBusy`` naming who has it.
        """
        # Importing pathlib would take longer than all that the command line does with this module.
        os.makedirs(os.path.dirname(self._path) or ".", exist_ok=True)  # noqa: PTH103, PTH120
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        if not _locked(fd):
            note = os.pread(fd, _TEXT_BYTES, 0).decode("ascii", errors="replace").strip()
            who = note if note and note.isprintable() else "another process"
            os.close(fd)
            raise StudioBusy(
                f"Another daemon works in this studio already: {who}. One studio has one daemon;"
                " stop that one first (Ctrl-C where it runs; `nightpress service uninstall` where"
                " launchd keeps it; or SIGTERM to its pid)."
            )
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"pid {os.getpid()}, since {since}\n".encode(), 0)
        self._fd = fd

    def give_back(self) -> None:
        """Let another daemon in; nothing when it is not ours."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def held(path: str | os.PathLike[str]) -> bool:
    """Whether a daemon has this guard now. Changes nothing; a missing file is nobody's."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(fd)


def _locked(fd: int) -> bool:
    for _ in range(_TRIES):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_REST_S)
        else:
            return True
    return False
