"""Verdicts on pictures: what is refused, and above all what is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from daemon.craft.diagnosis import first_check
from daemon.craft.picture import PictureStats, distance, judge

# A page with ink, paper and grey tones, as measured from drawn ones.
PAGE = PictureStats(
    width=512,
    height=768,
    mode="RGB",
    mean=210.0,
    std=70.0,
    high=255,
    spread=255,
    saturation=0.0,
    one_colour=0.7,
    perceptual_hash="00ff00ff00ff00ff",
    floor=0,
    ceiling=255,
    edge=200,
    tone_range=250.0,
    roughness=0.3,
    noise_patch=0.0,
    repeated_patch=0.0,
    black_patch=0.0,
)
# What a wrong VAE makes of it.
PALE = replace(PAGE, mean=140, std=12, high=190, saturation=0.06, floor=115, ceiling=155, edge=20)


def code(stats: PictureStats) -> str:
    return judge(stats, width=512, height=768).code


def test_a_page_is_a_picture_and_its_scores_are_few_and_short() -> None:
    verdict = judge(replace(PAGE, mean=210.123456), width=512, height=768)
    assert verdict.ok
    assert verdict.code == ""
    assert verdict.scores == {"mean": 210.1, "std": 70.0, "saturation": 0.0}


@pytest.mark.parametrize("high", [0, 3, 16])
def test_a_picture_without_one_bright_pixel_is_black(high: int) -> None:
    """A3.1: NaN in the decoder becomes an all-black PNG that the engine calls a success."""
    black = replace(PAGE, mean=0.5, std=0.4, high=high, spread=high)
    assert code(black) == "BLACK_OR_GRAY"


@pytest.mark.parametrize("mean", [0.0, 64.0, 127.0, 200.0, 255.0])
def test_a_plane_of_one_colour_is_no_picture(mean: float) -> None:
    """A3.1"""
    level = int(mean)
    plane = replace(PAGE, mean=mean, std=0.0, high=level, spread=0, saturation=0.0, one_colour=1.0)
    assert code(plane) == "BLACK_OR_GRAY"


def test_a_noisy_gray_plane_is_no_picture() -> None:
    """A3.1"""
    noisy = replace(PAGE, mean=128.0, std=1.5, high=146, spread=36)
    noisy = replace(noisy, one_colour=0.2, tone_range=1.2)
    assert code(noisy) == "BLACK_OR_GRAY"


def test_a_plane_with_a_few_broken_pixels_is_still_a_plane() -> None:
    """A3.1"""
    assert code(replace(PAGE, mean=127.0, std=0.3, one_colour=0.999995)) == "BLACK_OR_GRAY"


def test_a_white_page_with_one_thin_line_is_a_picture() -> None:
    one_line = 1 / 768
    page = replace(PAGE, mean=254.7, std=9.2, saturation=0.0, one_colour=1 - one_line)
    assert code(page) == ""


def test_a_night_with_one_lantern_is_a_picture() -> None:
    night = replace(PAGE, mean=4.0, std=9.0, high=180, spread=190, one_colour=0.9)
    assert code(night) == ""


def test_a_sky_with_nothing_but_small_stars_is_a_picture() -> None:
    """A3.1: in the means of squares a few stars are as little as a decoder's noise."""
    sky = replace(PAGE, mean=0.1, std=1.5, high=90, spread=90, one_colour=0.9995, tone_range=2.0)
    assert code(sky) == ""


def test_a_tone_all_over_is_a_picture() -> None:
    """A3.1: every square of a screentone has the same mean, and yet it is black and white."""
    assert code(replace(PAGE, std=110.0, tone_range=0.5, one_colour=0.6)) == ""


@pytest.mark.parametrize("patch", ["noise_patch", "repeated_patch", "black_patch"])
def test_a_patch_of_garbage_is_a_corrupted_picture_and_its_share_is_told(patch: str) -> None:
    """A3.1"""
    verdict = judge(replace(PAGE, **{patch: 0.042}), width=512, height=768)  # type: ignore[arg-type]
    assert verdict.code == "CORRUPTED"
    assert "4.2% of the picture" in verdict.text


def test_noise_all_over_was_asked_for() -> None:
    """A3.1"""
    assert code(replace(PAGE, noise_patch=1.0)) == ""


def test_a_picture_without_black_white_or_colour_is_washed_out() -> None:
    """A3.1, M1.3"""
    assert code(PALE) == "WASHED_OUT"
    assert "VAE" in first_check("WASHED_OUT")


@pytest.mark.parametrize(
    "change",
    [
        {"floor": 60, "ceiling": 100},
        {"ceiling": 205, "floor": 165},
        {"floor": 80, "ceiling": 160},
        {"saturation": 0.4},
        {"roughness": 0.13},
        {"roughness": 1.1},
        {"edge": 11},
    ],
    ids=["a dark figure", "paper", "contrast", "colour", "fog", "grain", "a wash"],
)
def test_a_pale_picture_that_has_any_one_of_them_is_left_alone(change: dict[str, float]) -> None:
    """A3.1, M1.3"""
    assert code(replace(PALE, **change)) == ""  # type: ignore[arg-type]


def test_another_size_than_asked_for_is_said_with_both_sizes() -> None:
    verdict = judge(PAGE, width=768, height=512)
    assert verdict.code == "WRONG_SIZE"
    assert "512x768" in verdict.text
    assert "768x512 was asked for" in verdict.text


def test_distance_counts_the_places_in_which_hashes_differ() -> None:
    assert distance("00ff00ff00ff00ff", "00ff00ff00ff00ff") == 0
    assert distance("0000000000000000", "000000000000000f") == 4
    assert distance("0000000000000000", "ffffffffffffffff") == 64
