"""Adapters room: the process that puts grid.png together (Pillow), once.

Law: as the worker's: bytes in, bytes out, no path. A picture that cannot be decoded costs its cell.
Run by file name, so that it imports nothing of ours.
"""

from __future__ import annotations

import io
import json
import resource
import struct
import sys
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import groupby
from typing import Any, BinaryIO

from PIL import Image, ImageDraw, ImageFont

MAX_WIDTH, MAX_HEIGHT = 6000, 12_000
# A panel is at most 512 x 768; four times its pixels, as everywhere.
MAX_PIXELS = 4_000_000
_LEAST_CELL = 64
_MARGIN, _GAP, _FRAME, _SIDE = 24, 12, 10, 380
_TEXT_LINES = 12
_SIZES = {"title": 40, "head": 28, "text": 20}
_PAPER, _INK, _FAINT = "#ffffff", "#111111", "#d0d0d0"
# Told apart without colour by their words; the colours are told apart by colour-blind people too.
_MARKS = {"same": ("= SAME", "#b34700", "#ffffff"), "near": ("~ NEAR", "#f0b429", "#111111")}

Lines = Sequence[str]


class Page:
    """The canvas and its fonts: Pillow's own, which every machine has."""

    def __init__(self, width: int, height: int, *, cell: tuple[int, int]) -> None:
        self.cell = cell
        self.image = Image.new("RGB", (width, height), _PAPER)
        self.draw = ImageDraw.Draw(self.image)

    def write(self, lines: Lines, left: int, top: int, size: str = "text") -> None:
        """Lines below one another."""
        for number, line in enumerate(lines):
            place = (left, top + number * _line_height(size))
            self.draw.text(place, line, _INK, font=_font(size))


def compose(sheet: Mapping[str, Any], pngs: Sequence[bytes]) -> bytes:
    """``craft.grid.Sheet`` as JSON, its cells' pictures row by row: the PNG's bytes."""
    cell = _cell_size(sheet, pngs)
    lefts = [
        _MARGIN + _SIDE + _GAP + number * (cell[0] + _GAP)
        for number in range(len(sheet["columns"]))
    ]
    width = max(lefts[-1] + cell[0] + _MARGIN, 3 * _SIDE)
    notes = [line for note in sheet["notes"] for line in _wrapped(note, width - 2 * _MARGIN)]
    heads = list(_headings(sheet["columns"], lefts, cell[0]))
    tall = _line_height("text")
    columns_top = _MARGIN + _line_height("title") + (len(notes) + 1) * tall
    labels_top = columns_top + max(len(lines) for _, lines in heads) * tall
    tops, bottom = _tops(sheet["rows"], labels_top + 2 * tall, cell[1])
    page = Page(width, bottom + _MARGIN, cell=cell)
    page.write([_plain(sheet["title"])], _MARGIN, _MARGIN, "title")
    page.write(notes, _MARGIN, _MARGIN + _line_height("title"))
    for left, lines in heads:
        page.write(lines, left, columns_top)
    for left, column in zip(lefts, sheet["columns"], strict=True):
        page.write(_wrapped(column["label"], cell[0], limit=1), left, labels_top)
    remaining = iter(pngs)
    for top, row in zip(tops, sheet["rows"], strict=True):
        placed = list(zip(lefts, remaining, strict=False))  # Not more than the row has.
        _put_row(page, row, placed, top)
    out = io.BytesIO()
    page.image.save(out, "PNG", compress_level=6)
    return out.getvalue()


def _cell_size(sheet: Mapping[str, Any], pngs: Sequence[bytes]) -> tuple[int, int]:
    """As large as the largest picture, unless the page would grow over its limits."""
    sizes = [size for size in map(_size, pngs) if size] or [(512, 512)]
    width, height = (max(sides) for sides in zip(*sizes, strict=True))
    across, down = len(sheet["columns"]), len(sheet["rows"])
    # What the texts take is reckoned generously; the least cell wins over the limits.
    room_across = (MAX_WIDTH - _SIDE - 2 * _MARGIN - _GAP) // across - _GAP
    room_down = (MAX_HEIGHT - 1200) / down - 3 * _GAP - _line_height("text")
    scale = max(min(1.0, room_across / width, room_down / height), _LEAST_CELL / width)
    return round(width * scale), round(height * scale)


def _headings(
    columns: Sequence[Mapping[str, str]], lefts: Sequence[int], width: int
) -> Iterator[tuple[int, Lines]]:
    """Where each heading stands and how it wraps above the columns that share it."""
    numbered = zip(columns, lefts, strict=True)
    for heading, group in groupby(numbered, key=lambda each: each[0]["heading"]):
        places = [left for _, left in group]
        yield places[0], _wrapped(heading, places[-1] + width - places[0] - _GAP)


def _tops(rows: Sequence[Mapping[str, Any]], top: int, height: int) -> tuple[Sequence[int], int]:
    """Where each row begins, and where the last one ends."""
    tops = []
    for row in rows:
        tops.append(top)
        told = _line_height("head") + len(_told(row)) * _line_height("text")
        top += max(height + _line_height("text"), told) + 2 * _GAP
    return tops, top


def _told(row: Mapping[str, Any]) -> Lines:
    return [line for text in row["lines"] for line in _wrapped(text, _SIDE)]


def _put_row(
    page: Page, row: Mapping[str, Any], placed: Sequence[tuple[int, bytes]], top: int
) -> None:
    page.write([_plain(row["label"])], _MARGIN, top, "head")
    page.write(_told(row), _MARGIN, top + _line_height("head"))
    for (left, png), cell in zip(placed, row["cells"], strict=True):
        _put_cell(page, cell, png, left, top)


def _put_cell(page: Page, cell: Mapping[str, str], png: bytes, left: int, top: int) -> None:
    width, height = page.cell
    box = (left, top, left + width - 1, top + height - 1)
    label = cell["label"]
    try:
        picture = _decoded(png, page.cell) if png else None
    except Exception as error:  # noqa: BLE001  # A decoder stumbles in more ways than it documents.
        picture, label = None, f"cannot be decoded ({type(error).__name__})"
    if picture is not None:
        page.image.paste(picture, (left, top))
    else:
        page.draw.rectangle(box, outline=_FAINT, width=2)
        page.draw.line((left, top, *box[2:]), _FAINT, 2)
    if mark := _MARKS.get(cell["mark"]):
        words, colour, ink = mark
        page.draw.rectangle(box, outline=colour, width=_FRAME)
        around = page.draw.textbbox((left + _FRAME, top + _FRAME), words, font=_font("head"))
        page.draw.rectangle((left, top, around[2] + _FRAME, around[3] + _FRAME), fill=colour)
        page.draw.text((left + _FRAME, top + _FRAME), words, ink, font=_font("head"))
    page.write(_wrapped(label, width, limit=1), left, top + height + 4)


def _size(png: bytes) -> tuple[int, int] | None:
    """Of a picture that says it and is not too large."""
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            return image.size if image.width * image.height <= MAX_PIXELS else None
    except Exception:  # noqa: BLE001
        return None


def _decoded(png: bytes, size: tuple[int, int]) -> Image.Image:
    """Fitted into ``size``; what it does not fill is paper."""
    with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError("too many pixels")
        whole = image.convert("RGB")
    scale = min(size[0] / whole.width, size[1] / whole.height)
    fitted = (max(1, round(whole.width * scale)), max(1, round(whole.height * scale)))
    cell = Image.new("RGB", size, _PAPER)
    smaller = whole if fitted == whole.size else whole.resize(fitted, Image.Resampling.LANCZOS)
    cell.paste(smaller)
    return cell


@cache
def _font(size: str) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(_SIZES[size])
    assert isinstance(font, ImageFont.FreeTypeFont), "with a size it is never the bitmap font"
    return font


def _line_height(size: str) -> int:
    return _SIZES[size] * 5 // 4


def _plain(text: str) -> str:
    """In the letters that Pillow's font has: accents fall, other scripts become question marks."""
    split = unicodedata.normalize("NFKD", text)
    bare = (letter for letter in split if not unicodedata.combining(letter))
    return "".join(letter if " " <= letter <= "~" else "?" for letter in bare)


def _wrapped(text: str, width: int, *, limit: int = _TEXT_LINES) -> Lines:
    """At most ``limit`` lines of at most ``width`` pixels; dots where text is left out."""
    lines = [""]
    for word in _plain(text).split():
        longer = f"{lines[-1]} {word}".strip()
        if _fits(longer, width) or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    kept = lines[:limit]
    if len(kept) < len(lines):
        kept[-1] += "..."
    return [_cut(line, width) for line in kept]


def _cut(line: str, width: int) -> str:
    cut = line
    while not _fits(cut, width) and len(cut) > len("..."):
        cut = cut.removesuffix("...")[:-1] + "..."
    return cut


def _fits(text: str, width: int) -> bool:
    return _font("text").getlength(text) <= width


def serve(question: BinaryIO, answer: BinaryIO) -> None:
    """The length of a JSON document in eight bytes (little-endian) and it; of each cell's picture
    the same. All of the answer is the PNG.
    """
    document, *pngs = _blobs(question)
    answer.write(compose(json.loads(document), pngs))
    answer.flush()


def _blobs(question: BinaryIO) -> Iterator[bytes]:
    while length := question.read(8):
        yield question.read(struct.unpack("<Q", length)[0])


def _give_up_rights() -> None:
    """It writes no file and leaves no core."""
    for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(limit, (0, 0))
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS


if __name__ == "__main__":
    _give_up_rights()
    serve(sys.stdin.buffer, sys.stdout.buffer)
