"""Opening the ledger waits for what will pass, stops for what will not, and can be told to stop."""

from __future__ import annotations

import asyncio

import pytest

from daemon.errors import PersonNeeded, WorldError
from daemon.shell.press import open_ledger
from tests.fakes import MemoryDisk
from tests.virtual_time import run

TORN = "ledger/mac/2026-11.jsonl"


def with_torn_line() -> MemoryDisk:
    """A disk on which a start has something to write."""
    disk = MemoryDisk()
    disk.put(TORN, b'{"seq":1,')
    return disk


def test_on_a_full_disk_the_ledger_is_opened_as_soon_as_there_is_room() -> None:
    async def story() -> None:
        disk = with_torn_line()
        disk.free = 0
        opening = asyncio.ensure_future(open_ledger(disk, "mac", asyncio.Event()))
        await asyncio.sleep(60)
        assert not opening.done()
        disk.free = 2**20
        ready = await opening
        assert ready is not None
        assert ready[1].torn is not None

    run(story())


def test_a_start_that_waits_for_room_can_be_told_to_stop() -> None:
    async def story() -> None:
        disk, stop = with_torn_line(), asyncio.Event()
        disk.free = 0
        opening = asyncio.ensure_future(open_ledger(disk, "mac", stop))
        await asyncio.sleep(3)
        stop.set()
        assert await opening is None

    run(story())


@pytest.mark.parametrize("code", ["NOT_A_FILE", "OUTSIDE"])
def test_a_link_in_the_ledgers_place_is_not_waited_for(code: str) -> None:
    disk = with_torn_line()

    def refuse(operation: str, path: str) -> None:
        raise WorldError(code, f"{path} is not a regular file")

    disk.before = refuse
    with pytest.raises(PersonNeeded, match=r"is not a regular file\. Put an ordinary file"):
        run(open_ledger(disk, "mac", asyncio.Event()))
