"""Touches macOS's reports of the programs that it ended for want of memory.

Law: whatever cannot be found, read or understood is no evidence, and never a failure. Has never run
on a Mac; the reports' form is known from those that people have published.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from daemon.wire.text import excerpt

_REPORTS = Path("/Library/Logs/DiagnosticReports")
_WAIT_S = 10.0
"""A report is written some time after the kill of which it tells."""
_POLL_S = 1.0
_MOST_REPORTS = 20
_LIMIT_BYTES = 16 * 2**20
_OTHER_REASONS = ("vnode-limit", "disk-space-shortage")
"""What the system ends programs for, beside memory."""


async def evidence(
    *,
    pid: int,
    since: int,
    reports: Path = _REPORTS,
    wait_s: float = _WAIT_S,
    poll_s: float = _POLL_S,
) -> str:
    """What a report written after ``since`` (ms since 1970) says of this process, as a clause; ''
    = nothing. Waits for one, where such reports are written at all.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + (wait_s if pid and await asyncio.to_thread(reports.is_dir) else 0)
    while not (found := await asyncio.to_thread(_told, pid, since, reports)):
        if loop.time() >= until:
            break
        await asyncio.sleep(poll_s)
    return found


def _told(pid: int, since: int, reports: Path) -> str:
    for path in _written(since, reports):
        # Whatever is in a report: a form that is not understood says nothing.
        with suppress(OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            header, _, body = path.read_text("utf-8", "replace").partition("\n")
            if json.loads(header)["bug_type"] == "298" and (why := _why(json.loads(body), pid)):
                return f"{path.name} {why}"
    return ""


def _written(since: int, reports: Path) -> Iterator[Path]:
    """The reports since then, the latest first."""
    names = sorted(reports.glob("JetsamEvent-*.ips"), reverse=True)[:_MOST_REPORTS]
    for path in names:
        with suppress(OSError):
            seen = path.stat()
            if seen.st_mtime_ns // 10**6 >= since and seen.st_size <= _LIMIT_BYTES:
                yield path


def _why(report: Any, pid: int) -> str:
    """A process that was ended bears the reason; the largest one is named at the top."""
    for process in report["processes"]:
        if process["pid"] == pid:
            name, reason = str(process["name"]), str(process.get("reason", ""))
            if reason and reason not in _OTHER_REASONS:
                return (
                    f"says that the system ended {excerpt(name)}, pid {pid}, for {excerpt(reason)}"
                )
            if not reason and name == report["largestProcess"]:
                return f"names {excerpt(name)}, pid {pid}, as the largest when memory ran out"
    return ""
