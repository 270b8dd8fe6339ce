"""grid.png, put together in a process of its own."""

from __future__ import annotations

import asyncio
from io import BytesIO

import psutil
import pytest
from PIL import Image, ImageChops, ImageColor

from daemon.adapters.pixels import PictureReader, composer, composing
from daemon.craft.grid import MAX_CELLS, GridCell, GridColumn, GridRow, Sheet
from daemon.errors import WorldError

pytestmark = pytest.mark.realprocess

RED = (200, 30, 30)


def png(size: tuple[int, int] = (64, 96), colour: tuple[int, int, int] = RED) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def grid(*cells: GridCell, rows: int = 1, heading: str = "a prompt") -> Sheet:
    """The same row again and again."""
    columns = [GridColumn(heading, f"seed {number}") for number, _ in enumerate(cells)]
    told = [GridRow(f"step {number}", ("epoch 1",), cells) for number in range(rows)]
    return Sheet("spyke_v1", ("A note.",), tuple(columns), tuple(told))


def made(sheet: Sheet) -> bytes:
    async def main() -> bytes:
        reader = PictureReader()
        try:
            return await reader.grid(sheet)
        finally:
            await reader.close()

    return asyncio.run(main())


def seen(sheet: Sheet) -> Image.Image:
    told, cells = composing._told(sheet), [cell.png for row in sheet.rows for cell in row.cells]
    return Image.open(BytesIO(composer.compose(told, cells)))


def colours(image: Image.Image) -> dict[tuple[int, ...], int]:
    found = image.convert("RGB").getcolors(image.width * image.height)
    assert found is not None
    return {colour: count for count, colour in found if isinstance(colour, tuple)}


def test_the_same_sheet_makes_the_same_bytes() -> None:
    """D2.3"""
    sheet = grid(GridCell(png(), "12 of 64", ""), GridCell(png((96, 64)), "", "near"), rows=2)
    first = made(sheet)
    assert made(sheet) == first
    assert Image.open(BytesIO(first)).format == "PNG"


def test_every_picture_is_there_in_its_own_size() -> None:
    cells = [GridCell(png(colour=(250, number, 7)), "", "") for number in range(5)]
    found = colours(seen(grid(*cells)))
    assert [found[250, number, 7] for number in range(5)] == [64 * 96] * 5


def test_a_mark_is_a_frame_in_its_colour_and_a_word() -> None:
    """D2.5: who sees no colours reads it."""
    picture, words = png((200, 200)), set()
    plain = seen(grid(GridCell(picture, "", "")))
    for mark in ("same", "near"):
        word, colour, ink = composer._MARKS[mark]
        marked = seen(grid(GridCell(picture, "", mark)))
        left, top, right, bottom = ImageChops.difference(plain, marked).getbbox() or (0,) * 4
        assert (right - left, bottom - top) == (200, 200)
        assert marked.getpixel((right - 1, bottom - 1)) == ImageColor.getrgb(colour)
        assert colours(marked).get(ImageColor.getrgb(ink), 0) > 0
        words.add(word)
    assert len(words) == 2


@pytest.mark.parametrize("broken", [b"", b"no picture", png()[:60], png((4000, 2000))], ids=len)
def test_a_picture_that_is_none_costs_its_cell_alone(broken: bytes) -> None:
    found = colours(seen(grid(GridCell(broken, "not drawn", ""), GridCell(png(), "", ""))))
    assert found[RED] == 64 * 96
    assert found[ImageColor.getrgb(composer._FAINT)] > 100


def test_a_large_grid_is_scaled_into_its_limits() -> None:
    cell = GridCell(png((512, 512)), "a label", "")
    wide, tall = seen(grid(*[cell] * 20)), seen(grid(cell, rows=40))
    assert 5000 < wide.width <= composer.MAX_WIDTH
    assert 9000 < tall.height <= composer.MAX_HEIGHT


def test_the_longest_texts_keep_to_their_columns() -> None:
    heading = "word " * 400 + "x" * 2000 + " 日本 é \x00\x1b"
    sheet = grid(
        GridCell(png(), "n" * 500, "same"), GridCell(png(), "n" * 500, ""), heading=heading
    )
    image = seen(sheet)
    assert image.width < 1500
    assert image.height < 1000
    right = image.crop((image.width - composer._MARGIN, 0, image.width, image.height))
    assert set(colours(right)) == {(255, 255, 255)}
    assert composer._plain("日本 é“\x00") == "?? e??"


@pytest.mark.parametrize("rows", [0, MAX_CELLS + 1])
def test_a_grid_of_too_many_or_no_pictures_is_refused(rows: int) -> None:
    with pytest.raises(WorldError, match=f"{rows} pictures, and 1 to {MAX_CELLS}") as caught:
        made(grid(GridCell(b"", "", ""), rows=rows))
    assert caught.value.code == "GRID_FAILED"


def test_a_process_that_hangs_or_dies_is_said_and_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    sheet = grid(GridCell(png((1000, 1000)), "", ""), rows=200)
    monkeypatch.setattr(composing, "_DEADLINE_S", 0.1)
    with pytest.raises(WorldError, match=r"more than 0\.1 s"):
        made(sheet)
    monkeypatch.setattr(composing, "_DEADLINE_S", 30.0)
    monkeypatch.setattr(composing, "_COMPOSER", composing._COMPOSER.with_name("missing.py"))
    with pytest.raises(WorldError, match="ended with 2"):
        made(sheet)
    left = [
        child for child in psutil.Process().children() if "composer.py" in " ".join(child.cmdline())
    ]
    assert left == []
