"""Keeps a second name of each of the own ledger's files, and puts back what git took away.

Law: after ``mend`` a file holds everything it ever held here, or ``LedgerChanged`` names both
versions. git replaces a file by unlinking it, so the old bytes live on under the second name, also
while no daemon is alive.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from daemon.errors import LedgerChanged, WorldError
from daemon.ports import Disk

SEGMENT = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])\.jsonl")
_BINDING = "machine"
_LIMIT_BYTES = 2**31
_CHUNK_BYTES = 2**20
_LINE_LIMIT_BYTES = 128 * 1024
_KIND = re.compile(rb'\{"seq":([0-9]+),[^{]*?"type":"([a-z.]+)"')


@dataclass(frozen=True, slots=True)
class Restored:
    """How many whole lines were put back, and the sentence that says which and why."""

    lines: int
    cause: str


class Spare:
    """The second names of one host's files, in .nightpress/spare/."""

    def __init__(self, disk: Disk, *, host: str) -> None:
        self._disk = disk
        self._ledger = f"ledger/{host}"
        self._spare = f".nightpress/spare/{host}"

    async def mend(self) -> Sequence[Restored]:
        """Put back what is gone of any file, and name what is new a second time.

        Raises ``LedgerChanged``, and ``WorldError`` when git is not done yet or the disk is full.
        """
        names = {
            item.name
            for folder in (self._ledger, self._spare)
            for item in await self._disk.list(folder)
            if item.kind == "file" and (SEGMENT.fullmatch(item.name) or item.name == _BINDING)
        }
        found = [await self._mend(name) for name in sorted(names)]
        return [restored for restored in found if restored is not None]

    async def segments(self) -> Sequence[str]:
        """The names of all segments, in order, whatever git has just done to them."""
        folders = [await self._disk.list(folder) for folder in (self._ledger, self._spare)]
        names = {item.name for folder in folders for item in folder if item.kind == "file"}
        return sorted(name for name in names if SEGMENT.fullmatch(name))

    async def home(self, name: str) -> str:
        """The path by which a file is to be read: the name that git does not know."""
        spare = f"{self._spare}/{name}"
        return f"{self._ledger}/{name}" if await self._disk.stat(spare) is None else spare

    async def holds(self, inodes: Mapping[str, int]) -> bool:
        """Whether each of these files has both of its names."""
        for folder in (self._ledger, self._spare):
            found = {item.name: item.inode for item in await self._disk.list(folder)}
            if not inodes.items() <= found.items():
                return False
        return True

    async def rewrite(self, name: str) -> None:
        """Write a file again whole, as another one: it is on the drive then, whatever it was."""
        home = await self.home(name)
        await self._disk.copy(home, home)
        if home != f"{self._ledger}/{name}":
            await self._disk.link(home, f"{self._ledger}/{name}")

    async def read(self, name: str, *, limit_bytes: int) -> bytes:
        """The bytes under a second name; nothing when there is none."""
        path = f"{self._spare}/{name}"
        return await self._disk.tail(path, offset=0, limit_bytes=limit_bytes)

    async def put_back(self, name: str, ours: bytes) -> tuple[Restored | None, int]:
        """Make a segment what it was, from the bytes that are known to be the ledger's.

        What was missing, None when it was all there in another file; and the file's inode. Raises
        ``LedgerChanged``.
        """
        path, spare = f"{self._ledger}/{name}", f"{self._spare}/{name}"
        theirs = await self._disk.tail(path, offset=0, limit_bytes=_LIMIT_BYTES)
        # The second name first: git may take the other one again before this is over.
        if await self.read(name, limit_bytes=len(ours) + 1) != ours:
            await self._disk.write(spare, ours, synced=True)
        whole = theirs[: theirs.rfind(b"\n") + 1]
        if not ours.startswith(whole):
            raise await self._parted(name)
        if await self._disk.link(spare, path):
            home = await self._disk.stat(spare)
        else:
            await self._disk.write(path, ours, synced=True)
            await self._disk.remove(spare)
            home = await self._disk.stat(path)
        # Gone again already: no file has the inode -1, and the next append puts it back.
        inode = home.inode if home is not None else -1
        return (_restored(path, ours[len(whole) :]) if whole != ours else None), inode

    async def _mend(self, name: str) -> Restored | None:
        path, spare = f"{self._ledger}/{name}", f"{self._spare}/{name}"
        ours, theirs = await self._disk.stat(spare), await self._disk.stat(path)
        if ours is None:
            # Where that cannot be (a full disk), a living daemon still sees through git.
            with suppress(WorldError):
                await self.renew(name)
            return None
        if theirs is not None and theirs.inode == ours.inode:
            return None
        whole = await self._whole(path, theirs.size) if theirs is not None else 0
        common = await self._common(path, spare)
        if theirs is not None and common == ours.size:
            await self.renew(name)
            return None
        if common < whole:
            if name == _BINDING:
                return None  # A machine's binding says the same in other words each time.
            if await self._disk.stat(path) != theirs:
                raise WorldError("CHANGING", f"{path} is being replaced; it is looked at again.")
            raise await self._parted(name)
        gone = await self._disk.tail(spare, offset=0, limit_bytes=_LIMIT_BYTES)
        await self._disk.link(spare, path)
        return _restored(path, gone[whole:])

    async def renew(self, name: str) -> None:
        """Give a file its second name; where there are no hard links, nothing else may have it."""
        path, spare = f"{self._ledger}/{name}", f"{self._spare}/{name}"
        if not await self._disk.link(path, spare):
            await self._disk.remove(spare)

    async def _common(self, path: str, spare: str) -> int:
        """How many bytes two files begin with alike."""
        offset = 0
        while True:
            one, other = [
                await self._disk.tail(each, offset=offset, limit_bytes=_CHUNK_BYTES)
                for each in (path, spare)
            ]
            short = min(len(one), len(other))
            if one[:short] != other[:short]:
                return offset + next(i for i in range(short) if one[i] != other[i])
            offset += short
            if short < _CHUNK_BYTES:
                return offset

    async def _parted(self, name: str) -> LedgerChanged:
        path, spare = f"{self._ledger}/{name}", f"{self._spare}/{name}"
        theirs, ours = await self._end(path), await self._end(spare)
        common = await self._common(path, spare)
        alike = await self._disk.tail(path, offset=0, limit_bytes=common)
        line = alike.count(b"\n") + 1
        return LedgerChanged(
            f"{path} is neither what was written here nor an older version of it: they differ from "
            f"line {line} on; it ends with {theirs}, ours with {ours} (git, an "
            f"editor or another machine replaced it). Nothing was changed; ours is kept in {spare}."
            f" To go on with ours, copy that over it (cp {spare} {path}); to go on with the other, "
            "if `nightpress verify` calls it sound: mv .nightpress/spare .nightpress/spare.old; rm "
            "-f .nightpress/head.json. Then start again."
        )

    async def _whole(self, path: str, size: int) -> int:
        """Where the whole lines of a file end: what is torn in it was never acknowledged."""
        start = max(0, size - _LINE_LIMIT_BYTES - 1)
        data = await self._disk.tail(path, offset=start, limit_bytes=size - start)
        return start + data.rfind(b"\n") + 1

    async def _end(self, path: str) -> str:
        """Where a segment ends, in words."""
        stat = await self._disk.stat(path)
        start = max(0, (stat.size if stat else 0) - 2 * _LINE_LIMIT_BYTES)
        data = await self._disk.tail(path, offset=start, limit_bytes=2 * _LINE_LIMIT_BYTES)
        last = data[: data.rfind(b"\n")].rpartition(b"\n")[2]
        try:
            line = json.loads(last)
            return f"seq {int(line['seq'])}, chain {str(line['chain'])[:32]}"
        except (ValueError, KeyError, TypeError):
            return "no readable line"


def _restored(path: str, gone: bytes) -> Restored:
    """``gone``: the bytes from the start of the first line that was not whole any more."""
    found = [seen for line in gone.split(b"\n")[:-1] if (seen := _KIND.match(line))]
    kinds = Counter(seen[2].decode() for seen in found)
    which = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    lines = gone.count(b"\n")
    if not found:
        return Restored(0, f"{path} was gone or replaced by git or an editor; it was put back.")
    span = (
        f"{found[0][1].decode()} to {found[-1][1].decode()}" if lines > 1 else found[0][1].decode()
    )
    return Restored(
        lines,
        f"{path} was replaced by an older version or deleted (git, an editor): seq {span} were "
        f"missing ({which}). They were put back; commit the ledger before you stash or reset.",
    )
