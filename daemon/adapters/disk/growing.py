"""Adapters room: the one file that only grows, and that git may replace while it does.

Law: an append that failed leaves the file as it was, or raises ``LedgerDamaged``; one that returned
is on the drive, in the file that has the name.
"""

from __future__ import annotations

import errno
import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from daemon.adapters.disk import way
from daemon.adapters.disk.flush import Flush
from daemon.errors import LedgerChanged, LedgerDamaged, WorldError
from daemon.ports import FileStat

# What opening the ledger answers when something else is at its place, or nothing.
_REPLACED = (errno.ENOENT, errno.EEXIST, errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.EISDIR)


class FileId(NamedTuple):
    """The file that is meant, by its inode and its size in bytes; (0, 0): it is to be made."""

    inode: int
    size: int


class Held:
    """The file that was appended to last, open: within reach though git unlinked it."""

    def __init__(self) -> None:
        self._path = ""
        self._fd = -1
        self._let_go: Callable[[], object] = _nothing

    def take(self, path: str, fd: int) -> None:
        """Hold on to an open file instead of the one before."""
        if path == self._path and os.path.sameopenfile(fd, self._fd):
            return
        self._let_go()
        self._path, self._fd = path, os.dup(fd)
        self._let_go = weakref.finalize(self, os.close, self._fd)

    def read(self, path: str, limit_bytes: int) -> bytes | None:
        """From its beginning; None when another file is held, or none."""
        return os.pread(self._fd, limit_bytes, 0) if path == self._path else None


def grow(
    path: str, folder: int, name: str, data: bytes, file: FileId, *, flush: Flush, held: Held
) -> FileStat:
    """Append to ``name`` in the open ``folder`` and sync; ``path`` is for sentences.

    Raises ``LedgerChanged``, ``LedgerDamaged``, and ``OSError`` when nothing was appended.
    """
    new = file.inode == 0
    with way.opened(folder, name, way.GROW | (os.O_CREAT | os.O_EXCL if new else 0)) as fd:
        now = os.fstat(fd)
        if not new and (now.st_ino, now.st_size) != file:
            raise LedgerChanged(_replaced(path))
        held.take(path, fd)
        if file.size == 0:
            # Before its first bytes: who made it may have died before its name was on the
            # drive, and everything that is appended later would hang on that name.
            with _confirmed(path):
                flush.folder(folder)
        try:
            pour(fd, data)
        except OSError:
            _take_back(fd, path, file.size, flush)
            if new:
                os.unlink(name, dir_fd=folder)
            raise
        with _confirmed(path):
            flush.file(fd)
        facts = os.fstat(fd)
        if not os.path.samestat(facts, os.stat(name, dir_fd=folder, follow_symlinks=False)):
            raise LedgerChanged(_replaced(path))  # Replaced between our opening and writing.
        return way.facts_of(name, facts)


def pour(fd: int, data: bytes) -> None:
    """Write all; a disk that takes a part and then no more raises ``OSError`` (ENOSPC, EFBIG)."""
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


@contextmanager
def unreplaced(path: str) -> Iterator[None]:
    """Whatever else is at the ledger's place, or nothing, is ``LedgerChanged``."""
    try:
        yield
    except WorldError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in _REPLACED:
            raise LedgerChanged(_replaced(path)) from error
        raise


def _take_back(fd: int, path: str, size: int, flush: Flush) -> None:
    """A fragment must not stay: the next line would be appended to it, and both be lost."""
    try:
        os.ftruncate(fd, size)
    except OSError as error:
        raise LedgerDamaged(
            f"{path}: a write failed half-way and could not be taken back ({error.strerror})."
            f" Its good bytes end at {size}; `nightpress verify` shows what is there."
        ) from error
    with _confirmed(path):
        flush.file(fd)


@contextmanager
def _confirmed(path: str) -> Iterator[None]:
    """After a failed flush the system forgets the bytes and says so once: never try again."""
    try:
        yield
    except OSError as error:
        raise LedgerDamaged(
            f"{path}: the drive did not confirm the last write ({error.strerror}), so nobody"
            " knows what is on it. Check the drive, then run `nightpress verify`."
        ) from error


def _replaced(path: str) -> str:
    return (
        f"{path} is no longer the file that was written to: something replaced, cut or continued it"
        " (git checkout, stash or pull; an editor). Nothing was appended. Put back the file as it"
        " was, then start again; `nightpress verify` says whether it is whole."
    )


def _nothing() -> None:
    """Nothing is held yet."""
