"""Reference sheets are looked at and cut in a process of their own."""

from __future__ import annotations

from io import BytesIO

import pytest
from PIL import Image, ImageDraw

from daemon.adapters.pixels import cutting
from daemon.adapters.pixels.cutting import cut, look
from daemon.craft.crops import Area
from daemon.errors import WorldError
from tests.sheets import FIGURES, HEADS, PAPER, drawn, saved

pytestmark = pytest.mark.realprocess

PARTS = [*FIGURES, *HEADS]


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x112] = 6  # To be turned to the right before it is looked at.
    return saved(drawn().rotate(90, expand=True), "JPEG", quality=90, exif=exif)


def ruled() -> bytes:
    """With a frame, and a line between the figures and the heads."""
    sheet = drawn()
    pen = ImageDraw.Draw(sheet)
    pen.rectangle((10, 10, 2389, 1989), outline="black", width=8)
    pen.line((1600, 10, 1600, 1989), "black", 12)
    return saved(sheet)


@pytest.mark.parametrize(
    "sheet",
    [
        saved(drawn()),
        saved(drawn(), "JPEG", quality=70),
        saved(drawn(), "WEBP", quality=80),
        saved(drawn((0, 0, 0, 0))),
        saved(drawn((16, 16, 24))),
        turned(),
        ruled(),
    ],
    ids=["png", "jpeg", "webp", "transparent", "dark", "turned", "ruled"],
)
def test_figures_and_heads_are_found_and_writing_and_swatches_are_not(sheet: bytes) -> None:
    """K4.2."""
    seen = look(sheet)
    assert (seen.width, seen.height, len(seen.areas)) == (2400, 2000, len(PARTS))
    for (left, top, right, bottom), area in zip(PARTS, seen.areas, strict=True):
        # Nothing is cut off, and not much background comes along.
        assert left - 50 <= area.x <= left
        assert top - 50 <= area.y <= top
        assert right <= area.x + area.width <= right + 50
        assert bottom <= area.y + area.height <= bottom + 50


def test_a_crop_has_the_sheets_own_pixels() -> None:
    """K4.2: never enlarged."""
    left, top, right, bottom = HEADS[0]
    area = Area(left, top, right - left, bottom - top)
    first, second = cut(saved(drawn()), [area, Area(0, 0, 7, 9)])
    assert Image.open(BytesIO(first)).tobytes() == drawn().crop(HEADS[0]).tobytes()
    assert Image.open(BytesIO(second)).size == (7, 9)


def test_transparent_pixels_become_white() -> None:
    [png] = cut(saved(drawn((0, 0, 0, 0))), [Area(0, 0, 4, 4)])
    picture = Image.open(BytesIO(png))
    assert (picture.mode, picture.getpixel((1, 1))) == ("RGB", (255, 255, 255))


def test_an_empty_sheet_has_no_parts() -> None:
    assert look(saved(Image.new("RGB", (800, 600), PAPER))).areas == []


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"no picture", "it is none of PNG, JPEG, WEBP, BMP"),
        (saved(drawn())[:9000], "truncated"),
        (saved(Image.new("1", (8000, 6000))), "more than 40 megapixels"),
        (saved(Image.new("P", (9, 9)), "GIF"), "it is none of"),
    ],
    ids=["text", "truncated", "large", "gif"],
)
def test_what_is_no_picture_is_told_in_a_sentence(data: bytes, told: str) -> None:
    with pytest.raises(WorldError, match=told) as caught:
        look(data)
    assert caught.value.code == "PICTURE_BROKEN"


def test_a_process_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "_DEADLINE_S", 0.001)
    with pytest.raises(WorldError, match="TimeoutExpired"):
        look(saved(drawn()))
