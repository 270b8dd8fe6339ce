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
from daemon.cli.tables import Table, inner, raw, whole
from daemon.wire.text import visible


class Drop(NamedTuple):
    """A dropped file as the ledger will name it: by what it is, not by what it is called."""

    name: str
    sha256: str
    inode: int
    mtime_ns: int
    size: int


def drop(studio: Path, name: str, data: bytes) -> Drop:
    """Put a file into the inbox under this name. Raises ``Bad`` when it cannot be done."""
    if not place.is_alive(studio):
        raise place.Bad(f"{place.NO_DAEMON} Nothing was dropped.")
    inbox = os.open(studio / "inbox", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        return _lying(inbox, name, data) or _put(inbox, name, data)
    finally:
        os.close(inbox)


def is_of(drop: Drop, table: Table) -> bool:
    """Whether a ledger line answers this drop."""
    kind = raw(table, "type")
    if kind not in ("job.accepted", "job.rejected", "job.duplicate", "control.taken"):
        return False
    file = table if kind == "job.rejected" else inner(table, "file")
    facts = (raw(file, "sha256"), whole(file, "inode"), whole(file, "mtime_ns"))
    return facts == (drop.sha256, drop.inode, drop.mtime_ns)


def _lying(inbox: int, name: str, data: bytes) -> Drop | None:
    """The same file when it lies there already; None when the name is free."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=inbox)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise place.Bad(f"inbox/{visible(name)} is there and cannot be read: {error}") from None
    try:
        if os.read(fd, len(data) + 1) == data:
            return _facts(fd, name, data)
    finally:
        os.close(fd)
    raise place.Bad(
        f"inbox/{visible(name)} is there already with other content, and waits to be taken. Wait a "
        "moment, or give the file another name."
    )


def _put(inbox: int, name: str, data: bytes) -> Drop:
    # The dot-name that the daemon's watcher knows: what is renamed from it is taken at once.
    temporary = f".{name}.tmp"
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644, dir_fd=inbox)
    except OSError as error:
        raise place.Bad(f"inbox/{visible(temporary)} cannot be written: {error}") from None
    try:
        # Locked: another submit of the same name must not write into the same temporary.
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(fd, 0)
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(data)
        flush = Flush(FULL_SYNC)
        flush.file(fd)
        facts = _facts(fd, name, data)
        if not rename_new(inbox, temporary, inbox, name):
            os.unlink(temporary, dir_fd=inbox)
            raise place.Bad(f"inbox/{visible(name)} was dropped by somebody else just now.")
        flush.folder(inbox)
    except BlockingIOError:
        raise place.Bad(f"Another submit is dropping {visible(name)} just now.") from None
    except OSError as error:
        raise place.Bad(f"inbox/{visible(name)} could not be written: {error}") from None
    else:
        return facts
    finally:
        os.close(fd)


def _facts(fd: int, name: str, data: bytes) -> Drop:
    stat = os.fstat(fd)
    return Drop(name, sha256(data).hexdigest(), stat.st_ino, stat.st_mtime_ns, stat.st_size)
