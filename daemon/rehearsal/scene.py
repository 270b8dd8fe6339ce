"""Rehearsal room: the picture inside the frame: place, weather, speed lines and figures."""

import math
from random import Random

from PIL import Image, ImageChops, ImageDraw, ImageOps

from daemon.rehearsal.figure import Figure
from daemon.rehearsal.palette import BLUE, DUSK, INK, PAPER, SHADE, TONE, WHITE
from daemon.rehearsal.staging import Staging

_SCALE = 2


def paint(
    staging: Staging, size: tuple[int, int], chance: Random, hint: Image.Image | None
) -> Image.Image:
    """The picture of a panel, ``size`` pixels; with a hint its lines take the figure's place."""
    canvas = Image.new("RGB", (size[0] * _SCALE, size[1] * _SCALE), PAPER)
    scene = _Scene(canvas, staging, chance)
    scene.place()
    if staging.moving:
        scene.speed_lines()
    if hint is None:
        scene.figures()
    if staging.rain:
        scene.rain()
    picture = canvas.resize(size, Image.Resampling.LANCZOS)
    return picture if hint is None else _trace(picture, hint)


class _Scene:
    def __init__(self, canvas: Image.Image, staging: Staging, chance: Random) -> None:
        self.pen = ImageDraw.Draw(canvas)
        self.w, self.h = canvas.size
        self.staging = staging
        self.chance = chance
        wide = staging.shown > 0.9
        self.horizon = self.h * (chance.uniform(0.56, 0.7) if wide else chance.uniform(0.4, 0.6))
        self.focus = (self.w * chance.uniform(0.4, 0.6), self.h * chance.uniform(0.35, 0.5))

    def place(self) -> None:
        staging = self.staging
        if staging.place != "blank":
            self._sky()
        match staging.place:
            case "room":
                self._room()
            case "city":
                self._ground()
                self._city()
            case "forest":
                self._ground()
                self._forest()
            case "hills":
                self._hills()
                self._ground()
            case _:
                self.pen.line([(0, self.horizon), (self.w, self.horizon)], TONE, 2)

    def _sky(self) -> None:
        if self.staging.night:
            self.pen.rectangle((0, 0, self.w, self.h), DUSK)
            x, r = self.w * self.chance.choice((0.2, 0.8)), min(self.w, self.h) * 0.075
            y = self.h * 0.17
            self.pen.ellipse((x - r, y - r, x + r, y + r), WHITE)
            for _ in range(40):
                sx, sy = self.chance.uniform(0, self.w), self.chance.uniform(0, self.horizon)
                self.pen.ellipse((sx - 1.5, sy - 1.5, sx + 1.5, sy + 1.5), WHITE)
            return
        # A screentone that fades towards the horizon.
        pitch = max(8, self.h // 60)
        rows = int(self.horizon / (pitch * 0.866)) + 1
        for row in range(rows):
            y = row * pitch * 0.866
            r = pitch * 0.46 * math.sqrt(max(0.0, 1 - y / self.horizon) * 0.75 + 0.02)
            for x in range(-pitch, self.w + pitch, pitch):
                cx = x + (pitch / 2 if row % 2 else 0)
                self.pen.ellipse((cx - r, y - r, cx + r, y + r), TONE)

    def _ground(self) -> None:
        ground = TONE if self.staging.night else SHADE
        self.pen.rectangle((0, self.horizon, self.w, self.h), ground)
        self.pen.line([(0, self.horizon), (self.w, self.horizon)], INK, 4)
        vanish = self.focus[0]
        for i in range(-9, 10):
            foot = vanish + i * self.w * 0.16
            self.pen.line([(vanish, self.horizon), (foot, self.h)], BLUE, 2)

    def _hills(self) -> None:
        for depth, color in ((0.3, TONE), (0.16, SHADE)):
            top = self.h * depth
            phase, pace = self.chance.uniform(0, 6), self.chance.uniform(1.2, 2.4)
            ridge = [
                (x, self.horizon - top * (0.55 + 0.45 * math.sin(phase + pace * 4 * x / self.w)))
                for x in range(0, self.w + 16, 16)
            ]
            self.pen.polygon([(0, self.horizon), *ridge, (self.w, self.horizon)], color)
            self.pen.line(ridge, INK, 3)

    def _city(self) -> None:
        x = -self.w * 0.02
        while x < self.w:
            wide, high = (
                self.w * self.chance.uniform(0.09, 0.2),
                self.h * self.chance.uniform(0.2, 0.52),
            )
            box = (x, self.horizon - high, x + wide, self.horizon)
            self.pen.rectangle(box, self.chance.choice((TONE, SHADE, DUSK)), INK, 3)
            light = PAPER if self.staging.night else INK
            step = max(18, self.w // 34)
            for wy in range(int(box[1]) + step, int(self.horizon) - step, step):
                for wx in range(int(x) + step, int(x + wide) - step // 2, step):
                    if self.chance.random() < 0.45:
                        self.pen.rectangle((wx, wy, wx + step * 0.35, wy + step * 0.5), light)
            x += wide + self.w * self.chance.uniform(0.0, 0.03)

    def _forest(self) -> None:
        for depth in (0.3, 0.6, 1.0):
            for _ in range(round(7 / depth)):
                x, r = self.chance.uniform(0, self.w), self.w * 0.022 * depth
                foot = self.horizon + self.h * 0.12 * (depth - 0.3)
                color = (SHADE, TONE, DUSK)[round(depth * 3) - 1]
                self.pen.polygon(
                    [(x - r, 0), (x + r, 0), (x + r * 1.6, foot), (x - r * 1.6, foot)], color, INK
                )

    def _room(self) -> None:
        (x, y), w, h = self.focus, self.w * 0.24, self.h * 0.2
        wall = (x - w, y - h, x + w, y + h)
        corners = [(wall[0], wall[1]), (wall[2], wall[1]), (wall[2], wall[3]), (wall[0], wall[3])]
        ends = [(0.0, 0.0), (self.w, 0.0), (self.w, self.h), (0.0, self.h)]
        self.pen.rectangle((0, 0, self.w, self.h), DUSK if self.staging.night else SHADE)
        self.pen.polygon([corners[3], corners[2], ends[2], ends[3]], TONE)
        self.pen.polygon([corners[0], corners[1], ends[1], ends[0]], WHITE)
        self.pen.rectangle(wall, PAPER, INK, 4)
        for corner, end in zip(corners, ends, strict=True):
            self.pen.line([corner, end], INK, 4)
        window = (x + w * 0.3, y - h * 0.65, x + w * 0.85, y + h * 0.25)
        self.pen.rectangle(window, DUSK if self.staging.night else WHITE, INK, 3)
        for i in range(-4, 5):
            self.pen.line([(x + i * w * 0.25, wall[3]), (x + i * self.w * 0.3, self.h)], BLUE, 2)

    def speed_lines(self) -> None:
        x, y = self.focus
        reach = math.hypot(self.w, self.h)
        clear = min(self.w, self.h) * 0.36
        color = PAPER if self.staging.night else INK
        for _ in range(90):
            angle = self.chance.uniform(0, 2 * math.pi)
            start = clear * self.chance.uniform(1.0, 1.9)
            half = self.chance.uniform(0.002, 0.009)
            tip = (x + math.cos(angle) * start * 1.15, y + math.sin(angle) * start)
            sides = [
                (x + math.cos(angle + turn) * reach, y + math.sin(angle + turn) * reach)
                for turn in (-half, half)
            ]
            self.pen.polygon([tip, *sides], color)

    def rain(self) -> None:
        color = PAPER if self.staging.night else DUSK
        slant = self.chance.uniform(-0.25, -0.08)
        for _ in range(130):
            x, y = self.chance.uniform(0, self.w * 1.2), self.chance.uniform(-40, self.h)
            length = self.h * self.chance.uniform(0.04, 0.11)
            self.pen.line([(x, y), (x + slant * length, y + length)], color, 2)

    def figures(self) -> None:
        count, staging = self.staging.figures, self.staging
        height = self.h * 0.9 / staging.shown
        for i in range(count):
            middle = 0.5 if count == 1 else 0.3 + 0.4 * i
            x = self.w * (middle + self.chance.uniform(-0.06, 0.06))
            facing = self.chance.choice((-1, 1)) if count == 1 else 1 - 2 * i
            # A standing figure has its soles on the ground; of a closer one the top is fixed,
            # with room for the hair.
            sole = self.h * 0.97 if staging.shown > 1 else self.h * 0.03 + height * 1.045
            sole -= self.h * (0.07 if staging.shown > 2 or staging.pose == "leap" else 0)
            figure = Figure(
                self.pen,
                pose=staging.pose,
                foot=(x, sole),
                height=height,
                facing=facing,
                chance=self.chance,
            )
            figure.draw(cloak=staging.cloak, blade=staging.blade)


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
