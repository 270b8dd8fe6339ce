"""What the reference run says of a machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.policy import Policy, deadline_s
from daemon.core.reference import (
    REFERENCE_STEPS,
    curve_of,
    pace_s,
    projected_s,
    reference_run,
    slows_down,
    verdict_of,
)

POLICY = Policy()
LATER = REFERENCE_STEPS - 1
"""The first step of a picture has no length."""


def test_it_is_512_by_512_with_20_steps_of_euler_a_and_one_seed_thrice() -> None:
    """A1.3, S1.2"""
    spec = reference_run(checkpoint="a.safetensors", vae="v.safetensors")
    assert (spec.width, spec.height, spec.steps) == (512, 512, 20)
    assert (spec.sampler, spec.measures, spec.anew) == ("euler_ancestral", "reference", True)
    assert spec.seeds == (spec.seeds[0],) * 3


@pytest.mark.parametrize(
    ("step_s", "verdict"),
    [(1.5, "good"), (8.99, "good"), (9.0, "slow"), (14.99, "slow"), (15.0, "failed")],
)
def test_180_seconds_warn_and_300_fail(step_s: float, verdict: str) -> None:
    """A1.3"""
    assert verdict_of(projected_s([999.0], [step_s] * LATER), POLICY) == verdict


def test_the_first_steps_are_not_the_machines_pace() -> None:
    """Shaders are compiled in them."""
    assert pace_s([30.0, 20.0, 10.0, *[2.0] * 16]) == 2.0


def test_where_no_step_was_heard_the_whole_run_counts() -> None:
    assert projected_s([310.0, 320.0, 330.0], []) == 320.0
    assert projected_s([], []) == 0.0


@pytest.mark.parametrize(
    ("curve", "flagged"),
    [
        ([1.0] * LATER, False),
        ([1.0] * 9 + [1.6] * 10, True),
        ([1.0] * 5 + [3.0] * 14, True),
        ([5.0] * 3 + [1.0] * 16, False),
        ([1.0] * 18 + [9.0], False),
        ([0.01] * 9 + [0.03] * 10, False),
        ([1.0] * 4 + [9.0] * 4, False),
    ],
)
def test_steps_that_are_fast_at_first_and_slower_later_are_flagged(
    curve: list[float], flagged: bool
) -> None:
    """A1.4: not one slow step, not a slow start, not milliseconds, nor half a curve."""
    assert slows_down(curve, POLICY) is flagged


def test_a_run_that_was_not_heard_whole_is_no_part_of_the_curve() -> None:
    assert curve_of([[2.0] * LATER, [1.0] * 5, [4.0] * LATER]) == (3.0,) * LATER
    assert curve_of([[], []]) == ()


@given(st.floats(0, 50), st.integers(8, 96), st.integers(8, 96), st.integers(1, 60))
def test_a_deadline_is_never_shorter_than_three_times_the_calibrated_time(
    seconds: float, width: int, height: int, steps: int
) -> None:
    """N6.3, V3; and never shorter than it was without."""
    pixel_step_s = seconds / (20 * 512 * 512)
    size = {"width": width * 8, "height": height * 8, "steps": steps}
    found = deadline_s(POLICY, **size, pixel_step_s=pixel_step_s)
    takes_s = pixel_step_s * width * 8 * height * 8 * steps
    assert found >= 3 * takes_s * (1 - 1e-9)
    assert found >= deadline_s(POLICY, **size)
