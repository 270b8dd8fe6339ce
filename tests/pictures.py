"""Drawn pictures: what a manga's pages look like, and what a failing engine makes of them.

Law: a picture follows from its seed alone. Coordinates are often multiples of 8, as a decoder's
are, so that nothing is told from a fault by luck.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Pixels = NDArray[np.float64]
"""Height x width x 3, levels 0..255."""

Draw = Callable[[Generator, int, int], Pixels]
Spoil = Callable[[Generator, Pixels], Pixels]

SIZES = ((512, 768), (512, 768), (768, 512), (512, 512), (384, 640), (448, 640))


def png(pixels: Pixels, *, grey: bool = False) -> bytes:
    """As the engine would write it, or as a grey PNG of one channel."""
    image = Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))
    buffer = BytesIO()
    (image.convert("L") if grey else image).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def blank(width: int, height: int, level: float = 255) -> Pixels:
    return np.full((height, width, 3), float(level))


def box(rng: Generator, width: int, height: int, *, least: int = 64, most: int = 256) -> list[int]:
    """Left, top, right, bottom of a rectangle that every second time lies on a grid of 8."""
    grid = int(rng.choice([1, 8]))
    across, down = (int(rng.integers(least, min(most, side - 8) + 1)) for side in (width, height))
    left, top = int(rng.integers(0, width - across + 1)), int(rng.integers(0, height - down + 1))
    return [side // grid * grid for side in (left, top, left + across, top + down)]


def clouds(rng: Generator, width: int, height: int, cell: int) -> Pixels:
    """Soft noise with features of about ``cell`` pixels, -1..1."""
    small = rng.uniform(0, 255, (height // cell + 3, width // cell + 3)).astype(np.uint8)
    large = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    return np.repeat(np.asarray(large, dtype=float)[..., None], 3, axis=2) / 127.5 - 1


def inked(rng: Generator, pixels: Pixels, strokes: int, ink: float = 0, most: int = 5) -> Pixels:
    """Curved strokes, some closed and filled, over a picture; as soft as a decoder's or hard."""
    height, width = pixels.shape[:2]
    layer = Image.new("L", (width, height))
    pen = ImageDraw.Draw(layer)
    for _ in range(strokes):
        start = rng.uniform((8, 8), (width - 8, height - 8))
        steps = np.cumsum(rng.normal(0, rng.uniform(4, 40), (12, 2)), axis=0)
        path = [(float(x), float(y)) for x, y in [start, *(start + np.cumsum(steps, axis=0) / 6)]]
        if most > 2 and rng.random() < 0.15:
            pen.polygon(path, fill=255)
        else:
            pen.line(path, fill=255, width=int(rng.integers(1, most + 1)))
    if rng.random() < 0.5:
        layer = layer.filter(ImageFilter.GaussianBlur(0.6))
    share = np.asarray(layer, dtype=float)[..., None] / 255
    return pixels * (1 - share) + ink * share


def white(rng: Generator, width: int, height: int) -> Pixels:
    """A page with next to nothing on it."""
    return inked(rng, blank(width, height), int(rng.integers(1, 6)), most=2)


def page(rng: Generator, width: int, height: int) -> Pixels:
    """Panels, figures, balloons, black areas."""
    picture = inked(rng, blank(width, height), int(rng.integers(20, 120)))
    for _ in range(int(rng.integers(1, 5))):
        left, top, right, bottom = box(rng, width, height)
        fill = rng.choice([0.0, 255.0])
        picture[top:bottom, left:right] = 0
        picture[top + 2 : bottom - 2, left + 2 : right - 2] = fill
    return inked(rng, picture, 20)


def dark(rng: Generator, width: int, height: int) -> Pixels:
    """Nine tenths black, thin white lines."""
    return inked(rng, blank(width, height, 0), int(rng.integers(3, 40)), ink=255, most=2)


def night(rng: Generator, width: int, height: int) -> Pixels:
    """A sky that is nearly black, a few stars, houses with lit windows or a lantern."""
    picture = blank(width, height, 0) + rng.uniform(0, 14, 3)
    for _ in range(int(rng.integers(8, 60))):
        y, x, size = rng.integers(height - 3), rng.integers(width - 3), rng.integers(1, 4)
        picture[y : y + size, x : x + size] = rng.uniform(80, 255)
    for _ in range(int(rng.integers(0, 6))):
        left, top, right, _ = box(rng, width, height)
        picture[top:, left:right] = 0
        picture[top + 16 : -16 : 24, left + 8 : right - 8 : 16] = rng.uniform((90, 80, 20), 255)
    return picture


def tone(rng: Generator, width: int, height: int, ink: float = 0) -> Pixels:
    """A screentone over all of it: dots, lines or checks, upright or turned, hard or soft."""
    y, x = np.mgrid[:height, :width]
    pitch = float(rng.choice([2, 3, 4, 5.3, 6, 8, 10.7]))
    if rng.random() < 0.5:
        x, y = x + y, x - y
    lines = 0 if rng.random() < 0.3 else np.cos(2 * np.pi * x / pitch)
    wave = (lines + np.cos(2 * np.pi * y / pitch) + rng.uniform(-1, 1)) * rng.choice([1, 100])
    share = np.clip(wave + 0.5, 0, 1)[..., None]
    return np.repeat(255 * (1 - share) + ink * share, 3, axis=2)


def screentone(rng: Generator, width: int, height: int) -> Pixels:
    picture = page(rng, width, height)
    for _ in range(int(rng.integers(1, 6))):
        left, top, right, bottom = box(rng, width, height, most=500)
        picture[top:bottom, left:right] = tone(rng, right - left, bottom - top)
    return inked(rng, picture, 30)


def splash(rng: Generator, width: int, height: int) -> Pixels:
    """Speed lines from one point, or straight down, and a figure in ink."""
    y, x = np.mgrid[:height, :width]
    angle = np.arctan2(y - rng.uniform(0, height), x - rng.uniform(0, width)) * 200
    rays = (angle if rng.random() < 0.7 else x + 700).astype(int)
    levels = rng.uniform(0, 255, 2000) * rng.choice([1, 1000])
    picture = np.repeat(np.minimum(levels, 255)[rays][..., None], 3, axis=2)
    return inked(rng, picture, 15, most=40)


def sketch(rng: Generator, width: int, height: int) -> Pixels:
    """Pencil on paper that is not quite white, with its grain."""
    paper = blank(width, height, rng.uniform(225, 252)) - rng.uniform(0, 12, 3)
    drawn = inked(rng, paper, int(rng.integers(10, 90)), ink=rng.uniform(60, 190), most=2)
    return drawn + rng.normal(0, rng.uniform(0, 4), (height, width, 1))


def fog(rng: Generator, width: int, height: int) -> Pixels:
    """One pale tone that fades, faint shapes in it, and the grain of film."""
    picture = blank(width, height, rng.uniform(120, 210)) + 25 * clouds(rng, width, height, 256)
    for _ in range(int(rng.integers(1, 6))):
        shape = inked(rng, blank(width, height, 0), 2, ink=-rng.uniform(8, 50), most=60)
        soft = Image.fromarray((-shape[..., 0]).astype(np.uint8))
        blurred = soft.filter(ImageFilter.GaussianBlur(rng.uniform(2, 16)))
        picture -= np.asarray(blurred, dtype=float)[..., None]
    return picture + rng.normal(0, rng.uniform(0, 4), (height, width, 1))


def wash(rng: Generator, width: int, height: int) -> Pixels:
    """Ink thinned with water: soft tones of many sizes and a few lines."""
    picture = blank(width, height, rng.uniform(90, 180))
    for cell in (200, 60, 20):
        picture += rng.uniform(5, 45) * clouds(rng, width, height, cell)
    return inked(rng, picture, int(rng.integers(2, 25)), ink=rng.uniform(0, 60))


def granulation(rng: Generator, width: int, height: int) -> Pixels:
    """Ink so thin that there is nothing of it but the paper's grain, in whatever tone."""
    picture = blank(width, height, rng.uniform(100, 180)) + rng.uniform(-8, 8, 3)
    for cell, strength in ((90, 9), (40, 5), (18, 3), (8, 2), (4, 1)):
        picture += rng.uniform(0.6, 1.2) * strength * clouds(rng, width, height, cell)
    return picture


def gradient(rng: Generator, width: int, height: int) -> Pixels:
    """From one tone to another; below 16 all of it would be told from black by nobody."""
    ends = rng.uniform(24, 255, (2, 3 if rng.random() < 0.5 else 1))
    way = np.linspace(0, 1, height)[:, None, None] * np.ones((1, width, 1))
    picture: Pixels = ends[0] + (ends[1] - ends[0]) * way + np.zeros(3)
    return inked(rng, picture, int(rng.integers(1, 12)))


def flat(rng: Generator, width: int, height: int) -> Pixels:
    """Flat colours with edges as hard as scissors, some of them rectangles."""
    picture = blank(width, height) * rng.uniform(0, 1, 3)
    for _ in range(int(rng.integers(2, 25))):
        left, top, right, bottom = box(rng, width, height, least=16)
        picture[top:bottom, left:right] = rng.uniform(0, 255, 3) * rng.choice([0, 1], p=[0.2, 0.8])
        picture = inked(rng, picture, 1, ink=rng.uniform(0, 255), most=30)
    return picture


def confetti(rng: Generator, width: int, height: int) -> Pixels:
    """Small things of strong colours: blossoms, lights, confetti."""
    picture = np.maximum(0, blank(width, height) * rng.uniform(0, 1, 3))
    size = int(rng.integers(3, 20))
    for _ in range(int(rng.integers(100, 1500))):
        y, x = rng.integers(height), rng.integers(width)
        picture[y : y + size, x : x + size] = rng.uniform(0, 255, 3)
    return picture


def flowers(rng: Generator, width: int, height: int) -> Pixels:
    """A bed of them, or a window of stained glass: strong colours, close together, in one place."""
    image = Image.new("RGB", (width, height), "gray")
    pen, size = ImageDraw.Draw(image), int(rng.integers(6, 16))
    left, top, right, bottom = box(rng, width, height, least=128)
    for y in range(top, bottom, size):
        for x in range(left, right, size):
            corner = rng.normal((x, y), size * 0.15)
            colour = (int(rng.integers(256)), int(rng.integers(256)), int(rng.integers(256)))
            pen.ellipse((*corner, *(corner + size * 1.3)), fill=colour)
    return inked(rng, np.asarray(image, dtype=float), 8)


def sand(rng: Generator, width: int, height: int) -> Pixels:
    """Grains in panels: the tone that looks most like noise."""
    picture = page(rng, width, height)
    for _ in range(int(rng.integers(1, 5))):
        left, top, right, bottom = box(rng, width, height, most=400)
        grains = rng.random((bottom - top, right - left, 1)) > rng.uniform(0.1, 0.9)
        picture[top:bottom, left:right] = 255 * grains
    return picture


def pattern(rng: Generator, width: int, height: int) -> Pixels:
    """A cloth or a wall of one small drawing repeated exactly, with a figure before it."""
    side = int(rng.choice([4, 8, 12, 16, 24, 32, 64]))
    motif = inked(rng, blank(side * 4, side * 4), 9, most=9)
    small = Image.fromarray(motif.astype(np.uint8)).resize((side, side), Image.Resampling.BOX)
    repeats = (height // side + 1, width // side + 1, 1)
    tinted = np.asarray(small, dtype=float) * (rng.uniform(0.3, 1, 3) if rng.random() < 0.5 else 1)
    return inked(rng, np.tile(tinted, repeats)[:height, :width], 12, most=20)


def inset(rng: Generator, width: int, height: int) -> Pixels:
    """Black rectangles among drawing: bars above and below a film's frame, doors, panels."""
    picture = GOOD[str(rng.choice(["wash", "screentone", "gradient", "page"]))](rng, width, height)
    if rng.random() < 0.4:
        bar = int(rng.integers(4, 20)) * 8
        picture[:bar] = picture[-bar:] = 0
    for _ in range(int(rng.integers(0, 3))):
        left, top, right, bottom = box(rng, width, height)
        picture[max(0, top - 6) : bottom + 6, max(0, left - 6) : right + 6] = 255
        picture[top:bottom, left:right] = 0
    return picture


def grain(rng: Generator, width: int, height: int) -> Pixels:
    """Noise all over, in grey or in colours: what untrained weights draw."""
    channels = int(rng.choice([1, 3]))
    noise = rng.normal(0, rng.uniform(12, 120), (height, width, channels))
    return blank(width, height, rng.uniform(60, 200)) + noise


GOOD: Mapping[str, Draw] = {
    draw.__name__: draw
    for draw in (white, page, dark, night, screentone, splash, sketch, fog, wash, gradient, flat)
} | {draw.__name__: draw for draw in (confetti, flowers, sand, pattern, inset, grain, granulation)}


def blackened(rng: Generator, pixels: Pixels) -> Pixels:
    return pixels * 0 + np.abs(rng.normal(0, rng.choice([0, 1, 2]), pixels.shape))


def greyed(rng: Generator, pixels: Pixels) -> Pixels:
    """One colour with a decoder's noise."""
    noise = rng.normal(0, rng.uniform(0, 4), pixels.shape)
    return pixels * 0 + rng.uniform(20, 235) + rng.uniform(-20, 20, 3) + noise


def washed(rng: Generator, pixels: Pixels) -> Pixels:
    """Contrast and colour compressed about a middle, as a VAE of another model does."""
    grey = pixels.mean(axis=2, keepdims=True)
    pale = grey + (pixels - grey) * rng.uniform(0, 0.5)
    middle: Pixels = 128 + (pale - 128) * rng.uniform(0.1, 0.35)
    return middle + rng.uniform(-15, 25)


def _patched(fill: Callable[[Generator, Pixels], Pixels]) -> Spoil:
    """Fills one rectangle of 64 to 256 pixels a side, as a decoder would: on a grid of 8."""

    def spoil(rng: Generator, pixels: Pixels) -> Pixels:
        height, width = pixels.shape[:2]
        across, down = (
            int(rng.integers(8, min(256, side) // 8 + 1)) * 8 for side in (width, height)
        )
        left = int(rng.integers(0, (width - across) // 8 + 1)) * 8
        top = int(rng.integers(0, (height - down) // 8 + 1)) * 8
        spoilt = pixels.copy()
        patch = spoilt[top : top + down, left : left + across]
        patch[:] = fill(rng, patch)
        return spoilt

    return spoil


def _noise(rng: Generator, patch: Pixels) -> Pixels:
    return rng.uniform(0, 255, patch.shape)


def _saturated(rng: Generator, patch: Pixels) -> Pixels:
    return rng.choice([0.0, 255.0], patch.shape)


def _mosaic(rng: Generator, patch: Pixels) -> Pixels:
    """What a decoder makes of latents that are garbage: one strong colour every 8 pixels."""
    down, across = patch.shape[0] // 8, patch.shape[1] // 8
    return rng.uniform(0, 255, (down, across, 3)).repeat(8, axis=0).repeat(8, axis=1)


def _tiles(rng: Generator, patch: Pixels) -> Pixels:
    """One small piece of garbage again and again."""
    side = int(rng.choice([8, 16, 32]))
    repeats = (patch.shape[0] // side + 1, patch.shape[1] // side + 1, 1)
    garbage = rng.uniform(0, 255, (side, side, int(rng.choice([1, 3]))))
    return np.tile(garbage + np.zeros(3), repeats)[: patch.shape[0], : patch.shape[1]]


def stripes(rng: Generator, pixels: Pixels) -> Pixels:
    """From one row on, every row is the one before."""
    height = pixels.shape[0]
    top, rows = int(rng.integers(1, height // 16)) * 8, int(rng.integers(8, 32)) * 8
    spoilt = pixels.copy()
    spoilt[top : top + rows] = rng.uniform(0, 255, spoilt[top].shape)
    return spoilt


def bands(rng: Generator, pixels: Pixels) -> Pixels:
    """Noise from edge to edge."""
    top = int(rng.integers(0, pixels.shape[0] // 8 - 16)) * 8
    spoilt = pixels.copy()
    band = spoilt[top : top + int(rng.integers(8, 16)) * 8]
    band[:] = _noise(rng, band)
    return spoilt


SPOILT: Mapping[str, tuple[str, Spoil, float]] = {
    "black": ("BLACK_OR_GRAY", blackened, 1.0),
    "grey": ("BLACK_OR_GRAY", greyed, 0.98),
    "black patch": ("CORRUPTED", _patched(lambda rng, patch: patch * 0), 0.03),
    "noise": ("CORRUPTED", _patched(_noise), 0.95),
    "saturated": ("CORRUPTED", _patched(_saturated), 0.95),
    "mosaic": ("CORRUPTED", _patched(_mosaic), 0.6),
    "tiles": ("CORRUPTED", _patched(_tiles), 0.7),
    "stripes": ("CORRUPTED", stripes, 0.9),
    "bands": ("CORRUPTED", bands, 0.95),
    "washed out": ("WASHED_OUT", washed, 0.1),
}
"""Fault -> the code that it ought to get, what it does to a good picture, and what share of 300
the judge finds at least. It would rather miss a fault than refuse a page.
"""
