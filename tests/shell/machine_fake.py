"""A machine whose memory, power and programs are set: ``ports.Probe``, and a watch over it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass

from daemon.core.commands import Command
from daemon.core.needs import nothing
from daemon.core.policy import Policy
from daemon.core.state import State
from daemon.ports import Clock, Probe, Program, Signals, Trainer
from daemon.shell.machine_watch import MachineWatch
from tests.fakes import NoTrainer

GIB = 2**30
CALM = Signals(16 * GIB, 9 * GIB, 1, 5 * GIB, on_ac=True, battery_percent=80)


@dataclass
class FakeProbe:
    """``ports.Probe`` whose answers are set; ``fails`` says how a look goes wrong."""

    seen: Signals = CALM
    open: tuple[Program, ...] | None = ()
    others: int | None = 0
    holds: tuple[int, int] | None = (GIB, GIB)
    fails: str = ""
    asked_programs: int = 0

    async def signals(self) -> Signals:
        await self._may_fail("signals")
        return self.seen

    async def programs(self) -> tuple[Program, ...] | None:
        self.asked_programs += 1
        await self._may_fail("programs")
        return self.open

    async def users(self) -> int | None:
        await self._may_fail("users")
        return self.others

    async def footprint(self, pid: int) -> tuple[int, int] | None:
        assert pid > 0
        await self._may_fail("footprint")
        return self.holds

    async def kill_evidence(self, *, pid: int, since: int) -> str:
        return ""

    async def _may_fail(self, look: str) -> None:
        if self.fails == f"{look} raises":
            raise OSError("no such thing")
        if self.fails == f"{look} hangs":
            await asyncio.sleep(math.inf)


@dataclass
class LoopClock:
    """``ports.Clock``: ``began_ms``, and what the event loop has run since."""

    began_ms: int = 1_795_000_000_000

    def now(self) -> int:
        return self.began_ms + round(asyncio.get_running_loop().time() * 1000)


async def _idle() -> None:
    """There is no engine."""


def watch_over(
    probe: Probe,
    *,
    state: State,
    policy: Policy | None = None,
    clock: Clock | None = None,
    trainer: Trainer | None = None,
    tell: Callable[[Command], None] = lambda command: None,
) -> MachineWatch:
    """A watch of a studio whose engine is not its own."""
    return MachineWatch(
        probe=probe,
        policy=policy or Policy(),
        clock=clock or LoopClock(),
        state=lambda: state,
        tell=tell,
        host=None,
        trainer=trainer or NoTrainer(),
        weigh=nothing,
        engine="comfyui",
        relieve=_idle,
    )
