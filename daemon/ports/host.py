"""What the shell asks of the engine's process, where it is ours to start, and of the machine's
memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from daemon.wire.shim_record import ExitRecord


@dataclass(frozen=True, slots=True)
class Serving:
    """A server process of ours that lives. ``life`` is fresh at each start; ``profile`` is the
    launch profile that it was started with."""

    life: str
    profile: str


class EngineHost(Protocol):
    """The engine's process: it outlives the daemon, is found again, and is told apart from
    strangers. Nothing here judges its health; whoever conducts it does."""

    async def look(self) -> Serving | None:
        """The server of ours that lives, None when there is none. Its port need not be open."""
        ...

    async def start(self, profile: str) -> Serving:
        """Start one in this profile; returns when its shim has begun, long before it answers.

        Raises ``WorldError`` ENGINE_START with what is missing or not understood.
        """
        ...

    async def stop(self) -> None:
        """End it, wherever it is in its life, and return when it is gone; nothing when there is
        none. Raises ``WorldError`` ENGINE_STOP when it could not be ended."""
        ...

    async def pid(self) -> int | None:
        """Of the server's process; None when there is none, or it cannot be told from others."""
        ...

    def owns(self, argv: Sequence[str]) -> bool:
        """Whether a server that was started with these words is ours: a stranger may have the port
        while ours wakes up.
        """
        ...

    async def killed(self) -> ExitRecord | None:
        """The record of the last server, when it was killed and not by us; else None."""
        ...

    async def ending(self, evidence: str = "") -> str:
        """How the last server ended, in a sentence with the end of its log; '' = nothing known.
        ``evidence`` speaks for memory as the cause of a kill."""
        ...

    async def log_end(self) -> int:
        """How much its log holds now, in bytes."""
        ...

    async def log_text(self, *, since: int, until: int) -> str:
        """Those bytes of what the living server has said, 1 MiB at most, the latest of them."""
        ...


@dataclass(frozen=True, slots=True)
class Signals:
    """One look at the machine, in bytes; None = unknown, and ``unknown`` names which: "memory",
    "pressure", "swap", "power".

    ``free_bytes`` can be had without swapping; ``level`` is the kernel's memory pressure: 1 normal,
    2 warning, 4 critical; ``swapouts_bytes`` were ever written to swap since the boot.
    """

    total_bytes: int | None = None
    free_bytes: int | None = None
    level: int | None = None
    swapouts_bytes: int | None = None
    on_ac: bool | None = None
    battery_percent: int | None = None
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Program:
    """A program beside us: a named one that takes much memory, all its processes together; or a
    trainer that is not nightpress's (``trains``).
    """

    name: str
    pid: int
    bytes: int
    trains: bool


class Probe(Protocol):
    """Looks at the machine. Never raises, and each look ends by itself: what cannot be known in
    time is None."""

    async def signals(self) -> Signals:
        """Memory and power as they are now."""
        ...

    async def programs(self) -> tuple[Program, ...] | None:
        """Heavy programs and others' trainers; slow (A2.10)."""
        ...

    async def users(self) -> int | None:
        """How many others are logged in at this machine (K2.6)."""
        ...

    async def footprint(self, pid: int) -> tuple[int, int] | None:
        """What a process and its children take now, and the most that they ever took, in bytes."""
        ...

    async def kill_evidence(self, *, pid: int, since: int) -> str:
        """What the system has said since then (ms since 1970) of having ended this process for want
        of memory, as a clause; '' = nothing. It may wait for seconds: that is said late (N4.3)."""
        ...
