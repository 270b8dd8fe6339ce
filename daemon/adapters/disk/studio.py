"""Adapters room: ``ports.Disk`` below one folder of the real disk.

Law: a file appears whole or not at all; an append that failed leaves the file as it was, or stops
the daemon. What is called synced is on the drive's platter, not in its cache.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import shutil
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from daemon.adapters.disk import way
from daemon.adapters.disk.flush import FULL_SYNC, Flush, rename_new
from daemon.errors import LedgerChanged, LedgerDamaged, WorldError
from daemon.ports import Blob, FileStat
from daemon.wire.text import visible

_CHUNK_BYTES = 2**20
_NOT_THERE = (FileNotFoundError, NotADirectoryError)


class StudioDisk:
    """Implements ``ports.Disk``; every method's contract is there.

    ``root`` itself may be reached through links; nothing below it may. ``full_sync`` is the fcntl
    command that flushes a drive's own cache, None where fsync does. Two writers of one path at a
    time are a bug of the caller, except for ``write``.
    """

    def __init__(self, root: Path, *, full_sync: int | None = FULL_SYNC) -> None:
        self._root = root
        self._flush = Flush(full_sync)
        # Whole files are written one after another, so that no temporary has two authors.
        self._pen = threading.Lock()

    async def list(self, folder: str) -> Sequence[FileStat]:
        """Entries that go away meanwhile are left out. Raises OUTSIDE where a folder is a link."""
        return await asyncio.to_thread(self._list, folder)

    async def stat(self, path: str) -> FileStat | None:
        """Facts of the entry itself, None when there is none."""
        return await asyncio.to_thread(self._stat, path)

    async def read(self, path: str, *, limit_bytes: int, owned: bool = False) -> Blob:
        """At most ``limit_bytes`` of a regular file, as it was between two equal looks at it."""
        return await asyncio.to_thread(self._read, path, limit_bytes, owned)

    async def sha256(self, path: str) -> str:
        """Of the whole file, hexadecimal. Raises as ``read`` does."""
        return await asyncio.to_thread(self._sha256, path)

    async def write(self, path: str, data: bytes, *, synced: bool) -> None:
        """The whole file or nothing. Raises ``WorldError`` DISK_FULL or WRITE_FAILED."""
        await asyncio.to_thread(self._write, path, data, synced)

    async def append(self, path: str, data: bytes, *, inode: int, size: int) -> FileStat:
        """Append to the very file that has this inode and size (0, 0: make it), and sync."""
        return await asyncio.to_thread(self._append, path, data, inode, size)

    async def cut(self, path: str, *, size: int) -> None:
        """Cut a file and sync it. One that is shorter already is a bug of the caller."""
        await asyncio.to_thread(self._cut, path, size)

    async def move(self, path: str, to: str) -> None:
        """Rename, replacing; synced."""
        await asyncio.to_thread(self._move, path, to, replacing=True)

    async def move_new(self, path: str, to: str) -> bool:
        """Rename, synced, unless ``to`` exists: then False, and nothing has moved."""
        return await asyncio.to_thread(self._move, path, to, replacing=False)

    async def remove(self, path: str) -> None:
        """Remove a file, a link, or a folder with all in it; not synced."""
        await asyncio.to_thread(self._remove, path)

    async def free_bytes(self) -> int:
        """What an ordinary user may still write on the studio's volume."""
        with way.told("The studio's volume", "READ_FAILED"):
            volume = await asyncio.to_thread(os.statvfs, self._root)
        return volume.f_bavail * volume.f_frsize

    # The same in blocking calls, each in a thread of its own.

    def _list(self, path: str) -> Sequence[FileStat]:
        above, name = way.parts_of(path)
        found = []
        with (
            way.told(path, "READ_FAILED"),
            suppress(*_NOT_THERE),
            way.folder(self._root, [*above, name]) as fd,
            os.scandir(fd) as entries,
        ):
            for entry in entries:
                with suppress(FileNotFoundError):
                    facts = entry.stat(follow_symlinks=False)
                    found.append(way.facts_of(entry.name, facts))
        return sorted(found, key=lambda item: item.name)

    def _stat(self, path: str) -> FileStat | None:
        above, name = way.parts_of(path)
        with (
            way.told(path, "READ_FAILED"),
            suppress(*_NOT_THERE),
            way.folder(self._root, above) as folder,
        ):
            return way.facts_of(name, os.stat(name, dir_fd=folder, follow_symlinks=False))
        return None

    def _read(self, path: str, limit_bytes: int, owned: bool) -> Blob:
        with self._readable(path, owned=owned) as fd:
            parts, left = [], limit_bytes + 1
            while left > 0 and (chunk := os.read(fd, min(left, _CHUNK_BYTES))):
                parts.append(chunk)
                left -= len(chunk)
            facts = os.fstat(fd)
        data = b"".join(parts)
        complete = len(data) <= limit_bytes
        if complete and len(data) != facts.st_size:
            raise WorldError("CHANGING", _changing(path))
        return Blob(data[:limit_bytes], way.facts_of(path.rpartition("/")[2], facts), complete)

    def _sha256(self, path: str) -> str:
        digest = hashlib.sha256()
        with self._readable(path, owned=False) as fd:
            while chunk := os.read(fd, _CHUNK_BYTES):
                digest.update(chunk)
        return digest.hexdigest()

    @contextmanager
    def _readable(self, path: str, *, owned: bool) -> Iterator[int]:
        """An open regular file; raises CHANGING at the end when it was changed meanwhile."""
        above, name = way.parts_of(path)
        with (
            way.told(path, "READ_FAILED"),
            way.folder(self._root, above) as folder,
            way.opened(folder, name, way.READ) as fd,
        ):
            before = os.fstat(fd)
            way.check_readable(path, before, owned=owned)
            yield fd
            after = os.fstat(fd)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise WorldError("CHANGING", _changing(path))

    def _write(self, path: str, data: bytes, synced: bool) -> None:
        above, name = way.parts_of(path)
        with (
            self._pen,
            way.told(path, "WRITE_FAILED"),
            way.folder(self._root, above, made=self._flush.folder) as folder,
        ):
            self._write_here(folder, name, data, synced=synced)
            if synced:
                self._flush.folder(folder)

    def _write_here(self, folder: int, name: str, data: bytes, *, synced: bool) -> None:
        temporary = f".{name}.tmp"
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)  # Left over from a crash.
        try:
            with way.opened(folder, temporary, way.NEW) as fd:
                _pour(fd, data)
                if synced:
                    self._flush.file(fd)
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise

    def _append(self, path: str, data: bytes, inode: int, size: int) -> FileStat:
        above, name = way.parts_of(path)
        new = inode == 0
        made = self._flush.folder if new else None
        with (
            way.told(path, "WRITE_FAILED"),
            _unreplaced(path),
            way.folder(self._root, above, made=made) as folder,
            way.opened(folder, name, (way.NEW if new else way.CHANGE) | os.O_APPEND) as fd,
        ):
            now = os.fstat(fd)
            if not new and (now.st_ino, now.st_size) != (inode, size):
                raise LedgerChanged(_replaced(path))
            if size == 0:
                # Before its first bytes: who made it may have died before its name was on the
                # drive, and everything that is appended later would hang on that name.
                self._flush_or_stop(folder, path)
            try:
                _pour(fd, data)
            except OSError:
                self._take_back(fd, path, size)
                if new:
                    os.unlink(name, dir_fd=folder)
                raise
            self._flush_or_stop(fd, path)
            facts = os.fstat(fd)
            if facts.st_nlink == 0:
                raise LedgerChanged(_replaced(path))  # Unlinked between our opening and writing.
            return way.facts_of(name, facts)

    def _take_back(self, fd: int, path: str, size: int) -> None:
        """A fragment must not stay: the next line would be appended to it, and both be lost."""
        try:
            os.ftruncate(fd, size)
        except OSError as error:
            raise LedgerDamaged(
                f"{path}: a write failed half-way and could not be taken back ({error.strerror})."
                f" Its good bytes end at {size}; `nightpress verify` shows what is there."
            ) from error
        self._flush_or_stop(fd, path)

    def _flush_or_stop(self, fd: int, path: str) -> None:
        """After a failed flush the system forgets the bytes and says so once: never try again."""
        try:
            self._flush.folder(fd) if stat.S_ISDIR(os.fstat(fd).st_mode) else self._flush.file(fd)
        except OSError as error:
            raise LedgerDamaged(
                f"{path}: the drive did not confirm the last write ({error.strerror}), so nobody"
                " knows what is on it. Check the drive, then run `nightpress verify`."
            ) from error

    def _cut(self, path: str, size: int) -> None:
        above, name = way.parts_of(path)
        with (
            way.told(path, "WRITE_FAILED"),
            way.folder(self._root, above) as folder,
            way.opened(folder, name, way.CHANGE) as fd,
        ):
            assert size <= os.fstat(fd).st_size, "a cut never makes a file longer"
            os.ftruncate(fd, size)
            self._flush.file(fd)

    def _move(self, path: str, to: str, *, replacing: bool) -> bool:
        above, name = way.parts_of(path)
        above_to, name_to = way.parts_of(to)
        with way.told(path, "WRITE_FAILED"), way.folder(self._root, above) as here:
            os.stat(name, dir_fd=here, follow_symlinks=False)  # Before folders are made for it.
            with way.folder(self._root, above_to, made=self._flush.folder) as there:
                if replacing:
                    os.rename(name, name_to, src_dir_fd=here, dst_dir_fd=there)
                elif not rename_new(here, name, there, name_to):
                    return False
                # The new name first: a crash between the two may show both, never neither.
                self._flush.folder(there)
                self._flush.folder(here)
        return True

    def _remove(self, path: str) -> None:
        above, name = way.parts_of(path)
        with (
            way.told(path, "WRITE_FAILED"),
            suppress(*_NOT_THERE),
            way.folder(self._root, above) as folder,
        ):
            facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISDIR(facts.st_mode):
                shutil.rmtree(name, dir_fd=folder)
            else:
                os.unlink(name, dir_fd=folder)


def _pour(fd: int, data: bytes) -> None:
    """Write all; a disk that takes a part and then no more raises ``OSError`` (ENOSPC, EFBIG)."""
    left = memoryview(data)
    while left:
        written = os.write(fd, left)
        if written == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left = left[written:]


@contextmanager
def _unreplaced(path: str) -> Iterator[None]:
    """Whatever else is at the ledger's place, or nothing, is ``LedgerChanged``."""
    try:
        yield
    except OSError as error:
        there = (errno.ENOENT, errno.EEXIST, errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.EISDIR)
        if error.errno in there:
            raise LedgerChanged(_replaced(path)) from error
        raise


def _replaced(path: str) -> str:
    return (
        f"{path} is no longer the file that was written to: something replaced, cut or continued it"
        " (git checkout, stash or pull; an editor). Nothing was appended. Put back the file as it"
        " was, then start again; `nightpress verify` says whether it is whole."
    )


def _changing(path: str) -> str:
    return f"{visible(path)} changed while it was read; try again when nothing writes to it"
