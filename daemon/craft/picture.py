"""Craft room: a picture's numbers -> is it a picture at all.

Law: a verdict is spoken only where a person would not look twice. A page that is nearly white, or a
night that is nearly black, is a picture as long as something is drawn on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# Nothing brighter than this is drawn on a picture that failed as black (NaN becomes 0 exactly).
_BLACK_HIGH = 16
# A plane of one colour: a noisy decoder stays within this many levels in every channel, ...
_FLAT_RANGE = 10
# ... or all but this share of the pixels (0.02 %: 80 of a 512 x 768 page) have one and the same
# colour. The thinnest page ever drawn, one line of one pixel across, covers 0.13 %.
_ONE_COLOUR = 0.9998
# A wrong or missing VAE: no black, no white, no colour, all at once. Ink alone has a range of 200.
_WASHED_RANGE = 96
_WASHED_STD = 24.0
_WASHED_SATURATION = 0.15


@dataclass(frozen=True, slots=True)
class PictureStats:
    """What the judge knows of a picture, transparency laid on white.

    ``width`` and ``height`` in pixels, ``mode`` as the file has it (``RGB``, ``L`` …). Of luminance
    (0..255, ITU-R 601): ``mean``, ``std`` and the extremes ``low`` and ``high``; ``spread`` is the
    widest range of any one channel. ``saturation`` is the mean of HSV's (0..1), ``dark`` the share
    of pixels with luminance below 16, ``one_colour`` the share of the commonest colour (both 0..1).
    ``perceptual_hash``: 16 hexadecimal digits, the signs of an 8 x 8 field of horizontal
    differences (dHash).
    """

    width: int
    height: int
    mode: str
    mean: float
    std: float
    low: int
    high: int
    spread: int
    saturation: float
    dark: float
    one_colour: float
    perceptual_hash: str


@dataclass(frozen=True, slots=True)
class PictureDistance:
    """By how much two pictures differ. ``identical``: of one size and equal in every decoded pixel.

    ``mean_difference`` is the mean, ``largest`` the largest absolute difference of a channel's
    levels (0..255; 255 both where the sizes differ), ``hash_distance`` in how many of 64 places
    their perceptual hashes differ.
    """

    identical: bool
    mean_difference: float
    largest: int
    hash_distance: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """``code`` is '' when ``ok``; ``text`` says what was seen; ``scores`` are the numbers it was
    judged by, few and rounded, since they go into the ledger.
    """

    ok: bool
    code: str
    text: str
    scores: Mapping[str, float]


def judge(stats: PictureStats, *, width: int, height: int) -> Verdict:
    """Whether it is a picture of the size that was asked for, in pixels.

    Codes: WRONG_SIZE, BLACK_OR_GRAY, WASHED_OUT. What to check first is ``craft.diagnosis``'s.
    """
    code, text = _fault(stats, width=width, height=height)
    scores = {
        "mean": round(stats.mean, 1),
        "std": round(stats.std, 1),
        "saturation": round(stats.saturation, 3),
    }
    return Verdict(not code, code, text, scores)


def distance(one: str, other: str) -> int:
    """In how many of 64 places two perceptual hashes differ; up to 4 look the same to a person."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


def _fault(stats: PictureStats, *, width: int, height: int) -> tuple[str, str]:
    if (stats.width, stats.height) != (width, height):
        return "WRONG_SIZE", (
            f"The picture is {stats.width}x{stats.height}, and {width}x{height} was asked for."
        )
    if stats.high <= _BLACK_HIGH:
        return "BLACK_OR_GRAY", (
            f"The picture is black: its brightest pixel has {stats.high} of 255."
        )
    if stats.spread <= _FLAT_RANGE or stats.one_colour >= _ONE_COLOUR:
        return "BLACK_OR_GRAY", (
            "The picture is a plane of one colour: nothing is drawn on it"
            f" (mean luminance {stats.mean:.0f} of 255, spread {stats.spread})."
        )
    if _is_washed_out(stats):
        return "WASHED_OUT", (
            "The picture is washed out: it has no black, no white and no colour"
            f" (luminance {stats.low} to {stats.high} of 255, saturation {stats.saturation:.2f})."
        )
    return "", "The picture is fine."


def _is_washed_out(stats: PictureStats) -> bool:
    """Only all three at once: fog is flat but has a dark figure, a sketch is pale but has white."""
    return (
        stats.high - stats.low < _WASHED_RANGE
        and stats.std < _WASHED_STD
        and stats.saturation < _WASHED_SATURATION
    )
