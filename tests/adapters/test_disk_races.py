"""Somebody exchanges files and folders for links while the disk reads and writes: none is followed.

The promise: no file dropped in the inbox makes the daemon read or write outside the studio.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import cycle
from pathlib import Path
from time import monotonic

import pytest

from daemon.adapters.disk import StudioDisk, way
from daemon.errors import LedgerChanged, WorldError

WATCHED_S, PATIENCE_S = 0.2, 20.0
SECRET, OURS = b"secret", b"ours"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A studio with a file in a folder, and the same names outside, with what nobody may touch."""
    for place, data in (("studio", OURS), ("outside", SECRET)):
        (tmp_path / place / "folder").mkdir(parents=True)
        (tmp_path / place / "folder" / "file").write_bytes(data)
    return tmp_path / "studio"


def outside(root: Path) -> dict[str, bytes]:
    """Everything that lies outside."""
    files = (root.parent / "outside").rglob("*")
    return {
        str(path.relative_to(root.parent)): path.read_bytes() for path in files if path.is_file()
    }


@contextmanager
def exchanging(path: Path, other: Path) -> Iterator[None]:
    """As long as this lasts, what is at ``path`` is by turns itself and what is at ``other``."""
    stop, aside = threading.Event(), path.with_name("aside")

    def exchange() -> None:
        turns = ((path, aside), (other, path), (path, other), (aside, path))
        for here, there in cycle(turns):
            with suppress(OSError):
                if there.is_dir() and not there.is_symlink():
                    shutil.rmtree(there)  # It was made anew meanwhile.
                here.rename(there)
            if stop.is_set():
                break

    thread = threading.Thread(target=exchange)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def trap(root: Path, kind: str) -> tuple[Path, Path]:
    """What is exchanged, for which trap."""
    place, other = root / "folder" / "file", root / "folder" / "trap"
    match kind:
        case "a link":
            other.symlink_to(root.parent / "outside" / "folder" / "file")
        case "a hard link":
            other.hardlink_to(root.parent / "outside" / "folder" / "file")
        case "a FIFO":
            os.mkfifo(other)
        case "a folder":
            other.mkdir()
        case _:
            place, other = root / "folder", root / "trap"
            other.symlink_to(root.parent / "outside" / "folder")
    return place, other


LINKS = ("a link", "a linked folder")
Deed = Callable[[StudioDisk], object]


def _copied(disk: StudioDisk) -> bytes:
    disk._copy("folder/file", "copied")
    return disk._tail("copied", 0, 100)


READING: Sequence[Deed] = (
    lambda disk: disk._read("folder/file", 100, owned=True).data,
    lambda disk: disk._tail("folder/file", 0, 100),
    _copied,
)
CHANGING: Sequence[Deed] = (
    lambda disk: disk._write("folder/file", [OURS], synced=False),
    lambda disk: disk._write("folder/new/file", [OURS], synced=False),
    lambda disk: disk._link("folder/file", "folder/linked"),
    lambda disk: disk._cut("folder/file", 0),
    lambda disk: disk._append("folder/grown", b"x", inode=0, size=0),
    lambda disk: disk._move("folder/linked", "folder/moved", replacing=True),
    lambda disk: disk._move("folder/grown", "moved", replacing=True),
    lambda disk: disk._remove("folder/moved"),
    lambda disk: disk._remove("folder/new"),
)


def attempts(
    root: Path, kind: str, deeds: Iterable[Deed], *, until: object = "refused"
) -> Counter[object]:
    """What came of the deeds, by turns, while the trap was there by turns: answers and refusals."""
    disk, found, began_s = StudioDisk(root), Counter[object](), monotonic()
    with exchanging(*trap(root, kind)):
        for deed in cycle(deeds):
            try:
                found[deed(disk)] += 1
            except (WorldError, LedgerChanged):
                found["refused"] += 1
            took_s = monotonic() - began_s
            if (took_s > WATCHED_S and until in found) or took_s > PATIENCE_S:
                break
    return found


@pytest.mark.parametrize("kind", [*LINKS, "a FIFO", "a folder"])
def test_what_is_read_is_ours_whatever_is_exchanged(root: Path, kind: str) -> None:
    found = attempts(root, kind, READING)
    assert found.keys() <= {OURS, b"", "refused"}
    assert found[OURS]
    assert found["refused"]


def test_a_file_that_is_also_somewhere_else_is_not_read(root: Path) -> None:
    found = attempts(root, "a hard link", READING[:1])
    assert found.keys() == {OURS, "refused"}


@pytest.mark.parametrize("kind", LINKS)
def test_nothing_outside_is_changed_whatever_is_exchanged(root: Path, kind: str) -> None:
    before = outside(root)
    assert attempts(root, kind, CHANGING)["refused"]
    assert outside(root) == before


@pytest.mark.parametrize(("kind", "flags"), [(LINKS[0], "READ"), (LINKS[1], "_FOLDER")])
def test_were_one_link_followed_the_secret_would_be_read(
    root: Path, kind: str, flags: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(way, flags, getattr(way, flags) & ~os.O_NOFOLLOW)
    assert attempts(root, kind, READING[1:2], until=SECRET)[SECRET]
