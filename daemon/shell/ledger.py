"""Keeps the ledger: segments by host and month, loaded with every line verified, appended and
synced.

Law: what ``append`` returned from is on the disk, and what ``load`` returns is all that ever was,
whatever git did to the files, and whenever: what is read and believed is read under the second
name, of which git knows nothing. Only a torn last line is set aside, and its bytes are kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from daemon.core.events import Entry, Event
from daemon.core.ids import split_job
from daemon.core.state import State, apply
from daemon.errors import LedgerChanged, LedgerDamaged, WorldError
from daemon.ports import Disk, FileStat
from daemon.shell.spare import SEGMENT, Restored, Spare
from daemon.wire.ledger_line import Head, read_head, read_lines, render_head, write_line

HEAD = ".nightpress/head.json"
"""Where the durable ledger was known to end; it may lag behind, and is never ahead."""
_LIMIT_BYTES = 2**31
_HEAD_LIMIT_BYTES = 1024
_CHUNK_BYTES = 2**18
_TRIES = 5
"""How often one page is appended while git replaces the file under it."""
_NEW = FileStat(name="", kind="file", inode=0, mtime_ns=0, size=0)


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
    """One host's ledger. Nobody else appends to it: the guard sees to that.

    ``restored`` is what was put back and is not recorded yet; who conducts the ledger empties it.
    """

    def __init__(self, disk: Disk, *, host: str) -> None:
        self._disk = disk
        self._host = host
        self._folder = f"ledger/{host}"
        self._spare = Spare(disk, host=host)
        self._head = Head()
        self._noted = Head()
        self._file = _NEW
        self._inodes: dict[str, int] = {}
        self.restored: list[Restored] = []

    @property
    def head(self) -> Head:
        """Where the durable ledger ends."""
        return self._head

    async def load(self) -> Loaded:
        """Put back what git took, then read, verify and fold every segment; set a torn last line
        aside.

        Raises ``LedgerDamaged`` naming segment and line for anything else that does not fit, and
        ``LedgerChanged`` when lines that were durable here are gone for good.
        """
        self.restored += await self._spare.mend()
        self._noted = await self._note()
        state = State()
        torn, end, rest = None, 0, b""
        names = await self._spare.segments()
        for name in names:
            end, lines, rest = await self._fold(state, name)
            if rest and name != names[-1]:
                raise LedgerDamaged.at(
                    f"{self._folder}/{name}", lines + 1, "it is cut off, yet a later segment exists"
                )
        if self._head.seq < self._noted.seq:
            raise self._gone_back(f"it ends with seq {self._head.seq}, chain {self._head.chain}")
        if rest:
            torn = await self._set_aside(names[-1], rest, keep=end)
        await self._confirm(names)
        return Loaded(state, torn)

    def page(self) -> Page:
        """An empty page that continues the durable ledger."""
        return Page(self._head, [], [])

    async def append(self, page: Page) -> None:
        """Make a page durable. All of its lines are of one segment, since they share their time.

        Raises ``WorldError`` when nothing of it was written, ``LedgerChanged`` and
        ``LedgerDamaged`` when the file can no longer be trusted.
        """
        name, data = f"{page.head.segment}.jsonl", b"".join(page.lines)
        new = page.head.segment != self._head.segment
        for left in reversed(range(_TRIES)):
            file = _NEW if new else self._file
            try:
                self._file = await self._disk.append(
                    f"{self._folder}/{name}", data, inode=file.inode, size=file.size
                )
                break
            except LedgerChanged:
                if new or left == 0:
                    raise
                await self._put_back()
            except LedgerDamaged as error:
                text = f"{error} {await self._seen_again()}"
                raise LedgerDamaged(text, segment=f"{self._folder}/{name}") from error
        self._head = page.head
        self._inodes[name] = self._file.inode
        if new:
            with suppress(WorldError):  # On a full disk, in the next quiet moment.
                await self._spare.renew(name)

    async def look(self) -> None:
        """In a quiet moment: put back what git took meanwhile, and note where the ledger ends."""
        path = f"{self._folder}/{self._head.segment}.jsonl"
        now = await self._disk.stat(path) or _NEW
        if (now.inode, now.size) != (self._file.inode, self._file.size):
            await self._put_back()
        if not await self._spare.holds(self._inodes):
            self.restored += await self._spare.mend()
            await self._learn_inodes(self._inodes)
        if self._noted.seq != self._head.seq:
            await self._take_note()

    async def _take_note(self) -> None:
        # On a full disk the note lags behind, which is allowed.
        with suppress(WorldError):
            head = render_head(self._head, host=self._host)
            await self._disk.write(HEAD, head, synced=False)
            self._noted = self._head

    async def _put_back(self) -> None:
        """Make the current segment the file again that was written to."""
        name, size = f"{self._head.segment}.jsonl", self._file.size
        path = f"{self._folder}/{name}"
        ours = await self._disk.held(path, limit_bytes=size)
        if ours is None:
            ours = await self._spare.read(name, limit_bytes=size)
        if len(ours) < size:
            raise self._gone_back(f"{path} was cut or replaced while it was written to")
        restored, inode = await self._spare.put_back(name, ours)
        if restored is not None:
            self.restored.append(restored)
        self._file = replace(self._file, inode=inode)
        self._inodes[name] = inode

    async def _seen_again(self) -> str:
        """After a failed sync: what can be read of the file now, in a sentence; it is no proof."""
        again = Ledger(self._disk, host=self._host)
        try:
            state = State()
            for name in await self._spare.segments():
                await again._fold(state, name)
        except (LedgerDamaged, WorldError) as error:
            return f"Read again, it does not fit: {error}"
        return (
            f"Read again, it fits up to seq {again.head.seq}; what is after seq {self._head.seq} "
            "was not acted upon. The next start writes the file anew before it believes it."
        )

    async def _confirm(self, names: Sequence[str]) -> None:
        """Write the last segment again when lines in it were never confirmed by the drive.

        A process may die between writing and syncing, and a sync may fail: what can be read then is
        in the system's memory only, and to sync the same file again would prove nothing.
        """
        if names and self._head.seq > self._noted.seq:
            await self._spare.rewrite(names[-1])
        await self._learn_inodes(names)

    async def _learn_inodes(self, names: Iterable[str]) -> None:
        for name in list(names):
            item = await self._disk.stat(await self._spare.home(name))
            if item is None:
                continue
            self._inodes[name] = item.inode
            if name == f"{self._head.segment}.jsonl":
                self._file = item

    async def _note(self) -> Head:
        """The head that was noted last, of this host; the empty one when none can be read."""
        data = await self._disk.tail(HEAD, offset=0, limit_bytes=_HEAD_LIMIT_BYTES)
        return read_head(data, host=self._host) or Head()

    async def _set_aside(self, name: str, torn: bytes, *, keep: int) -> Torn:
        kept = f"{self._folder}/{name}.torn-{keep}"
        await self._disk.write(kept, torn, synced=True)
        await self._disk.cut(await self._spare.home(name), size=keep)
        return Torn(len(torn), kept)

    async def _fold(self, state: State, name: str) -> tuple[int, int, bytes]:
        """Carry a segment into the state: where its whole lines end, how many, what is behind."""
        path, home, month = f"{self._folder}/{name}", await self._spare.home(name), name[:7]
        size, first, rest = 0, 1, b""
        while chunk := await self._disk.tail(home, offset=size, limit_bytes=_CHUNK_BYTES):
            size += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            self._fold_lines(state, lines, path, first=first)
            first += len(lines)
        self._head = Head(self._head.seq, self._head.chain, max(month, self._head.segment))
        return size - len(rest), first - 1, rest

    def _fold_lines(self, state: State, lines: Iterable[bytes], path: str, *, first: int) -> None:
        entry, noted = None, self._noted
        entries = read_lines(lines, head=self._head, segment=path, first=first)
        for number, entry in enumerate(entries, start=first):
            try:
                apply(state, entry)
            except AssertionError as error:
                raise LedgerDamaged.at(path, number, f"it cannot follow: {error}") from error
            if entry.seq == noted.seq and entry.chain != noted.chain:
                raise self._gone_back(f"its seq {entry.seq} has chain {entry.chain}")
        if entry is not None:
            self._head = Head(entry.seq, entry.chain, entry.segment)

    def _gone_back(self, what: str) -> LedgerChanged:
        noted = max(self._noted, self._head, key=lambda head: head.seq)
        return LedgerChanged(
            f"{self._folder} had come to seq {noted.seq}, chain {noted.chain} (segment "
            f"{noted.segment}), and {what}. Lines that were durable are gone. Nothing was changed. "
            "`nightpress verify` says whether git has them, and the command that brings them back; "
            f"else look into `git stash list` and backups. To go on without them, remove {HEAD}. "
            "Then start again."
        )


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
            if not SEGMENT.fullmatch(item.name):
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
