"""Rehearsal room: the figure of a storyboard, a jointed dummy with a drawn head.

Points are in heights of the figure, as daemon.rehearsal.poses has them.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from random import Random

from PIL import ImageDraw

from daemon.rehearsal.palette import (
    BLUE,
    CLOTH,
    INK,
    SHADE,
    SLEEVE,
    TROUSERS,
    TROUSERS_FAR,
    WHITE,
    Color,
)
from daemon.rehearsal.poses import POSES, Point

# Draws a part in a colour, grown by that many pixels; grown in ink it is the outline.
Shape = Callable[[float, Color], None]


class Figure:
    """One figure on a canvas. ``at`` turns a point of the figure into pixels."""

    def __init__(
        self,
        pen: ImageDraw.ImageDraw,
        *,
        pose: str,
        foot: Point,
        height: float,
        facing: int,
        chance: Random,
    ) -> None:
        self.pen = pen
        self.height = height
        self.facing = facing
        self.chance = chance
        self.joints = POSES[pose]
        self._foot = foot
        self._line = max(2.0, height * 0.0035 + 1.5)

    def at(self, point: Point) -> Point:
        """Pixels of a point of the figure."""
        x, y = point
        return self._foot[0] + self.facing * x * self.height, self._foot[1] - (1 - y) * self.height

    def draw(self, *, cloak: bool, blade: bool) -> None:
        """Draws it from back to front, each part with its outline."""
        far, near = self.joints["far"], self.joints["near"]
        if cloak:
            self._cloak()
        self._part([self._arm(far)], SLEEVE)
        self._part([self._leg(far)], TROUSERS_FAR)
        self._part([self._leg(near)], TROUSERS)
        self._part([self._neck()], SHADE)
        self._part([self._torso()], CLOTH)
        if blade:
            self._part([self._blade()], SHADE)
        self._part([self._arm(near)], CLOTH)
        self._part([self._hand(near[2])], WHITE)
        self._head()

    def _part(self, shapes: Sequence[Shape], fill: Color) -> None:
        for shape in shapes:
            shape(self._line, INK)
        for shape in shapes:
            shape(0, fill)

    def _limb(self, points: Sequence[Point], radii: Sequence[float]) -> Shape:
        def shape(grow: float, color: Color) -> None:
            sizes = [radius * self.height + grow for radius in radii]
            for (a, ra), (b, rb) in pairwise(zip(map(self.at, points), sizes, strict=True)):
                self._capsule(a, ra, b, rb, color)

        return shape

    def _capsule(self, a: Point, ra: float, b: Point, rb: float, color: Color) -> None:
        angle = math.atan2(b[1] - a[1], b[0] - a[0]) + math.pi / 2
        dx, dy = math.cos(angle), math.sin(angle)
        corners = [
            (a[0] + dx * ra, a[1] + dy * ra),
            (b[0] + dx * rb, b[1] + dy * rb),
            (b[0] - dx * rb, b[1] - dy * rb),
            (a[0] - dx * ra, a[1] - dy * ra),
        ]
        self.pen.polygon(corners, fill=color)
        for (x, y), r in ((a, ra), (b, rb)):
            self.pen.ellipse((x - r, y - r, x + r, y + r), fill=color)

    def _arm(self, side: Sequence[Point]) -> Shape:
        return self._limb(side[0:3], (0.034, 0.025, 0.021))

    def _leg(self, side: Sequence[Point]) -> Shape:
        foot = side[5]
        toe = (foot[0] + 0.05, foot[1] + 0.012)
        return self._limb([*side[3:6], toe], (0.052, 0.036, 0.024, 0.018))

    def _hand(self, at: Point) -> Shape:
        return self._limb([at, at], (0.022, 0.022))

    def _neck(self) -> Shape:
        head, neck = self.joints["head"]
        return self._limb([neck, head], (0.028, 0.028))

    def _torso(self) -> Shape:
        far, near = self.joints["far"], self.joints["near"]
        hips = _between(far[3], near[3])
        middle = _between(far[0], near[0])
        parts = [
            self._limb([far[0], near[0]], (0.034, 0.034)),
            self._limb([middle, _between(middle, hips, 0.35), hips], (0.062, 0.088, 0.07)),
        ]

        def shape(grow: float, color: Color) -> None:
            for part in parts:
                part(grow, color)

        return shape

    def _cloak(self) -> None:
        """A cloak that hangs from both shoulders and swings back, against the way it faces."""
        left, right = sorted((self.joints["far"][0], self.joints["near"][0]))
        drop, sweep = self.chance.uniform(0.46, 0.6), self.chance.uniform(0.18, 0.32)
        steps = [i / 12 for i in range(13)]
        hem = [
            (
                left[0] - sweep * (1 - t) - 0.03 + t * (right[0] - left[0] + 0.1),
                left[1] + drop * (0.9 + 0.1 * t + 0.05 * math.sin(t * 17)),
            )
            for t in steps
        ]
        collar = [(right[0] + 0.03, right[1] - 0.04), (left[0] - 0.03, left[1] - 0.04)]
        spots = [self.at(point) for point in (*collar, *hem)]
        self.pen.polygon(spots, fill=WHITE)
        outline = [*spots, spots[0]]
        self.pen.line(outline, fill=INK, width=round(2 * self._line), joint="curve")
        top = self.at(_between(left, right))
        for fold in (3, 6, 9):
            self.pen.line([top, spots[2 + fold]], fill=INK, width=max(1, round(self._line * 0.6)))

    def _blade(self) -> Shape:
        hand = self.joints["near"][2]
        tip = (hand[0] + 0.3, hand[1] - 0.55)
        guard = _between(hand, tip, 0.12)
        grip = self._limb([hand, guard], (0.012, 0.012))
        steel = self._limb([guard, _between(guard, tip, 0.9), tip], (0.034, 0.03, 0.002))

        def shape(grow: float, color: Color) -> None:
            grip(grow, color)
            steel(grow, color)

        return shape

    def _head(self) -> None:
        x, y = self.at(self.joints["head"][0])
        rx, ry = 0.064 * self.height, 0.078 * self.height
        line, turn = self._line, self.facing * 0.12
        jaw = [
            (-0.98, 0.0),
            (-0.6, 0.66),
            (turn - 0.1, 1.0),
            (turn + 0.1, 1.0),
            (0.6, 0.66),
            (0.98, 0.0),
        ]
        spots = [(x + rx * jx, y + ry * jy) for jx, jy in jaw]
        skull = (x - rx, y - ry, x + rx, y + ry * 0.7)
        self.pen.ellipse(_grown(skull, line), INK)
        self.pen.line(spots, INK, round(2 * line), joint="curve")
        self.pen.ellipse(skull, WHITE)
        self.pen.polygon(spots, WHITE)
        if rx > 9:
            self._face(x, y, rx, ry)
        self._hair(x, y, rx, ry)

    def _face(self, x: float, y: float, rx: float, ry: float) -> None:
        thin = max(1, round(self._line * 0.5))
        turn = self.facing * rx * 0.22
        eyes = y + ry * 0.22
        self.pen.line([(x - rx, eyes), (x + rx, eyes)], BLUE, thin)
        first = -90 if self.facing > 0 else 90
        bow = (x - abs(turn), y - ry, x + abs(turn), y + ry)
        self.pen.arc(bow, first, first + 180, BLUE, thin)
        for side in (-1, 1):
            ex = x + turn + side * rx * 0.42
            w, h = rx * (0.15 if side == self.facing else 0.18), ry * 0.18
            self.pen.ellipse((ex - w, eyes - h, ex + w, eyes + h), INK)
            self.pen.line([(ex - w * 1.5, eyes - h), (ex + w * 1.5, eyes - h * 1.1)], INK, thin * 2)
            self.pen.ellipse((ex - w * 0.5, eyes - h * 0.7, ex + w * 0.3, eyes - h * 0.1), WHITE)
        mouth = (x + turn - rx * 0.16, y + ry * 0.74)
        self.pen.line([mouth, (mouth[0] + rx * 0.32, mouth[1] - ry * 0.02)], INK, thin)

    def _hair(self, x: float, y: float, rx: float, ry: float) -> None:
        outer = []
        spikes = 15
        for i in range(spikes):
            angle = math.radians(192 + i * 156 / (spikes - 1))
            reach = 1.08 if i % 2 else self.chance.uniform(1.25, 1.55)
            outer.append((x + math.cos(angle) * rx * reach, y + math.sin(angle) * ry * reach))
        fringe = []
        for i in range(9):
            t = i / 8
            low = 0.0 if i % 2 else self.chance.uniform(-0.5, -0.3)
            fringe.append((x + rx * (1.04 - 2.08 * t), y + ry * (low + 0.05)))
        locks = [(x + rx * 1.05, y + ry * 0.45), *fringe, (x - rx * 1.05, y + ry * 0.45)]
        self.pen.polygon([*outer, *locks], INK)


def _between(a: Point, b: Point, share: float = 0.5) -> Point:
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share


def _grown(box: tuple[float, float, float, float], by: float) -> tuple[float, float, float, float]:
    return box[0] - by, box[1] - by, box[2] + by, box[3] + by
