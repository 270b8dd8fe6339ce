"""Rehearsal room: the storyboard frame that stands for a rendered picture.

Its law: a frame follows from its shot and size alone; equal shots give equal pixels. A person can
read from it what was asked: the words, the framing, the hint, the LoRAs and the numbers.
"""

import hashlib
import math
from dataclasses import dataclass
from random import Random

from PIL import Image, ImageDraw, ImageOps

from daemon.rehearsal.lettering import fit, font
from daemon.rehearsal.palette import BLUE, GREY, INK, PAPER, WHITE
from daemon.rehearsal.scene import paint
from daemon.rehearsal.staging import Staging, stage

_SMALL_SIDE = 160
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
    staging = stage(shot.positive)
    small = min(width, height) < _SMALL_SIDE
    panel, notes = _plan(width, height, small=small)
    _draw_panel(page, panel, shot, staging)
    if small:
        _draw_tag(page, panel, shot)
    else:
        _draw_header(page, panel, shot, staging)
        _draw_notes(page, notes, shot)
    return _watermarked(page)


def _plan(width: int, height: int, *, small: bool) -> tuple[Box, Box]:
    """Where the panel and the writing go: below it, or beside it where the page is wide."""
    edge = max(2, round(min(width, height) * 0.035))
    if small:
        return (edge, edge, width - edge, height - edge), (0, 0, 0, 0)
    head = edge + max(14, round(height * 0.035))
    if width > height * 1.2:
        split = round(width * 0.64)
        return (edge, head, split, height - edge), (split + edge, head, width - edge, height - edge)
    split = round(height * 0.7)
    return (edge, head, width - edge, split), (edge, split + edge // 2, width - edge, height - edge)


def _draw_panel(page: Image.Image, panel: Box, shot: Shot, staging: Staging) -> None:
    size = (panel[2] - panel[0], panel[3] - panel[1])
    key = f"{shot.seed}/{shot.index}/{shot.positive}"
    # Chance that is none: the same key always stages the same picture.
    chance = Random(hashlib.sha256(key.encode()).digest())  # noqa: S311
    hint = shot.hints[0] if shot.hints else None
    page.paste(paint(staging, size, chance, hint.image if hint else None), panel[:2])
    line = max(1, round(min(page.size) * 0.008))
    pen = ImageDraw.Draw(page)
    if hint is not None:
        _draw_hint(page, panel, hint, line)
    pen.rectangle((panel[0], panel[1], panel[2] - 1, panel[3] - 1), outline=INK, width=line)


def _draw_hint(page: Image.Image, panel: Box, hint: Hint, line: int) -> None:
    wide, high = (panel[2] - panel[0]) * 3 // 10, (panel[3] - panel[1]) * 3 // 10
    thumb = ImageOps.contain(hint.image.convert("RGB"), (max(1, wide), max(1, high)))
    gap = 2 * line + 2
    left, top = panel[2] - gap - thumb.width, panel[1] + gap
    page.paste(thumb, (left, top))
    pen = ImageDraw.Draw(page)
    box = (left - line, top - line, left + thumb.width + line - 1, top + thumb.height + line - 1)
    pen.rectangle(box, outline=BLUE, width=line)
    if thumb.width < 60:
        return
    text = f"HINT x{hint.strength:g}  {hint.start:.0%}-{hint.end:.0%}"
    letters = font(max(8, thumb.width / 9.5))
    below = (box[0], box[3] + 1, box[2], box[3] + 5 + int(letters.size * 1.2))
    pen.rectangle(below, fill=BLUE)
    pen.text((below[0] + 4, below[1] + 2), text, fill=WHITE, font=letters)


def _draw_tag(page: Image.Image, panel: Box, shot: Shot) -> None:
    letters = font(max(8, min(page.size) // 8))
    text = f"{shot.seed}"
    pen = ImageDraw.Draw(page)
    wide = pen.textlength(text, font=letters)
    box = (panel[0], panel[3] - letters.size - 3, panel[0] + wide + 5, panel[3] - 1)
    pen.rectangle(box, fill=WHITE, outline=INK)
    pen.text((box[0] + 3, box[1]), text, fill=INK, font=letters)


def _draw_header(page: Image.Image, panel: Box, shot: Shot, staging: Staging) -> None:
    letters = font((panel[1] - panel[0]) * 0.82)
    pen = ImageDraw.Draw(page)
    base = panel[1] - 3
    pen.text((panel[0], base), staging.framing, fill=BLUE, font=letters, anchor="ls")
    count = f"seed {shot.seed}" + (f"  +{shot.index}" if shot.index else "")
    pen.text((page.width - panel[0], base), count, fill=INK, font=letters, anchor="rs")


def _draw_notes(page: Image.Image, notes: Box, shot: Shot) -> None:
    wide, low = notes[2] - notes[0], notes[3]
    little = max(9, round(math.sqrt(page.width * page.height) * 0.0195))
    pen = ImageDraw.Draw(page)
    lines = [*_numbers(shot), *([f"NOT  {shot.negative}"] if shot.negative.strip() else [])]
    for text, color in [(line, GREY) for line in lines]:
        block = fit(text, wide, little * 3, largest=little, smallest=little)
        low -= block.height
        block.draw(pen, (notes[0], low), color)
    for name, strength in reversed(shot.loras):
        low = _draw_lora(pen, (notes[0], low), wide, (_stem(name), f"x{strength:g}"), little)
    low -= little // 2
    pen.line([(notes[0], low), (notes[2], low)], fill=BLUE, width=1)
    room = low - notes[1] - little // 2
    words = fit(shot.positive or "(no prompt)", wide, room, largest=little * 2, smallest=8)
    words.draw(pen, (notes[0], notes[1]), INK)


def _numbers(shot: Shot) -> list[str]:
    """From the bottom line up."""
    skip = f", clip skip {-shot.clip_layer}" if shot.clip_layer != -1 else ""
    denoise = f", denoise {shot.denoise:g}" if shot.denoise != 1 else ""
    return [
        f"{_stem(shot.checkpoint)} / {_stem(shot.vae)}",
        f"{shot.steps} steps, cfg {shot.cfg:g}, {shot.sampler} / {shot.scheduler}{denoise}{skip}",
    ]


def _draw_lora(
    pen: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    wide: int,
    lora: tuple[str, str],
    size: int,
) -> int:
    """Draws a tag with name and strength above a corner; gives the top of it."""
    letters, pad = font(size), max(3, size // 3)
    label = int(pen.textlength("LoRA", font=letters)) + 2 * pad
    room = wide - label - int(pen.textlength(f"  {lora[1]}", font=letters)) - 2 * pad
    name = fit(lora[0], room, round(size * 1.3), largest=size, smallest=size).lines[0]
    text = f"{name}  {lora[1]}"
    left, low = corner
    top = low - size - 2 * pad
    right = left + label + int(pen.textlength(text, font=letters)) + 2 * pad
    pen.rectangle((left, top, left + label, low - pad // 2), fill=BLUE)
    pen.rectangle((left, top, right, low - pad // 2), outline=BLUE)
    pen.text((left + pad, top + pad // 2), "LoRA", fill=WHITE, font=letters)
    pen.text((left + label + pad, top + pad // 2), text, fill=INK, font=letters)
    return top


def _stem(name: str) -> str:
    return name.removesuffix(".safetensors")


def _watermarked(page: Image.Image) -> Image.Image:
    """Writes REHEARSAL across the page, from the lower left to the upper right corner."""
    diagonal = math.hypot(*page.size)
    letters = font(max(8, diagonal * 0.128))
    layer = Image.new("L", (round(diagonal), round(diagonal)))
    pen = ImageDraw.Draw(layer)
    middle = (layer.width // 2, layer.height // 2)
    pen.text(middle, "REHEARSAL", fill=72, font=letters, anchor="mm")
    turned = layer.rotate(
        math.degrees(math.atan2(page.height, page.width)), Image.Resampling.BICUBIC
    )
    left, top = (turned.width - page.width) // 2, (turned.height - page.height) // 2
    mask = turned.crop((left, top, left + page.width, top + page.height))
    page.paste(BLUE, mask=mask)
    return page
