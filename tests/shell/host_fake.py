"""A server whose process can be started and ended: ``ports.EngineHost`` and the ``Renderer`` before
it, in virtual time.

Law: the fake keeps the port's promises. A server answers only while its process lives, and only
when it has been up for ``wakes_s``.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from daemon.errors import EngineError, WorldError
from daemon.ports import Serving
from daemon.shell.patience import now
from daemon.wire.comfyui import EngineFacts, QueueView
from daemon.wire.shim_record import ExitRecord
from tests.shell.engine_fake import FACTS, FakeEngine


@dataclass
class FakeHost:
    """One server at most. ``lasts`` has how long the next ones live, ``refusals`` why the next
    starts fail; ``started`` and ``stopped`` have each as (time, profile). ``kill``: how all end.
    """

    wakes_s: float = 5.0
    lasts: list[float] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    obeys: bool = True
    ours: bool = True
    started: list[tuple[float, str]] = field(default_factory=list)
    stopped: list[tuple[float, str]] = field(default_factory=list)
    serving: Serving | None = None
    awake_at: float = 0.0
    ends_at: float = math.inf
    kill: ExitRecord | None = None

    def die(self) -> None:
        """Killed, by somebody else."""
        self.ends_at = now()

    async def look(self) -> Serving | None:
        await asyncio.sleep(0.01)
        return self.living()

    async def start(self, profile: str) -> Serving:
        assert self.living() is None, "a second server is started beside the first"
        await asyncio.sleep(0.05)
        if self.refusals:
            raise WorldError("ENGINE_START", self.refusals.pop(0))
        self.started.append((now(), profile))
        self.awake_at = now() + self.wakes_s
        self.ends_at = now() + (self.lasts.pop(0) if self.lasts else math.inf)
        self.serving = Serving(f"life {len(self.started)}", profile)
        return self.serving

    async def stop(self) -> None:
        await asyncio.sleep(0.5)
        if not self.obeys:
            raise WorldError("ENGINE_STOP", "The server does not end.")
        if serving := self.living():
            self.stopped.append((now(), serving.profile))
            self.ends_at = now()

    async def killed(self) -> ExitRecord | None:
        return self.kill

    async def ending(self, evidence: str = "") -> str:
        said = f"It was ended by signal 9{evidence and f', {evidence}'}. Its log ends: 'oops'."
        return said if self.serving else ""

    async def pid(self) -> int | None:
        return 7 if self.living() else None

    def owns(self, argv: Sequence[str]) -> bool:
        return self.ours

    async def log_end(self) -> int:
        return 0

    async def log_text(self, *, since: int, until: int) -> str:
        return ""

    def living(self) -> Serving | None:
        """The server of this moment."""
        return self.serving if now() < self.ends_at else None


@dataclass
class HostedEngine(FakeEngine):
    """What answers at the server's port; ``host`` None: a server of somebody else, up while
    ``there``. ``running`` and ``waiting`` are prompts that never end; ``slow_s`` is how long the
    next answers take; while ``hung`` none comes; ``odd`` is a mistake that it makes.
    """

    host: FakeHost | None = None
    there: bool = True
    running: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    slow_s: list[float] = field(default_factory=list)
    hung: bool = False
    odd: Exception | None = None
    facts: EngineFacts = FACTS
    exposed: str = ""
    asked: list[float] = field(default_factory=list)
    freed: list[float] = field(default_factory=list)

    async def describe(self) -> EngineFacts:
        self.asked.append(now())
        await self._reach()
        return self.facts

    async def queue(self) -> QueueView:
        await self._reach()
        return QueueView({p: {} for p in self.running}, {p: {} for p in self.waiting})

    async def free(self) -> None:
        self.freed.append(now())
        await self._reach()

    async def outside(self) -> str:
        return self.exposed

    async def _reach(self) -> None:
        if self.odd is not None:
            raise self.odd
        up = self.there
        if self.host is not None:
            up = self.host.living() is not None and now() >= self.host.awake_at
        if not up:
            raise EngineError("ENGINE_UNREACHABLE", "Connection refused.")
        await asyncio.sleep(10.0 if self.hung else self.slow_s.pop(0) if self.slow_s else 0.01)
        if self.hung:
            raise EngineError("ENGINE_SILENT", "There was no answer in time.")
