"""Craft room: a picture's numbers -> is it a picture at all.

Law: a verdict is spoken only where a person would not look twice. A page that is nearly white, or a
night that is nearly black, is a picture as long as something is drawn on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# Measured on 3,800 good pictures (drawn manga pages, photographs, storyboards, untrained weights)
# and 3,000 synthesised faults, then put right by 6,600 and 3,900 that another hand had drawn.

# Nothing brighter than this is drawn on a picture that failed as black (NaN becomes 0 exactly);
# a dead decoder's noise on black stayed below 12. Dark pages have white lines, 76 and more.
_BLACK_HIGH = 16
# A plane of one colour: all but three pixels of a 512 x 768 page have it. A dot has five.
_ONE_COLOUR = 0.99999
# A plane with a decoder's noise of up to 4 levels: the means of its 8 x 8 squares lie within 2.8
# levels, luminance has a deviation of up to 2.7, extremes up to 22 of them apart. The faintest
# good pictures: 7.5 levels (noise all over), 15.2 (a pencil sketch); a starry sky: 31 deviations.
_PLANE_TONES = 5.0
_PLANE_STD = 5.0
_PLANE_DEVIATIONS = 25
# Rounded to whole levels, the least noise looks like stars: up to this range it is noise.
_PLANE_SPREAD = 8
# A patch that covers nearly all is no patch: noise from edge to edge is what was asked for.
_PATCH_SHARE = 0.75
# A wrong VAE: no black, no white, no colour, and yet drawn. From one square to the next fog fades
# by up to 0.13 deviations, pale photographs by 0.18 (0.3 with a floor of 57), noise by more than 1.
# A pencil sketch has paper (a ceiling above 220). A faint ink wash has all of it but hard edges:
# one place in 200 differs from its neighbour by up to 0.08 of the range, of pale photographs by
# 0.11, of washed-out line art by 0.46 and more. What was soft and is washed out is not found.
_WASHED_RANGE = 48
_WASHED_FLOOR = 72
_WASHED_CEILING = 200
_WASHED_SATURATION = 0.15
_WASHED_ROUGHNESS = (0.25, 0.9)
_WASHED_EDGE = 0.3


@dataclass(frozen=True, slots=True)
class PictureStats:
    """What the judge knows of a picture, transparency laid on white.

    ``width`` and ``height`` in pixels, ``mode`` as the file has it (``RGB``, ``L`` …). Of luminance
    (0..255, ITU-R 601): ``mean``, ``std`` and the brightest, ``high``; ``spread`` is the widest
    range of any one channel. ``saturation`` is the mean of HSV's, ``one_colour`` the share of the
    commonest colour (both 0..1). ``perceptual_hash``: 16 hexadecimal digits, the signs of an 8 x 8
    field of horizontal differences (dHash). A thousandth of the pixels is darker than ``floor``, a
    thousandth brighter than ``ceiling``; one place in 200 differs from a neighbour by more than
    ``edge``. Of the mean luminance of squares of 8 x 8 pixels: ``tone_range`` from the lowest to
    the highest, ``roughness`` by how many of their standard deviations neighbours differ on
    average. The share of the picture (0..1) under whole patches of at least 64 x 64 pixels:
    ``noise_patch`` of coloured noise, ``repeated_patch`` of one noisy tile again and again,
    ``black_patch`` of exact black with the edges of a decoder's squares.
    """

    width: int
    height: int
    mode: str
    mean: float
    std: float
    high: int
    spread: int
    saturation: float
    one_colour: float
    perceptual_hash: str
    floor: int
    ceiling: int
    edge: int
    tone_range: float
    roughness: float
    noise_patch: float
    repeated_patch: float
    black_patch: float


@dataclass(frozen=True, slots=True)
class PictureDistance:
    """By how much two pictures differ. ``identical``: of one size and equal in every pixel as it is
    seen, in eight bits a channel and with transparency laid on white.

    ``mean_difference`` is the mean absolute difference of a channel's levels (0..255; 255 where the
    sizes differ), ``hash_distance`` in how many of 64 places their perceptual hashes differ.
    """

    identical: bool
    mean_difference: float
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

    Codes: WRONG_SIZE, BLACK_OR_GRAY, CORRUPTED, WASHED_OUT. What to check first is
    ``craft.diagnosis``'s.
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
    if _is_plane(stats):
        return "BLACK_OR_GRAY", (
            "The picture is a plane of one colour: nothing is drawn on it"
            f" (mean luminance {stats.mean:.0f} of 255, spread {stats.spread})."
        )
    share, what = max(
        (stats.noise_patch, "coloured noise"),
        (stats.repeated_patch, "one noisy tile, repeated"),
        (stats.black_patch, "exact black, cut out of the drawing in whole squares of 8 pixels"),
    )
    if 0 < share <= _PATCH_SHARE:
        return "CORRUPTED", f"{share:.1%} of the picture is a patch of {what}."
    if _is_washed_out(stats):
        return "WASHED_OUT", (
            "The picture is washed out: it has no black, no white and no colour (luminance"
            f" {stats.floor} to {stats.ceiling} of 255, saturation {stats.saturation:.2f})."
        )
    return "", "The picture is fine."


def _is_plane(stats: PictureStats) -> bool:
    """One colour, or noise about it. Stars on a black sky are far apart from it, and not many."""
    return stats.one_colour >= _ONE_COLOUR or (
        stats.tone_range <= _PLANE_TONES
        and stats.std <= _PLANE_STD
        and stats.spread <= max(_PLANE_SPREAD, _PLANE_DEVIATIONS * stats.std)
    )


def _is_washed_out(stats: PictureStats) -> bool:
    """Only all at once: fog and washes are flat but soft, a sketch is pale but has paper."""
    least, most = _WASHED_ROUGHNESS
    return (
        stats.ceiling - stats.floor < _WASHED_RANGE
        and stats.floor >= _WASHED_FLOOR
        and stats.ceiling <= _WASHED_CEILING
        and stats.saturation < _WASHED_SATURATION
        and least <= stats.roughness <= most
        and stats.edge >= _WASHED_EDGE * (stats.ceiling - stats.floor)
    )
