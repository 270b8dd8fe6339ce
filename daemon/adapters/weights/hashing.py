"""Adapters room: hashes model files, one at a time, in a thread of its own.

Law: nobody waits for a file that somebody else asked for, and a file is hashed once, until its
inode, size or time changes. The cache may be deleted at any time; that costs only time.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import stat
import threading
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from daemon.wire.status import Hashing
from daemon.wire.text import visible

_log = logging.getLogger(__name__)

_MAX_KNOWN = 2_000
_PIECE_BYTES = 8 * 2**20


class File(NamedTuple):
    """A file as it is now: ``key`` is device, inode, size and mtime in ns."""

    path: Path
    key: str
    size: int


def file_at(path: Path) -> File:
    """Raises ``OSError`` for what is no regular file."""
    facts = path.stat()
    if not stat.S_ISREG(facts.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
    key = f"{facts.st_dev}:{facts.st_ino}:{facts.st_size}:{facts.st_mtime_ns}"
    return File(path, key, facts.st_size)


class Hasher:
    """Knows the SHA-256 of files, and finds out that of others. ``now``: what it reads."""

    def __init__(self, cache_path: Path) -> None:
        self.now: Hashing | None = None
        self._cache_path = cache_path
        self._known: dict[str, str] = {}
        self._lock = threading.Lock()
        self._wanted: dict[str, Future[str]] = {}
        self._waiting: list[tuple[File, Future[str]]] = []

    def known(self, file: File) -> str:
        """Its SHA-256, '' where it has to be found out; other processes find out too."""
        with self._lock:
            if file.key not in self._known:
                self._known = {**_read_cache(self._cache_path), **self._known}
            return self._known.get(file.key, "")

    def want(self, file: File) -> Future[str]:
        """Its SHA-256, some day. Whoever takes the answer from it says ``forget``."""
        with self._lock:
            future = self._wanted.get(file.key)
            if future is None:
                future = self._wanted[file.key] = Future()
                self._waiting.append((file, future))
                if self.now is None and len(self._waiting) == 1:
                    # A daemon thread: a stop does not wait for a file of many GB.
                    threading.Thread(target=self._work, name="hashing", daemon=True).start()
            return future

    def forget(self, file: File) -> None:
        """What was found out of it is known; what went wrong is tried again for the next."""
        with self._lock:
            future = self._wanted.get(file.key)
            if future is not None and future.done():
                del self._wanted[file.key]

    def wait(self, file: File) -> str:
        """Its SHA-256, however long it takes. Raises ``OSError``."""
        if sha256 := self.known(file):
            return sha256
        future = self.want(file)
        try:
            return future.result()
        finally:
            self.forget(file)

    def _work(self) -> None:
        while next_one := self._next():
            file, future = next_one
            try:
                sha256 = self._hash(file)
                self._keep(file, sha256)
            except Exception as error:  # noqa: BLE001  # Whatever it is, it is told to who waits.
                future.set_exception(error)
            else:
                future.set_result(sha256)

    def _next(self) -> tuple[File, Future[str]] | None:
        with self._lock:
            # A LoRA that is asked for now need not wait for all the checkpoints of a night.
            found = min(self._waiting, key=lambda each: each[0].size, default=None)
            if found is not None:
                self._waiting.remove(found)
            self.now = Hashing(visible(found[0].path.name), 0, found[0].size) if found else None
            return found

    def _hash(self, file: File) -> str:
        digest, done = hashlib.sha256(), 0
        with file.path.open("rb") as opened:
            while piece := opened.read(_PIECE_BYTES):
                digest.update(piece)
                done += len(piece)
                self.now = Hashing(visible(file.path.name), done, file.size)
        if file_at(file.path).key != file.key:
            text = "it is being written to; wait until its download has ended"
            raise OSError(errno.EBUSY, text)
        return digest.hexdigest()

    def _keep(self, file: File, sha256: str) -> None:
        with self._lock:
            known = {**_read_cache(self._cache_path), **self._known, file.key: sha256}
            self._known = dict(list(known.items())[-_MAX_KNOWN:])
            try:
                write_whole(self._cache_path, json.dumps(self._known).encode())
            except OSError as error:
                _log.warning("Hashes of models are not kept (%s); made again.", error.strerror)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or as before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)


def _read_cache(path: Path) -> dict[str, str]:
    """What is kept; a cache that cannot be read is no loss but of time."""
    with suppress(OSError, ValueError, LookupError, AttributeError, RecursionError):
        kept = json.loads(path.read_bytes())
        # Release 0.2 kept a dtype beside the hash.
        plain = {key: each[0] if isinstance(each, list) else each for key, each in kept.items()}
        return {key: each for key, each in plain.items() if isinstance(each, str)}
    return {}
