"""A training is cut into epochs: whole ones, each as near to the asked distance as may be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.policy import Policy, default_training_steps
from daemon.craft.schedule import Schedule, schedule

POLICY = Policy()

images = st.integers(1, POLICY.max_images)
asked = st.integers(0, POLICY.max_training_steps)
distances = st.integers(10, 5_000)
accumulations = st.integers(1, POLICY.max_gradient_accumulation)


def cut(
    images: int,
    steps: int,
    save_every: int = 200,
    accumulation: int = 1,
    *,
    beside: bool = False,
) -> Schedule:
    return schedule(
        POLICY,
        images=images,
        steps=steps,
        save_every=save_every,
        accumulation=accumulation,
        beside=beside,
    )


@pytest.mark.parametrize(
    ("given", "repeats", "epoch_steps", "epochs", "steps"),
    [
        ((18, 1000), 11, 198, 5, 990),
        ((18, 0), 11, 198, 6, 1188),
        ((8, 0), 25, 200, 4, 800),
        ((300, 1000), 1, 300, 3, 900),
        ((18, 100), 6, 108, 1, 108),
        ((18, 1000, 200, 4), 44, 198, 5, 990),
        ((7, 10, 10, 8), 11, 10, 1, 10),
    ],
)
def test_a_training_is_cut_into_a_checkpoint_per_epoch_of_about_200_steps(
    given: tuple[int, ...], repeats: int, epoch_steps: int, epochs: int, steps: int
) -> None:
    """D2.2."""
    plan = cut(*given)
    assert (plan.repeats, plan.epoch_steps, plan.epochs) == (repeats, epoch_steps, epochs)
    assert plan.steps == steps


@given(images, asked, distances, accumulations)
def test_an_epoch_has_the_steps_that_the_trainer_makes_of_its_pictures(
    images: int, steps: int, save_every: int, accumulation: int
) -> None:
    """A last group that is short still makes a step."""
    plan = cut(images, steps, save_every, accumulation)
    pictures = images * plan.repeats
    assert plan.epoch_steps == len(range(0, pictures, accumulation))
    assert min(plan.repeats, plan.epochs) >= 1


@given(images, asked, distances, accumulations)
def test_no_other_number_of_repeats_is_nearer_to_the_asked_distance(
    images: int, steps: int, save_every: int, accumulation: int
) -> None:
    """D2.2: a crash costs one epoch, so its length is what the maker asked for."""
    plan = cut(images, steps, save_every, accumulation)
    wanted = min(save_every, steps or default_training_steps(POLICY, images=images))

    def distance(repeats: int) -> float:
        return abs(images * repeats / accumulation - wanted)

    others = [repeats for repeats in (plan.repeats - 1, plan.repeats + 1) if repeats >= 1]
    assert all(distance(plan.repeats) <= distance(other) + 1e-9 for other in others)


@given(images, asked, distances, accumulations)
def test_the_steps_are_the_nearest_that_whole_epochs_can_make(
    images: int, steps: int, save_every: int, accumulation: int
) -> None:
    """D2.1: where none were asked for, the policy's."""
    plan = cut(images, steps, save_every, accumulation)
    wanted = steps or default_training_steps(POLICY, images=images)
    limits = (POLICY.max_default_training_steps, POLICY.overfit_training_steps - 1)
    kept = any(wanted <= limit < plan.steps + plan.epoch_steps for limit in limits)
    assert abs(plan.steps - wanted) <= plan.epoch_steps / 2 or plan.epochs == 1 or kept


@given(st.integers(10, 300), st.integers(100, 1999), st.integers(10, 400))
def test_rounding_up_passes_no_limit_that_the_asked_number_keeps(
    images: int, steps: int, save_every: int
) -> None:
    """W21: 23 pictures by default are not more than 1200 steps, and 1999 are not overfit ones."""
    plan = cut(images, steps, save_every, 1)
    for limit in (POLICY.max_default_training_steps, POLICY.overfit_training_steps - 1):
        assert plan.steps <= limit or steps > limit or plan.epochs == 1
