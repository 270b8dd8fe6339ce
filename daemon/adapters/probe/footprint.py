"""Measures what a process and its children hold of the memory, now and at most.

macOS: the physical footprint, in which Metal's buffers and compressed pages count (libproc, without
rights for processes of one's own); Linux: the proportional set. Else what is resident.
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from daemon.wire.machine_words import high_mark, proportional

_RUSAGE_INFO_V4 = 4
_UUID_BYTES, _FIELDS = 16, 64
_FOOTPRINT, _HIGHEST = 7, 28
"""Places of ri_phys_footprint and ri_lifetime_max_phys_footprint among the 64-bit fields."""


def footprint(pid: int) -> tuple[int, int] | None:
    """Of the tree under ``pid``, in bytes; None when it is gone."""
    with suppress(psutil.Error):
        root = psutil.Process(pid)
        seen = [found for each in (root, *root.children(recursive=True)) if (found := _of(each))]
        if not seen:
            return None
        held = sum(now for now, _ in seen)
        # Only of one process is it known when it held the most: the largest decides.
        return held, max(held - now + high for now, high in seen)
    return None


def _of(process: psutil.Process) -> tuple[int, int] | None:
    with suppress(psutil.Error, OSError, ValueError, AttributeError):
        now, high = (_mac if sys.platform == "darwin" else _linux)(process.pid)
        return now, max(now, high)
    with suppress(psutil.Error):
        resident = process.memory_info().rss
        return resident, resident
    return None


def _linux(pid: int) -> tuple[int, int]:
    folder = Path("/proc") / str(pid)
    now = proportional((folder / "smaps_rollup").read_text(encoding="ascii"))
    if now is None:
        raise ValueError("its set is not told")
    return now, high_mark((folder / "status").read_text(encoding="ascii", errors="replace"))


def _mac(pid: int) -> tuple[int, int]:
    told = (ctypes.c_uint64 * (_UUID_BYTES // 8 + _FIELDS))()
    library = ctypes.CDLL("/usr/lib/libproc.dylib", use_errno=True)
    if library.proc_pid_rusage(pid, _RUSAGE_INFO_V4, ctypes.byref(told)) != 0:
        raise OSError(ctypes.get_errno(), "its footprint is not told")
    fields = told[_UUID_BYTES // 8 :]
    return fields[_FOOTPRINT], fields[_HIGHEST]
