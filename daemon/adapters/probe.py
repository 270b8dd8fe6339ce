"""Touches the machine's memory, as far as it tells of itself.

Law: a probe never fails and never holds anybody up: what cannot be known in time is unknown. Has
never run on a Mac; the level's name and meaning are from xnu's source.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence

import psutil

from daemon.adapters.kill_evidence import evidence
from daemon.ports import Program, Signals

_ASK_S = 2.0
_LEVEL = ("/usr/sbin/sysctl", "-n", "kern.memorystatus_vm_pressure_level")
_LEVELS = (1, 2, 4)


class MemoryProbe:
    """Implements ``ports.Probe``; ``command`` prints the level, () where no command does."""

    def __init__(self, command: Sequence[str] | None = None) -> None:
        here = _LEVEL if sys.platform == "darwin" else ()
        self._command = tuple(here if command is None else command)

    async def signals(self) -> Signals:
        level = await asyncio.to_thread(self._ask) if self._command else None
        memory = psutil.virtual_memory()
        return Signals(memory.total, memory.available, level, None, None, None, unknown=())

    async def programs(self) -> tuple[Program, ...] | None:
        return None

    async def users(self) -> int | None:
        return None

    async def footprint(self, pid: int) -> tuple[int, int] | None:
        try:
            held = psutil.Process(pid).memory_info().rss
        except psutil.Error:
            return None
        return held, held

    async def kill_evidence(self, *, pid: int, since: int) -> str:
        return await evidence(pid=pid, since=since)

    def _ask(self) -> int | None:
        try:
            told = subprocess.run(
                self._command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=True,
                timeout=_ASK_S,
                env={"LC_ALL": "C"},
            )
            level = int(told.stdout)
        except (OSError, subprocess.SubprocessError, ValueError):
            return None
        return level if level in _LEVELS else None
