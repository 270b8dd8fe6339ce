"""A disk that loses power: what was not synced may be gone, torn or empty afterwards.

The fault model, which is this module's documentation:

- Every call of the ``Disk`` port is made of primitive steps (create, write, sync, rename, sync of
  the folder, unlink), and so is what else the daemon does to the world: before and after a request
  that changes something, a spawn, a signal. The power can go before any step, and once more before
  any step after that.
- After a cut the disk refuses the dead: any further call of that life raises ``PowerCut``.
- A file's bytes that were written but not synced survive whole, as a prefix, zeroed, or not at all.
- A name that was created, renamed or removed without a sync of its folder may or may not have been;
  a rename is one step: the old name, or the new one.
- What was synced (bytes and name) is always there.
- A sync that fails leaves the bytes readable and marks them clean: no later sync of that file
  brings them to the platter, and after a cut zeros are in their place. Only what is written anew
  gets there.
- While the disk is full, half of what is to be written is, then the call fails.
- ``kill`` instead of ``cut``: the process dies, the machine goes on; nothing written is lost, but
  the steps after the cut are not taken.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from daemon.errors import LedgerChanged, LedgerDamaged, WorldError
from daemon.ports import Blob, FileStat


class PowerCut(BaseException):
    """The machine is off. Not an ``Exception``: no handler of the program may survive it."""


@dataclass
class Node:
    """A file's bytes: as programs see them, and as far as they are on the platter. ``phantom`` are
    those that no sync will ever bring there.
    """

    inode: int
    data: bytes = b""
    synced: bytes | None = None
    mtime_ns: int = 0
    phantom: tuple[int, int] = (0, 0)

    def sync(self) -> None:
        self.synced = self.written()

    def fail_sync(self) -> None:
        self.phantom = (len(self.synced or b""), len(self.data))

    def written(self) -> bytes:
        """What would be on the platter, were all written that ever can be."""
        start, end = (min(at, len(self.data)) for at in self.phantom)
        return self.data[:start] + bytes(end - start) + self.data[end:]


@dataclass(frozen=True)
class Change:
    """One change of names that no sync has made durable yet: ``gone`` disappears, ``new`` is
    ``node``; or a ``folder`` of that name, with all in it, gets another.
    """

    gone: str
    new: str
    node: Node | None
    folder: bool = False

    def touches(self, path: str) -> bool:
        """Whether it changes this name, one below it, or the folder of that name which it is in:
        these are durable in their order.
        """
        return any(
            name == path
            or name.startswith(f"{path}/")
            or (self.folder and path.startswith(f"{name}/"))
            for name in (self.gone, self.new)
        )

    def carry_out(self, names: dict[str, Node]) -> None:
        if self.folder:
            for name in [name for name in names if name.startswith(f"{self.gone}/")]:
                names[self.new + name[len(self.gone) :]] = names.pop(name)
            return
        names.pop(self.gone, None)
        if self.node is not None:
            names[self.new] = self.node


@dataclass
class SimDisk:
    """A machine's disk, in memory. Names are flat paths; ``durable`` is what a cut leaves.

    ``full_s``: from when till when (virtual seconds) it is full. ``bad_sync``: which sync of an
    appended file fails, counted from 1; 0 = none. ``confirmed``: what each appended file was said
    to hold durably. ``power_off`` is what else ends with the machine. ``again_kills``: what
    ``kill_only`` is for the second cut.
    """

    chance: random.Random
    cut_at: int = 0
    again_at: int = 0
    kill_only: bool = False
    again_kills: bool = False
    full_s: tuple[float, float] = (0.0, 0.0)
    bad_sync: int = 0
    power_off: Callable[[], None] = lambda: None
    now_ns: int = 1_795_000_000_000_000_000
    names: dict[str, Node] = field(default_factory=dict)
    durable: dict[str, Node] = field(default_factory=dict)
    confirmed: dict[str, bytes] = field(default_factory=dict)
    journal: list[Change] = field(default_factory=list)
    steps: int = 0
    syncs: int = 0
    life: int = 1
    boots: int = 1
    inodes: int = 100
    trace: list[str] = field(default_factory=list)
    free: int = 2**40

    def handle(self) -> LifeDisk:
        """The disk as the daemon that lives now sees it."""
        return LifeDisk(Life(self))

    def new_node(self) -> Node:
        self.inodes += 1
        self.now_ns += 1_000_003
        return Node(self.inodes, mtime_ns=self.now_ns)

    def is_cut(self, what: str) -> bool:
        """Count one primitive step, of whomever; whether the cut has come before it."""
        self.steps += 1
        self.trace.append(what)
        if self.steps != self.cut_at:
            return False
        self.cut_at, self.again_at = self.steps + self.again_at, 0
        self.end_life()
        if not self.kill_only:
            self.boots += 1
            self._lose()
            self.power_off()
        self.kill_only = self.again_kills
        return True

    def outside(self, boot: int, what: str) -> None:
        """One primitive step of a program that is not the daemon: only a power cut ends it."""
        if boot == self.boots:
            self.is_cut(what)
        if boot != self.boots:
            raise PowerCut(f"boot {boot} is over: {what}")

    def end_life(self) -> None:
        """The daemon's process is gone."""
        self.life += 1

    def is_full(self) -> bool:
        begin, end = self.full_s
        return begin <= asyncio.get_running_loop().time() < end

    def sync_fails(self) -> bool:
        """Whether this sync of an appended file is the one that fails."""
        self.syncs += 1
        return self.syncs == self.bad_sync

    def change(self, change: Change) -> None:
        """Change the names that programs see; the platter follows at the folder's sync."""
        change.carry_out(self.names)
        self.journal.append(change)

    def sync_names(self, path: str) -> None:
        """Make durable what was changed of this name."""
        for change in [c for c in self.journal if c.touches(path)]:
            change.carry_out(self.durable)
            self.journal.remove(change)

    def _lose(self) -> None:
        for change in self.journal:
            if self.chance.random() < 0.5:
                change.carry_out(self.durable)
        self.journal.clear()
        self.names = dict(self.durable)
        for node in self.names.values():
            self._lose_bytes(node)

    def _lose_bytes(self, node: Node) -> None:
        node.data, node.phantom = node.written(), (0, 0)
        if node.synced == node.data:
            return
        kept = node.synced or b""
        grown = node.data.startswith(kept)
        added = node.data[len(kept) :]
        match self.chance.randrange(4):
            case 1 if grown:
                node.data = kept + added[: self.torn(added)]
            case 2 if grown:
                node.data = kept + bytes(len(added))
            case 3:
                pass
            case _:  # Also what a cut leaves that was not synced.
                node.data = kept
        node.synced = node.data

    def torn(self, data: bytes) -> int:
        """How much of what is being written is; every other time it ends with a line."""
        at = self.chance.randint(0, len(data))
        return at if self.chance.random() < 0.5 else data.rfind(b"\n", 0, at) + 1

    # What the outside world does: it is not the daemon and is never cut.

    def put(self, path: str, data: bytes) -> None:
        """A maker saves a file."""
        node = self.new_node()
        node.data = node.synced = data
        self.names[path] = self.durable[path] = node

    def get(self, path: str) -> bytes | None:
        """What anyone would read there now."""
        node = self.names.get(path)
        return node.data if node else None


class Life:
    """One life of the daemon, as the world meets it: whatever it does to the world is a step."""

    def __init__(self, disk: SimDisk) -> None:
        self.disk = disk
        self.number = disk.life

    @property
    def over(self) -> bool:
        return self.number != self.disk.life

    def check(self, what: str) -> None:
        """The dead ask nothing."""
        if self.over:
            raise PowerCut(f"life {self.number} is over: {what}")

    def step(self, what: str) -> None:
        """One primitive step, before which the cut can come."""
        self.check(what)
        self.disk.is_cut(what)
        self.check(what)

    async def take(self, what: str) -> None:
        """A step that takes a moment, in which somebody else's step may end the life."""
        self.step(what)
        await asyncio.sleep(0.0005)
        self.check(what)


class LifeDisk:
    """``ports.Disk`` for one life of the daemon."""

    def __init__(self, life: Life) -> None:
        self._disk = life.disk
        self._life = life
        self._step = life.take
        self._held: tuple[str, Node] | None = None

    def _node(self, path: str) -> Node:
        node = self._disk.names.get(path)
        if node is None:
            raise WorldError("NOT_FOUND", f"{path} is not there")
        return node

    def _stat(self, name: str, node: Node) -> FileStat:
        return FileStat(name, "file", node.inode, node.mtime_ns, len(node.data))

    async def list(self, folder: str) -> Sequence[FileStat]:
        self._life.check(f"list {folder}")
        found: dict[str, FileStat] = {}
        for path, node in self._disk.names.items():
            if path.startswith(folder + "/"):
                name, _, below = path[len(folder) + 1 :].partition("/")
                found[name] = (
                    FileStat(name, "folder", 1, node.mtime_ns, 0)
                    if below
                    else self._stat(name, node)
                )
        return [found[name] for name in sorted(found)]

    async def stat(self, path: str) -> FileStat | None:
        self._life.check(f"stat {path}")
        node = self._disk.names.get(path)
        return self._stat(path.rpartition("/")[2], node) if node else None

    async def read(self, path: str, *, limit_bytes: int, owned: bool = False) -> Blob:
        self._life.check(f"read {path}")
        node = self._node(path)
        stat = self._stat(path.rpartition("/")[2], node)
        return Blob(node.data[:limit_bytes], stat, len(node.data) <= limit_bytes)

    async def tail(self, path: str, *, offset: int, limit_bytes: int) -> bytes:
        self._life.check(f"tail {path}")
        node = self._disk.names.get(path)
        return node.data[offset : offset + limit_bytes] if node else b""

    async def digest(self, path: str, *, offset: int = 0) -> str:
        self._life.check(f"digest {path}")
        return sha256(self._node(path).data[offset:]).hexdigest()

    async def copy(self, path: str, to: str) -> None:
        await self.write(to, self._node(path).data, synced=True)

    async def sync(self, folder: str) -> None:
        for path in [name for name in self._disk.names if name.startswith(f"{folder}/")]:
            await self._step(f"sync {path}")
            node = self._disk.names.get(path)
            if node is not None:
                node.sync()
                self._disk.sync_names(path)

    async def write(self, path: str, data: bytes, *, synced: bool) -> None:
        folder, _, name = path.rpartition("/")
        temporary = f"{folder}/.{name}.tmp"
        self._life.step(f"create {temporary}")
        node = self._disk.new_node()
        self._disk.change(Change("", temporary, node))
        try:
            # Nobody reads a temporary again, so that only a synced one is seen to be whole.
            await self._pour(temporary, node, data, whole=synced)
        except WorldError:
            await self.remove(temporary)
            raise
        if synced:
            await self._step(f"sync {temporary}")
            node.sync()
        await self._step(f"rename {temporary} {path}")
        self._disk.change(Change(temporary, path, node))
        if synced:
            await self._sync_name(path)

    async def _pour(self, path: str, node: Node, data: bytes, *, whole: bool = True) -> None:
        """Writing takes time: a process can die with half of it done, or the disk be full."""
        half = self._disk.torn(data)
        node.data += data[:half]
        if self._disk.is_full():
            raise WorldError("DISK_FULL", f"{path} could not be written: the disk is full")
        if whole:
            await self._step(f"write the rest of {path}")
        node.data += data[half:]

    async def _sync_name(self, path: str) -> None:
        await self._step(f"sync the folder of {path}")
        self._disk.sync_names(path)

    async def append(self, path: str, data: bytes, *, inode: int, size: int) -> FileStat:
        node = self._disk.names.get(path)
        if inode == 0 and node is None:
            await self._step(f"create {path}")
            node = self._disk.new_node()
            self._disk.change(Change("", path, node))
        elif node is None or node.inode != inode or len(node.data) != size:
            raise LedgerChanged(f"{path} was replaced")
        self._held = (path, node)
        if size == 0:
            # Its maker may have died between the creation and this sync.
            await self._sync_name(path)
        await self._step(f"write half of {path}")
        try:
            await self._pour(path, node, data)
        except WorldError:
            await (self.cut(path, size=size) if inode else self.remove(path))
            raise
        self._disk.now_ns += 1_000_003
        node.mtime_ns = self._disk.now_ns
        await self._step(f"sync {path}")
        if self._disk.sync_fails():
            node.fail_sync()
            raise LedgerDamaged(f"the sync of {path} failed")
        node.sync()
        self._disk.confirmed[path] = node.data
        return self._stat(path.rpartition("/")[2], node)

    async def held(self, path: str, *, limit_bytes: int) -> bytes | None:
        self._life.check(f"held {path}")
        if self._held is None or self._held[0] != path:
            return None
        return self._held[1].data[:limit_bytes]

    async def link(self, path: str, to: str) -> bool:
        node, aside = self._node(path), f"{to}.tmp"
        await self._step(f"link {path} {aside}")
        self._disk.change(Change("", aside, node))
        await self._step(f"rename {aside} {to}")
        self._disk.change(Change(aside, to, node))
        await self._sync_name(to)
        return True

    async def cut(self, path: str, *, size: int) -> None:
        await self._step(f"cut {path}")
        node = self._node(path)
        node.data = node.data[:size]
        await self._step(f"sync {path}")
        node.sync()

    async def move(self, path: str, to: str) -> None:
        folder = any(name.startswith(f"{path}/") for name in self._disk.names)
        node = None if folder else self._node(path)
        await self._step(f"rename {path} {to}")
        self._disk.change(Change(path, to, node, folder))
        await self._sync_name(to)

    async def move_new(self, path: str, to: str) -> bool:
        if to in self._disk.names:
            return False
        await self.move(path, to)
        return True

    async def remove(self, path: str) -> None:
        gone = [name for name in self._disk.names if name == path or name.startswith(path + "/")]
        for name in gone:
            await self._step(f"unlink {name}")
            self._disk.change(Change(name, "", None))

    async def free_bytes(self) -> int:
        self._life.check("free")
        return self._disk.free
