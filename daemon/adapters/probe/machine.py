"""Implements ``ports.Probe`` on macOS and Linux. Has never run on a Mac.

Law: each signal is read by itself and may be missing by itself; what is absurd is unknown.
"""

from __future__ import annotations

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
_SLOW_S = 10.0


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
        mac = self._mac
        self._memory = Look(self._mac_memory if mac else self._linux_memory, limit_s=limit_s)
        self._level = Look(self._pressure, limit_s=limit_s)
        self._swap = Look(self._mac_swapouts if mac else self._linux_swapouts, limit_s=limit_s)
        self._power = Look(self._mac_power if mac else _any_power, limit_s=limit_s)
        self._programs = Look(programs, limit_s=_SLOW_S)
        self._users = Look(others, limit_s=limit_s)
        self._footprints: dict[int, Look[tuple[int, int]]] = {}

    async def signals(self) -> Signals:
        memory = _sane_memory(await self._memory.take())
        level = await self._level.take() if self._mac else None
        swap = _whole(await self._swap.take())
        plugged = await self._power.take()
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
        known = self._footprints.get(pid)
        if known is None:
            known = Look(lambda: footprint(pid), limit_s=_LIMIT_S)
            self._footprints = {pid: known}  # One process of ours is looked at at a time.
        return await known.take()

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
        with suppress(OSError, ValueError):
            # In a container, what its group may have and has; "max" is no number.
            group = self._read("proc/self/cgroup").strip().rpartition("0::")[2].lstrip("/")
            folder = f"sys/fs/cgroup/{group}".rstrip("/")
            limit = int(self._read(f"{folder}/memory.max"))
            used = int(self._read(f"{folder}/memory.current"))
            left = limit - used + reclaimable(self._read(f"{folder}/memory.stat"))
            return min(total, limit), max(0, min(free, left))
        return total, free

    def _linux_swapouts(self) -> int | None:
        pages = swapped_pages(self._read("proc/vmstat"))
        return None if pages is None else pages * mmap.PAGESIZE

    def _read(self, path: str) -> str:
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


def _any_power() -> tuple[bool, int | None]:
    battery = psutil.sensors_battery()
    if battery is None:
        return True, None  # A desktop, or a machine of no substance.
    return bool(battery.power_plugged), round(battery.percent)


def _sane_memory(seen: tuple[int, int] | None) -> tuple[int, int] | None:
    return seen if seen is not None and 0 <= seen[1] <= seen[0] and seen[0] > 0 else None


def _whole(seen: int | None) -> int | None:
    return seen if seen is not None and seen >= 0 else None
