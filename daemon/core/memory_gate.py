"""Whether the machine's memory is calm enough to start anything: samples in, a verdict with memory.

Law: nothing starts while it is under pressure, and it has to be calm for a while before anything
does; the longer, the sooner it had closed again. What is unknown decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from daemon.core.policy import Policy

_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Sample:
    """One look: ``at`` in ms since 1970; bytes that can be had, the kernel's level of pressure
    (1, 2, 4), bytes ever swapped out. None = unknown.
    """

    at: int
    free_bytes: int | None
    level: int | None
    swapouts_bytes: int | None


@dataclass(frozen=True, slots=True)
class Gate:
    """``code`` '' = open. ``critical_since``: the level is critical without a break since then (ms
    since 1970); ``runaway``: it swaps so fast that nothing can wait.

    ``good`` samples were calm in a row; ``closed_at`` has when it closed lately, ``swapped`` the
    latest amounts with their times.
    """

    code: str = ""
    text: str = ""
    critical_since: int | None = None
    runaway: bool = False
    good: int = 0
    calm_since: int | None = None
    blind_since: int | None = None
    closed_at: tuple[int, ...] = ()
    swapped: tuple[tuple[int, int], ...] = ()


def observe(gate: Gate, sample: Sample, policy: Policy) -> Gate:
    """The gate after one more look (A2.6)."""
    gate = _remembering(gate, sample, policy)
    code, text = _distress(gate, sample, policy)
    if code:
        closed = gate.closed_at if gate.code else (*gate.closed_at, sample.at)
        return replace(
            gate, code=code, text=text, good=0, calm_since=None, blind_since=None, closed_at=closed
        )
    if not gate.code:
        return gate
    if sample.level is None and sample.swapouts_bytes is None:
        return _blind(gate, sample, policy)
    calm = sample.at if gate.calm_since is None else gate.calm_since
    gate = replace(gate, good=gate.good + 1, calm_since=calm, blind_since=None)
    # Once is an accident; what comes back has to stay away for longer.
    again = len(gate.closed_at) > 1
    patience_s = policy.memory_again_s if again else 0.0
    if gate.good >= policy.memory_good_samples and sample.at - calm >= patience_s * 1000:
        return replace(gate, code="", text="")
    return gate


def _remembering(gate: Gate, sample: Sample, policy: Policy) -> Gate:
    """What counts of the past: closings of the last hour, swapping of the last minute."""
    closed = tuple(at for at in gate.closed_at if 0 <= sample.at - at < 3_600_000)
    swapped = gate.swapped
    if sample.swapouts_bytes is not None:
        here = (sample.at, sample.swapouts_bytes)
        window_ms = policy.memory_swap_window_s * 1000
        # After a sleep, and when a counter began anew, the growth begins anew too.
        last = swapped[-1] if swapped else here
        if not 0 <= sample.at - last[0] <= window_ms or here[1] < last[1]:
            swapped = ()
        swapped = (*(each for each in swapped if sample.at - each[0] <= window_ms), here)
    critical = gate.critical_since
    if sample.level is not None:
        since = sample.at if critical is None else critical
        critical = since if sample.level >= policy.memory_critical_level else None
    rates = [*_rates_bytes_s(swapped)][-2:]
    runaway = len(rates) == 2 and min(rates) >= policy.memory_runaway_mb_s * _MIB
    return replace(
        gate, closed_at=closed, swapped=swapped, critical_since=critical, runaway=runaway
    )


def _rates_bytes_s(swapped: tuple[tuple[int, int], ...]) -> Iterator[float]:
    for (before, less), (after, more) in pairwise(swapped):
        yield (more - less) / max(0.001, (after - before) / 1000)


def _distress(gate: Gate, sample: Sample, policy: Policy) -> tuple[str, str]:
    if sample.level is not None and sample.level >= policy.memory_hold_level:
        how = "critical" if sample.level >= policy.memory_critical_level else "high"
        return "MEMORY_PRESSURE", (
            f"The kernel calls the memory pressure {how} (level {sample.level} of 4). Close other"
            " programs; it goes on when the memory has been calm for a while."
        )
    if len(gate.swapped) > 1:
        (first, less), (last, more) = gate.swapped[0], gate.swapped[-1]
        grown = (more - less) / _MIB
        if grown >= policy.memory_swap_mb:
            return "SWAPPING", (
                f"The machine has swapped out {grown:.0f} MB in {(last - first) / 1000:.0f} s."
                " Close other programs; it goes on when that has stopped."
            )
    return "", ""


def _blind(gate: Gate, sample: Sample, policy: Policy) -> Gate:
    """Nothing is known any more: it stays closed, but not for ever."""
    since = sample.at if gate.blind_since is None else gate.blind_since
    if sample.at - since >= policy.memory_blind_s * 1000:
        return replace(gate, code="", text="", blind_since=None)
    return replace(gate, good=0, calm_since=None, blind_since=since)
