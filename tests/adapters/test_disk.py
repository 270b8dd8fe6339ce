"""The studio's folder on a real disk: whole files, careful appends, and no way out."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from daemon.adapters.disk import StudioDisk
from daemon.adapters.disk import flush as flush_module
from daemon.adapters.disk.way import is_busy
from daemon.errors import LedgerChanged, LedgerDamaged, WorldError
from daemon.ports import Disk

T = TypeVar("T")
SEGMENT = "ledger/mini/2026-01.jsonl"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("inbox", "outbox", "ledger"):
        (tmp_path / "studio" / name).mkdir(parents=True)
    return tmp_path / "studio"


@pytest.fixture
def disk(root: Path) -> Disk:
    return StudioDisk(root)


def run(waiting: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(waiting)


def code_of(waiting: Coroutine[Any, Any, Any]) -> str:
    with pytest.raises(WorldError) as caught:
        run(waiting)
    return caught.value.code


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Reading


def test_a_file_is_read_with_the_facts_of_the_same_file(disk: Disk, root: Path) -> None:
    path = root / "inbox/a.toml"
    path.write_bytes(b"kind")
    blob = run(disk.read("inbox/a.toml", limit_bytes=4, owned=True))
    facts = path.stat()
    assert (blob.data, blob.complete) == (b"kind", True)
    assert (blob.stat.name, blob.stat.kind, blob.stat.size) == ("a.toml", "file", 4)
    assert (blob.stat.inode, blob.stat.mtime_ns) == (facts.st_ino, facts.st_mtime_ns)
    assert run(disk.stat("inbox/a.toml")) == blob.stat


def test_no_more_than_the_limit_is_read_and_a_cut_is_said(disk: Disk, root: Path) -> None:
    (root / "inbox/big.toml").write_bytes(b"x" * 3_000_000)
    blob = run(disk.read("inbox/big.toml", limit_bytes=2_000_000))
    assert (len(blob.data), blob.complete, blob.stat.size) == (2_000_000, False, 3_000_000)


def test_a_link_is_not_read_even_when_it_leads_inside(disk: Disk, root: Path) -> None:
    (root / "outbox/real.toml").write_bytes(b"kind")
    (root / "inbox/a.toml").symlink_to(root / "outbox/real.toml")
    assert code_of(disk.read("inbox/a.toml", limit_bytes=9)) == "NOT_A_FILE"


def test_a_fifo_a_socket_and_a_folder_are_refused_without_waiting(disk: Disk, root: Path) -> None:
    os.mkfifo(root / "inbox/fifo.toml")
    (root / "inbox/folder.toml").mkdir()
    with socket.socket(socket.AF_UNIX) as ear:
        ear.bind(os.fspath(_short(root / "inbox/socket.toml")))
        for name in ("fifo", "folder", "socket"):
            path = f"inbox/{name}.toml"
            assert code_of(disk.read(path, limit_bytes=9)) == "NOT_A_FILE", name


def _short(path: Path) -> Path:
    """Names of sockets may have only some hundred bytes; a relative one is shorter."""
    return Path(os.path.relpath(path))


def test_a_second_hard_link_is_refused_only_where_the_file_must_be_ours(
    disk: Disk, root: Path
) -> None:
    (root / "inbox/a.toml").write_bytes(b"kind")
    (root / "inbox/b.toml").hardlink_to(root / "inbox/a.toml")
    assert code_of(disk.read("inbox/a.toml", limit_bytes=9, owned=True)) == "NOT_OURS"
    assert run(disk.read("inbox/a.toml", limit_bytes=9)).data == b"kind"


def test_what_is_missing_is_not_found(disk: Disk) -> None:
    assert code_of(disk.read("inbox/none.toml", limit_bytes=9)) == "NOT_FOUND"
    assert code_of(disk.read("no/such/way.toml", limit_bytes=9)) == "NOT_FOUND"
    assert run(disk.stat("no/such/way.toml")) is None
    assert list(run(disk.list("no/such"))) == []


@pytest.mark.parametrize(
    "path", ["../outside", "/etc/hosts", "inbox/../../x", "inbox//x", "", ".", "a\0b", "a/\ud800"]
)
def test_a_path_that_leads_outside_is_refused_before_the_disk_is_asked(
    disk: Disk, root: Path, path: str
) -> None:
    (root.parent / "outside").write_bytes(b"secret")
    assert code_of(disk.read(path, limit_bytes=9)) == "OUTSIDE"
    assert code_of(disk.write(path, b"", synced=False)) == "OUTSIDE"
    assert code_of(disk.remove(path)) == "OUTSIDE"
    assert code_of(disk.move("inbox/a", path)) == "OUTSIDE"


def test_a_folder_that_is_a_link_is_never_walked_through(disk: Disk, root: Path) -> None:
    elsewhere = root.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "poses").mkdir()
    (elsewhere / "poses/a.png").write_bytes(b"secret")
    (root / "poses").symlink_to(elsewhere / "poses")
    (root / "deep").mkdir()
    (root / "deep/way").symlink_to(elsewhere)
    assert code_of(disk.read("poses/a.png", limit_bytes=9)) == "OUTSIDE"
    assert code_of(disk.read("deep/way/poses/a.png", limit_bytes=9)) == "OUTSIDE"
    assert code_of(disk.list("poses")) == "OUTSIDE"
    assert code_of(disk.stat("poses/a.png")) == "OUTSIDE"
    assert code_of(disk.write("poses/b.png", b"", synced=True)) == "OUTSIDE"
    assert code_of(disk.append("poses/c", b"x", inode=0, size=0)) == "OUTSIDE"
    assert code_of(disk.remove("poses/a.png")) == "OUTSIDE"
    assert names(elsewhere / "poses") == ["a.png"]


def test_the_studio_itself_may_be_reached_through_a_link(root: Path) -> None:
    (root.parent / "shortcut").symlink_to(root)
    disk = StudioDisk(root.parent / "shortcut")
    run(disk.write("outbox/a", b"1", synced=True))
    assert (root / "outbox/a").read_bytes() == b"1"


def test_a_file_that_grows_while_it_is_read_is_said_to_be_changing(
    disk: Disk, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = root / "inbox/a.toml"
    path.write_bytes(b"kind")
    read = os.read

    def slow_read(fd: int, count: int) -> bytes:
        data = read(fd, count)
        if data:
            with path.open("ab") as file:
                file.write(b"!")
        return data if len(data) < 2 else data[:2]

    monkeypatch.setattr(os, "read", slow_read)
    assert code_of(disk.read("inbox/a.toml", limit_bytes=3)) == "CHANGING"


def test_a_listing_names_every_kind_in_order_and_follows_no_link(disk: Disk, root: Path) -> None:
    (root / "inbox/b.toml").write_bytes(b"12")
    (root / "inbox/a").mkdir()
    (root / "inbox/c").symlink_to("b.toml")
    os.mkfifo(root / "inbox/d")
    found = [(item.name, item.kind) for item in run(disk.list("inbox"))]
    assert found == [("a", "folder"), ("b.toml", "file"), ("c", "link"), ("d", "other")]


def test_a_name_that_is_no_utf8_is_listed_and_can_be_read(disk: Disk, root: Path) -> None:
    raw = os.fsencode(root / "inbox") + b"/\xff.toml"
    try:
        Path(os.fsdecode(raw)).write_bytes(b"kind")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (item,) = run(disk.list("inbox"))
    assert run(disk.read(f"inbox/{item.name}", limit_bytes=9)).data == b"kind"


def test_finders_dates_of_birth_and_icloud_mark_a_file_as_busy() -> None:
    assert is_busy(birthtime_s=443779200.0, flags=0)
    assert is_busy(birthtime_s=-2082844800.0, flags=0)
    assert is_busy(birthtime_s=1_700_000_000.0, flags=0x4000_0000)
    assert not is_busy(birthtime_s=1_700_000_000.0, flags=0x20)


# Writing


@pytest.mark.parametrize("synced", [True, False])
def test_a_file_is_written_whole_in_folders_made_for_it(
    disk: Disk, root: Path, synced: bool
) -> None:
    run(disk.write("outbox/a_v1/a_v1.png", b"one", synced=synced))
    run(disk.write("outbox/a_v1/a_v1.png", b"two", synced=synced))
    assert (root / "outbox/a_v1/a_v1.png").read_bytes() == b"two"
    assert names(root / "outbox/a_v1") == ["a_v1.png"]


def test_a_temporary_left_by_a_crash_is_cleaned_away(disk: Disk, root: Path) -> None:
    """A2.9"""
    (root / "outbox/.a.png.tmp").write_bytes(b"half")
    run(disk.write("outbox/a.png", b"whole", synced=True))
    assert names(root / "outbox") == ["a.png"]


def test_writing_over_a_link_replaces_the_link_and_not_what_it_shows(
    disk: Disk, root: Path
) -> None:
    (root / "precious").write_bytes(b"mine")
    (root / "outbox/a").symlink_to(root / "precious")
    (root / "outbox/.a.tmp").symlink_to(root / "precious")
    run(disk.write("outbox/a", b"new", synced=True))
    assert (root / "precious").read_bytes() == b"mine"
    assert not (root / "outbox/a").is_symlink()


def test_readers_never_see_a_part_of_a_file(disk: Disk, root: Path) -> None:
    """A2.9"""
    path, seen, stop = root / "outbox/status.json", set(), threading.Event()
    path.write_bytes(b"0" * 400_000)

    def look() -> None:
        while not stop.is_set():
            data = path.read_bytes()
            seen.add((len(data), len(set(data))))

    async def write_often() -> None:
        await asyncio.gather(
            *(disk.write("outbox/status.json", b"%d" % n * 400_000, synced=False) for n in range(9))
        )

    reader = threading.Thread(target=look)
    reader.start()
    run(write_often())
    stop.set()
    reader.join()
    assert seen == {(400_000, 1)}


def test_a_file_that_takes_long_to_sync_keeps_no_other_waiting(root: Path) -> None:
    disk = StudioDisk(root)
    others = (f"outbox/{number}" for number in range(100))

    async def write_beside() -> None:
        with disk._pen("outbox/long"):
            other = next(path for path in others if not disk._pen(path).locked())
            await asyncio.wait_for(disk.write(other, b"short", synced=True), 5.0)

    run(write_beside())


def test_a_folder_in_the_way_is_an_error_of_the_world(disk: Disk, root: Path) -> None:
    (root / "outbox/a").mkdir()
    with pytest.raises(WorldError):
        run(disk.write("outbox/a", b"x", synced=True))
    assert names(root / "outbox") == ["a"]


# The ledger


def test_an_append_goes_on_where_the_last_one_ended(disk: Disk, root: Path) -> None:
    first = run(disk.append(SEGMENT, b"one\n", inode=0, size=0))
    second = run(disk.append(SEGMENT, b"two\n", inode=first.inode, size=first.size))
    assert (root / SEGMENT).read_bytes() == b"one\ntwo\n"
    assert (second.inode, second.size) == (first.inode, 8)
    assert second == run(disk.stat(SEGMENT))


def test_a_ledger_replaced_by_git_is_noticed_before_anything_is_appended(
    disk: Disk, root: Path
) -> None:
    facts = run(disk.append(SEGMENT, b"one\n", inode=0, size=0))
    path = root / SEGMENT
    held = path.open("rb")  # The inode must not be given to the new file.
    path.unlink()
    path.write_bytes(b"one\n")
    with held, pytest.raises(LedgerChanged, match=r"2026-01\.jsonl"):
        run(disk.append(SEGMENT, b"two\n", inode=facts.inode, size=facts.size))
    assert path.read_bytes() == b"one\n"


@pytest.mark.parametrize("bad", ["shorter", "longer", "gone", "link", "fifo", "folder"])
def test_a_ledger_that_is_not_as_it_was_left_is_not_appended_to(
    disk: Disk, root: Path, bad: str
) -> None:
    facts = run(disk.append(SEGMENT, b"one\n", inode=0, size=0))
    path = root / SEGMENT
    match bad:
        case "shorter":
            os.truncate(path, 2)
        case "longer":
            path.write_bytes(b"one\nx")
        case "link":
            path.rename(root / "moved")
            path.symlink_to(root / "moved")
        case _:
            path.unlink()
            if bad == "fifo":
                os.mkfifo(path)
            if bad == "folder":
                path.mkdir()
    with pytest.raises(LedgerChanged):
        run(disk.append(SEGMENT, b"two\n", inode=facts.inode, size=facts.size))


def test_a_segment_that_should_be_new_and_is_there_is_not_appended_to(
    disk: Disk, root: Path
) -> None:
    (root / "ledger/mini").mkdir()
    (root / SEGMENT).write_bytes(b"someone's\n")
    with pytest.raises(LedgerChanged):
        run(disk.append(SEGMENT, b"one\n", inode=0, size=0))
    assert (root / SEGMENT).read_bytes() == b"someone's\n"


SHORT_WRITE = """
import asyncio, resource, sys
from pathlib import Path
from daemon.adapters.disk import StudioDisk
from daemon.errors import WorldError

async def main():
    disk = StudioDisk(Path(sys.argv[1]))
    size = 0 if sys.argv[2] == "new" else 6
    inode = (await disk.stat("ledger/a.jsonl")).inode if size else 0
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
    for path in ("append", "write"):
        try:
            if path == "append":
                await disk.append("ledger/a.jsonl", b"x" * 50, inode=inode, size=size)
            else:
                await disk.write("outbox/a.png", b"x" * 50, synced=True)
        except WorldError as error:
            print(error.code)

asyncio.run(main())
"""


@pytest.mark.realprocess
@pytest.mark.parametrize(
    ("kind", "left"), [("old", {"a.jsonl": b"first\n"}), ("new", {})], ids=["old", "new"]
)
def test_a_full_disk_leaves_the_ledger_as_it_was_and_no_part_of_a_file(
    root: Path, kind: str, left: dict[str, bytes]
) -> None:
    """A2.9: a limit on the file's size makes the same short write as a full disk."""
    if kind == "old":
        (root / "ledger/a.jsonl").write_bytes(b"first\n")
    done = subprocess.run(
        [sys.executable, "-c", SHORT_WRITE, root, kind],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert done.stdout.split() == ["DISK_FULL", "DISK_FULL"]
    assert {path.name: path.read_bytes() for path in (root / "ledger").iterdir()} == left
    assert names(root / "outbox") == []


def test_after_a_failed_flush_nobody_claims_to_know_the_ledger(
    disk: Disk, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = run(disk.append(SEGMENT, b"one\n", inode=0, size=0))
    monkeypatch.setattr(os, "fsync", _broken_drive)
    monkeypatch.setattr(fcntl, "fcntl", _broken_drive)
    with pytest.raises(LedgerDamaged, match="did not confirm"):
        run(disk.append(SEGMENT, b"two\n", inode=facts.inode, size=facts.size))
    assert code_of(disk.write("outbox/a", b"x", synced=True)) == "WRITE_FAILED"
    assert names(root / "outbox") == []


def _broken_drive(*_: object) -> None:
    raise OSError(5, "Input/output error")


def test_a_volume_without_full_flush_falls_back_and_says_so_once(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = StudioDisk(root, full_sync=0x7FFF)  # A command that no system knows.
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            run(disk.write(f"outbox/{number}", b"x", synced=True))
    assert len(caplog.records) == 1
    assert "cache" in caplog.text


def test_a_torn_tail_is_cut(disk: Disk, root: Path) -> None:
    (root / "ledger/a.jsonl").write_bytes(b"one\ntw")
    run(disk.cut("ledger/a.jsonl", size=4))
    assert (root / "ledger/a.jsonl").read_bytes() == b"one\n"
    with pytest.raises(AssertionError):
        run(disk.cut("ledger/a.jsonl", size=5))


# Moving and removing


def test_a_move_replaces_and_makes_folders_on_the_way(disk: Disk, root: Path) -> None:
    (root / "inbox/a.toml").write_bytes(b"new")
    (root / "outbox/b").write_bytes(b"old")
    run(disk.move("inbox/a.toml", ".nightpress/taken/a.toml"))
    run(disk.move(".nightpress/taken/a.toml", "outbox/b"))
    assert (root / "outbox/b").read_bytes() == b"new"
    assert names(root / "inbox") == []


def test_moving_what_is_gone_is_not_found_and_makes_no_folder(disk: Disk, root: Path) -> None:
    assert code_of(disk.move("inbox/none.toml", "outbox/rejected/x/job.toml")) == "NOT_FOUND"
    assert names(root / "outbox") == []


@pytest.mark.parametrize("native", [True, False], ids=["one call", "link and unlink"])
def test_putting_back_never_replaces_what_was_saved_meanwhile(
    disk: Disk, root: Path, monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    if not native:
        monkeypatch.setattr(flush_module, "_exclusive_rename", lambda: None)
    (root / "outbox/a").write_bytes(b"aside")
    (root / "inbox/a.toml").write_bytes(b"saved again")
    assert not run(disk.move_new("outbox/a", "inbox/a.toml"))
    assert (root / "inbox/a.toml").read_bytes() == b"saved again"
    assert run(disk.move_new("outbox/a", "inbox/b.toml"))
    assert (root / "inbox/b.toml").read_bytes() == b"aside"
    assert names(root / "outbox") == []
    assert code_of(disk.move_new("outbox/a", "inbox/c.toml")) == "NOT_FOUND"


def test_a_move_in_two_steps_that_was_cut_in_the_middle_goes_on(
    disk: Disk, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flush_module, "_exclusive_rename", lambda: None)
    (root / "outbox/a").write_bytes(b"aside")
    (root / "inbox/a.toml").hardlink_to(root / "outbox/a")
    assert run(disk.move_new("outbox/a", "inbox/a.toml"))
    assert names(root / "outbox") == []


def test_removing_takes_folders_whole_and_follows_no_link(disk: Disk, root: Path) -> None:
    (root / "precious").mkdir()
    (root / "precious/a").write_bytes(b"mine")
    (root / "outbox/job/deep").mkdir(parents=True)
    (root / "outbox/job/deep/link").symlink_to(root / "precious")
    (root / "outbox/link").symlink_to(root / "precious")
    for path in ("outbox/job", "outbox/link", "outbox/none", "no/such/way"):
        run(disk.remove(path))
    assert names(root / "outbox") == []
    assert (root / "precious/a").read_bytes() == b"mine"


def test_free_space_is_what_the_volume_says(disk: Disk) -> None:
    assert run(disk.free_bytes()) > 0


# Growing, hashing, copying


def test_the_tail_of_a_growing_file_is_read_from_where_one_was(disk: Disk, root: Path) -> None:
    path = root / "inbox/stderr.log"
    assert run(disk.tail("inbox/stderr.log", offset=0, limit_bytes=9)) == b""
    path.write_bytes(b"steps: 1")
    assert run(disk.tail("inbox/stderr.log", offset=0, limit_bytes=5)) == b"steps"
    assert run(disk.tail("inbox/stderr.log", offset=5, limit_bytes=99)) == b": 1"
    assert run(disk.tail("inbox/stderr.log", offset=8, limit_bytes=99)) == b""


def test_a_hash_begins_where_it_is_told(disk: Disk, root: Path) -> None:
    (root / "inbox/a").write_bytes(b"headdata")
    assert run(disk.digest("inbox/a")) == hashlib.sha256(b"headdata").hexdigest()
    assert run(disk.digest("inbox/a", offset=4)) == hashlib.sha256(b"data").hexdigest()
    assert code_of(disk.digest("inbox/b")) == "NOT_FOUND"


def test_a_copy_is_whole_and_a_link_is_not_copied(disk: Disk, root: Path) -> None:
    (root / "inbox/a").write_bytes(b"x" * 3_000_000)
    run(disk.copy("inbox/a", "outbox/job/resume/a"))
    assert (root / "outbox/job/resume/a").read_bytes() == b"x" * 3_000_000
    assert names(root / "outbox/job/resume") == ["a"]
    (root / "inbox/link").symlink_to(root / "inbox/a")
    assert code_of(disk.copy("inbox/link", "outbox/b")) == "NOT_A_FILE"
    assert names(root / "outbox") == ["job"]


def test_what_others_wrote_is_synced_with_the_way_to_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K2.5: sd-scripts syncs nothing, and from a state a training goes on after a power cut."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_ino))
    (root / "outbox/job/state").mkdir(parents=True)
    (root / "outbox/job/state/model").write_bytes(b"weights")
    disk = StudioDisk(root, full_sync=None)
    run(disk.sync("outbox/job/state"))
    way = ("outbox/job/state/model", "outbox/job/state", "outbox/job", "outbox")
    assert synced == [(root / each).stat().st_ino for each in way]
    assert code_of(disk.sync("outbox/none")) == "NOT_FOUND"
