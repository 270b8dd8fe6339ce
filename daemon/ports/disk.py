"""What the shell asks of the studio's folder, which is all of the disk that it may touch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

FileKind = Literal["file", "folder", "link", "other"]


@dataclass(frozen=True, slots=True)
class FileStat:
    """One entry of a folder, or one file. ``size`` in bytes; ``mtime_ns`` in ns; ``busy``: the
    system says that it is still being copied or is not on this disk."""

    name: str
    kind: FileKind
    inode: int
    mtime_ns: int
    size: int
    busy: bool = False


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes read from one open file and the facts of that same file: ``complete`` unless cut at
    the limit.
    """

    data: bytes
    stat: FileStat
    complete: bool


class Disk(Protocol):
    """The studio's folder. "Synced" means file and folder are flushed to the drive (F_FULLFSYNC on
    macOS).
    """

    async def list(self, folder: str) -> Sequence[FileStat]:
        """Its entries in order of name, links not followed; empty when there is no such folder."""
        ...

    async def stat(self, path: str) -> FileStat | None:
        """Facts of the entry itself (links not followed), None when there is none."""
        ...

    async def read(self, path: str, *, limit_bytes: int, owned: bool = False) -> Blob:
        """At most ``limit_bytes`` of a regular file. Never follows a link, never waits on a FIFO.

        ``owned``: refuse what is not ours alone (other user, more than one hard link). Raises
        ``WorldError`` with NOT_A_FILE, NOT_FOUND, NOT_OURS, OUTSIDE (a folder on the way is a
        link), CHANGING (it changed while it was read) or READ_FAILED.
        """
        ...

    async def tail(self, path: str, *, offset: int, limit_bytes: int) -> bytes:
        """At most ``limit_bytes`` from ``offset`` on, of a file that may be growing; nothing when
        there is none.
        """
        ...

    async def digest(self, path: str, *, offset: int = 0) -> str:
        """SHA-256 of a regular file's bytes from ``offset`` on, hexadecimal. Raises as ``read``."""
        ...

    async def copy(self, path: str, to: str) -> None:
        """A regular file's bytes under another name too, whole and synced; replaces what is there.

        Raises as ``read`` and ``write``.
        """
        ...

    async def sync(self, folder: str) -> None:
        """Sync what others have written: every file in a folder, their names, and the folder's.

        Raises ``WorldError`` NOT_FOUND, or WRITE_FAILED when the drive did not confirm it.
        """
        ...

    async def write(self, path: str, data: bytes, *, synced: bool) -> None:
        """The whole file or nothing (temporary, rename); makes the folders on the way."""
        ...

    async def append(self, path: str, data: bytes, *, inode: int, size: int) -> FileStat:
        """Append and sync, only if the file still has this inode and size (0, 0: create it).

        While it is empty its folder is synced too: who created it may have died before that. The
        file is held open for ``held``. Raises ``LedgerChanged`` when it is another file now;
        ``WorldError`` DISK_FULL after a short write, the file cut back to ``size``;
        ``LedgerDamaged`` when a sync failed or the file could not be cut back: nobody knows what is
        there.
        """
        ...

    async def held(self, path: str, *, limit_bytes: int) -> bytes | None:
        """What the last file that was appended to holds, though its name may be gone or another's
        by now; None when ``path`` was not the one.
        """
        ...

    async def link(self, path: str, to: str) -> bool:
        """Make ``to`` another name of a file, replacing what has it; synced. Makes the folders on
        the way. False, and nothing done, on a volume without hard links; NOT_FOUND when it is gone.
        """
        ...

    async def cut(self, path: str, *, size: int) -> None:
        """Cut a file to ``size`` bytes and sync it."""
        ...

    async def move(self, path: str, to: str) -> None:
        """Rename within the studio, replacing; synced. Makes the folders on the way. NOT_FOUND
        when it is gone.
        """
        ...

    async def move_new(self, path: str, to: str) -> bool:
        """Like ``move``, but False, and nothing moved, when something is there already."""
        ...

    async def remove(self, path: str) -> None:
        """Remove a file, or a folder with all in it; nothing there is fine. Links are removed, not
        followed.
        """
        ...

    async def free_bytes(self) -> int:
        """What an ordinary user may still write on the studio's volume."""
        ...
