"""Implements ``ports.Probe`` on macOS and Linux. Has never run on a Mac.

Law: each signal is read by itself and may be missing by itself; what is absurd is unknown.
"""

from __future__ import annotations

import asyncio
import mmap
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import psutil

from daemon.adapters.probe.footprint import footprint
from daemon.adapters.probe.kill_evidence import evidence
from daemon.adapters.probe.looks import Look
from daemon.adapters.probe.programs import others, programs
from daemon.ports import Program, Signals
from daemon.wire.machine_words import (
    meminfo,
    power,
    pressure_level,
    reclaimable,
    swapped_pages,
    vm_stat,
)

T = TypeVar("T")
Say = Callable[..., str]

_COMMAND_S = 2.0
_LIMIT_S = 3.0
_SLOWER = 3
"""Times as long as the others may a look at all processes take."""


class MachineProbe:
    """``say`` runs a program and gives its output; ``system`` is ``sys.platform``'s; ``root`` is
    where procfs and sysfs are found.
    """

    def __init__(
        self,
        *,
        system: str = sys.platform,
        say: Say | None = None,
        root: Path = Path("/"),
        limit_s: float = _LIMIT_S,
    ) -> None:
        self._mac, self._say, self._root = system == "darwin", say or _say, root
        self._limit_s = limit_s
        mac = self._mac
        self._memory = Look(self._mac_memory if mac else self._linux_memory, limit_s=limit_s)
        self._level = Look(self._pressure, limit_s=limit_s)
        self._swap = Look(self._mac_swapouts if mac else self._linux_swapouts, limit_s=limit_s)
        self._power = Look(self._mac_power if mac else _any_power, limit_s=limit_s)
        self._programs = Look(programs, limit_s=_SLOWER * limit_s)
        self._users = Look(others, limit_s=limit_s)
        self._footprints: dict[int, Look[tuple[int, int]]] = {}

    async def signals(self) -> Signals:
        looks = self._memory.take(), self._swap.take(), self._power.take(), self._level.take()
        any_memory, swap, plugged, level = await asyncio.gather(*looks)
        memory = _sane_memory(any_memory)
        seen: Mapping[str, object] = {"memory": memory, "swap": swap, "power": plugged}
        if self._mac:  # Linux has no such level.
            seen = {**seen, "pressure": level}
        total, free = memory or (None, None)
        on_ac, percent = plugged or (None, None)
        unknown = tuple(sorted(name for name, value in seen.items() if value is None))
        return Signals(total, free, level, swap, on_ac, percent, unknown=unknown)

    async def programs(self) -> tuple[Program, ...] | None:
        return await self._programs.take()

    async def users(self) -> int | None:
        return await self._users.take()

    async def footprint(self, pid: int) -> tuple[int, int] | None:
        if pid not in self._footprints:
            # One that hangs is kept, lest it be begun again.
            hanging = {each: look for each, look in self._footprints.items() if look.hangs}
            look = Look(lambda: footprint(pid), limit_s=self._limit_s)
            self._footprints = {**hanging, pid: look}
        return await self._footprints[pid].take()

    async def kill_evidence(self, *, pid: int, since: int) -> str:
        return await evidence(pid=pid, since=since)

    def _mac_memory(self) -> tuple[int, int] | None:
        with suppress(OSError, subprocess.SubprocessError, ValueError):
            total = int(self._say("/usr/sbin/sysctl", "-n", "hw.memsize"))
            counted = vm_stat(self._say("/usr/bin/vm_stat"))
            if counted is not None:
                return total, total - counted[0]
        return _any_memory()

    def _pressure(self) -> int | None:
        if not self._mac:
            return None
        name = "kern.memorystatus_vm_pressure_level"
        return pressure_level(self._say("/usr/sbin/sysctl", "-n", name))

    def _mac_swapouts(self) -> int | None:
        # psutil's are page-outs on macOS, which a large file that is read makes too.
        counted = vm_stat(self._say("/usr/bin/vm_stat"))
        return counted[1] if counted else None

    def _mac_power(self) -> tuple[bool, int | None] | None:
        with suppress(OSError, subprocess.SubprocessError):
            told = power(self._say("/usr/bin/pmset", "-g", "batt"))
            if told is not None:
                return told
        return _any_power()

    def _linux_memory(self) -> tuple[int, int] | None:
        machine = meminfo(self._read("proc/meminfo"))
        if machine is None:
            return _any_memory()
        total, free = machine
        with suppress(OSError):
            group = self._read("proc/self/cgroup").strip().rpartition("0::/")[2]
            for folder in (Path(group), *Path(group).parents):
                limit, left = self._group(Path("sys/fs/cgroup") / folder)
                total, free = min(total, limit), min(free, left)
        return total, free

    def _group(self, folder: Path) -> tuple[int, int]:
        """What a cgroup may have, and what of it is left: of a container, or a service."""
        with suppress(OSError, ValueError):  # "max" is no number: it may have everything.
            limit = int(self._read(folder / "memory.max"))
            used = int(self._read(folder / "memory.current"))
            left = limit - used + reclaimable(self._read(folder / "memory.stat"))
            return limit, max(0, left)
        return sys.maxsize, sys.maxsize

    def _linux_swapouts(self) -> int | None:
        pages = swapped_pages(self._read("proc/vmstat"))
        return None if pages is None else pages * mmap.PAGESIZE

    def _read(self, path: str | Path) -> str:
        return (self._root / path).read_text(encoding="ascii", errors="replace")


def _say(*command: str) -> str:
    """What a program says; in C's locale, since others write 512,25M."""
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=_COMMAND_S,
        env={"LC_ALL": "C"},
    ).stdout.decode("ascii", "replace")


def _any_memory() -> tuple[int, int]:
    memory = psutil.virtual_memory()
    return memory.total, memory.available


def _any_power() -> tuple[bool, int | None] | None:
    battery = psutil.sensors_battery()
    if battery is None:
        return True, None  # A desktop, or a machine of no substance.
    return _charge(battery.power_plugged, round(battery.percent))


def _charge(plugged: bool | None, percent: int) -> tuple[bool, int | None] | None:
    """psutil tells None where it cannot tell."""
    return None if plugged is None else (plugged, percent if 0 <= percent <= 100 else None)


def _sane_memory(seen: tuple[int, int] | None) -> tuple[int, int] | None:
    return seen if seen is not None and 0 <= seen[1] <= seen[0] and seen[0] > 0 else None
