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
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from daemon.adapters.disk import way
from daemon.adapters.disk.flush import FULL_SYNC, Flush, rename_new
from daemon.adapters.disk.growing import FileId, Held, grow, pour, unreplaced
from daemon.errors import WorldError
from daemon.ports import Blob, FileStat
from daemon.wire.text import visible

_CHUNK_BYTES = 2**20
_PENS = 64
# What volumes answer that know no hard links (FAT, some network volumes).
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)


class StudioDisk:
    """Implements ``ports.Disk``; every method's contract is there.

    ``root`` itself may be reached through links; nothing below it may. ``full_sync`` is the fcntl
    command that flushes a drive's own cache, None where fsync does. Two writers of one path at a
    time are a bug of the caller, except for ``write``.
    """

    def __init__(self, root: Path, *, full_sync: int | None = FULL_SYNC) -> None:
        self._root = root
        self._flush = Flush(full_sync)
        # No temporary has two authors; who writes another file does not wait for this one's sync.
        self._pens = [threading.Lock() for _ in range(_PENS)]
        self._held = Held()

    async def list(self, folder: str) -> Sequence[FileStat]:
        return await asyncio.to_thread(self._list, folder)

    async def stat(self, path: str) -> FileStat | None:
        return await asyncio.to_thread(self._stat, path)

    async def read(self, path: str, *, limit_bytes: int, owned: bool = False) -> Blob:
        return await asyncio.to_thread(self._read, path, limit_bytes, owned)

    async def tail(self, path: str, *, offset: int, limit_bytes: int) -> bytes:
        return await asyncio.to_thread(self._tail, path, offset, limit_bytes)

    async def digest(self, path: str, *, offset: int = 0) -> str:
        return await asyncio.to_thread(self._digest, path, offset)

    async def copy(self, path: str, to: str) -> None:
        await asyncio.to_thread(self._copy, path, to)

    async def sync(self, folder: str) -> None:
        await asyncio.to_thread(self._sync, folder)

    async def write(self, path: str, data: bytes, *, synced: bool) -> None:
        await asyncio.to_thread(self._write, path, [data], synced)

    async def append(self, path: str, data: bytes, *, inode: int, size: int) -> FileStat:
        return await asyncio.to_thread(self._append, path, data, inode, size)

    async def held(self, path: str, *, limit_bytes: int) -> bytes | None:
        return await asyncio.to_thread(self._read_held, path, limit_bytes)

    async def link(self, path: str, to: str) -> bool:
        return await asyncio.to_thread(self._link, path, to)

    async def cut(self, path: str, *, size: int) -> None:
        await asyncio.to_thread(self._cut, path, size)

    async def move(self, path: str, to: str) -> None:
        await asyncio.to_thread(self._move, path, to, replacing=True)

    async def move_new(self, path: str, to: str) -> bool:
        return await asyncio.to_thread(self._move, path, to, replacing=False)

    async def remove(self, path: str) -> None:
        await asyncio.to_thread(self._remove, path)

    async def free_bytes(self) -> int:
        with way.told("The studio's volume", "READ_FAILED"):
            volume = await asyncio.to_thread(os.statvfs, self._root)
        return volume.f_bavail * volume.f_frsize

    # The same in blocking calls, each in a thread of its own.

    def _list(self, path: str) -> Sequence[FileStat]:
        above, name = way.parts_of(path)
        found = []
        with (
            _if_there(),
            way.told(path, "READ_FAILED"),
            way.folder(self._root, [*above, name]) as fd,
            os.scandir(fd) as entries,
        ):
            for entry in entries:
                with suppress(FileNotFoundError):  # It went away meanwhile.
                    found.append(way.facts_of(entry.name, entry.stat(follow_symlinks=False)))
        return sorted(found, key=lambda item: item.name)

    def _stat(self, path: str) -> FileStat | None:
        found: list[FileStat] = []
        with _if_there(), self._at(path, "READ_FAILED") as (folder, name):
            facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
            found.append(way.facts_of(name, facts))
        return found[0] if found else None

    def _read(self, path: str, limit_bytes: int, owned: bool) -> Blob:
        with self._readable(path, owned=owned) as fd:
            parts, left = [], limit_bytes + 1
            while left > 0 and (chunk := os.read(fd, min(left, _CHUNK_BYTES))):
                parts.append(chunk)
                left -= len(chunk)
            facts = way.facts_of(path.rpartition("/")[2], os.fstat(fd))
        data = b"".join(parts)
        return Blob(data[:limit_bytes], facts, complete=len(data) <= limit_bytes)

    def _tail(self, path: str, offset: int, limit_bytes: int) -> bytes:
        parts: list[bytes] = []
        with (
            _if_there(),
            self._at(path, "READ_FAILED") as (folder, name),
            way.opened(folder, name, way.READ) as fd,
        ):
            way.check_readable(path, os.fstat(fd), owned=False)
            parts.append(os.pread(fd, limit_bytes, offset))
        return b"".join(parts)

    def _digest(self, path: str, offset: int) -> str:
        digest = hashlib.sha256()
        with self._readable(path, owned=False) as fd:
            os.lseek(fd, offset, os.SEEK_SET)
            for chunk in _chunks(fd):
                digest.update(chunk)
        return digest.hexdigest()

    def _copy(self, path: str, to: str) -> None:
        with self._readable(path, owned=False) as fd:
            self._write(to, _chunks(fd), synced=True)

    def _sync(self, path: str) -> None:
        above, name = way.parts_of(path)
        with way.told(path, "WRITE_FAILED"):
            with way.folder(self._root, [*above, name]) as folder:
                for each in self._list(path):
                    with way.opened(folder, each.name, way.READ) as fd:
                        self._flush.file(fd)
            for depth in range(len(above) + 1, 0, -1):
                with way.folder(self._root, [*above, name][:depth]) as folder:
                    self._flush.folder(folder)

    @contextmanager
    def _readable(self, path: str, *, owned: bool) -> Iterator[int]:
        """An open regular file; raises CHANGING at the end when it was changed meanwhile."""
        with (
            self._at(path, "READ_FAILED") as (folder, name),
            way.opened(folder, name, way.READ) as fd,
        ):
            before = os.fstat(fd)
            way.check_readable(path, before, owned=owned)
            yield fd
            after = os.fstat(fd)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            text = f"{visible(path)} changed while it was read; try again when nothing writes to it"
            raise WorldError("CHANGING", text)

    def _write(self, path: str, chunks: Iterable[bytes], synced: bool) -> None:
        with self._pen(path), self._at(path, "WRITE_FAILED", made=True) as (folder, name):
            temporary = f".{name}.tmp"
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=folder)  # Left over from a crash.
            try:
                with way.opened(folder, temporary, way.NEW) as fd:
                    for chunk in chunks:
                        pour(fd, chunk)
                    if synced:
                        self._flush.file(fd)
                os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            except OSError:
                with suppress(OSError):
                    os.unlink(temporary, dir_fd=folder)
                raise
            if synced:
                self._flush.folder(folder)

    def _append(self, path: str, data: bytes, inode: int, size: int) -> FileStat:
        with unreplaced(path), self._at(path, "WRITE_FAILED", made=inode == 0) as (folder, name):
            return grow(
                path, folder, name, data, FileId(inode, size), flush=self._flush, held=self._held
            )

    def _read_held(self, path: str, limit_bytes: int) -> bytes | None:
        with way.told(path, "READ_FAILED"):
            return self._held.read(path, limit_bytes)

    def _link(self, path: str, to: str) -> bool:
        """A name cannot be put over another of the same file, so it is made aside and renamed."""
        with self._pen(to), self._at(path, "WRITE_FAILED") as (here, name):
            os.stat(name, dir_fd=here, follow_symlinks=False)  # Before folders are made for it.
            with self._at(to, "WRITE_FAILED", made=True) as (there, new_name):
                aside = f".{new_name}.link"
                with suppress(FileNotFoundError):
                    os.unlink(aside, dir_fd=there)
                try:
                    os.link(name, aside, src_dir_fd=here, dst_dir_fd=there, follow_symlinks=False)
                except OSError as error:
                    if error.errno in _NO_LINKS:
                        return False
                    raise
                os.rename(aside, new_name, src_dir_fd=there, dst_dir_fd=there)
                with suppress(FileNotFoundError):
                    os.unlink(aside, dir_fd=there)  # Both were the same file already.
                self._flush.folder(there)
        return True

    def _cut(self, path: str, size: int) -> None:
        with (
            self._at(path, "WRITE_FAILED") as (folder, name),
            way.opened(folder, name, way.CHANGE) as fd,
        ):
            assert size <= os.fstat(fd).st_size, "a cut never makes a file longer"
            os.ftruncate(fd, size)
            self._flush.file(fd)

    def _move(self, path: str, to: str, *, replacing: bool) -> bool:
        way.parts_of(to)  # A way out is refused before anything is looked for.
        with self._at(path, "WRITE_FAILED") as (here, name):
            os.stat(name, dir_fd=here, follow_symlinks=False)  # Before folders are made for it.
            with self._at(to, "WRITE_FAILED", made=True) as (there, new_name):
                if replacing:
                    os.rename(name, new_name, src_dir_fd=here, dst_dir_fd=there)
                elif not rename_new(here, name, there, new_name):
                    return False
                # The new name first: a crash between the two may show both, never neither.
                self._flush.folder(there)
                self._flush.folder(here)
        return True

    def _remove(self, path: str) -> None:
        with _if_there(), self._at(path, "WRITE_FAILED") as (folder, name):
            if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                shutil.rmtree(name, dir_fd=folder)
            else:
                os.unlink(name, dir_fd=folder)

    def _pen(self, path: str) -> threading.Lock:
        return self._pens[hash(path) % len(self._pens)]

    @contextmanager
    def _at(self, path: str, code: str, *, made: bool = False) -> Iterator[tuple[int, str]]:
        """The folder of a path, open, and the name in it; what goes wrong is a ``WorldError``.

        With ``made``, missing folders are made, and flushed.
        """
        above, name = way.parts_of(path)
        flush = self._flush.folder if made else None
        with way.told(path, code), way.folder(self._root, above, made=flush) as folder:
            yield folder, name


def _chunks(fd: int) -> Iterator[bytes]:
    while chunk := os.read(fd, _CHUNK_BYTES):
        yield chunk


@contextmanager
def _if_there() -> Iterator[None]:
    try:
        yield
    except WorldError as error:
        if error.code != "NOT_FOUND":
            raise
