"""A pose to draw after: a picture of a stick figure, as a ControlNet for openpose wants it."""

from __future__ import annotations

import io

from PIL import Image, ImageDraw

_LIMBS = [
    ((32, 12), (32, 36), "red"),
    ((32, 18), (14, 28), "orange"),
    ((32, 18), (50, 8), "yellow"),
    ((32, 36), (20, 58), "green"),
    ((32, 36), (46, 56), "blue"),
]


def pose_png() -> bytes:
    """64 x 64 pixels, the same bytes each time."""
    picture = Image.new("RGB", (64, 64))
    pen = ImageDraw.Draw(picture)
    for start, end, colour in _LIMBS:
        pen.line((*start, *end), fill=colour, width=3)
    data = io.BytesIO()
    picture.save(data, "PNG")
    return data.getvalue()
