"""Whether the machine's memory is calm enough to start anything: samples in, a verdict with memory.

Law: nothing starts while it is under pressure, and it has to be calm for a while before anything
does; the longer, the sooner it had closed again. What is unknown decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from daemon.core.policy import Policy

_MIB = 2**20
_HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Sample:
    """One look: ``at`` in ms since 1970; the kernel's level of pressure (1, 2, 4), bytes ever
    swapped out. None = unknown.
    """

    at: int
    level: int | None
    swapouts_bytes: int | None


@dataclass(frozen=True, slots=True)
class Gate:
    """``code`` '' = open. ``critical_since``: the level is critical without a break since then (ms
    since 1970); ``runaway``: it swaps so fast that nothing can wait.

    ``good`` samples were calm in a row; it last closed at ``closed_at``, and not for the first time
    in an hour (``again``); ``swapped`` has the latest amounts with their times, ``level_at`` and
    ``high_at`` when the level was last known, and last too high.
    """

    code: str = ""
    text: str = ""
    critical_since: int | None = None
    runaway: bool = False
    good: int = 0
    calm_since: int | None = None
    blind_since: int | None = None
    closed_at: int = 0
    again: bool = False
    swapped: tuple[tuple[int, int], ...] = ()
    level_at: int = 0
    high_at: int = 0


def observe(gate: Gate, sample: Sample, policy: Policy) -> Gate:
    """The gate after one more look (A2.6)."""
    gate = _remembering(gate, sample, policy)
    code, text = _distress(gate, sample, policy)
    if code:
        if not gate.code:
            again = 0 <= sample.at - gate.closed_at < _HOUR_MS
            gate = replace(gate, closed_at=sample.at, again=again)
        return replace(gate, code=code, text=text, good=0, calm_since=None, blind_since=None)
    if not gate.code:
        return gate
    if sample.level is None and sample.swapouts_bytes is None:
        return _blind(gate, sample, policy)
    calm = _calm_since(gate, sample)
    gate = replace(gate, good=gate.good + 1, calm_since=calm, blind_since=None)
    # Once is an accident; what comes back has to stay away for longer.
    patience_s = policy.memory_again_s if gate.again else 0.0
    if gate.good >= policy.memory_good_samples and sample.at - calm >= patience_s * 1000:
        return replace(gate, code="", text="")
    return gate


def _remembering(gate: Gate, sample: Sample, policy: Policy) -> Gate:
    """With what it has seen lately. What is older is forgotten, and so is what lies ahead since the
    clock was set back.
    """
    window_ms = policy.memory_swap_window_s * 1000
    swapped = tuple(each for each in gate.swapped if 0 <= sample.at - each[0] <= window_ms)
    if sample.swapouts_bytes is not None:
        if swapped and sample.swapouts_bytes < swapped[-1][1]:
            swapped = ()  # The counter began anew.
        swapped = (*swapped, (sample.at, sample.swapouts_bytes))
    gate = replace(
        gate,
        swapped=swapped,
        # Not over two samples only: a model that is loaded pushes out what lies idle, and is done.
        runaway=_grown(swapped) >= policy.memory_runaway_mb_s * policy.memory_swap_window_s * _MIB,
        high_at=min(gate.high_at, sample.at),
    )
    # A level that cannot be asked just now has not become calm; one that is long ago says nothing.
    if not 0 <= sample.at - gate.level_at <= window_ms:
        gate = replace(gate, critical_since=None)
    return (
        gate if sample.level is None else _remembering_level(gate, sample.at, sample.level, policy)
    )


def _remembering_level(gate: Gate, at: int, level: int, policy: Policy) -> Gate:
    since = at if gate.critical_since is None else gate.critical_since
    return replace(
        gate,
        critical_since=since if level >= policy.memory_critical_level else None,
        level_at=at,
        high_at=at if level >= policy.memory_hold_level else gate.high_at,
    )


def _grown(swapped: tuple[tuple[int, int], ...]) -> int:
    return swapped[-1][1] - swapped[0][1] if swapped else 0


def _distress(gate: Gate, sample: Sample, policy: Policy) -> tuple[str, str]:
    if sample.level is not None and sample.level >= policy.memory_hold_level:
        how = "critical" if sample.level >= policy.memory_critical_level else "high"
        return "MEMORY_PRESSURE", (
            f"The kernel calls the memory pressure {how} (level {sample.level} of 4). Close other"
            " programs; it goes on when the memory has been calm for a while."
        )
    if (grown := _grown(gate.swapped)) >= policy.memory_swap_mb * _MIB:
        lasted_s = (gate.swapped[-1][0] - gate.swapped[0][0]) / 1000
        return "SWAPPING", (
            f"The machine has swapped out {grown / _MIB:.0f} MB in {lasted_s:.0f} s."
            " Close other programs; it goes on when that has stopped."
        )
    return "", ""


def _calm_since(gate: Gate, sample: Sample) -> int:
    """Since when it has been calm, if it is: the latest amounts swapped out are no distress, so
    there has been none since the first of them."""
    if gate.calm_since is not None:
        return min(gate.calm_since, sample.at)
    return max(gate.high_at, gate.swapped[0][0] if gate.swapped else sample.at)


def _blind(gate: Gate, sample: Sample, policy: Policy) -> Gate:
    """Nothing is known any more: it stays closed, but not for ever. A look that fails now and then
    neither counts nor undoes what was calm.
    """
    since = sample.at if gate.blind_since is None else min(gate.blind_since, sample.at)
    gate = replace(gate, blind_since=since)
    if sample.at - since >= policy.memory_blind_s * 1000:
        return replace(gate, code="", text="", blind_since=None)
    lasts = sample.at - since >= policy.memory_swap_window_s * 1000
    return replace(gate, good=0, calm_since=None) if lasts else gate
