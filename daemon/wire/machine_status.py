"""Spells the machine's part of status.json: its memory, its hours, and what a job needs of them.

Law: what is not known is null, and says since when; it is never called enough.
"""

from __future__ import annotations

from collections.abc import Mapping

from daemon.core.hurdles import GIB
from daemon.core.job import Job
from daemon.core.needs import Need
from daemon.core.night import since, tonight
from daemon.core.policy import Policy
from daemon.core.state import State
from daemon.core.windows import Windows, closes, is_open, opens
from daemon.core.world import World
from daemon.wire.instants import instant_text


def memory_document(world: World, policy: Policy, need: Need) -> Mapping[str, object]:
    """The memory as it was last seen; ``need`` is that of the job which is next. ``code`` says why
    nothing starts, which is nothing to a rehearsal.
    """
    machine = world.machine
    return {
        "total_bytes": machine.total_bytes,
        "free_bytes": machine.free_bytes,
        "ours_bytes": machine.ours_bytes,
        "reserve_bytes": round(policy.memory_reserve_gb * GIB),
        "need_bytes": need.total,
        "level": machine.level,
        "code": world.strain.code,
        "text": world.strain.text,
        "unknown": [
            {"signal": signal, "since": instant_text(since)} for signal, since in machine.unknown
        ],
        "programs": [{"name": each.name, "bytes": each.bytes} for each in machine.programs],
        "users": machine.users,
    }


def windows_document(policy: Policy, at: int) -> Mapping[str, object]:
    """Whether trainings and panels may run now, and when that turns."""
    return {
        "training": _hours(policy.training_windows, at),
        "panels": _hours(policy.panel_windows, at),
    }


def need_document(need: Need) -> Mapping[str, object] | None:
    """The sum of what a job needs; None where it was not weighed."""
    if not need.terms:
        return None
    return {
        "total_bytes": need.total,
        "correction_bytes": need.correction,
        "terms": [[name, size] for name, size in need.terms],
    }


def tonight_or_none(job: Job, state: State, policy: Policy) -> str | None:
    """What this window holds of a training that runs."""
    if job.kind != "train" or job.stage:
        return None
    return tonight(job, state, policy, at=since(job)) or None


def instant_or_none(at: int | None) -> str | None:
    """An instant in ms; None for none, which is 0 too."""
    return instant_text(at) if at else None


def _hours(windows: Windows, at: int) -> Mapping[str, object]:
    """``closes`` while they are open, ``opens`` while they are not; None = never."""
    now = is_open(windows, at)
    return {
        "open": now,
        "closes": instant_or_none(closes(windows, at)) if now else None,
        "opens": None if now else instant_or_none(opens(windows, at)),
    }
