"""Rehearsal room: the storyboard frame that stands for a rendered picture.

Its law: a frame follows from its shot and size alone; equal shots give equal pixels. A person can
read from it what was asked: the words, the framing, the hint, the LoRAs and the numbers.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from PIL import Image, ImageDraw, ImageFont

from daemon.rehearsal.panel import BLUE, GREY, INK, PAPER, Color, paint, stage

_SMALL_SIDE = 256
Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Hint:
    """A hint image and how strongly, and from where to where, its ControlNet acts."""

    image: Image.Image
    model: str
    strength: float
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Shot:
    """Everything that a sampled latent was asked to be. ``index``: its place in the batch."""

    positive: str
    negative: str
    checkpoint: str
    loras: tuple[tuple[str, float], ...]
    hints: tuple[Hint, ...]
    seed: int
    steps: int
    cfg: float
    sampler: str
    scheduler: str
    denoise: float
    clip_layer: int
    vae: str = ""
    index: int = 0


def draw(shot: Shot, width: int, height: int) -> Image.Image:
    """The frame of a shot: an RGB picture of that many pixels."""
    page = Image.new("RGB", (width, height), PAPER)
    panel, notes = _plan(width, height)
    _draw_panel(page, panel, shot)
    if notes is not None:
        _draw_header(page, panel, shot)
        _draw_notes(page, notes, shot)
    _draw_watermark(page)
    return page


def _plan(width: int, height: int) -> tuple[Box, Box | None]:
    """Where the panel and the writing go: below it, or beside it where the page is wide.

    A small page has room for the panel alone.
    """
    edge = max(2, round(min(width, height) * 0.035))
    right, bottom, head = width - edge, height - edge, edge + max(14, round(height * 0.035))
    if min(width, height) < _SMALL_SIDE:
        return (edge, edge, right, bottom), None
    if width > height * 1.2:
        split = round(width * 0.64)
        return (edge, head, split, bottom), (split + edge, head, right, bottom)
    split = round(height * 0.7)
    return (edge, head, right, split), (edge, split + edge // 2, right, bottom)


def _draw_panel(page: Image.Image, panel: Box, shot: Shot) -> None:
    left, top, right, bottom = panel
    key = f"{shot.seed}/{shot.index}/{shot.positive}"
    # Chance that is none: the same key always stages the same picture.
    chance = Random(hashlib.sha256(key.encode()).digest())  # noqa: S311
    hint = shot.hints[0] if shot.hints else None
    size = (right - left, bottom - top)
    page.paste(paint(stage(shot.positive), size, chance, hint.image if hint else None), (left, top))
    outline = max(1, round(min(page.size) * 0.008))
    ImageDraw.Draw(page).rectangle((left, top, right - 1, bottom - 1), outline=INK, width=outline)


def _draw_header(page: Image.Image, panel: Box, shot: Shot) -> None:
    """The framing above the panel's left end, the seed above its right one."""
    letters, base = _font(panel[1] * 0.5), panel[1] - 3
    pen = ImageDraw.Draw(page)
    pen.text((panel[0], base), stage(shot.positive).framing, BLUE, letters, anchor="ls")
    text = f"seed {shot.seed}" + (f"  +{shot.index}" if shot.index else "")
    pen.text((page.width - panel[0], base), text, INK, letters, anchor="rs")


def _draw_notes(page: Image.Image, notes: Box, shot: Shot) -> None:
    """The prompt, as large as there is room, and from the bottom up what else was asked."""
    left, top, right, low = notes
    little = max(9, round(math.sqrt(page.width * page.height) * 0.0195))
    pen = ImageDraw.Draw(page)
    for text, color in _small_print(shot):
        lines, size = _fit(text, right - left, little * 3, largest=little, smallest=little)
        low -= round(len(lines) * size * 1.3)
        _write(pen, (left, low), lines, size, color)
    low -= little // 2
    pen.line([(left, low), (right, low)], BLUE)
    room = low - top - little // 2
    words = shot.positive or "(no prompt)"
    lines, size = _fit(words, right - left, room, largest=little * 2, smallest=8)
    _write(pen, (left, top), lines, size, INK)


def _small_print(shot: Shot) -> list[tuple[str, Color]]:
    """Lines and their colours, from the bottom one up."""
    skip = f", clip skip {-shot.clip_layer}" if shot.clip_layer != -1 else ""
    denoise = f", denoise {shot.denoise:g}" if shot.denoise != 1 else ""
    numbers = f"{shot.steps} steps, cfg {shot.cfg:g}, {shot.sampler} / {shot.scheduler}"
    said = [f"{_stem(shot.checkpoint)} / {_stem(shot.vae)}", numbers + denoise + skip]
    said += [f"NOT  {shot.negative}"] if shot.negative.strip() else []
    laid = [f"LoRA  {_stem(name)}  x{strength:g}" for name, strength in reversed(shot.loras)]
    laid += [
        f"HINT  {_stem(hint.model)}  x{hint.strength:g}  {hint.start:.0%}-{hint.end:.0%}"
        for hint in shot.hints
    ]
    return [(text, GREY) for text in said] + [(text, BLUE) for text in laid]


def _stem(name: str) -> str:
    return name.removesuffix(".safetensors")


def _draw_watermark(page: Image.Image) -> None:
    """Writes REHEARSAL across the page, from the lower left to the upper right corner."""
    diagonal = math.hypot(*page.size)
    layer = Image.new("L", (round(diagonal), round(diagonal)))
    middle, letters = (layer.width // 2, layer.height // 2), _font(max(8, diagonal * 0.128))
    ImageDraw.Draw(layer).text(middle, "REHEARSAL", fill=72, font=letters, anchor="mm")
    angle = math.degrees(math.atan2(page.height, page.width))
    turned = layer.rotate(angle, Image.Resampling.BICUBIC)
    left, top = (turned.width - page.width) // 2, (turned.height - page.height) // 2
    page.paste(BLUE, mask=turned.crop((left, top, left + page.width, top + page.height)))


def _font(size: float) -> ImageFont.FreeTypeFont:
    """Pillow's built-in font at a size in pixels; no font file is needed."""
    letters = ImageFont.load_default(size)
    assert isinstance(letters, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return letters


def _write(
    pen: ImageDraw.ImageDraw, corner: tuple[int, int], lines: Sequence[str], size: float, ink: Color
) -> None:
    for index, line in enumerate(lines):
        pen.text((corner[0], corner[1] + index * round(size * 1.3)), line, ink, _font(size))


def _fit(
    text: str, width: int, height: int, *, largest: float, smallest: float
) -> tuple[Sequence[str], float]:
    """Lines and the largest size at which they fit a box; at the smallest, the rest is cut."""
    # A letter takes at least a quarter of a square of its size: what is beyond can never be seen.
    text, size = text[: max(40, round(width * height * 4 / smallest**2))], largest
    while True:
        lines, rows = _wrap(text, _font(size), width), max(1, height // round(size * 1.3))
        if len(lines) <= rows:
            return lines, size
        if size <= smallest:
            return [*lines[: rows - 1], lines[rows - 1][:-2] + "…"], size
        size = max(smallest, size * 0.8)


def _wrap(text: str, letters: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Lines no wider than that; a word that is longer than a line is cut into pieces."""
    lines = [""]
    for word in text.split():
        n = len(word) if letters.getlength(word) <= width else max(1, int(width / letters.size))
        for piece in (word[i : i + n] for i in range(0, len(word), n)):
            longer = f"{lines[-1]} {piece}".strip()
            if letters.getlength(longer) <= width:
                lines[-1] = longer
            else:
                lines.append(piece)
    return lines if lines[0] else lines[1:] or [""]
