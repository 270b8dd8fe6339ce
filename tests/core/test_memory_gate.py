"""The gate of the machine's memory: closed in pressure, open again soon, and no flapping."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from daemon.core.memory_gate import Gate, Sample, observe
from daemon.core.policy import Policy

POLICY = Policy()
MIB, GIB = 2**20, 2**30
START = 1_795_000_000_000
STEP_MS = round(POLICY.memory_sample_s * 1000)
HOUR_MS, TWO_MINUTES_MS = 3_600_000, 120_000

Trace = Sequence[Sample]
Draw = Callable[[int], tuple[int | None, int | None]]
"""A second of a trace -> the kernel's level, bytes ever swapped out."""


def trace(hours: float, draw: Draw) -> Trace:
    """What a look every few seconds sees of it."""
    seconds = range(0, round(hours * 3600), STEP_MS // 1000)
    return [Sample(START + s * 1000, *draw(s)) for s in seconds]


def replay(samples: Trace) -> list[Gate]:
    gates, gate = [], Gate()
    for sample in samples:
        gate = observe(gate, sample, POLICY)
        gates.append(gate)
    return gates


def in_pressure(samples: Trace, here: int) -> bool:
    """By the policy's words alone: the level, or what was swapped out in the window before."""
    sample = samples[here]
    if sample.level is not None and sample.level >= POLICY.memory_hold_level:
        return True
    looks = round(POLICY.memory_swap_window_s * 1000) // STEP_MS
    lately = samples[max(0, here - looks) : here + 1]
    window = [each.swapouts_bytes for each in lately if each.swapouts_bytes is not None]
    return len(window) > 1 and window[-1] - window[0] >= POLICY.memory_swap_mb * MIB


def flips(samples: Trace, gates: Sequence[Gate]) -> list[int]:
    """When the gate opened or closed."""
    turned = zip(samples[1:], pairwise(gates), strict=True)
    return [sample.at for sample, (a, b) in turned if bool(a.code) != bool(b.code)]


def most_in_an_hour(times: Sequence[int]) -> int:
    return max((sum(0 <= at - a < HOUR_MS for at in times) for a in times), default=0)


def sawtooth_of_the_level(period_s: int, high_s: int) -> Draw:
    """A browser that loads pages: high for a while, then calm, and again; and then nobody."""
    return lambda s: (2 if s < 2 * 3600 and s % period_s < high_s else 1, 5 * GIB)


def sawtooth_of_the_swap(period_s: int) -> Draw:
    """300 MB within 10 s, again and again; and then nobody."""

    def draw(s: int) -> tuple[int, int]:
        s = min(s, 2 * 3600)
        return 1, s // period_s * 300 * MIB + min(s % period_s, 10) * 30 * MIB

    return draw


def slow_leak(s: int) -> tuple[int, int]:
    """3 MB/s leak from the tenth minute; swapped from the 20th; high, then critical; it is ended
    after an hour and a half."""
    leaking = min(s, 5400)
    swapped = max(0, leaking - 1200) * 3 * MIB
    level = 1 if s >= 5400 or leaking < 1800 else 2 if leaking < 3600 else 4
    return level, swapped


def yesterdays_swap(s: int) -> tuple[int, int]:
    """14 GB were swapped out yesterday, and a few idle pages are every minute."""
    return 1, 14 * GIB + s // 60 * 8 * MIB


def model_load_spike(s: int) -> tuple[int, int]:
    """A model of 2 GB is loaded: what lay idle is swapped out, at 200 MB/s, and that was it."""
    return 1, 5 * GIB + max(0, min(s - 600, 10)) * 200 * MIB


def losing_sight(s: int) -> tuple[int | None, int | None]:
    """Critical, then nothing can be read, then only one of the two, then all is calm."""
    if s < 600:
        return 4, s * MIB
    if s < 1800:
        return None, None
    return (1 if s >= 2400 else None), 600 * MIB


TRACES: dict[str, Draw] = {
    "a saw-tooth of the level, each minute": sawtooth_of_the_level(60, 10),
    "a saw-tooth of the level, slow": sawtooth_of_the_level(400, 300),
    "a saw-tooth of the level, nearly all calm": sawtooth_of_the_level(110, 5),
    "a saw-tooth of the swap, each minute": sawtooth_of_the_swap(60),
    "a saw-tooth of the swap, slow": sawtooth_of_the_swap(100),
    "a slow leak": slow_leak,
    "yesterday's swap": yesterdays_swap,
    "a model that is loaded": model_load_spike,
    "sight that is lost": losing_sight,
    "nothing is known": lambda _: (None, None),
    "the level is unknown": lambda s: (None, sawtooth_of_the_swap(60)(s)[1]),
    "the swap is unknown": lambda s: (sawtooth_of_the_level(60, 10)(s)[0], None),
}


@pytest.mark.parametrize("name", TRACES)
def test_nothing_is_admitted_in_pressure(name: str) -> None:
    """A2.6"""
    samples = trace(3, TRACES[name])
    for here, gate in enumerate(replay(samples)):
        if in_pressure(samples, here):
            assert gate.code, f"open in pressure at {(samples[here].at - START) // 1000} s"
            assert gate.text


@pytest.mark.parametrize("name", TRACES)
def test_the_gate_turns_at_most_four_times_an_hour(name: str) -> None:
    """A2.6: hysteresis."""
    samples = trace(4, TRACES[name])
    assert most_in_an_hour(flips(samples, replay(samples))) <= 4


@given(st.integers(5, 300), st.integers(5, 105))
@settings(max_examples=25)
def test_nor_does_any_other_saw_tooth_turn_it_more_often(high_s: int, calm_s: int) -> None:
    """A2.6: whose calm is shorter than the two minutes in which it has to be open again."""
    samples = trace(3, sawtooth_of_the_level(high_s + calm_s, high_s))
    assert most_in_an_hour(flips(samples, replay(samples))) <= 4


@pytest.mark.parametrize("name", TRACES)
def test_it_is_open_again_within_two_minutes_of_recovery(name: str) -> None:
    """A2.6: counted from the moment when the machine recovers, not when the gate believes it."""
    samples = trace(3, TRACES[name])
    worst = max(unwell(samples), default=START)
    for sample, gate in zip(samples, replay(samples), strict=True):
        if sample.at >= worst + TWO_MINUTES_MS:
            assert not gate.code


def unwell(samples: Trace) -> Iterator[int]:
    """When the machine was not well yet: a high level, growing swap-outs, or nothing known."""
    for before, here in pairwise(samples):
        level, more, less = here.level, here.swapouts_bytes, before.swapouts_bytes
        high = level is not None and level >= POLICY.memory_hold_level
        grew = more is not None and less is not None and more - less > 8 * MIB
        if high or grew or (level is None and more is None):
            yield here.at


@pytest.mark.parametrize("name", ["yesterday's swap", "nothing is known"])
def test_what_is_no_distress_never_closes_it(name: str) -> None:
    """A2.6: what was swapped out long ago, and what is not known, say nothing of now."""
    assert not any(gate.code for gate in replay(trace(6, TRACES[name])))


def test_the_spike_of_a_model_that_is_loaded_ends_nothing_and_is_over_in_a_minute() -> None:
    """A2.8: nor is a training ended for it; it goes on at 200 MB/s for ten seconds."""
    gates = replay(trace(1, model_load_spike))
    assert 0 < sum(bool(gate.code) for gate in gates) * STEP_MS <= 65_000
    assert not any(gate.runaway for gate in gates)


def test_swapping_without_end_runs_away() -> None:
    """A2.8"""
    gates = replay(trace(0.1, lambda s: (2, s * 110 * MIB)))
    first = next(here for here, gate in enumerate(gates) if gate.runaway)
    assert first * STEP_MS <= POLICY.memory_swap_window_s * 1000
    assert all(gate.runaway for gate in gates[first:])


def test_a_leak_is_noticed_by_its_swapping_long_before_the_kernel_complains() -> None:
    """A2.6"""
    samples = trace(1, slow_leak)
    first = next(
        s for s, gate in zip(samples, replay(samples), strict=True) if gate.code == "SWAPPING"
    )
    assert (first.at - START) / 1000 <= 1200 + POLICY.memory_swap_window_s
    assert first.level == 1


def test_a_closed_gate_says_why_in_numbers() -> None:
    gate = replay(trace(0.01, lambda s: (1, s * 20 * MIB)))[-1]
    assert (gate.code, "700 MB in 35 s" in gate.text) == ("SWAPPING", True)
    assert "level 4 of 4" in observe(Gate(), Sample(START, 4, 0), POLICY).text


def closed(at: int = START, level: int = 2) -> Gate:
    return observe(Gate(), Sample(at, level, 0), POLICY)


def later(gate: Gate, *samples: tuple[float, int | None, int | None]) -> Gate:
    """The gate after looks so many seconds after the start."""
    for after_s, level, swapped in samples:
        gate = observe(gate, Sample(START + round(after_s * 1000), level, swapped), POLICY)
    return gate


def test_it_opens_after_the_policys_number_of_good_looks() -> None:
    """A2.6"""
    calm = [(5.0 * n, 1, 0) for n in range(1, 9)]
    opened = next(n for n in range(1, 9) if not later(closed(), *calm[:n]).code)
    assert opened == POLICY.memory_good_samples


def test_a_closed_gate_that_sees_nothing_is_kept_for_ten_minutes() -> None:
    """A2.6"""
    blind = [(5.0 * n, None, None) for n in range(1, 200)]
    codes = [bool(later(closed(), *blind[:n]).code) for n in range(1, 199)]
    assert sum(codes) * STEP_MS == POLICY.memory_blind_s * 1000
    assert codes == sorted(codes, reverse=True)


@pytest.mark.parametrize("every", [2, 3])
def test_a_look_that_fails_now_and_then_keeps_no_gate_closed(every: int) -> None:
    """What is unknown decides nothing: neither that it is calm, nor that it is not."""
    looks = [(5.0 * n, *((None, None) if n % every == 0 else (1, 0))) for n in range(1, 8)]
    assert not later(closed(), *looks).code
    assert later(closed(), *looks[:2]).code


@pytest.mark.parametrize("step_s", [5, 30, 80])
def test_swapping_that_can_no_longer_be_read_is_no_distress_for_ever(step_s: int) -> None:
    """Nor does it run away for ever: what is unknown decides nothing. 80 s: a look may be slow."""
    gate = later(Gate(), *((5.0 * n, 1, n * GIB) for n in range(10)))
    assert gate.code == "SWAPPING"
    assert gate.runaway
    gate = later(gate, *((45.0 + n * step_s, 1, None) for n in range(1, 40)))
    assert not gate.code
    assert not gate.runaway


def test_a_critical_level_is_so_without_a_break_until_it_is_seen_better() -> None:
    """A2.8: a look that fails in between is no break; one that fails for long is."""
    gate = later(Gate(), (0, 4, 0), (5, None, 0), (10, 4, 0))
    assert gate.critical_since == START
    assert later(gate, (15, 2, 0), (20, 4, 0)).critical_since == START + 20_000
    assert later(gate, *((10.0 + 5 * n, None, 0) for n in range(1, 12))).critical_since is None


def test_sleep_is_no_swapping_and_no_critical_time() -> None:
    """K3.5, A2.8: eight hours passed, and nothing of them was seen."""
    gate = later(Gate(), (0, 4, 0), (5, 4, 0))
    gate = later(gate, (8 * 3600, 4, 3 * GIB))
    assert gate.critical_since == START + 8 * HOUR_MS
    assert (gate.code, gate.runaway) == ("MEMORY_PRESSURE", False)
    assert not later(Gate(), (0, 1, 0), (8 * 3600, 1, 3 * GIB)).code


def test_a_counter_that_begins_anew_is_no_swapping() -> None:
    assert not later(Gate(), (0, 1, 5 * GIB), (5, 1, 0), (10, 1, 30 * MIB)).code


def test_a_clock_that_is_set_back_keeps_no_gate_closed() -> None:
    """Not even one that had closed before, and has to be calm for longer."""
    gate = later(Gate(), (0, 2, 0), *((n * 5.0, 1, 0) for n in range(1, 5)), (25, 4, 0), (30, 1, 0))
    assert gate.code
    back_s = -6 * 3600
    gate = later(gate, *((back_s + n * 5.0, 1, 0) for n in range(26)))
    assert not gate.code
    assert gate.critical_since is None
    blind = later(closed(), (5, None, None), *((back_s + n * 5.0, None, None) for n in range(122)))
    assert not blind.code


levels = st.sampled_from([None, 1, 2, 4])
swaps = st.none() | st.integers(0, 20 * GIB)
gaps_ms = st.integers(-HOUR_MS, HOUR_MS) | st.integers(0, 60_000)
lives = st.lists(st.tuples(gaps_ms, levels, swaps), max_size=40)


def lived(life: Sequence[tuple[int, int | None, int | None]]) -> tuple[Gate, int]:
    gate, at = Gate(), START
    for gap, level, swapped in life:
        at += gap
        gate = observe(gate, Sample(at, level, swapped), POLICY)
    return gate, at


@given(lives, st.sampled_from([2, 4]), swaps, gaps_ms)
def test_whatever_came_before_pressure_closes_it(
    life: list[tuple[int, int | None, int | None]], level: int, swapped: int | None, gap: int
) -> None:
    """A2.6"""
    gate, at = lived(life)
    assert observe(gate, Sample(at + gap, level, swapped), POLICY).code


@given(lives, st.booleans(), st.booleans())
@example(life=[(0, None, 0), (0, None, 64 * MIB)], levelled=False, counted=False)
def test_whatever_came_before_calm_opens_it_within_two_minutes(
    life: list[tuple[int, int | None, int | None]], levelled: bool, counted: bool
) -> None:
    """A2.6: ten minutes where nothing is known any more, from when the last swapping is long ago;
    and nothing is left of runaway and critical.
    """
    gate, at = lived(life)
    base = life[-1][2] if life and life[-1][2] is not None else 20 * GIB
    blind_ms = (POLICY.memory_blind_s + POLICY.memory_swap_window_s) * 1000 + STEP_MS
    patience_ms = TWO_MINUTES_MS if levelled or counted else blind_ms
    level, swapped = (1 if levelled else None), (base if counted else None)
    for after in range(STEP_MS, round(patience_ms) + 1, STEP_MS):
        gate = observe(gate, Sample(at + after, level, swapped), POLICY)
    assert (gate.code, gate.critical_since) == ("", None)
    assert not gate.runaway


@given(lives)
def test_what_is_remembered_is_little(life: list[tuple[int, int | None, int | None]]) -> None:
    """A limit on everything: the gate is folded for months."""
    gate, at = lived(life)
    window_ms = POLICY.memory_swap_window_s * 1000
    assert all(at - each[0] <= window_ms for each in gate.swapped)
    assert len(gate.swapped) <= len(life)
