"""A watch wakes, and that is all it does."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from daemon.adapters.folder_watch import FolderWatch

pytestmark = pytest.mark.realprocess

PATIENCE_S = 5.0
QUIET_S = 0.2


class Bell:
    """Counts how often it was rung, and can be waited for."""

    def __init__(self) -> None:
        self.rings = 0
        self.names: list[str] = []
        self.rung = asyncio.Event()

    def ring(self) -> None:
        self.rings += 1
        self.rung.set()

    def renamed(self, name: str) -> None:
        self.names.append(name)

    async def heard(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self.rung.wait()
        self.rung.clear()


def test_a_file_that_lands_wakes(tmp_path: Path) -> None:
    async def main() -> None:
        bell = Bell()
        watch = FolderWatch(tmp_path, bell.ring, renamed=bell.renamed)
        assert watch.start()
        (tmp_path / ".a.toml.tmp").write_bytes(b"kind")
        await bell.heard()
        (tmp_path / ".a.toml.tmp").rename(tmp_path / "a.toml")
        while bell.names != [".a.toml.tmp"]:
            await bell.heard()
        await watch.stop()

    asyncio.run(main())


def test_listing_and_reading_do_not_wake_or_the_press_would_never_rest(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"kind")

    async def main() -> int:
        bell = Bell()
        watch = FolderWatch(tmp_path, bell.ring, renamed=bell.renamed)
        assert watch.start()
        await asyncio.sleep(QUIET_S)  # macOS delivers what happened just before the start.
        before = bell.rings
        for _ in range(5):
            list(os.scandir(tmp_path))
            (tmp_path / "a.toml").read_bytes()
        await asyncio.sleep(QUIET_S)
        await watch.stop()
        return bell.rings - before

    assert asyncio.run(main()) == 0


def test_many_events_in_one_turn_of_the_loop_are_one_call(tmp_path: Path) -> None:
    async def main() -> int:
        bell = Bell()
        watch = FolderWatch(tmp_path, bell.ring, renamed=bell.renamed)
        assert watch.start()
        for number in range(200):
            (tmp_path / f"{number}.toml").write_bytes(b"kind")
        await bell.heard()
        await asyncio.sleep(QUIET_S)
        await watch.stop()
        return bell.rings

    assert 1 <= asyncio.run(main()) < 100


def test_a_folder_that_cannot_be_watched_is_no_error(tmp_path: Path) -> None:
    async def main() -> None:
        watch = FolderWatch(tmp_path / "none", Bell().ring, renamed=Bell().renamed)
        assert not watch.start()
        await watch.stop()

    asyncio.run(main())


def test_an_event_after_the_loop_has_closed_is_nobodys(tmp_path: Path) -> None:
    from watchdog.events import FileCreatedEvent

    kept: list[FolderWatch] = []

    async def main() -> None:
        kept.append(FolderWatch(tmp_path, Bell().ring, renamed=Bell().renamed))
        assert kept[0].start()
        await kept[0].stop()
        await kept[0].stop()

    asyncio.run(main())
    kept[0].dispatch(FileCreatedEvent("a.toml"))
