"""Rehearsal room: the picture inside a storyboard frame: a place, its weather, and a figure.

Its law: it follows from the words of the prompt and from one seeded chance, and from nothing else.
What no word stages is left to the writing beside the picture.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from PIL import Image, ImageChops, ImageDraw, ImageOps

from daemon.rehearsal.figure import BLUE, DUSK, INK, PAPER, SHADE, TONE, WHITE, Color, Figure, Point

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
_CITY = ("city", "street", "alley", "building", "rooftop", "urban", "town", "skyscraper")
_NOBODY = ("no humans", "scenery", "landscape only", "empty room", "background only")


@dataclass(frozen=True, slots=True)
class Staging:
    """How a panel is staged. ``shown``: share of a standing figure that the panel shows."""

    framing: str
    shown: float
    pose: str
    place: str
    empty: bool
    night: bool
    rain: bool
    cloak: bool


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
        place="city" if says(*_CITY) else "hills",
        empty=says(*_NOBODY),
        night=says("night", "midnight", "dark", "moonlight", "evening"),
        rain=says("rain", "raining", "storm", "downpour"),
        cloak=says("cloak", "cape", "coat", "robe", "mantle"),
    )


def paint(
    staging: Staging, size: tuple[int, int], chance: Random, hint: Image.Image | None
) -> Image.Image:
    """The picture of a panel, ``size`` pixels; with a hint its lines take the figure's place."""
    canvas = Image.new("RGB", (size[0] * _SCALE, size[1] * _SCALE), PAPER)
    scene = _Scene(canvas, staging, chance)
    scene.place()
    if staging.pose != "stand":
        scene.speed_lines()
    if hint is None and not staging.empty:
        scene.figure()
    if staging.rain:
        scene.rain()
    picture = canvas.resize(size, Image.Resampling.LANCZOS)
    return picture if hint is None else _trace(picture, hint)


class _Scene:
    """A place with a horizon, painted from back to front."""

    def __init__(self, canvas: Image.Image, staging: Staging, chance: Random) -> None:
        self.pen = ImageDraw.Draw(canvas)
        self.w, self.h = canvas.size
        self.staging = staging
        self.chance = chance
        self.horizon = self.h * chance.uniform(0.54, 0.68)
        self.focus = (self.w * chance.uniform(0.4, 0.6), self.h * chance.uniform(0.35, 0.5))

    def place(self) -> None:
        (self._night if self.staging.night else self._day)()
        (self._city if self.staging.place == "city" else self._hills)()
        ground = TONE if self.staging.night else SHADE
        self.pen.rectangle((0, self.horizon, self.w, self.h), ground)
        self.pen.line([(0, self.horizon), (self.w, self.horizon)], INK, 4)
        for i in range(-9, 10):
            foot = (self.focus[0] + i * self.w * 0.16, self.h)
            self.pen.line([(self.focus[0], self.horizon), foot], BLUE, 2)

    def _night(self) -> None:
        self.pen.rectangle((0, 0, self.w, self.h), DUSK)
        moon = (self.w * self.chance.choice((0.2, 0.8)), self.h * 0.17)
        self._disc(moon, min(self.w, self.h) * 0.075, WHITE)
        for _ in range(40):
            star = (self.chance.uniform(0, self.w), self.chance.uniform(0, self.horizon))
            self._disc(star, 1.5, WHITE)

    def _day(self) -> None:
        """A screentone that fades towards the horizon."""
        pitch = max(8, self.h // 60)
        for row in range(int(self.horizon / (pitch * 0.866)) + 1):
            y = row * pitch * 0.866
            r = pitch * 0.46 * math.sqrt(max(0.0, 1 - y / self.horizon) * 0.75 + 0.02)
            for x in range(-pitch, self.w + pitch, pitch):
                self._disc((x + row % 2 * pitch / 2, y), r, TONE)

    def _disc(self, middle: Point, r: float, color: Color) -> None:
        x, y = middle
        self.pen.ellipse((x - r, y - r, x + r, y + r), color)

    def _hills(self) -> None:
        for depth, color in ((0.3, TONE), (0.16, SHADE)):
            phase, pace = self.chance.uniform(0, 6), self.chance.uniform(4.8, 9.6)
            waves = [0.55 + 0.45 * math.sin(phase + pace * i / 50) for i in range(51)]
            ridge = [
                (self.w * i / 50, self.horizon - self.h * depth * wave)
                for i, wave in enumerate(waves)
            ]
            self.pen.polygon([(0, self.horizon), *ridge, (self.w, self.horizon)], color)
            self.pen.line(ridge, INK, 3)

    def _city(self) -> None:
        left, step = -self.w * 0.02, max(18, self.w // 34)
        light = PAPER if self.staging.night else INK
        while left < self.w:
            right = left + self.w * self.chance.uniform(0.09, 0.2)
            top = self.horizon - self.h * self.chance.uniform(0.2, 0.5)
            wall = self.chance.choice((TONE, SHADE, DUSK))
            self.pen.rectangle((left, top, right, self.horizon), wall, INK, 3)
            for y in range(int(top) + step, int(self.horizon) - step, step):
                for x in range(int(left) + step, int(right) - step // 2, step):
                    if self.chance.random() < 0.45:
                        self.pen.rectangle((x, y, x + step * 0.35, y + step * 0.5), light)
            left = right + self.w * self.chance.uniform(0.0, 0.03)

    def speed_lines(self) -> None:
        (x, y), reach = self.focus, math.hypot(self.w, self.h)
        color = PAPER if self.staging.night else INK
        for _ in range(90):
            angle = self.chance.uniform(0, 2 * math.pi)
            start = min(self.w, self.h) * self.chance.uniform(0.36, 0.68)
            half = self.chance.uniform(0.002, 0.009)
            spots = [(angle, start), (angle - half, reach), (angle + half, reach)]
            self.pen.polygon([(x + math.cos(a) * r, y + math.sin(a) * r) for a, r in spots], color)

    def rain(self) -> None:
        color = PAPER if self.staging.night else DUSK
        slant = self.chance.uniform(-0.25, -0.08)
        for _ in range(130):
            x, y = self.chance.uniform(0, self.w * 1.2), self.chance.uniform(-40, self.h)
            length = self.h * self.chance.uniform(0.04, 0.11)
            self.pen.line([(x, y), (x + slant * length, y + length)], color, 2)

    def figure(self) -> None:
        shown = self.staging.shown
        height = self.h * 0.9 / shown
        # A standing figure has its soles on the ground; of a closer one the top is fixed, with
        # room for the hair.
        sole = self.h * 0.97 if shown > 1 else self.h * 0.03 + height * 1.045
        sole -= self.h * (0.07 if shown > 2 or self.staging.pose == "leap" else 0)
        foot = (self.w * self.chance.uniform(0.44, 0.56), sole)
        Figure(self.pen, self.staging.pose, foot, height, self.chance).draw(
            cloak=self.staging.cloak
        )


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
