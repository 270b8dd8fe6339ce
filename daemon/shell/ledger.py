"""Keeps the ledger: segments by host and month, loaded with every line verified, appended and
synced.

Law: what ``append`` returned from is on the disk, and what ``load`` returns is all that ever was.
Only
a torn last line is set aside, and its bytes are kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from daemon.core.events import Entry, Event
from daemon.core.ids import split_job
from daemon.core.state import State, apply
from daemon.errors import LedgerDamaged, WorldError
from daemon.ports import Disk, FileStat
from daemon.wire.ledger_line import Head, read_lines, write_line

_SEGMENT = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])\.jsonl")
_LIMIT_BYTES = 2**31
_NEW = FileStat(name="", kind="file", inode=0, mtime_ns=0, size=0, links=1)


@dataclass(frozen=True, slots=True)
class Torn:
    """A torn last line: how many ``bytes`` it had and the file in which they are kept."""

    bytes: int
    kept: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """The fold of a host's ledger; ``torn`` when its last line had been cut off by a crash."""

    state: State
    torn: Torn | None


@dataclass(slots=True)
class Page:
    """Lines about to be appended in one sync: a tentative head, believed once they are durable."""

    head: Head
    lines: list[bytes]
    entries: list[Entry]

    def write(self, event: Event, *, at: int) -> Entry:
        """Add an event at the end; ``at`` in ms since 1970."""
        entry, line = write_line(event, at=at, head=self.head)
        self.head = Head(entry.seq, entry.chain, entry.segment)
        self.lines.append(line)
        self.entries.append(entry)
        return entry


class Ledger:
    """One host's ledger. Nobody else appends to it: the guard sees to that."""

    def __init__(self, disk: Disk, *, host: str) -> None:
        self._disk = disk
        self._folder = f"ledger/{host}"
        self._head = Head()
        self._file = _NEW

    @property
    def head(self) -> Head:
        """Where the durable ledger ends."""
        return self._head

    async def load(self) -> Loaded:
        """Read, verify and fold every segment; set a torn last line aside.

        Raises ``LedgerDamaged`` naming segment and line for anything else that does not fit.
        """
        state = State()
        torn = None
        names = await self._segments()
        for name in names:
            path = f"{self._folder}/{name}"
            blob = await self._disk.read(path, limit_bytes=_LIMIT_BYTES)
            data, self._file = blob.data, blob.stat
            end = data.rfind(b"\n") + 1
            if end < len(data) and name != names[-1]:
                raise LedgerDamaged(
                    f"{path}: its last line is cut off, yet a later segment exists."
                )
            self._fold(state, data[:end], path, month=name[:7])
            if end < len(data):
                torn = await self._set_aside(path, data[end:], keep=end)
        return Loaded(state, torn)

    def page(self) -> Page:
        """An empty page that continues the durable ledger."""
        return Page(self._head, [], [])

    async def append(self, page: Page) -> None:
        """Make a page durable. All of its lines are of one segment, since they share their time.

        Raises ``WorldError`` when nothing of it was written, ``LedgerChanged`` and
        ``LedgerDamaged``
        when the file can no longer be trusted.
        """
        segment = page.head.segment
        file = self._file if segment == self._head.segment else _NEW
        self._file = await self._disk.append(
            f"{self._folder}/{segment}.jsonl",
            b"".join(page.lines),
            inode=file.inode,
            size=file.size,
        )
        self._head = page.head

    async def _segments(self) -> Sequence[str]:
        return [
            item.name
            for item in await self._disk.list(self._folder)
            if item.kind == "file" and _SEGMENT.fullmatch(item.name)
        ]

    async def _set_aside(self, path: str, torn: bytes, *, keep: int) -> Torn:
        kept = f"{path}.torn-{keep}"
        await self._disk.write(kept, torn, synced=True)
        await self._disk.cut(path, size=keep)
        stat = await self._disk.stat(path)
        assert stat is not None, "it was just cut"
        self._file = stat
        return Torn(len(torn), kept)

    def _fold(self, state: State, data: bytes, path: str, *, month: str) -> None:
        number = 0
        for number, entry in enumerate(
            read_lines(_lines(data), head=self._head, segment=path), start=1
        ):
            try:
                apply(state, entry)
            except AssertionError as error:
                raise LedgerDamaged(f"{path} line {number}: it cannot follow: {error}") from error
            self._head = Head(entry.seq, entry.chain, month)
        if number == 0:
            self._head = Head(self._head.seq, self._head.chain, max(month, self._head.segment))


def _lines(data: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        end = data.index(b"\n", start)
        yield data[start:end]
        start = end + 1


async def foreign_numbers(disk: Disk, *, host: str) -> tuple[dict[tuple[str, str], int], list[str]]:
    """The highest version of each (name, letter) in the other hosts' ledgers, and what could not
    be read.

    A new job's version is greater than all of them, so that two machines never file two results
    under one name.
    """
    numbers: dict[tuple[str, str], int] = {}
    damaged = []
    for folder in await disk.list("ledger"):
        if folder.kind != "folder" or folder.name == host:
            continue
        for item in await disk.list(f"ledger/{folder.name}"):
            if not _SEGMENT.fullmatch(item.name):
                continue
            path = f"ledger/{folder.name}/{item.name}"
            try:
                blob = await disk.read(path, limit_bytes=_LIMIT_BYTES)
            except WorldError as error:
                damaged.append(error.text)
                continue
            bad = _collect(blob.data.split(b"\n"), numbers)
            if bad:
                damaged.append(f"{path}: {bad} lines cannot be read")
    return numbers, damaged


def _collect(lines: Iterable[bytes], numbers: dict[tuple[str, str], int]) -> int:
    bad = 0
    for line in lines:
        if b'"type":"job.accepted"' not in line[:120]:
            continue
        try:
            parts = split_job(str(json.loads(line)["job"]))
        except (ValueError, KeyError, TypeError):
            parts = None
        if parts is None:
            bad += 1
            continue
        name, letter, number = parts
        numbers[(name, letter)] = max(number, numbers.get((name, letter), 0))
    return bad
