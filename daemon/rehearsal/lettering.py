"""Rehearsal room: text that is wrapped and sized to its box, with Pillow's built-in font."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import ImageDraw, ImageFont

from daemon.rehearsal.palette import Color


def font(size: float) -> ImageFont.FreeTypeFont:
    """The built-in font at a size in pixels; no font file is needed."""
    letters = ImageFont.load_default(size)
    assert isinstance(letters, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return letters


@dataclass(frozen=True, slots=True)
class Lettering:
    """Lines of one size. ``height``: pixels from the first line's top to the last one's end."""

    lines: Sequence[str]
    size: float

    @property
    def pitch(self) -> int:
        """Pixels from line to line."""
        return round(self.size * 1.3)

    @property
    def height(self) -> int:
        """Pixels of all lines."""
        return self.pitch * len(self.lines)

    def draw(self, pen: ImageDraw.ImageDraw, corner: tuple[int, int], color: Color) -> None:
        """Writes the lines below one another from a corner."""
        letters = font(self.size)
        for index, line in enumerate(self.lines):
            pen.text((corner[0], corner[1] + index * self.pitch), line, fill=color, font=letters)


def fit(text: str, width: int, height: int, *, largest: float, smallest: float) -> Lettering:
    """The text at the largest size that fits a box; at the smallest, what does not fit is cut."""
    # A letter takes at least a quarter of a square of its size: what is beyond that can never be
    # seen, and what is far too large need not be tried.
    area = width * height * 4
    text = text[: max(40, round(area / smallest**2))]
    size = min(largest, max(smallest, math.sqrt(area / max(1, len(text)))))
    while True:
        block = Lettering(_wrap(text, font(size), width), size)
        if block.height <= height:
            return block
        if size <= smallest:
            return _cut(block, height)
        size = max(smallest, size - max(0.5, size * 0.1))


def _cut(block: Lettering, height: int) -> Lettering:
    room = max(1, height // block.pitch)
    last = block.lines[room - 1]
    return Lettering([*block.lines[: room - 1], last[: max(1, len(last) - 2)] + "…"], block.size)


def _wrap(text: str, letters: ImageFont.FreeTypeFont, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        for piece in _pieces(word, letters, width):
            longer = f"{lines[-1]} {piece}".strip()
            if letters.getlength(longer) <= width:
                lines[-1] = longer
            else:
                lines.append(piece)
    return [line for line in lines if line] or [""]


def _pieces(word: str, letters: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """A word, or what it is cut into where it is longer than a line."""
    if letters.getlength(word) <= width:
        return [word]
    letters_a_line = max(1, int(width / letters.size))
    return [word[i : i + letters_a_line] for i in range(0, len(word), letters_a_line)]
