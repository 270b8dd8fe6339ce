"""What the ledger can give is written again; records and removed folders are left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from daemon.errors import WorldError
from daemon.shell.rebuild import Finding, rebuild
from daemon.wire.making import digest
from daemon.wire.views import View
from tests.fakes import MemoryDisk

FOLDER = "outbox/ch01_v1"
STATUS, LOCK, OLD = (f"{FOLDER}/{name}" for name in ("status.toml", "ch01_v1.lock.toml", "old"))
VIEWS = {
    STATUS: View(b"status"),
    LOCK: View(b"lock", digest(b"lock")),
    OLD: View(None, digest(b"as release 0.1.0 wrote it")),
}


@pytest.fixture
def disk() -> MemoryDisk:
    """One whose outbox is as the ledger says."""
    disk = MemoryDisk()
    disk.put(STATUS, b"status")
    disk.put(LOCK, b"lock")
    disk.put(OLD, b"as release 0.1.0 wrote it")
    disk.put(f"{FOLDER}/ch01_v1.png", b"png")
    return disk


def rebuilt(disk: MemoryDisk, *, everything: bool = False) -> Mapping[str, Finding]:
    return asyncio.run(rebuild(disk, VIEWS, everything=everything))


def test_what_is_as_the_ledger_says_is_not_touched(disk: MemoryDisk) -> None:
    assert rebuilt(disk) == {}
    assert disk.log == []


def test_what_is_missing_is_written_and_a_record_synced(disk: MemoryDisk) -> None:
    del disk.nodes[STATUS], disk.nodes[LOCK]
    assert rebuilt(disk) == {STATUS: Finding.WRITTEN, LOCK: Finding.WRITTEN}
    assert (disk.data(STATUS), disk.data(LOCK)) == (b"status", b"lock")
    assert disk.log == [("write", STATUS, False), ("write", LOCK, True)]
    assert rebuilt(disk) == {}


def test_a_projection_is_replaced_and_a_record_never(disk: MemoryDisk) -> None:
    """A published lock is never rewritten."""
    disk.put(STATUS, b"other")
    disk.put(LOCK, b"other")
    assert rebuilt(disk, everything=True) == {STATUS: Finding.REPLACED, LOCK: Finding.FOREIGN}
    assert (disk.data(STATUS), disk.data(LOCK)) == (b"status", b"other")


@pytest.mark.parametrize("there", [None, b"other"])
def test_a_record_that_the_ledger_does_not_hold_is_told_when_it_is_not_there(
    disk: MemoryDisk, there: bytes | None
) -> None:
    del disk.nodes[OLD]
    if there is not None:
        disk.put(OLD, there)
    assert rebuilt(disk, everything=True) == {OLD: Finding.LOST}
    assert disk.log == []


def test_a_folder_that_somebody_removed_stays_removed_unless_it_is_asked_for() -> None:
    disk = MemoryDisk()
    assert set(rebuilt(disk).values()) == {Finding.LEFT_OUT}
    assert disk.log == []
    found = rebuilt(disk, everything=True)
    assert found == {STATUS: Finding.WRITTEN, LOCK: Finding.WRITTEN, OLD: Finding.LOST}
    assert disk.files() == [LOCK, STATUS]


def test_a_disk_that_cannot_be_read_is_not_taken_for_a_missing_file(disk: MemoryDisk) -> None:
    disk.unreadable.add(LOCK)
    with pytest.raises(WorldError, match="input/output"):
        rebuilt(disk)
    assert disk.log == []
