"""Drawn reference sheets: figures and heads on a background, with writing and swatches."""

from __future__ import annotations

from io import BytesIO

from PIL import Image, ImageDraw, ImageFont

PAPER = (244, 240, 230)
FIGURES = ((100, 240, 720, 1740), (900, 240, 1520, 1740))
HEADS = ((1700, 240, 2280, 820), (1700, 1000, 2280, 1580))


def drawn(background: tuple[int, ...] = PAPER) -> Image.Image:
    """2400 x 2000 pixels; the parts are at ``FIGURES`` and ``HEADS``, right and bottom outside."""
    sheet = Image.new("RGBA" if len(background) == 4 else "RGB", (2400, 2000), background)
    pen = ImageDraw.Draw(sheet)
    pen.text((100, 60), "SPYKE, third version", "black", ImageFont.load_default(80))
    for left, top, right, bottom in FIGURES:
        middle = (left + right) // 2
        pen.ellipse((middle - 90, top, middle + 90, top + 180), "tan", "black", 6)
        pen.polygon(
            ((middle, top + 180), (right - 1, bottom - 1), (left, bottom - 1)), "red", "black"
        )
        pen.text((middle - 40, bottom + 60), "front", "black", ImageFont.load_default(40))
    for left, top, right, bottom in HEADS:
        pen.ellipse((left, top, right - 1, bottom - 1), "tan", "black", 6)
    for number in range(6):
        pen.rectangle((100 + 90 * number, 1900, 160 + 90 * number, 1960), (40 * number, 80, 90))
    return sheet


def saved(sheet: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    sheet.save(buffer, kind, **options)
    return buffer.getvalue()
