"""The face: puts a file into the inbox so that it is there whole or not at all.

Law: nothing is dropped where no daemon would take it, and nothing that lies there is replaced.
"""

from __future__ import annotations

import fcntl
import os
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from daemon.adapters.disk.flush import FULL_SYNC, Flush, rename_new
from daemon.cli import place
from daemon.cli.tables import Table, inner, raw, status_file, text, whole
from daemon.wire.text import visible

_ANSWERS = ("job.accepted", "job.rejected", "job.duplicate", "control.taken")


class Drop(NamedTuple):
    """A dropped file as the ledger will name it: by what it is, not by what it is called."""

    name: str
    sha256: str
    inode: int
    mtime_ns: int

    def is_answered_by(self, line: Table) -> bool:
        """Whether a ledger line is the daemon's answer to this drop."""
        kind = raw(line, "type")
        file = line if kind == "job.rejected" else inner(line, "file")
        facts = (raw(file, "sha256"), whole(file, "inode"), whole(file, "mtime_ns"))
        return kind in _ANSWERS and facts == (self.sha256, self.inode, self.mtime_ns)


def drop(studio: Path, name: str, data: bytes) -> Drop:
    """Put a file into the inbox under this name. Raises ``Bad`` when it cannot be done."""
    if not place.is_alive(studio):
        raise place.Bad(f"{place.NO_DAEMON} Nothing was dropped.")
    daemon = inner(status_file(studio), "daemon")
    if text(daemon, "code"):
        raise place.Bad(
            f"The daemon is idle, {text(daemon, 'code')}: {text(daemon, 'text')} Nothing was "
            "dropped."
        )
    inbox = os.open(studio / "inbox", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        return _lying(inbox, name, data) or _put(inbox, name, data)
    except BlockingIOError:
        raise place.Bad(f"Another submit is dropping {visible(name)} just now.") from None
    except FileExistsError:
        raise place.Bad(
            f"inbox/{visible(name)} is there already with other content, and waits to be taken. "
            "Wait a moment, or give the file another name."
        ) from None
    except OSError as error:
        reason = error.strerror
        raise place.Bad(f"inbox/{visible(name)} could not be written: {reason}.") from None
    finally:
        os.close(inbox)


def _lying(inbox: int, name: str, data: bytes) -> Drop | None:
    """The same file when it lies there already; None when the name is free."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=inbox)
    except FileNotFoundError:
        return None
    with os.fdopen(fd, "rb") as file:
        if file.read(len(data) + 1) != data:
            raise FileExistsError
        return _drop(fd, name, data)


def _put(inbox: int, name: str, data: bytes) -> Drop:
    # The dot-name that the daemon's watcher knows: what is renamed from it is taken at once.
    temporary = f".{name}.tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644, dir_fd=inbox)
    with os.fdopen(fd, "wb") as file:
        # Locked, and still of that name: two that submit the same name must not share a temporary.
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(fd), os.stat(temporary, dir_fd=inbox)):
            raise BlockingIOError
        file.truncate(0)
        file.write(data)
        file.flush()
        flush = Flush(FULL_SYNC)
        flush.file(fd)
        dropped = _drop(fd, name, data)
        if not rename_new(inbox, temporary, inbox, name):
            os.unlink(temporary, dir_fd=inbox)
            raise FileExistsError
        flush.folder(inbox)
        return dropped


def _drop(fd: int, name: str, data: bytes) -> Drop:
    stat = os.fstat(fd)
    return Drop(name, sha256(data).hexdigest(), stat.st_ino, stat.st_mtime_ns)
