"""How a training that runs is getting on."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.craft.training_end import Reading
from daemon.craft.training_health import FLOOD, SLOW_TIMES, STALL_S, StepTimes, concerns

WELL = Reading(device="mps", trained=True, step=30, steps=990, loss=0.1)


def seen(*steps_s: float) -> tuple[StepTimes, float]:
    """After steps that took so long each; and when the last one was seen."""
    times, at_s = StepTimes(), 0.0
    times.seen(0, at_s)
    for step, took_s in enumerate(steps_s, start=1):
        at_s += took_s
        times.seen(step, at_s)
    return times, at_s


@pytest.mark.parametrize(
    ("reading", "slower", "codes"),
    [
        (WELL, 1.0, []),
        (replace(WELL, fallbacks=FLOOD - 1), SLOW_TIMES, []),
        (replace(WELL, fallbacks=FLOOD), 0.0, ["FALLBACK_FLOOD"]),
        (replace(WELL, loss=0.0009), 0.0, ["LOSS_TINY"]),
        (replace(WELL, loss=0.0009, step=990), 0.0, []),
        (replace(WELL, loss=float("nan")), 0.0, []),
        (WELL, 1.7, ["TRAINING_SLOW"]),
    ],
)
def test_what_is_wrong_without_ending_it_is_said(
    reading: Reading, slower: float, codes: list[str]
) -> None:
    """A1.5, D2.4, A5.1."""
    found = list(concerns(reading, slower))
    assert [code for code, _ in found] == codes
    assert all(text.endswith(".") for _, text in found)


@given(st.floats(0.05, 60), st.integers(2, 40))
def test_steady_steps_never_stall(step_s: float, count: int) -> None:
    times, at_s = seen(*[step_s] * count)
    assert times.stalled_s(at_s + 0.999 * max(STALL_S, 5 * step_s)) == 0


@given(st.floats(0.05, 60), st.integers(2, 40), st.floats(1, 1e6))
def test_steps_that_stay_away_are_a_stall(step_s: float, count: int, more_s: float) -> None:
    """K2.5: by five times the median, and two minutes at the least."""
    times, at_s = seen(*[step_s] * count)
    assert times.stalled_s(at_s + max(STALL_S, 5.001 * step_s) + more_s) > 0


def test_before_two_steps_nothing_is_a_stall() -> None:
    for steps in ((), (400.0,)):
        times, at_s = seen(*steps)
        assert times.stalled_s(at_s + 10_000) == 0


def test_a_slow_start_and_a_slow_save_are_no_slow_down() -> None:
    steps = [90.0, *[10.0] * 99]
    steps[60] = 40.0
    assert seen(*steps)[0].slower() == pytest.approx(1.0)


def test_a_mac_that_grows_hot_is_found_by_its_last_twenty_steps() -> None:
    """A5.1: not by the sixth of them alone."""
    cool, hot = [10.0] * 60, [18.0] * 20
    assert seen(*cool, *hot[:9])[0].slower() < SLOW_TIMES
    assert seen(*cool, *hot)[0].slower() > SLOW_TIMES


def test_of_a_run_that_is_watched_from_its_middle_no_slow_down_is_told() -> None:
    """Whoever begins to watch later has not seen how fast it began."""
    times = StepTimes()
    for step in range(300, 400):
        times.seen(step, 10.0 * step)
    assert times.slower() == 0


def test_steps_that_are_seen_together_share_the_time() -> None:
    one, many = seen(*[2.0] * 60)[0], StepTimes()
    for step in range(0, 61, 3):
        many.seen(step, 2.0 * step)
    assert many.slower() == pytest.approx(one.slower()) == pytest.approx(1.0)
