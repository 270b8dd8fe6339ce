"""Looking at pictures in a process that may be killed for it."""

from __future__ import annotations

import asyncio
import os
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from daemon.adapters.pixels import PictureReader, worker
from daemon.adapters.pixels import reader as reader_module
from daemon.craft.dataset import PixelFacts
from daemon.craft.picture import PictureDistance, PictureStats, distance, judge
from daemon.errors import WorldError
from tests.pictures import GOOD, SPOILT, Pixels, png

pytestmark = pytest.mark.realprocess

SIZE = (512, 768)


def png_of(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def plane(colour: tuple[int, int, int]) -> bytes:
    return png_of(Image.new("RGB", SIZE, colour))


def page() -> Image.Image:
    """Paper, thin frames, a figure in ink and a screentone: a page of a manga."""
    image = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(image)
    for top in (20, 400):
        draw.rectangle((20, top, 492, top + 340), outline="black", width=2)
    draw.ellipse((200, 100, 300, 250), fill=(0, 0, 0))
    for x in range(40, 480, 6):
        draw.line((x, 420, x, 720), fill=(120, 120, 120))
    return image


def night() -> Image.Image:
    image = Image.new("RGB", SIZE, (3, 3, 8))
    ImageDraw.Draw(image).ellipse((380, 60, 420, 100), fill=(230, 220, 160))
    return image


def one_line() -> Image.Image:
    image = Image.new("RGB", SIZE, "white")
    ImageDraw.Draw(image).line((0, 300, 511, 300), fill="black")
    return image


def crowd() -> Image.Image:
    """A page with a face every few pixels."""
    image = page()
    draw = ImageDraw.Draw(image)
    for number in range(150):
        x, y = 40 + number * 71 % 430, 40 + number * 37 % 690
        draw.ellipse((x, y, x + 24, y + 30), outline="black", fill="white", width=4)
    return image


def looked_at(*pictures: bytes) -> list[PictureStats]:
    async def look(reader: PictureReader) -> list[PictureStats]:
        return [await reader.measure(picture) for picture in pictures]

    return with_reader(look)


def with_reader(
    use: Callable[[PictureReader], Awaitable[list[PictureStats]]], deadline_s: float = 20.0
) -> list[PictureStats]:
    async def main() -> list[PictureStats]:
        reader = PictureReader(deadline_s=deadline_s)
        try:
            return await use(reader)
        finally:
            await reader.close()

    return asyncio.run(main())


def test_verdicts_on_pictures_as_they_come_out_of_an_engine() -> None:
    """A3.1"""
    pictures = {
        "page": (png_of(page()), ""),
        "night": (png_of(night()), ""),
        "one line": (png_of(one_line()), ""),
        "black": (plane((0, 0, 0)), "BLACK_OR_GRAY"),
        "gray": (plane((127, 127, 127)), "BLACK_OR_GRAY"),
        "red": (plane((200, 0, 0)), "BLACK_OR_GRAY"),
        "wrong VAE": (png_of(crowd().point(lambda tone: 120 + tone // 8)), "WASHED_OUT"),
    }
    found = looked_at(*(picture for picture, _ in pictures.values()))
    verdicts = [judge(stats, width=512, height=768).code for stats in found]
    expected = {name: code for name, (_, code) in pictures.items()}
    assert dict(zip(pictures, verdicts, strict=True)) == expected


def test_the_numbers_are_those_of_the_picture() -> None:
    half = Image.new("RGB", (8, 4), (255, 0, 0))
    half.paste((0, 0, 0), (0, 0, 4, 4))
    (stats,) = looked_at(png_of(half))
    assert (stats.width, stats.height, stats.mode) == (8, 4, "RGB")
    assert (stats.high, stats.spread) == (76, 255)
    assert (stats.mean, stats.std) == (38.0, 38.0)
    assert (stats.saturation, stats.one_colour) == (0.5, 0.5)


def verdict_on(picture: Pixels) -> str:
    stats = PictureStats(**worker.measure(png(picture)))
    return judge(stats, width=stats.width, height=stats.height).code


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("kind", GOOD)
def test_no_drawn_picture_is_refused(kind: str, seed: int) -> None:
    """A3.1, M1.3: white pages, black ones, tones, fog, washes, flat colours, noise."""
    assert verdict_on(GOOD[kind](np.random.default_rng(seed), 256, 384)) == ""


@pytest.mark.parametrize("fault", SPOILT)
def test_every_kind_of_fault_gets_its_code(fault: str) -> None:
    """A3.1, M1.3: over an ink wash with hard lines, on which all of them are seen."""
    code, spoil, _ = SPOILT[fault]
    rng = np.random.default_rng(16)
    assert verdict_on(spoil(rng, GOOD["wash"](rng, 512, 768))) == code


@pytest.mark.parametrize(("left", "top"), [(96, 161), (97, 160), (0, 160), (96, 640)])
def test_a_black_rectangle_off_the_decoders_grid_or_at_the_edge_is_drawn(
    left: int, top: int
) -> None:
    """A3.1"""
    picture = GOOD["wash"](np.random.default_rng(7), 512, 768).clip(9, 255)
    spoilt = picture.copy()
    spoilt[160:288, 96:224] = 0
    assert verdict_on(spoilt) == "CORRUPTED"
    picture[top : top + 128, left : left + 128] = 0
    assert verdict_on(picture) == ""


def test_the_same_black_rectangle_on_paper_or_beside_other_ink_is_drawn() -> None:
    """A3.1"""
    paper = np.random.default_rng(1).normal(235, 4, (768, 512, 1)) + np.zeros(3)
    paper[160:288, 96:224] = 0
    assert verdict_on(paper) == ""
    inked = GOOD["wash"](np.random.default_rng(7), 512, 768).clip(9, 255)
    inked[160:288, 96:224] = inked[400:410, 100:110] = 0
    assert verdict_on(inked) == ""


@pytest.mark.parametrize(
    ("left", "size", "code"), [(96, 8, "CORRUPTED"), (100, 8, ""), (96, 9, "")]
)
def test_a_mosaic_that_is_not_of_the_decoders_squares_is_a_bed_of_flowers(
    left: int, size: int, code: str
) -> None:
    """A3.1"""
    rng = np.random.default_rng(3)
    picture = GOOD["wash"](rng, 512, 768)
    colours = rng.uniform(0, 255, (20, 20, 3)).repeat(size, axis=0).repeat(size, axis=1)
    picture[160 : 160 + len(colours), left : left + len(colours)] = colours
    assert verdict_on(picture) == code


@pytest.mark.parametrize(("levels", "code"), [(2, ""), (60, ""), (256, "CORRUPTED")])
def test_a_rough_tile_again_and_again_is_a_cloth_until_it_has_every_tone(
    levels: int, code: str
) -> None:
    """A3.1"""
    rng = np.random.default_rng(3)
    tile = rng.integers(0, levels, (32, 32, 1)) * 255 / (levels - 1) + np.zeros(3)
    picture = GOOD["wash"](rng, 512, 768)
    picture[96:352, 96:352] = np.tile(tile, (8, 8, 1))
    assert verdict_on(picture) == code


def test_a_perceptual_hash_forgives_a_little_noise_and_tells_pictures_apart() -> None:
    noisy = page().point(lambda tone: min(255, tone + 3))
    first, same, other = looked_at(png_of(page()), png_of(noisy), png_of(night()))
    assert len(first.perceptual_hash) == 16
    assert distance(first.perceptual_hash, same.perceptual_hash) <= 4
    assert distance(first.perceptual_hash, other.perceptual_hash) > 4


def compared(one: bytes, other: bytes) -> PictureDistance:
    async def main() -> PictureDistance:
        reader = PictureReader()
        try:
            return await reader.compare(one, other)
        finally:
            await reader.close()

    return asyncio.run(main())


def test_the_same_pixels_are_identical_however_they_were_packed() -> None:
    """S1.3"""
    loose = BytesIO()
    page().save(loose, "PNG", compress_level=0)
    assert compared(png_of(page()), loose.getvalue()) == PictureDistance(True, 0.0, 0)


def test_one_channel_of_one_pixel_by_one_level_is_a_difference() -> None:
    """S1.3"""
    other = page()
    other.putpixel((7, 9), (255, 254, 255))
    found = compared(png_of(page()), png_of(other))
    assert not found.identical
    assert found.mean_difference == pytest.approx(1 / (3 * SIZE[0] * SIZE[1]))


def test_the_distance_is_of_levels_in_either_direction_and_of_hashes() -> None:
    """S1.3"""
    pair = png_of(page()), png_of(night())
    found = compared(*pair)
    assert found == compared(*reversed(pair))
    hashes = [str(worker.measure(each)["perceptual_hash"]) for each in pair]
    assert found.hash_distance == distance(*hashes) > 4
    planes = compared(plane((10, 10, 10)), plane((40, 0, 10)))
    assert planes.mean_difference == pytest.approx(40 / 3)


def test_pictures_of_two_sizes_could_not_differ_more() -> None:
    """S1.3"""
    turned = page().transpose(Image.Transpose.ROTATE_90)
    found = compared(png_of(page()), png_of(turned))
    assert (found.identical, found.mean_difference) == (False, 255.0)


@pytest.mark.parametrize("broken", [b"", b"not a picture", png_of(page())[:-8]])
def test_either_of_two_pictures_may_be_broken(broken: bytes) -> None:
    """S1.3: an empty file is one too."""
    for pair in ((broken, png_of(page())), (png_of(page()), broken)):
        with pytest.raises(WorldError) as caught:
            compared(*pair)
        assert caught.value.code == "PICTURE_BROKEN"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_every_kind_of_png_is_measured_on_white(mode: str) -> None:
    image = page().convert("L")
    if mode == "I;16":
        picture = png_of(image.convert("I").point(lambda tone: tone * 256).convert("I;16"))
    else:
        picture = png_of(image.convert(mode))
    stats = worker.measure(picture)
    assert stats["mean"] == pytest.approx(worker.measure(png_of(page()))["mean"], abs=2.0)


def test_what_is_transparent_counts_as_white() -> None:
    clear = png_of(Image.new("RGBA", (8, 8), (0, 0, 0, 0)))
    assert worker.measure(clear)["floor"] == 255


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width: int, height: int) -> bytes:
    """A small file that would unfold to ``width`` x ``height`` black pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 0xFF
    return bytes(changed)


def test_bytes_that_are_no_whole_picture_are_broken_and_the_next_is_read() -> None:
    """A2.9: a picture of which a part is missing is never taken for one."""
    whole = png_of(page())
    middle = len(whole) // 2
    jpeg = BytesIO()
    page().save(jpeg, "JPEG")
    large = png_of(Image.new("L", (2001, 2000)))
    broken = {
        "empty": (b"", "cut short"),
        "text": (b"not a picture", "cut short"),
        "cut in the middle": (whole[:middle], "cut short"),
        "cut at the end": (whole[:-8], "cut short"),
        "cut with a false end": (whole[:middle] + whole[-12:], "cannot be decoded"),
        "one byte flipped": (flipped(whole, middle), "cannot be decoded"),
        "a checksum flipped": (flipped(whole, -13), "cannot be decoded"),
        "another format": (jpeg.getvalue() + b"IEND\xaeB`\x82", "cannot be decoded"),
        "a bomb": (bomb(40_000, 40_000), "DecompressionBombError"),
        "just too large": (large, "2001x2000, more than 4 million pixels"),
    }

    async def look(reader: PictureReader) -> list[PictureStats]:
        for name, (picture, why) in broken.items():
            with pytest.raises(WorldError) as caught:
                await reader.measure(picture)
            assert (name, caught.value.code) == (name, "PICTURE_BROKEN")
            assert why in caught.value.text, name
        return [await reader.measure(whole)]

    assert with_reader(look)[0].mode == "RGB"


def test_a_text_chunk_as_the_engine_writes_it_is_no_harm() -> None:
    whole = png_of(page())
    told = whole[:33] + chunk(b"tEXt", b"prompt\0" + b"x" * 200_000) + whole[33:]
    assert looked_at(told) == looked_at(whole)


def worker_of(reader: PictureReader) -> int:
    assert reader._worker is not None
    return reader._worker.pid


def test_a_worker_that_is_killed_is_replaced_and_none_is_left() -> None:
    workers = []

    async def look(reader: PictureReader) -> list[PictureStats]:
        first = await reader.measure(plane((9, 9, 9)))
        workers.append(worker_of(reader))
        os.kill(workers[0], signal.SIGKILL)
        second = await reader.measure(plane((9, 9, 9)))
        workers.append(worker_of(reader))
        return [first, second]

    first, second = with_reader(look)
    assert first == second
    assert len(set(workers)) == 2
    for pid in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)  # Neither alive nor a zombie.


def test_a_picture_that_takes_too_long_costs_its_worker_and_no_other_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "worker.py"
    slow.write_text("import sys, time\nprint('ready', flush=True)\ntime.sleep(60)\n")

    async def look(reader: PictureReader) -> list[PictureStats]:
        with monkeypatch.context() as patch:
            patch.setattr(reader_module, "_WORKER", slow)
            with pytest.raises(WorldError, match="within") as caught:
                await reader.measure(b"png")
            assert caught.value.code == "PICTURE_BROKEN"
        reader._deadline_s = 20.0
        return [await reader.measure(plane((9, 9, 9)))]

    assert with_reader(look, deadline_s=0.1)[0].high == 9


def test_a_picture_whose_reader_was_cancelled_does_not_answer_for_the_next() -> None:
    async def look(reader: PictureReader) -> list[PictureStats]:
        await reader.measure(plane((9, 9, 9)))
        asked = asyncio.create_task(reader.measure(plane((200, 200, 200))))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        return [await reader.measure(plane((50, 50, 50)))]

    assert with_reader(look)[0].high == 50


def test_a_picture_that_kills_every_worker_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying = tmp_path / "worker.py"
    dying.write_text("import sys\nprint('ready', flush=True)\nsys.stdin.buffer.read(9)\n")
    monkeypatch.setattr(reader_module, "_WORKER", dying)
    with pytest.raises(WorldError, match="brought down") as caught:
        looked_at(plane((9, 9, 9)))
    assert caught.value.code == "PICTURE_BROKEN"


def test_a_worker_that_cannot_start_is_not_the_pictures_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "_WORKER", tmp_path / "none.py")
    with pytest.raises(WorldError) as caught:
        looked_at(plane((9, 9, 9)))
    assert caught.value.code == "PIXELS_FAILED"


def test_pictures_asked_for_at_once_each_get_their_own_answer() -> None:
    tones = range(0, 250, 25)

    async def look(reader: PictureReader) -> list[PictureStats]:
        return await asyncio.gather(*(reader.measure(plane((t, t, t))) for t in tones))

    assert [stats.high for stats in with_reader(look)] == list(tones)


def test_a_worker_whose_daemon_is_gone_ends_by_itself() -> None:
    process = subprocess.Popen(
        [sys.executable, "-I", worker.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.stdin.close()
        assert process.wait(timeout=10) == 0


def test_a_training_picture_is_examined_as_its_file_has_it() -> None:
    """K4.1: turned, transparent, animated, of another format, larger than a panel ever is."""
    large, hole = Image.new("RGB", (3000, 2000), "white"), Image.new("RGBA", (600, 700), "red")
    exif, files = Image.Exif(), [BytesIO() for _ in range(5)]
    exif[0x0112] = 6
    large.save(files[0], "JPEG", exif=exif)
    hole.save(files[1], "PNG")
    hole.putpixel((3, 3), (0, 0, 0, 0))
    hole.save(files[2], "PNG")
    hole.convert("L").save(files[3], "BMP")
    hole.save(files[4], "WEBP", save_all=True, append_images=[Image.new("RGB", hole.size)])
    facts = [PixelFacts(**worker.examine(file.getvalue())) for file in files]
    assert [replace(each, perceptual_hash="") for each in facts] == [
        PixelFacts(3000, 2000, "RGB", "JPEG", False, 6, 1, ""),
        PixelFacts(600, 700, "RGBA", "PNG", False, 1, 1, ""),
        PixelFacts(600, 700, "RGBA", "PNG", True, 1, 1, ""),
        PixelFacts(600, 700, "L", "BMP", False, 1, 1, ""),
        PixelFacts(600, 700, "RGBA", "WEBP", True, 1, 2, ""),
    ]
