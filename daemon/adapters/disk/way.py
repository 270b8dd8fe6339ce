"""Adapters room: finding and opening what lies below a folder, never through a link.

Law: every folder on the way is opened from its parent, and a file is judged by what was opened, not
by its name; so nobody can exchange a folder for a link between the look and the deed.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from daemon.errors import WorldError
from daemon.ports import FileKind, FileStat
from daemon.wire.text import visible

# Without O_NONBLOCK opening a FIFO would wait for somebody at its other end.
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
CHANGE = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
GROW = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR})
_NO_FILE = frozenset({errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.EISDIR, errno.EOPNOTSUPP})

_KINDS: Mapping[int, FileKind] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "link",
}

# Finder gives a file that it is still copying a date of birth in 1904, 1946 or 1984.
_FINDER_BUSY_BEFORE_S = 443_779_200
# SF_DATALESS (macOS): the bytes are in iCloud, and reading them would wait for the network.
_DATALESS = 0x4000_0000


def parts_of(path: str) -> tuple[Sequence[str], str]:
    """The folders on the way and the last name. Raises ``WorldError`` OUTSIDE for a ``..``."""
    parts = path.split("/")
    with suppress(UnicodeEncodeError):
        os.fsencode(path)
        if not any(part in ("", ".", "..") or "\0" in part for part in parts):
            return parts[:-1], parts[-1]
    raise WorldError("OUTSIDE", f"{visible(path)} is not a plain path inside the studio")


@contextmanager
def folder(
    root: Path, way: Sequence[str], *, made: Callable[[int], None] | None = None
) -> Iterator[int]:
    """A descriptor of the folder at the end of the way.

    With ``made``, missing folders are made, and it is called with the parent's descriptor of each.
    Raises ``WorldError`` OUTSIDE where a folder on the way is a link, else ``OSError``.
    """
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for depth, name in enumerate(way, start=1):
            if made is not None:
                with suppress(FileExistsError):
                    os.mkdir(name, dir_fd=fd)
                    made(fd)
            below = _enter(fd, name, "/".join(way[:depth]))
            os.close(fd)
            fd = below
        yield fd
    finally:
        os.close(fd)


def _enter(fd: int, name: str, path: str) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=fd)
    except OSError as error:
        # Systems differ in what they call a link here, so the entry itself is asked.
        if error.errno not in (errno.ELOOP, errno.EMLINK, errno.ENOTDIR):
            raise
        if stat.S_ISLNK(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
            text = f"{visible(path)} is a link, and nightpress follows none here"
            raise WorldError("OUTSIDE", text) from error
        raise


@contextmanager
def opened(folder_fd: int, name: str, flags: int) -> Iterator[int]:
    """A descriptor of one file, closed afterwards. Raises ``OSError``."""
    fd = os.open(name, flags, 0o666, dir_fd=folder_fd)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def told(path: str, code: str) -> Iterator[None]:
    """Turns the system's errors into ``WorldError``: NOT_FOUND, NOT_A_FILE, DISK_FULL, else
    ``code``.
    """
    try:
        yield
    except OSError as error:
        deed = "read" if code == "READ_FAILED" else "written"
        why = f"could not be {deed}: {error.strerror}"
        if error.errno in _GONE:
            code, why = "NOT_FOUND", "is not there"
        elif error.errno in _NO_FILE:
            code, why = "NOT_A_FILE", "is not a regular file"
        elif error.errno in _FULL:
            code, why = "DISK_FULL", "could not be written: the disk is full; free some space"
        raise WorldError(code, f"{visible(path)} {why}") from error


def facts_of(name: str, facts: os.stat_result) -> FileStat:
    """The system's facts as the port's."""
    busy = False
    if sys.platform == "darwin":  # Other systems say other things by these two, or nothing.
        busy = is_busy(birthtime_s=facts.st_birthtime, flags=facts.st_flags)
    return FileStat(
        name=name,
        kind=_KINDS.get(stat.S_IFMT(facts.st_mode), "other"),
        inode=facts.st_ino,
        mtime_ns=facts.st_mtime_ns,
        size=facts.st_size,
        busy=busy,
    )


def is_busy(*, birthtime_s: float, flags: int) -> bool:
    """Whether Finder is still copying a file, or its bytes are not on this disk (macOS)."""
    return birthtime_s <= _FINDER_BUSY_BEFORE_S or bool(flags & _DATALESS)


def check_readable(path: str, facts: os.stat_result, *, owned: bool) -> None:
    """Raises ``WorldError`` NOT_A_FILE, NOT_OURS or READ_FAILED for what is not to be read."""
    shown = visible(path)
    if not stat.S_ISREG(facts.st_mode):
        raise WorldError("NOT_A_FILE", f"{shown} is not a regular file")
    if owned and facts.st_uid != os.geteuid():
        raise WorldError("NOT_OURS", f"{shown} belongs to another user; copy it and drop the copy")
    if owned and facts.st_nlink != 1:
        text = f"{shown} is one file under {facts.st_nlink} names (hard links); drop a copy of it"
        raise WorldError("NOT_OURS", text)
    if sys.platform == "darwin" and facts.st_flags & _DATALESS:
        text = f"{shown} is in iCloud and not on this disk; open it once in Finder"
        raise WorldError("READ_FAILED", text)
