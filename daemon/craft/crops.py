"""Craft room: cutting a reference sheet, and the captions that a picture begins its life with.

Law: nothing is enlarged. What is smaller than the trainer's 512 pixels is said (K4.2).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

FEWEST, MOST = 4, 10  # D1.1 says 4-6, K4.2 says 6-10.
LEAST_SIDE = 512
PLACEHOLDERS = "FEATURES, {framing}, POSE, BACKGROUND"
"""What a caption needs beside its trigger (K5.3), in capitals as long as nobody has written it."""
_ENOUGH = 6
# Height by width: a standing figure is two to five times as tall as wide, a bust about square.
_FULL_BODY, _UPPER_BODY = 1.7, 1.15
_EMBEDDING = re.compile(r"embedding:[^\s,()]+", re.IGNORECASE)
_WEIGHT = re.compile(r"(:[ \d.]+)?(?<!\\)\)|(?<!\\)\(")


@dataclass(frozen=True, slots=True)
class Area:
    """A part of a picture in pixels, from its upper left corner."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Sheet:
    """A picture as it is seen upright, and the parts of it that background lies around, in the
    order in which people read.
    """

    width: int
    height: int
    areas: Sequence[Area]


@dataclass(frozen=True, slots=True)
class Crop:
    """A part that becomes the picture ``name``.png."""

    name: str
    framing: str
    area: Area


def proposed(sheet: Sheet, *, stem: str) -> Sequence[Crop]:
    """At most ``MOST`` crops with guesses at their framing; the whole sheet where nothing parts it.

    From figures that are large enough a second picture is taken, of their upper half, until there
    are enough.
    """
    whole = Area(0, 0, sheet.width, sheet.height)
    areas = _largest(sheet.areas or [whole])
    framed = [(framing(area), area) for area in areas]
    halves = [
        ("upper body", Area(area.x, area.y, area.width, area.height // 2))
        for shot, area in framed
        if shot == "full body" and min(area.width, area.height // 2) >= LEAST_SIDE
    ]
    framed += halves[: max(0, _ENOUGH - len(framed))]
    counts: dict[str, int] = {}
    crops = []
    for shot, area in framed:
        counts[shot] = counts.get(shot, 0) + 1
        crops.append(Crop(f"{stem}_{shot.replace(' ', '_')}_{counts[shot]}", shot, area))
    return crops


def framing(area: Area) -> str:
    """What a part of this shape mostly shows."""
    ratio = area.height / area.width
    if ratio >= _FULL_BODY:
        return "full body"
    return "upper body" if ratio >= _UPPER_BODY else "face"


def too_small(crops: Iterable[Crop]) -> Sequence[Crop]:
    """Those that the trainer would enlarge."""
    return [crop for crop in crops if min(crop.area.width, crop.area.height) < LEAST_SIDE]


def skeleton(trigger: str, framing: str) -> str:
    """A caption of which a person has to write the rest."""
    return f"{trigger}, {PLACEHOLDERS.format(framing=framing)}"


def caption_of(prompt: str) -> str:
    """A prompt's words as a caption: one line without embeddings, weights and their escapes."""
    bare = re.sub(r"\\([()])", r"\1", _WEIGHT.sub("", _EMBEDDING.sub("", prompt)))
    return ", ".join(filter(None, (" ".join(tag.split()) for tag in bare.split(","))))


def _largest(areas: Sequence[Area]) -> Sequence[Area]:
    """Not more than may be cut, in their own order."""
    by_size = sorted(areas, key=lambda area: area.width * area.height, reverse=True)[:MOST]
    return [area for area in areas if area in by_size]
