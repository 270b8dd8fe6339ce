"""The watch: what it tells of an engine that is away, back, or there without working."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from daemon.core.policy import Policy
from daemon.core.world import World
from daemon.errors import EngineError
from daemon.shell.engine_watch import EngineWatch
from daemon.wire.comfyui import EngineFacts, QueueView
from tests.fakes import MemoryDisk
from tests.sim.engine import FACTS, SimEngine, SimRenderer
from tests.virtual_time import run

STUCK = "0b8f0c52-6a0a-4a35-8f0e-6f1f6b1f2a10"


@dataclass
class Engine(SimRenderer):
    """It answers while ``there``; ``running`` never ends."""

    there: bool = True
    running: list[str] = field(default_factory=list)

    async def describe(self) -> EngineFacts:
        if not self.there:
            raise EngineError("ENGINE_UNREACHABLE", "Connection refused.")
        return FACTS

    async def queue(self) -> QueueView:
        return QueueView({prompt: {} for prompt in self.running}, {})


def watched(story: Callable[[EngineWatch, Engine], Awaitable[None]]) -> list[str]:
    """The engine codes that were told while the story went on; '' = it is ready."""
    told: list[str] = []

    async def main() -> None:
        engine = Engine(SimEngine(chance=random.Random(0)))
        watch = EngineWatch(
            world=World("comfyui"),
            renderer=engine,
            disk=MemoryDisk(),
            policy=Policy(),
            tell=lambda world: told.append(world.engine_code),
        )
        watching = asyncio.ensure_future(watch.run())
        await asyncio.sleep(1.0)
        await story(watch, engine)
        watching.cancel()

    run(main())
    return told


def test_an_engine_that_stays_away_is_said_to_be_starting_and_after_a_minute_not_ready() -> None:
    """N5.1: polled every 2 s, for 60 s, then loudly."""

    async def story(watch: EngineWatch, engine: Engine) -> None:
        engine.there = False
        await asyncio.sleep(90.0)
        engine.there = True
        await asyncio.sleep(3.0)

    assert watched(story) == ["", "ENGINE_STARTING", "COMFY_NOT_READY", ""]


def test_an_engine_that_holds_on_to_a_prompt_gets_no_other_until_it_lets_go() -> None:
    """N6.3: healthy HTTP over a dead worker."""

    async def story(watch: EngineWatch, engine: Engine) -> None:
        engine.running = [STUCK]
        watch.suspect(STUCK)
        await asyncio.sleep(600.0)
        engine.running = []
        await asyncio.sleep(3.0)

    assert watched(story) == ["", "ENGINE_STUCK", ""]


def test_a_suspicion_that_is_not_true_is_gone_at_the_next_look() -> None:
    async def story(watch: EngineWatch, engine: Engine) -> None:
        watch.suspect(STUCK)
        await asyncio.sleep(11.0)

    assert watched(story) == ["", "ENGINE_STUCK", ""]
