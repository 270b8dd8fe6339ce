"""Rehearsal room: the picture inside a storyboard frame: hills, rain, and a jointed dummy.

Its law: it follows from the words of the prompt and from one seeded chance, and from nothing else.
What no word stages is left to the writing beside the picture.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from PIL import Image, ImageChops, ImageDraw, ImageOps

Color = tuple[int, int, int]
Point = tuple[float, float]

# Ink, paper, tones between them, and the blue that no printer's camera sees.
PAPER: Color = (244, 241, 233)
WHITE: Color = (252, 251, 248)
SHADE: Color = (196, 196, 198)
TONE: Color = (150, 151, 156)
GREY: Color = (110, 110, 114)
DUSK: Color = (74, 78, 92)
INK: Color = (26, 27, 32)
BLUE: Color = (70, 150, 206)

# Drawn so much larger and then made smaller, for smooth lines.
_SCALE = 2
# Framing to the share of a standing figure, from the top of the head down, that the panel shows.
# Above 1 there is air around the figure. The first entry whose word occurs wins.
_FRAMINGS: Sequence[tuple[str, float, Sequence[str]]] = (
    ("CLOSE-UP", 0.25, ("close-up", "close up", "closeup", "face", "portrait", "headshot")),
    ("UPPER BODY", 0.52, ("upper body", "half body", "bust", "waist up", "cowboy shot")),
    ("WIDE SHOT", 2.3, ("wide shot", "long shot", "very wide", "establishing", "from afar")),
    ("FULL BODY", 1.1, ("full body", "full-body", "standing", "whole body")),
)
_MEDIUM = ("MEDIUM", 1.02)
_MOVING = ("leaping", "leap", "jumping", "jump", "flying", "falling", "running", "fighting")
_NOBODY = ("no humans", "scenery", "landscape only", "empty room", "background only")
# Head, far arm, far leg, trunk, near leg, near arm, in heights of a standing figure: x to the
# right of its middle, y from the top of its head down to the soles.
_POSES: Mapping[str, Sequence[Sequence[Point]]] = {
    "stand": (
        ((0.005, 0.085),),
        ((-0.1, 0.215), (-0.14, 0.35), (-0.115, 0.49)),
        ((-0.05, 0.5), (-0.07, 0.74), (-0.09, 0.97), (-0.05, 0.98)),
        ((0.0, 0.23), (0.0, 0.36), (0.0, 0.48)),
        ((0.05, 0.5), (0.085, 0.73), (0.1, 0.97), (0.15, 0.98)),
        ((0.1, 0.215), (0.165, 0.33), (0.075, 0.415)),
    ),
    "leap": (
        ((0.1, 0.1),),
        ((0.14, 0.215), (0.28, 0.16), (0.37, 0.04)),
        ((0.02, 0.49), (0.21, 0.55), (0.15, 0.76), (0.21, 0.77)),
        ((0.055, 0.24), (0.03, 0.36), (-0.01, 0.48)),
        ((-0.05, 0.5), (-0.15, 0.69), (-0.38, 0.77), (-0.37, 0.83)),
        ((-0.03, 0.24), (-0.19, 0.22), (-0.3, 0.1)),
    ),
}
# Colour and half the width of each but the head.
_LIMBS = ((TONE, 0.026), (DUSK, 0.034), (WHITE, 0.085), (GREY, 0.036), (WHITE, 0.027))


@dataclass(frozen=True, slots=True)
class Staging:
    """How a panel is staged. ``shown``: share of a standing figure that the panel shows."""

    framing: str
    shown: float
    pose: str
    empty: bool
    rain: bool


def stage(prompt: str) -> Staging:
    """Reads a prompt for staging; works for any text."""
    text = prompt.lower()

    def says(*words: str) -> bool:
        return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) for word in words)

    framings = ((name, shown) for name, shown, words in _FRAMINGS if says(*words))
    framing, shown = next(framings, _MEDIUM)
    return Staging(
        framing=framing,
        shown=shown,
        pose="leap" if says(*_MOVING) else "stand",
        empty=says(*_NOBODY),
        rain=says("rain", "raining", "storm", "downpour"),
    )


def paint(
    staging: Staging, size: tuple[int, int], chance: Random, hint: Image.Image | None
) -> Image.Image:
    """The picture of a panel, ``size`` pixels; with a hint its lines take the figure's place."""
    width, height = size[0] * _SCALE, size[1] * _SCALE
    canvas = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(canvas)
    _draw_place(pen, width, height, chance)
    if hint is None and not staging.empty:
        _draw_figure(pen, width, height, staging, chance)
    if staging.rain:
        for _ in range(130):
            x, y = chance.uniform(0, width * 1.2), chance.uniform(-40, height)
            fall = height * chance.uniform(0.04, 0.11)
            pen.line([(x, y), (x - fall * 0.18, y + fall)], DUSK, _SCALE)
    picture = canvas.resize(size, Image.Resampling.LANCZOS)
    return picture if hint is None else _trace(picture, hint)


def _draw_place(pen: ImageDraw.ImageDraw, width: int, height: int, chance: Random) -> None:
    """A sun, two ridges of hills, and a ground whose lines run to one point of the horizon."""
    horizon, focus = height * chance.uniform(0.54, 0.68), width * chance.uniform(0.4, 0.6)
    sun = (width * chance.choice((0.2, 0.8)), height * 0.17)
    pen.circle(sun, min(width, height) * 0.09, WHITE, TONE, 2 * _SCALE)
    for depth, color in ((0.3, TONE), (0.16, SHADE)):
        phase, pace = chance.uniform(0, 6), chance.uniform(4.8, 9.6)
        waves = [0.55 + 0.45 * math.sin(phase + pace * i / 50) for i in range(51)]
        ridge = [(width * i / 50, horizon - height * depth * w) for i, w in enumerate(waves)]
        pen.polygon([(0, horizon), *ridge, (width, horizon)], color)
        pen.line(ridge, INK, 3)
    pen.rectangle((0, horizon, width, height), SHADE)
    pen.line([(0, horizon), (width, horizon)], INK, 4)
    for i in range(-9, 10):
        pen.line([(focus, horizon), (focus + i * width * 0.16, height)], BLUE, 2)


def _draw_figure(
    pen: ImageDraw.ImageDraw, width: int, height: int, staging: Staging, chance: Random
) -> None:
    """A jointed dummy, each part with its outline, from back to front."""
    tall = height * 0.9 / staging.shown
    # A standing figure has its soles on the ground; of a closer one the top is fixed.
    sole = height * 0.97 if staging.shown > 1 else height * 0.03 + tall * 1.045
    sole -= height * 0.07 if staging.shown > 2 or staging.pose == "leap" else 0
    middle, facing = width * chance.uniform(0.44, 0.56), chance.choice((-1, 1))
    line = tall * 0.0035 + 1.5
    (head,), *limbs = (
        [(middle + facing * x * tall, sole - (1 - y) * tall) for x, y in joints]
        for joints in _POSES[staging.pose]
    )
    for joints, (fill, reach) in zip(limbs, _LIMBS, strict=True):
        # Grown by a line and in ink, a limb is its own outline.
        for r, color in ((reach * tall + line, INK), (reach * tall, fill)):
            pen.line(joints, color, round(2 * r))
            for joint in joints:
                pen.circle(joint, r, color)
    _draw_head(pen, head, tall * 0.07, facing, round(2 * line))


def _draw_head(pen: ImageDraw.ImageDraw, head: Point, r: float, facing: int, line: int) -> None:
    """A ball with a cap of hair, and the cross with which one begins a face."""
    x, y = head
    pen.circle(head, r, WHITE, INK, line)
    turn = x + facing * r * 0.25
    pen.line([(x - r * 0.85, y + r * 0.3), (x + r * 0.85, y + r * 0.3)], BLUE, max(1, line // 2))
    pen.line([(turn, y - r * 0.2), (turn, y + r * 0.9)], BLUE, max(1, line // 2))
    for side in (-0.4, 0.4):
        pen.circle((turn + side * r, y + r * 0.3), r * 0.11, INK)
    top = r * 1.08
    pen.chord((x - top, y - top, x + top, y + top), 195 - facing * 15, 345 - facing * 15, INK)


def _trace(picture: Image.Image, hint: Image.Image) -> Image.Image:
    """Lays what stands out from the hint's own background over the picture, as a blue tracing."""
    fitted = ImageOps.contain(hint.convert("RGB"), picture.size, Image.Resampling.LANCZOS)
    ground = Image.new("RGB", fitted.size, fitted.getpixel((0, 0)))
    lines = ImageOps.autocontrast(ImageChops.difference(fitted, ground).convert("L"))
    mask = Image.new("L", picture.size)
    mask.paste(lines, ((mask.width - lines.width) // 2, (mask.height - lines.height) // 2))
    veil = Image.blend(picture, Image.new("RGB", picture.size, PAPER), 0.45)
    veil.paste(BLUE, mask=mask)
    return veil
