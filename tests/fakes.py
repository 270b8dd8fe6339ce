"""Fakes of the ports, shared by every test that conducts the shell.

Law: a fake keeps the port's promises, the unhappy ones included. ``MemoryDisk`` never loses power;
the simulator has a disk that does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from daemon.errors import LedgerChanged, WorldError
from daemon.ports import Blob, FileKind, FileStat, Holder, TrainerFacts, TrainingOrder


def _undisturbed(operation: str, path: str) -> None:
    """Nothing gets in the way."""


@dataclass
class Node:
    """One entry of the disk. ``target`` is where a link leads."""

    kind: FileKind
    inode: int
    mtime_ns: int
    data: bytes = b""
    links: int = 1
    busy: bool = False
    owned: bool = True
    target: str = ""


@dataclass
class MemoryDisk:
    """The studio's folder in memory.

    ``before`` is called with the operation and its path ahead of each change and may raise;
    ``free`` in bytes is what ``free_bytes`` says and what a write must fit into;
    reading an ``unreadable`` path is a READ_FAILED;
    ``log`` has each change as (operation, path, synced).
    """

    nodes: dict[str, Node] = field(default_factory=dict)
    free: int = 2**40
    before: Callable[[str, str], None] = _undisturbed
    unreadable: set[str] = field(default_factory=set)
    log: list[tuple[str, str, bool]] = field(default_factory=list)
    ticks: int = 0
    last: tuple[str, Node] | None = None

    def put(self, path: str, data: bytes) -> Node:
        """A file that somebody else has put there."""
        return self._put(path, Node("file", self._tick(), self.ticks * 1_000_000, data))

    def symlink(self, path: str, target: str) -> Node:
        """A symbolic link that somebody else has put there."""
        return self._put(path, Node("link", self._tick(), self.ticks * 1_000_000, target=target))

    def data(self, path: str) -> bytes:
        """A file's bytes, for a test to look at. ``KeyError`` when there is none."""
        return self.nodes[path].data

    def files(self, folder: str = "") -> list[str]:
        """The paths of all files below a folder, sorted."""
        prefix = f"{folder}/" if folder else ""
        return sorted(
            path
            for path, node in self.nodes.items()
            if path.startswith(prefix) and node.kind == "file"
        )

    async def list(self, folder: str) -> Sequence[FileStat]:
        self._walk(folder)
        prefix = f"{folder}/" if folder else ""
        return [
            _stat(path, node)
            for path, node in sorted(self.nodes.items())
            if path.startswith(prefix) and "/" not in path[len(prefix) :]
        ]

    async def stat(self, path: str) -> FileStat | None:
        node = self.nodes.get(path)
        return _stat(path, node) if node else None

    async def read(self, path: str, *, limit_bytes: int, owned: bool = False) -> Blob:
        node = self._file(path)
        if owned and (node.links > 1 or not node.owned):
            raise WorldError("NOT_OURS", f"{path} is not ours alone")
        data = node.data[:limit_bytes]
        return Blob(data, _stat(path, node), complete=len(data) == len(node.data))

    async def tail(self, path: str, *, offset: int, limit_bytes: int) -> bytes:
        if path not in self.nodes:
            return b""
        return self._file(path).data[offset : offset + limit_bytes]

    async def digest(self, path: str, *, offset: int = 0) -> str:
        return sha256(self._file(path).data[offset:]).hexdigest()

    async def copy(self, path: str, to: str) -> None:
        await self.write(to, self._file(path).data, synced=True)

    async def sync(self, folder: str) -> None:
        self._change("sync", folder, True)
        if not await self.list(folder):
            raise WorldError("NOT_FOUND", f"{folder} is not there")

    async def write(self, path: str, data: bytes, *, synced: bool) -> None:
        self._change("write", path, synced)
        self._spend(path, len(data))
        self._put(path, Node("file", self._tick(), self.ticks * 1_000_000, data))

    async def append(self, path: str, data: bytes, *, inode: int, size: int) -> FileStat:
        self._change("append", path, synced=True)
        node = self.nodes.get(path)
        found = (node.inode, len(node.data)) if node else (0, 0)
        if found != (inode, size):
            raise LedgerChanged(f"{path} is {found} (inode, size), not {(inode, size)}")
        self._spend(path, len(data))
        if node is None:
            node = self._put(path, Node("file", self._tick(), 0))
        self.last = (path, node)
        node.data += data
        node.mtime_ns = self._tick() * 1_000_000
        return _stat(path, node)

    async def held(self, path: str, *, limit_bytes: int) -> bytes | None:
        last, node = self.last or ("", None)
        return node.data[:limit_bytes] if node is not None and last == path else None

    async def link(self, path: str, to: str) -> bool:
        self._change("link", to, synced=True)
        self._put(to, self._file(path))
        return True

    async def cut(self, path: str, *, size: int) -> None:
        self._change("cut", path, synced=True)
        node = self._file(path)
        node.data = node.data[:size]
        node.mtime_ns = self._tick() * 1_000_000

    async def move(self, path: str, to: str) -> None:
        self._change("move", path, synced=True)
        self._walk(path)
        if path not in self.nodes:
            raise WorldError("NOT_FOUND", f"{path} is not there")
        self._forget(to)
        below = [name for name in self.nodes if name.startswith(f"{path}/")]
        moved = {to + name[len(path) :]: self.nodes.pop(name) for name in [path, *below]}
        for name, node in moved.items():
            self._put(name, node)

    async def move_new(self, path: str, to: str) -> bool:
        if to in self.nodes:
            return False
        await self.move(path, to)
        return True

    async def remove(self, path: str) -> None:
        self._change("remove", path, synced=False)
        self._forget(path)

    async def free_bytes(self) -> int:
        return self.free

    def _tick(self) -> int:
        self.ticks += 1
        return self.ticks

    def _change(self, operation: str, path: str, synced: bool) -> None:
        self.before(operation, path)
        self.log.append((operation, path, synced))

    def _spend(self, path: str, size: int) -> None:
        if size > self.free:
            raise WorldError("DISK_FULL", f"{path}: {size} bytes do not fit into {self.free}")
        self.free -= size

    def _put(self, path: str, node: Node) -> Node:
        """The entry and the folders on the way; a changed folder is younger than before."""
        for end, letter in enumerate(path):
            if letter == "/":
                folder = self.nodes.setdefault(path[:end], Node("folder", self._tick(), 0))
                if folder.kind != "folder":
                    raise WorldError("OUTSIDE", f"{path[:end]} on the way to {path} is no folder")
        parent = self.nodes.get(path.rpartition("/")[0])
        if parent is not None:
            parent.mtime_ns = self._tick() * 1_000_000
        self.nodes[path] = node
        return node

    def _forget(self, path: str) -> None:
        for name in [name for name in self.nodes if name == path or name.startswith(f"{path}/")]:
            del self.nodes[name]

    def _walk(self, path: str) -> None:
        """Refuse a way that leads through a link."""
        for end, letter in enumerate(path):
            node = self.nodes.get(path[:end]) if letter == "/" else None
            if node is not None and node.kind == "link":
                raise WorldError("OUTSIDE", f"{path[:end]} on the way to {path} is a link")

    def _file(self, path: str) -> Node:
        self._walk(path)
        node = self.nodes.get(path)
        if path in self.unreadable:
            raise WorldError("READ_FAILED", f"{path}: input/output error")
        if node is None:
            raise WorldError("NOT_FOUND", f"{path} is not there")
        if node.kind != "file":
            raise WorldError("NOT_A_FILE", f"{path} is a {node.kind}")
        return node


def _stat(path: str, node: Node) -> FileStat:
    return FileStat(
        name=path.rpartition("/")[2],
        kind=node.kind,
        inode=node.inode,
        mtime_ns=node.mtime_ns,
        size=len(node.data),
        busy=node.busy,
    )


class NoTrainer:
    """``ports.Trainer`` and ``ports.GpuLock`` where nothing is trained."""

    async def describe(self) -> TrainerFacts:
        raise WorldError("TRAINER_MISSING", "there is no trainer")

    async def start(self, order: TrainingOrder) -> None:
        raise AssertionError("nothing is trained")

    async def holder(self, folder: str) -> Holder:
        return "nobody"

    async def end_orphan(self, folder: str, *, nonce: str, grace_s: float) -> bool:
        return False

    async def pid(self, folder: str) -> int | None:
        return None

    async def boot(self) -> str:
        return "boot"

    def try_take(self) -> bool:
        return True

    def give_back(self) -> None:
        return None
