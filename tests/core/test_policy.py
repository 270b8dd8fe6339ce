"""The table of the mission: each number once more, so that nobody changes one in passing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.policy import Policy, deadline_s, default_training_steps

POLICY = Policy()


def test_a_picture_is_at_most_512_by_768_in_sides_of_eight() -> None:
    """A2.1."""
    assert (POLICY.max_area, POLICY.max_side, POLICY.side_multiple) == (393_216, 768, 8)
    assert POLICY.min_side == 64


def test_one_picture_at_a_time_and_one_controlnet() -> None:
    """A2.2, A2.5."""
    assert (POLICY.max_controlnets, POLICY.latent_batch) == (1, 1)


def test_a_training_is_512_with_batch_one() -> None:
    """K2.1, K2.2."""
    assert (POLICY.training_resolution, POLICY.training_batch) == (512, 1)


def test_controlnet_strength_is_065_and_warns_in_bands() -> None:
    """C3.1, C3.2."""
    assert POLICY.controlnet_strength == 0.65
    assert (POLICY.controlnet_recommended_low, POLICY.controlnet_recommended_high) == (0.6, 0.75)
    assert POLICY.controlnet_ignored_below == 0.4
    assert (POLICY.controlnet_warn_above, POLICY.controlnet_strong_above) == (0.8, 0.9)


def test_lora_strength_is_07_and_warns_above_08() -> None:
    """K6.3."""
    assert (POLICY.lora_strength, POLICY.lora_warn_above) == (0.7, 0.8)
    assert POLICY.max_lora_strength == 2.0


@pytest.mark.parametrize(
    ("width", "height", "steps", "expected_s"),
    [
        (512, 768, 20, 120.0),
        (512, 512, 20, 120.0),
        (512, 768, 60, 360.0),
        (512, 512, 60, 240.0),
        (64, 64, 1, 120.0),
    ],
)
def test_the_deadline_grows_with_area_and_steps_but_is_never_below_two_minutes(
    width: int, height: int, steps: int, expected_s: float
) -> None:
    """N6.3, W22."""
    found = deadline_s(POLICY, width=width, height=height, steps=steps)
    assert found == pytest.approx(expected_s)


def test_cold_starts_have_their_own_allowance() -> None:
    """N5.1, N5.3, W22."""
    assert (POLICY.start_allowance_s, POLICY.first_load_allowance_s) == (60.0, 120.0)


def test_history_is_polled_every_two_seconds_and_silence_is_sixty() -> None:
    """N1.3, N5.1, N6.1."""
    assert (POLICY.history_poll_s, POLICY.socket_silence_s) == (2.0, 60.0)
    assert (POLICY.health_poll_s, POLICY.health_limit_s) == (2.0, 60.0)


def test_a_lost_attempt_is_retried_once() -> None:
    """N6."""
    assert POLICY.max_retries == 1


@pytest.mark.parametrize(
    ("images", "steps"), [(1, 800), (8, 800), (10, 1000), (12, 1200), (18, 1200), (300, 1200)]
)
def test_training_steps_are_a_hundred_an_image_within_800_and_1200(images: int, steps: int) -> None:
    """W21, D2.1."""
    assert default_training_steps(POLICY, images=images) == steps


def test_overfitting_starts_at_2000_steps() -> None:
    """W21."""
    assert POLICY.overfit_training_steps == 2000


def test_a_dataset_needs_ten_images_and_wants_fifteen_to_twenty() -> None:
    """K4.1, D1.3."""
    assert (POLICY.fewest_images, POLICY.few_images, POLICY.enough_images) == (10, 15, 20)
    framing = (POLICY.framing_full_body, POLICY.framing_upper_body, POLICY.framing_face)
    assert framing == (0.5, 0.3, 0.2)
    assert POLICY.framing_tolerance == 0.1


def test_checkpoints_come_every_200_steps_and_accumulation_stops_at_eight() -> None:
    """D2.2, K2.3, K2.5, W20."""
    assert (POLICY.save_every_steps, POLICY.max_gradient_accumulation) == (200, 8)


def test_regularization_is_100_to_200_pictures() -> None:
    """D3.1."""
    assert (POLICY.fewest_regularization, POLICY.most_regularization) == (100, 200)


def test_a_training_is_estimated_from_fifty_steps_with_forty_percent_on_top() -> None:
    """A5.1, K3.1."""
    assert (POLICY.probe_steps, POLICY.probe_factor, POLICY.unprobed_factor) == (50, 1.4, 1.5)


def test_the_watermarks_keep_a_training_below_what_is_there() -> None:
    """A1.2, W2."""
    assert (POLICY.mps_high_watermark, POLICY.mps_low_watermark) == (0.9, 0.8)


def test_ten_gigabytes_of_disk_and_one_of_memory_stay_free() -> None:
    """A2.6, and the table's row "disk"."""
    assert (POLICY.min_free_gb, POLICY.memory_reserve_gb) == (10.0, 1.0)
    assert (POLICY.memory_good_samples, POLICY.memory_hold_level) == (3, 2)


def test_a_job_file_is_at_most_16_kib() -> None:
    assert POLICY.max_job_file_bytes == 16_384


@given(st.integers(64, 768), st.integers(64, 768), st.integers(1, 60))
def test_more_work_never_has_less_time(width: int, height: int, steps: int) -> None:
    """N6.3: the deadline is monotone in every argument."""
    here = deadline_s(POLICY, width=width, height=height, steps=steps)
    assert here <= deadline_s(POLICY, width=width + 8, height=height, steps=steps)
    assert here <= deadline_s(POLICY, width=width, height=height, steps=steps + 1)
    tight = replace(POLICY, deadline_s=60.0)
    assert deadline_s(tight, width=width, height=height, steps=steps) <= here
