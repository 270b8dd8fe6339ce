"""Rehearsal room: the figure of a storyboard, a jointed dummy with a drawn head."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from random import Random

from PIL import ImageDraw

Color = tuple[int, int, int]
Point = tuple[float, float]

# Ink, paper, tones between them, and the blue that no printer's camera sees.
PAPER: Color = (244, 241, 233)
WHITE: Color = (252, 251, 248)
CLOTH: Color = (214, 214, 216)
SHADE: Color = (196, 196, 198)
TONE: Color = (150, 151, 156)
TROUSERS: Color = (92, 96, 110)
GREY: Color = (110, 110, 114)
DUSK: Color = (74, 78, 92)
INK: Color = (26, 27, 32)
BLUE: Color = (70, 150, 206)

# Of each pose: head and neck; the far arm and leg; the near arm and leg. Points are in heights of
# a standing figure: x to the right of its middle, y from the top of its head down to the soles.
_POSES: Mapping[str, Sequence[Sequence[Point]]] = {
    "stand": (
        ((0.005, 0.085), (0.0, 0.175)),
        ((-0.1, 0.215), (-0.14, 0.35), (-0.115, 0.49)),
        ((-0.05, 0.5), (-0.07, 0.74), (-0.09, 0.97)),
        ((0.1, 0.215), (0.165, 0.33), (0.075, 0.415)),
        ((0.05, 0.5), (0.085, 0.73), (0.1, 0.98)),
    ),
    "leap": (
        ((0.1, 0.1), (0.06, 0.185)),
        ((0.14, 0.215), (0.28, 0.16), (0.37, 0.04)),
        ((0.02, 0.49), (0.21, 0.55), (0.15, 0.76)),
        ((-0.03, 0.24), (-0.19, 0.22), (-0.3, 0.1)),
        ((-0.05, 0.5), (-0.15, 0.69), (-0.38, 0.77)),
    ),
}


class Figure:
    """A jointed dummy with a drawn head. ``foot``: where its soles stand, in pixels."""

    def __init__(
        self,
        pen: ImageDraw.ImageDraw,
        pose: str,
        foot: Point,
        height: float,
        chance: Random,
    ) -> None:
        self.pen = pen
        self.joints = _POSES[pose]
        self.foot = foot
        self.height = height
        self.chance = chance
        self.facing = chance.choice((-1, 1))
        self.line = max(2.0, height * 0.0035 + 1.5)

    def at(self, point: Point) -> Point:
        """Pixels of a point of the figure."""
        x, y = point
        return self.foot[0] + self.facing * x * self.height, self.foot[1] - (1 - y) * self.height

    def draw(self, *, cloak: bool) -> None:
        """Draws it from back to front, each part with its outline."""
        spine, far_arm, far_leg, near_arm, near_leg = self.joints
        shoulders, hips = _middle(far_arm[0], near_arm[0]), _middle(far_leg[0], near_leg[0])
        if cloak:
            self._cloak(*sorted((far_arm[0], near_arm[0])))
        arm, leg = (0.034, 0.025, 0.021), (0.052, 0.036, 0.024, 0.018)
        self._limb(TONE, far_arm, arm)
        self._limb(DUSK, [*far_leg, _toe(far_leg[-1])], leg)
        self._limb(TROUSERS, [*near_leg, _toe(near_leg[-1])], leg)
        self._limb(SHADE, spine, (0.028, 0.028))
        chest = _middle(shoulders, _middle(shoulders, hips))
        trunk = [far_arm[0], near_arm[0], shoulders, chest, hips]
        self._limb(CLOTH, trunk, (0.034, 0.034, 0.034, 0.078, 0.066))
        self._limb(CLOTH, near_arm, arm)
        self._limb(WHITE, [near_arm[-1], near_arm[-1]], (0.022, 0.022))
        self._head(*self.at(spine[0]))

    def _limb(self, fill: Color, points: Sequence[Point], radii: Sequence[float]) -> None:
        """A chain of tapering capsules; grown by a line and in ink it is its own outline."""
        spots = [self.at(point) for point in points]
        for grow, color in ((self.line, INK), (0.0, fill)):
            sizes = [radius * self.height + grow for radius in radii]
            for (a, ra), (b, rb) in pairwise(zip(spots, sizes, strict=True)):
                angle = math.atan2(b[1] - a[1], b[0] - a[0]) + math.pi / 2
                dx, dy = math.cos(angle), math.sin(angle)
                sides = [(a, ra), (b, rb), (b, -rb), (a, -ra)]
                self.pen.polygon([(x + dx * r, y + dy * r) for (x, y), r in sides], color)
                for (x, y), r in sides[:2]:
                    self.pen.ellipse((x - r, y - r, x + r, y + r), color)

    def _cloak(self, left: Point, right: Point) -> None:
        """A cloak that hangs from both shoulders and swings back, against the way it faces."""
        drop, sweep = self.chance.uniform(0.46, 0.6), self.chance.uniform(0.18, 0.32)
        wide = right[0] - left[0] + 0.1
        hem = [
            (
                left[0] - sweep * (1 - t) - 0.03 + t * wide,
                left[1] + drop * (0.9 + 0.1 * t + 0.05 * math.sin(t * 17)),
            )
            for t in (i / 12 for i in range(13))
        ]
        collar = [(right[0] + 0.03, right[1] - 0.04), (left[0] - 0.03, left[1] - 0.04)]
        spots = [self.at(point) for point in (*collar, *hem)]
        self.pen.polygon(spots, fill=WHITE)
        self.pen.line([*spots, spots[0]], INK, round(2 * self.line), joint="curve")
        for fold in spots[5:12:3]:
            self.pen.line([self.at(_middle(left, right)), fold], INK, round(self.line * 0.6))

    def _head(self, x: float, y: float) -> None:
        rx, ry = 0.064 * self.height, 0.078 * self.height
        turn = self.facing * 0.12
        jaw = [(-0.98, 0.0), (-0.6, 0.66), (turn - 0.1, 1.0)]
        jaw += [(turn + 0.1, 1.0), (0.6, 0.66), (0.98, 0.0)]
        spots = [(x + rx * jx, y + ry * jy) for jx, jy in jaw]
        self.pen.ellipse((x - rx, y - ry, x + rx, y + ry * 0.7), WHITE, INK, round(self.line))
        self.pen.polygon(spots, WHITE)
        self.pen.line(spots, INK, round(1.6 * self.line), joint="curve")
        if rx > 9:
            self._face(x + self.facing * rx * 0.22, y + ry * 0.22, rx, ry)
        self._hair(x, y, rx, ry)

    def _face(self, x: float, y: float, rx: float, ry: float) -> None:
        """The eyes' line and the face's middle in blue, as one begins a head; eyes and mouth."""
        thin = max(1, round(self.line * 0.5))
        self.pen.line([(x - rx * 0.7, y), (x + rx * 0.7, y)], BLUE, thin)
        self.pen.line([(x, y - ry), (x, y + ry * 0.7)], BLUE, thin)
        for side in (-1, 1):
            ex, w, h = x + side * rx * 0.42, rx * (0.165 - 0.015 * side * self.facing), ry * 0.18
            self.pen.ellipse((ex - w, y - h, ex + w, y + h), INK)
            self.pen.line([(ex - w * 1.5, y - h), (ex + w * 1.5, y - h * 1.1)], INK, thin * 2)
            self.pen.ellipse((ex - w * 0.5, y - h * 0.7, ex + w * 0.3, y - h * 0.1), WHITE)
        self.pen.line([(x - rx * 0.16, y + ry * 0.52), (x + rx * 0.16, y + ry * 0.5)], INK, thin)

    def _hair(self, x: float, y: float, rx: float, ry: float) -> None:
        """Spikes over the skull from ear to ear, and a fringe back across the forehead."""
        shape = [(-1.05, 0.45)]
        for i in range(15):
            angle = math.radians(192 + i * 156 / 14)
            reach = 1.08 if i % 2 else self.chance.uniform(1.25, 1.55)
            shape.append((math.cos(angle) * reach, math.sin(angle) * reach))
        shape.append((1.05, 0.45))
        for i in range(9):
            low = 0.0 if i % 2 else self.chance.uniform(-0.5, -0.3)
            shape.append((1.04 - 2.08 * i / 8, low + 0.05))
        self.pen.polygon([(x + rx * hx, y + ry * hy) for hx, hy in shape], INK)


def _middle(a: Point, b: Point) -> Point:
    return (a[0] + b[0]) / 2, (a[1] + b[1]) / 2


def _toe(foot: Point) -> Point:
    return foot[0] + 0.05, foot[1] + 0.012
