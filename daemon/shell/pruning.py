"""Removes what is not needed any more, when it is asked to.

Law: only below the studio, never through a link, and again after a crash until the ledger says that
it is done.
"""

from __future__ import annotations

from collections.abc import Sequence

from daemon.core.ids import file_prefix
from daemon.core.jobs import JobId
from daemon.core.plan import prompts_of
from daemon.core.pruning import LOGS, OUTPUTS, leavings
from daemon.core.state import State
from daemon.ports import Disk, FileStat

_DAY_NS = 24 * 3_600 * 10**9
_LOG_DAYS, _OUTPUT_DAYS = 30, 1
_LOGS = (".nightpress/logs", ".nightpress/engine/lives", ".nightpress/rehearsal/lives")
_OUTPUTS = (".nightpress/engine/output/nightpress", ".nightpress/rehearsal/output/nightpress")


async def prunable(disk: Disk, state: State, target: str, *, at: int) -> Sequence[str]:
    """The files and folders that go for a target; ``at``: now, in ms since 1970."""
    if target == LOGS:
        return await _old(disk, _LOGS, at=at, days=_LOG_DAYS, spared=1)
    if target == OUTPUTS:
        found = await _old(disk, _OUTPUTS, at=at, days=_OUTPUT_DAYS)
        wanted = [file_prefix(prompt).rpartition("/")[2] for prompt in prompts_of(state)]
        return [path for path in found if not any(f"/{name}" in path for name in wanted)]
    job = state.jobs[JobId(target)]
    return [path for path in leavings(job) if await disk.stat(path)]


async def _old(
    disk: Disk, folders: Sequence[str], *, at: int, days: int, spared: int = 0
) -> Sequence[str]:
    """What lies there and was not changed for so long; the ``spared`` newest of a folder stay."""
    since_ns = at * 10**6 - days * _DAY_NS

    def age(item: FileStat) -> tuple[int, str]:
        return -item.mtime_ns, item.name

    found = []
    for folder in folders:
        items = sorted(await disk.list(folder), key=age)[spared:]
        found += [f"{folder}/{item.name}" for item in items if item.mtime_ns < since_ns]
    return found
