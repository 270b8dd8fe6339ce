"""Empties the inbox: listing -> settled files -> one command each -> the file put away.

Law: the listing is the fact, a watcher only wakes. A file is removed only after the line that
answers it is durable, and only if it is still the file that was answered; a crash anywhere loses
nothing and answers nothing twice.
"""

from __future__ import annotations

import asyncio
import logging
import unicodedata
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256

from daemon.core.commands import Command, ReportIncident
from daemon.core.jobs import FileFacts
from daemon.core.state import Drop, drop_of
from daemon.errors import WorldError
from daemon.ports import Blob, Disk, FileStat
from daemon.shell.intake import Examine
from daemon.wire.rejected import rejected_folder

log = logging.getLogger(__name__)

_ASIDE = ".nightpress/taken"
_AT_ONCE = 64
_TEMPORARY = ("~", ".swp", ".swx", ".tmp", ".part", ".crdownload", ".download", ".icloud", ".bak")
_MARGIN_S = 0.05
_NAME_BYTES = 200
_UNFINISHED_S = 10.0
"""A text without a final newline is taken as still being written for this long."""

Seen = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Sighting:
    """A name in the inbox with the facts it had, and since when (loop time) it has had them."""

    facts: Seen
    since: float


@dataclass(frozen=True, slots=True)
class Settled:
    """A file to be put away, once ``command`` (None: it has been) is answered.

    ``whole`` False: it is too large to be read, and is kept as it is.
    """

    path: str
    file: FileFacts
    whole: bool
    command: Command | None


class Inbox:
    """One inbox folder. ``answered`` is asked of durable state; ``ask`` returns when an answer is
    durable.
    """

    def __init__(
        self,
        disk: Disk,
        *,
        settle_s: float,
        limit_bytes: int,
        examine: Examine,
        answered: Callable[[], Mapping[Drop, str]],
        ask: Callable[[Command], Awaitable[None]],
    ) -> None:
        self._disk = disk
        self._settle_s = settle_s
        self._limit_bytes = limit_bytes
        self._examine = examine
        self._answered = answered
        self._ask = ask
        self._seen: dict[str, Sighting] = {}
        self._hidden: dict[str, int] = {}
        self._seen_hidden: dict[str, int] = {}
        self._blocked: set[str] = set()
        self._met: set[str] = set()
        self._told: set[tuple[str, Seen]] = set()
        self._wake = asyncio.Event()

    def wake(self, hidden: str = "") -> None:
        """Look now. ``hidden``: a dot-name that a watcher saw being renamed to a job's name."""
        if hidden:
            self._hidden[hidden] = 0
        self._wake.set()

    async def run(self, *, rescan_s: float) -> None:
        """Look when woken, when something may have settled, and every ``rescan_s`` in any case."""
        await self.recover()
        while True:
            self._wake.clear()
            self._met = set()
            try:
                pending = await self.scan()
            except WorldError as error:
                await self._tell_blocked("inbox/ cannot be read", error)
                pending = False
            self._blocked &= self._met
            wait_s = min(self._settle_s + _MARGIN_S, rescan_s) if pending else rescan_s
            try:
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def recover(self) -> None:
        """Finish what a crash left half put away: answered files go, others return to the inbox."""
        for item in await self._disk.list(_ASIDE):
            path = f"{_ASIDE}/{item.name}"
            if await self._drop_at(path) in self._answered():
                await self._disk.remove(path)
            else:
                await self._put_back(path, item.name.partition("-")[2] or item.name)

    async def scan(self) -> bool:
        """One pass: answer every file that has settled. True when another look will be needed
        soon.
        """
        items = [item for item in await self._disk.list("inbox") if item.kind == "file"]
        # Firefox holds a name with an empty file while it loads into another one.
        loading = {item.name.removesuffix(".part") for item in items if item.name.endswith(".part")}
        named = (item for item in items if item.name not in loading)
        jobs = [item for item in named if is_job_name(item.name)]
        self._sight(jobs)
        ready = sorted(
            (item for item in jobs if not item.busy), key=lambda item: (item.mtime_ns, item.name)
        )
        hidden = {item.name: item.inode for item in items if item.name.startswith(".")}
        # What is seen under a dot-name from here on counts at the next listing.
        self._seen_hidden, self._hidden = self._hidden, hidden
        for start in range(0, len(ready), _AT_ONCE):
            batch = ready[start : start + _AT_ONCE]
            found = await asyncio.gather(*(self._look(item) for item in batch))
            # First saved, first asked: tasks begin in the order in which they are made.
            await asyncio.gather(*(self._answer(drop) for drop in found if drop is not None))
        return bool(jobs)

    def _sight(self, jobs: Iterable[FileStat]) -> None:
        """Note since when each file has been as it is now."""
        now = asyncio.get_running_loop().time()
        seen: dict[str, Sighting] = {}
        for item in jobs:
            facts = _seen(item)
            before = self._seen.get(item.name)
            seen[item.name] = before if before and before.facts == facts else Sighting(facts, now)
        self._seen = seen

    def _was_renamed(self, item: FileStat) -> bool:
        stem = item.name.removesuffix(".toml")
        return any(
            self._seen_hidden.get(name) in (0, item.inode)
            for name in (f".{stem}.tmp", f".{item.name}.tmp")
        )

    async def _look(self, item: FileStat) -> Settled | None:
        """A file that has settled, with the command that answers it; None: not now."""
        path = f"inbox/{item.name}"
        try:
            blob = await self._disk.read(path, limit_bytes=self._limit_bytes, owned=True)
            if _seen(blob.stat) != _seen(item) or not self._complete(item, blob):
                return None
            file = self._facts(item.name, blob)
            if drop_of(file) in self._answered():
                return Settled(path, file, blob.complete, None)
            command = await self._examine(file, blob.data if blob.complete else None)
            return Settled(path, file, blob.complete, command)
        except WorldError as error:
            await self._tell_once(item, error)
            return None

    async def _tell_once(self, item: FileStat, error: WorldError) -> None:
        key = (item.name, _seen(item))
        if error.code in ("NOT_FOUND", "CHANGING", "HASHING") or key in self._told:
            return
        self._told.add(key)
        await self._ask(ReportIncident("INBOX_UNREADABLE", error.text))

    async def _tell_blocked(self, what: str, error: WorldError) -> None:
        """What stands in the way is said once, of whichever file, until a look does not meet it."""
        self._met.add(error.code)
        if error.code not in self._blocked:
            self._blocked.add(error.code)
            text = f"{what}: {error.text}. It is tried again at each look."
            log.warning("%s", text)
            with suppress(WorldError):
                await self._ask(ReportIncident("INBOX_BLOCKED", text))

    async def _answer(self, drop: Settled) -> None:
        try:
            if drop.command is not None:
                await self._ask(drop.command)
            await self._put_away(drop)
        except WorldError as error:
            await self._tell_blocked(f"{drop.path} cannot be taken", error)

    def _complete(self, item: FileStat, blob: Blob) -> bool:
        """Quiet for long enough, renamed into place, or ended by ``end = true``."""
        if self._was_renamed(item) or (blob.complete and _says_end(blob.data)):
            return True
        quiet_s = asyncio.get_running_loop().time() - self._seen[item.name].since
        unfinished = blob.complete and not blob.data.endswith(b"\n")
        return quiet_s >= (max(self._settle_s, _UNFINISHED_S) if unfinished else self._settle_s)

    async def _drop_at(self, path: str) -> Drop | None:
        """The drop that lies there now; None when it is no file that can be read."""
        try:
            blob = await self._disk.read(path, limit_bytes=self._limit_bytes)
            return drop_of(self._facts("", blob))
        except WorldError:
            return None

    def _facts(self, name: str, blob: Blob) -> FileFacts:
        """A file as it was read. Of one that is too large only the beginning is hashed: what it
        holds is not asked, and hashing all of it could take the night.
        """
        stat = blob.stat
        digest = sha256(blob.data).hexdigest()
        return FileFacts(_text(name), digest, stat.inode, stat.mtime_ns, stat.size)

    async def _put_away(self, drop: Settled) -> None:
        """Rename aside, compare, remove; a file that was saved again meanwhile is put back."""
        name = drop.path.removeprefix("inbox/")
        aside = f"{_ASIDE}/{drop.file.sha256[:12]}-{_short(name)}"
        if not drop.whole:
            aside = f"{rejected_folder(drop.file)}/job.toml"
        try:
            await self._disk.move(drop.path, aside)
        except WorldError as error:
            if error.code == "NOT_FOUND":
                return
            raise
        if await self._drop_at(aside) != drop_of(drop.file):
            await self._put_back(aside, name)
        elif drop.whole:
            await self._disk.remove(aside)

    async def _put_back(self, path: str, name: str) -> None:
        stem = name.removesuffix(".toml")
        number = 1
        target = f"inbox/{name}"
        while not await self._disk.move_new(path, target):
            number += 1
            target = f"inbox/{stem}-saved-again-{number}.toml"


def is_job_name(name: str) -> bool:
    """Whether a file of this name in the inbox asks for an answer."""
    lower = name.lower()
    if name.startswith(".") or lower.endswith(_TEMPORARY) or ".sb-" in lower:
        return False
    return lower.endswith((".toml", ".toml.txt", ".toml.rtf"))


def _seen(item: FileStat) -> Seen:
    return (item.inode, item.mtime_ns, item.size)


def _short(name: str) -> str:
    """The end of a name: with the hash before it, a name as long as the system allows is none."""
    return _text(name).encode()[-_NAME_BYTES:].decode(errors="ignore")


def _text(name: str) -> str:
    """The name as text that can be written down: some systems allow names that are no UTF-8."""
    known = name.encode(errors="surrogateescape").decode(errors="replace")
    return unicodedata.normalize("NFC", known)


def _says_end(data: bytes) -> bool:
    last = data.rstrip(b"\r\n\t ").rpartition(b"\n")[2].strip()
    return last.replace(b" ", b"").replace(b"\t", b"") == b"end=true"
