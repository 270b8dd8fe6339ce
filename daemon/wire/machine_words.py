"""Spells what systems say of their memory and power: their tools' words -> values.

Law: numbers are found by name, never by place; what is absurd, cut off or of another locale is as
good as nothing. The formats are those of Apple's sources and of Linux' procfs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_PAGE = re.compile(r"page size of (\d{1,9}) bytes")
_ROW = re.compile(r'^"?([A-Za-z][A-Za-z -]*?)"?:\s+(\d{1,18})\.\s*$', re.MULTILINE)
_KIB = re.compile(r"^(\w+):\s+(\d{1,18}) kB\s*$", re.MULTILINE)
_COUNT = re.compile(r"^(\w+) (\d{1,18})\n", re.MULTILINE)
_CHARGE = re.compile(r"\s(\d{1,3})%;")
_LEVELS = (1, 2, 4)
_TAKEN = ("Pages wired down", "Anonymous pages", "Pages occupied by compressor")


def vm_stat(text: str) -> tuple[int, int] | None:
    """Of macOS' ``vm_stat``: bytes that are taken (wired, anonymous, compressor) and were ever
    swapped out. Memory that is wired for Metal is among the first; psutil counts neither it nor the
    compressor's.
    """
    page = _PAGE.search(text)
    rows = {name: int(count) for name, count in _ROW.findall(text)}
    size = int(page[1]) if page else 0
    if not 1024 <= size <= 2**20 or not {*_TAKEN, "Swapouts"} <= rows.keys():
        return None
    return sum(rows[name] for name in _TAKEN) * size, rows["Swapouts"] * size


def pressure_level(text: str) -> int | None:
    """Of ``kern.memorystatus_vm_pressure_level``: 1 normal, 2 warning, 4 critical."""
    told = text.strip()
    return int(told) if told in map(str, _LEVELS) else None


def power(text: str) -> tuple[bool, int | None] | None:
    """Of ``pmset -g batt``: whether it is plugged in, and the charge in percent."""
    drawing = re.search(r"Now drawing from '(AC Power|Battery Power|UPS Power)'", text)
    if drawing is None:
        return None
    charge = _CHARGE.search(text)
    percent = int(charge[1]) if charge and int(charge[1]) <= 100 else None
    return drawing[1] == "AC Power", percent


def meminfo(text: str) -> tuple[int, int] | None:
    """Of Linux' /proc/meminfo: bytes in all, and what can be had without swapping."""
    rows = _sizes(text)
    if not {"MemTotal", "MemAvailable"} <= rows.keys():
        return None
    return rows["MemTotal"], rows["MemAvailable"]


def swapped_pages(text: str) -> int | None:
    """Of Linux' /proc/vmstat: pages that were ever swapped out."""
    return _counts(text).get("pswpout")


def reclaimable(text: str) -> int:
    """Of a cgroup's memory.stat: bytes of files that can be dropped at once."""
    return _counts(text).get("inactive_file", 0)


def high_mark(text: str) -> int:
    """Of Linux' /proc/PID/status: the most bytes that were ever resident; 0 = not told."""
    return _sizes(text).get("VmHWM", 0)


def proportional(text: str) -> int | None:
    """Of Linux' /proc/PID/smaps_rollup: bytes, what is shared divided among those who share it."""
    return _sizes(text).get("Pss")


def _sizes(text: str) -> Mapping[str, int]:
    """Bytes by name."""
    return {name: int(count) * 1024 for name, count in _KIB.findall(text)}


def _counts(text: str) -> Mapping[str, int]:
    return {name: int(count) for name, count in _COUNT.findall(text)}
