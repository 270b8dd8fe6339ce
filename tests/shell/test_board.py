"""status.json is as new as what it tells of, and is not written for nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

from daemon.core.policy import Policy
from daemon.core.state import State
from daemon.core.windows import Span, Windows
from daemon.core.world import World
from daemon.shell.board import Board
from daemon.shell.engine_watch import EngineWatch
from daemon.shell.loop import Believed, Loop
from daemon.shell.outbox import Outbox
from daemon.shell.progress import Progress
from daemon.wire.status import DaemonFacts
from tests.desk import EPOCH_MS, READY
from tests.fakes import MemoryDisk
from tests.sim.story import SimClock
from tests.virtual_time import run

DAY_MS = 86_400_000
MIDNIGHT = EPOCH_MS // DAY_MS * DAY_MS
NIGHT = Windows((Span(frozenset(range(7)), 22 * 60, 7 * 60),))


class Turns:
    """A loop whose turns are told by hand."""

    def __init__(self) -> None:
        self.state, self.world = State(), READY
        self._observers: list[Callable[[Believed], None]] = []

    def observe(self, observer: Callable[[Believed], None]) -> None:
        self._observers.append(observer)

    def reasons(self) -> dict[object, object]:
        return {}

    def turn(self, world: World) -> None:
        self.world = world
        for observer in self._observers:
            observer(Believed((), world_changed=False))


@dataclass
class Watching:
    facts: None = None
    warnings: tuple[str, ...] = ()


def test_that_a_window_opens_is_told_though_nothing_else_happens() -> None:
    async def story() -> None:
        loop, disk = Turns(), MemoryDisk()
        board = Board(
            disk=disk,
            loop=cast("Loop", loop),
            outbox=Outbox(disk, host="mac"),
            progress=Progress(),
            watch=cast("EngineWatch", Watching()),
            clock=SimClock(MIDNIGHT + 79_195_000),
            daemon=DaemonFacts("0", 1, "s", 0),
            hashing=lambda: None,
            policy=Policy(training_windows=NIGHT),
            tick_s=2.0,
        )
        serving, told = asyncio.ensure_future(board.run()), set()
        for second in range(79_195, 79_205):
            loop.turn(replace(READY, at=MIDNIGHT + second * 1000))
            await asyncio.sleep(1)
            told.add(disk.data("outbox/status.json"))
        serving.cancel()
        hours = [json.loads(each)["windows"]["training"]["open"] for each in told]
        assert sorted(hours) == [False, True]

    run(story())
