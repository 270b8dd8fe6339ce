"""The process of a simulated engine, where it is ours to start."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from daemon.errors import WorldError
from daemon.ports import Serving
from daemon.wire.shim_record import ExitRecord
from tests.sim.engine import SimEngine

WAKES_S = 3.0


@dataclass
class SimHost:
    """``ports.EngineHost``; it outlives the daemon's lives. ``refusals`` are why the next starts
    fail; while ``sickly``, each server dies before it answers.
    """

    engine: SimEngine
    refusals: list[str] = field(default_factory=list)
    sickly: bool = False
    started: list[str] = field(default_factory=list)
    serving: Serving | None = None

    def __post_init__(self) -> None:
        self.engine.away_until_s = math.inf

    def die(self) -> None:
        """Killed by somebody else."""
        self.serving = None
        self.engine.restart(away_s=math.inf)

    async def look(self) -> Serving | None:
        await asyncio.sleep(0.003)
        return self.serving

    async def start(self, profile: str) -> Serving:
        assert self.serving is None, "a second server is started beside the first"
        await asyncio.sleep(0.05)
        if self.refusals:
            raise WorldError("ENGINE_START", self.refusals.pop())
        self.started.append(profile)
        serving = self.serving = Serving(f"life {len(self.started)}", profile)
        self.engine.restart(away_s=WAKES_S)
        if self.sickly:
            asyncio.get_running_loop().call_later(1.0, self.die)
        return serving

    async def stop(self) -> None:
        await asyncio.sleep(0.5)
        if self.serving is not None:
            self.die()

    async def pid(self) -> int | None:
        return None

    def owns(self, argv: Sequence[str]) -> bool:
        return "stranger" not in argv

    async def killed(self) -> ExitRecord | None:
        return None

    async def ending(self, evidence: str = "") -> str:
        return "It was ended by signal 9." if self.started else ""

    async def log_end(self) -> int:
        return 0

    async def log_text(self, *, since: int, until: int) -> str:
        return ""
