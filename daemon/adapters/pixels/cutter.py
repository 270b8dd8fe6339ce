"""Adapters room: the process that looks at a reference sheet and cuts it (Pillow, numpy), once.

Law: as the worker's: bytes in, bytes out, no path. Nothing is enlarged. Run by file name, so that
it imports nothing of ours.
"""

from __future__ import annotations

import io
import json
import resource
import struct
import sys
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

MAX_PIXELS = 40_000_000
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
# The sheet is looked at in squares of pixels, about so many along its longer side.
_SQUARES = 512
# Levels by which a pixel differs from the background, and the share of a square's pixels that do.
_DIFFERS, _SHARE = 24, 0.02
# As shares of the longer side: a gap that parts two figures, and what is a figure and no writing.
_GAP, _FIGURE = 0.012, 0.06
# What of a row or column a line covers, and how many squares it may be thick.
_RULE_SHARE, _RULE_SQUARES = 0.9, 4

Marks = NDArray[np.bool_]
Part = tuple[int, int, int, int]
"""Left, top, right, bottom; the latter two are outside."""


def upright(data: bytes) -> Image.Image:
    """The picture as it is seen: turned as its camera says, transparency on white."""
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(
                f"{image.width} x {image.height} are more than {MAX_PIXELS // 10**6} megapixels"
            )
        turned = ImageOps.exif_transpose(image)
    if turned.has_transparency_data:
        white = Image.new("RGBA", turned.size, "white")
        turned = Image.alpha_composite(white, turned.convert("RGBA"))
    return turned.convert("RGB")


def look(image: Image.Image) -> dict[str, Any]:
    """``craft.crops.Sheet`` as JSON."""
    side = max(1, -(-max(image.size) // _SQUARES))
    marks = _drawn(image, side)
    _wipe_rules(marks)
    gap, figure = (max(2, round(share * max(marks.shape))) for share in (_GAP, _FIGURE))
    found = [
        part
        for part in _parted(marks, (0, 0, marks.shape[1], marks.shape[0]), gap)
        if min(part[2] - part[0], part[3] - part[1]) >= figure
    ]
    areas = [_area(part, side, margin=gap // 2, size=image.size) for part in found]
    return {"width": image.width, "height": image.height, "areas": areas}


def _drawn(image: Image.Image, side: int) -> Marks:
    """The squares that hold something else than background, which is what the edges mostly are."""
    differs = np.zeros((image.height, image.width), dtype=bool)
    # One channel after the other: a large sheet takes a third of the memory so.
    for channel in image.split():
        levels = np.asarray(channel, dtype=np.int16)
        edges = (levels[0], levels[-1], levels[:, 0], levels[:, -1])
        differs |= np.abs(levels - int(np.median(np.concatenate(edges)))) > _DIFFERS
    height, width = differs.shape
    padded = np.pad(differs, ((0, -height % side), (0, -width % side)))
    squares = padded.reshape(padded.shape[0] // side, side, -1, side)
    return np.asarray(squares.mean(axis=(1, 3)) > _SHARE)


def _parted(marks: Marks, part: Part, gap: int) -> Iterator[Part]:
    """The parts between gaps, cut at the widest first; rows before columns where they are equal."""
    left, top, right, bottom = part
    inside = marks[top:bottom, left:right]
    if not inside.any():
        return
    (high, low), (first, last) = (_ends(np.asarray(inside.any(axis=axis))) for axis in (1, 0))
    left, right, top, bottom = left + first, left + last, top + high, top + low
    inside = marks[top:bottom, left:right]
    across, down = (_widest(np.asarray(inside.any(axis=axis))) for axis in (1, 0))
    if max(across[1], down[1]) < gap:
        yield left, top, right, bottom
    elif across[1] >= down[1]:
        at = top + across[0]
        yield from _parted(marks, (left, top, right, at), gap)
        yield from _parted(marks, (left, at, right, bottom), gap)
    else:
        at = left + down[0]
        yield from _parted(marks, (left, top, at, bottom), gap)
        yield from _parted(marks, (at, top, right, bottom), gap)


def _wipe_rules(marks: Marks) -> None:
    """Thin lines from one end of the sheet to the other part figures as background does."""
    for field in (marks, marks.T):
        full = np.pad(field.mean(axis=1) > _RULE_SHARE, 1)
        turns = np.flatnonzero(full[1:] != full[:-1])
        for begin, end in zip(turns[::2], turns[1::2], strict=True):
            if end - begin <= _RULE_SQUARES:
                field[begin:end] = False


def _ends(line: Marks) -> tuple[int, int]:
    """Where the first mark is, and behind the last one."""
    places = np.flatnonzero(line)
    return int(places[0]), int(places[-1]) + 1


def _widest(line: Marks) -> tuple[int, int]:
    """Where the widest gap between marks begins, and how wide it is."""
    places = np.flatnonzero(line)
    widths = np.diff(places) - 1
    if not widths.size:
        return 0, 0
    widest = int(widths.argmax())
    return int(places[widest]) + 1, int(widths[widest])


def _area(part: Part, side: int, *, margin: int, size: tuple[int, int]) -> dict[str, int]:
    """The part in pixels, with a margin of background, inside the sheet."""
    left, top = (max(0, (place - margin) * side) for place in part[:2])
    ends = zip(part[2:], size, strict=True)
    right, bottom = (min(most, (place + margin) * side) for place, most in ends)
    return {"x": left, "y": top, "width": right - left, "height": bottom - top}


def cut(image: Image.Image, areas: Sequence[Sequence[int]]) -> Iterator[bytes]:
    """Each area (x, y, width, height) as a PNG."""
    for x, y, width, height in areas:
        buffer = io.BytesIO()
        image.crop((x, y, x + width, y + height)).save(buffer, "PNG")
        yield buffer.getvalue()


def serve(question: BinaryIO, answer: BinaryIO) -> None:
    """The areas in one line of JSON, and the sheet. Without areas the answer is what ``look`` says;
    else of each PNG its length in eight bytes (little-endian) and it. One that cannot be decoded
    is answered with the reason, as ``{"broken": …}``.
    """
    areas = json.loads(question.readline())
    try:
        image = upright(question.read())
    except UnidentifiedImageError:
        answer.write(json.dumps({"broken": f"it is none of {', '.join(_FORMATS)}"}).encode())
        return
    except Exception as error:  # noqa: BLE001  # A decoder stumbles in more ways than it documents.
        answer.write(json.dumps({"broken": f"{type(error).__name__}: {error}"[:300]}).encode())
        return
    if not areas:
        answer.write(json.dumps(look(image)).encode())
    answer.writelines(struct.pack("<Q", len(png)) + png for png in cut(image, areas))


def _give_up_rights() -> None:
    """It writes no file and leaves no core."""
    for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(limit, (0, 0))
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS


if __name__ == "__main__":
    _give_up_rights()
    serve(sys.stdin.buffer, sys.stdout.buffer)
