"""Adapters room: the process that decodes pictures (Pillow, numpy), one at a time until its input
ends.

Law: it opens no file and knows no path; what it is given are bytes, and what it says is one line of
JSON a picture. Run by file name, so that it imports nothing of ours.
"""

from __future__ import annotations

import io
import json
import os
import resource
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Four times the largest picture that a job may ask for would be 1.5 million pixels.
MAX_PIXELS = 4_000_000
MAX_EXAMINED_PIXELS = 40_000_000  # A page's scan, to be trained on: 160 MB, for a moment.
# A decoder turns one latent into a square of 8 x 8 pixels: what it spoils, it spoils in whole ones.
_SQUARE = 8
# A patch is at least this many squares (64 pixels) wide and high.
_PATCH = 8
# Levels between neighbours' colours (red - green and blue - green, added up), mean of a square.
# Over a patch of coloured noise or stripes the mean is 243 and more, over 64 x 64 pixels of good
# pictures 88 at most, but for those that are noise all over.
_COLOUR_NOISE = 120
# The same between squares, mean of nine: a mosaic of garbage has about 110. Half of photographs
# have up to 16; confetti has up to 98, but nowhere a patch of its own. Flowers and untrained
# weights have one: but of its squares 14 in a hundred at most are of one colour (by the mean of
# levels between neighbours inside of them), of a mosaic's 93 and more.
_COLOUR_MOSAIC = 80
_MOSAIC_INSIDE, _MOSAIC_SHARE = 8, 0.5
# Levels between neighbours of a repeated tile, mean of a square, and how many colours it has. Noise
# has 85 levels and, in grey, 154 colours in 16 x 16 pixels; a drawn motif that is as rough has 77
# colours at most. In 8 x 8 pixels both have up to 60: a tile so small is never garbage.
_TILE_NOISE, _TILE_COLOURS = 48, 120
# Around a patch of black there is drawing: the squares' means vary by more than this, and half of
# the pixels differ from their neighbour. Paper, even grained, and flat colours fall short of one.
_RING_STD = 12
_RING_EQUAL = 0.5
_END = b"IEND\xaeB`\x82"

Levels = NDArray[np.int32]
Means = NDArray[np.float64]
Marks = NDArray[np.bool_]
Values = TypeVar("Values", NDArray[np.int32], NDArray[np.float64], NDArray[np.bool_])


class Broken(Exception):
    """What is wrong with the picture, as the end of a sentence that begins with it."""


def measure(png: bytes) -> Mapping[str, Any]:
    """The fields of ``PictureStats``. Raises ``Broken``, or whatever the decoder stumbles over."""
    flat, mode = _decoded(png)
    channels = [np.asarray(channel, dtype=np.int32) for channel in flat.split()]
    red, green, blue = channels
    luminance = np.asarray((299 * red + 587 * green + 114 * blue + 500) // 1000)
    packed = (red << 16) | (green << 8) | blue
    return {
        "width": flat.width,
        "height": flat.height,
        "mode": mode,
        **_levels(channels, luminance, packed),
        **_squared(luminance),
        "noise_patch": _noise(channels),
        "repeated_patch": max(_repeated(packed, luminance, period) for period in (16, 32)),
        "black_patch": _blackened(packed == 0, luminance),
        "perceptual_hash": _dhash(flat),
    }


def compare(one: bytes, other: bytes) -> Mapping[str, Any]:
    """The fields of ``PictureDistance``. Raises as ``measure`` does."""
    first, second = _decoded(one)[0], _decoded(other)[0]
    places = int(_dhash(first), 16) ^ int(_dhash(second), 16)
    levels = np.full(1, 255)
    if first.size == second.size:
        levels = np.abs(np.asarray(first, dtype=np.int16) - np.asarray(second, dtype=np.int16))
    return {
        "identical": not levels.any(),
        "mean_difference": float(levels.mean()),
        "hash_distance": places.bit_count(),
    }


def examine(data: bytes) -> Mapping[str, Any]:
    """The fields of ``PixelFacts``. Raises as ``measure`` does."""
    with _opened(data, ("PNG", "JPEG", "WEBP", "BMP"), MAX_EXAMINED_PIXELS) as image:
        frames, turned = getattr(image, "n_frames", 1), image.getexif().get(0x0112, 1)
        clear = image.has_transparency_data
        clear = clear and image.convert("RGBA").getchannel("A").getextrema() != (255, 255)
        return {
            "width": image.width,
            "height": image.height,
            "mode": image.mode,
            "format": image.format,
            "alpha": clear,
            "frames": frames,
            "orientation": turned if turned in range(1, 9) else 1,
            "perceptual_hash": _dhash(_on_white(image)),
        }


def _opened(data: bytes, formats: tuple[str, ...], limit: int) -> Image.Image:
    if _END not in data and (data.startswith(b"\x89PNG") or len(formats) == 1):
        raise Broken("is cut short: the end of the PNG is missing")
    image = Image.open(io.BytesIO(data), formats=formats)
    if image.width * image.height > limit:
        raise Broken(f"is {image.width}x{image.height}, more than {limit // 10**6} million pixels")
    return image


def _decoded(png: bytes) -> tuple[Image.Image, str]:
    """The picture on white, and the mode that the file has. Raises as ``measure`` does."""
    with _opened(png, ("PNG",), MAX_PIXELS) as image:
        image.verify()
    # After `verify`, which reads the checksums, Pillow wants the file opened again.
    with _opened(png, ("PNG",), MAX_PIXELS) as image:
        image.load()
        return _on_white(image), image.mode


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Sixteen bits a pixel; Pillow would clip them instead of scaling.
        tones = (np.asarray(image, dtype=np.int64) >> 8).clip(0, 255)
        return Image.fromarray(tones.astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def _levels(
    channels: Sequence[Levels], luminance: Levels, packed: Levels
) -> Mapping[str, int | float]:
    """What is told of the pixels, wherever they are."""
    red, green, blue = channels
    highest, lowest = (pick(pick(red, green), blue) for pick in (np.maximum, np.minimum))
    edges = np.maximum(*_steps(luminance))
    return {
        "mean": float(luminance.mean()),
        "std": float(luminance.std()),
        "high": int(luminance.max()),
        "spread": max(int(channel.max() - channel.min()) for channel in channels),
        "saturation": float(((highest - lowest) / np.maximum(highest, 1)).mean()),
        "one_colour": _commonest(packed),
        "floor": _level(luminance, 0.001),
        "ceiling": _level(luminance, 0.999),
        "edge": _level(edges, 0.995),
    }


def _level(levels: Levels, share: float) -> int:
    """The level that ``share`` of the places do not exceed."""
    shares = np.bincount(levels.ravel(), minlength=256).cumsum() / levels.size
    return int(np.searchsorted(shares, share))


def _squared(luminance: Levels) -> Mapping[str, float]:
    """What is told of the squares: grain and screentones average out in them."""
    tones = _squares(luminance)
    return {
        "tone_range": float(tones.max() - tones.min()),
        "roughness": float(np.mean(_steps(tones)) / max(1e-3, tones.std())),
    }


def _commonest(packed: Levels) -> float:
    """The share of the value that most places have."""
    values = np.sort(packed, axis=None)
    ends = np.flatnonzero(np.append(values[1:] != values[:-1], True))
    return float(np.diff(ends, prepend=-1).max() / values.size)


def _cut(field: Values) -> Values:
    """Rows of squares x 8 x columns of squares x 8; what the last squares lack is filled with
    their neighbours.
    """
    rest = [(0, -side % _SQUARE) for side in field.shape]
    whole = np.pad(field, rest, mode="edge") if any(right for _, right in rest) else field
    return whole.reshape(whole.shape[0] // _SQUARE, _SQUARE, -1, _SQUARE)


def _squares(field: Levels) -> Means:
    """The means of its squares of 8 x 8 pixels."""
    return np.asarray(_cut(field).sum(axis=1, dtype=np.int32).sum(axis=2) / _SQUARE**2)


def _marked(field: Marks) -> Marks:
    """The squares of 8 x 8 pixels that are marked all over."""
    return np.asarray(np.all(np.all(_cut(field), axis=1), axis=2))


def _steps(field: Values) -> tuple[Values, Values]:
    """By how much each place differs from its right, and from its lower neighbour."""
    right = np.abs(np.diff(field, axis=1, append=field[:, -1:]))
    return right, np.abs(np.diff(field, axis=0, append=field[-1:]))


def _noise(channels: Sequence[Levels]) -> float:
    """Neighbours of wholly other colours, pixel by pixel or square by square."""
    red, green, blue = channels
    (right, below), (right_too, below_too) = _steps(red - green), _steps(blue - green)
    fine = np.maximum(_squares(right + right_too), _squares(below + below_too))
    jumps = [*_steps(_squares(red - green)), *_steps(_squares(blue - green))]
    coarse = _around(np.pad(sum(jumps[1:], jumps[0]) / 2, 1, mode="edge"), 3) / 9
    noise, mosaic = _solid(fine >= _COLOUR_NOISE), _solid(coarse >= _COLOUR_MOSAIC, _PATCH - 2)
    if mosaic.sum() <= noise.sum():
        return float(noise.mean())
    across = _cut(right + right_too)[..., :-1].mean(axis=(1, 3))
    down = _cut(below + below_too)[:, :-1].mean(axis=(1, 3))
    even = mosaic & (np.maximum(across, down) < _MOSAIC_INSIDE)
    return float(mosaic.mean()) if even.sum() >= _MOSAIC_SHARE * mosaic.sum() else 0.0


def _repeated(packed: Levels, luminance: Levels, period: int) -> float:
    """One tile of noise again and again, equal to the last bit."""
    if min(packed.shape) < _SQUARE * _PATCH:
        return 0.0
    same, tile = np.zeros(packed.shape, dtype=bool), packed[:-period, :-period]
    across, down = tile == packed[:-period, period:], tile == packed[period:, :-period]
    same[:-period, :-period] = across & down
    marks = _marked(same)
    if not marks.any():
        return 0.0
    right, below = _steps(luminance)
    rough = _squares(right + below) >= 2 * _TILE_NOISE
    found = _solid(marks & rough, _PATCH - period // _SQUARE)
    if not found.any():
        return 0.0
    top, left = np.argwhere(found)[0] * _SQUARE
    colours = len(np.unique(packed[top : top + period, left : left + period]))
    return float(found.mean()) if colours >= _TILE_COLOURS else 0.0


def _blackened(black: Marks, luminance: Levels) -> float:
    """Whole squares of exact black inside of a drawing that has no exact black anywhere else."""
    found = _solid(_marked(black))
    inner = np.pad(found[1:-1, 1:-1], 1)
    elsewhere = np.count_nonzero(black) - _SQUARE**2 * np.count_nonzero(found)
    if not found.any() or (found != inner).any() or elsewhere >= _SQUARE**2:
        return 0.0
    ring = (_around(np.pad(found, 1), 3) > 0.5) & ~found
    equal = _squares((_steps(luminance)[0] == 0).astype(np.int32))[ring].mean()
    varied = _squares(luminance)[ring].std() > _RING_STD
    return float(found.mean()) if varied and equal < _RING_EQUAL else 0.0


def _solid(marks: Marks, side: int = _PATCH) -> Marks:
    """The squares in patches of ``side`` x ``side`` marked ones; none where more than a tenth of
    the marks lies in no patch, for then it is no patch but the way the picture is drawn.
    """
    if min(marks.shape) < side:
        return np.zeros_like(marks)
    full = _around(marks, side) > side**2 - 0.5
    found = np.asarray(_around(np.pad(full, side - 1), side) > 0.5)
    return found if found.sum() >= 0.9 * marks.sum() else np.zeros_like(marks)


def _around(field: NDArray[Any], side: int) -> Means:
    """The sum of every ``side`` x ``side`` places of a field."""
    sums = np.pad(field.cumsum(axis=0, dtype=np.float64).cumsum(axis=1), ((1, 0), (1, 0)))
    right = sums[:, side:] - sums[:, :-side]
    return np.asarray(right[side:] - right[:-side])


def _dhash(image: Image.Image) -> str:
    small = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    signs = (small[:, 1:] > small[:, :-1]).ravel()
    return np.packbits(signs).tobytes().hex()


# What each question's byte asks for, and of how many pictures.
_Asked = tuple[Callable[..., Mapping[str, Any]], int]
_ASKED: Mapping[bytes, _Asked] = {b"s": (measure, 1), b"d": (compare, 2), b"f": (examine, 1)}


def answer(asked: Callable[..., Mapping[str, Any]], pictures: Sequence[bytes]) -> Mapping[str, Any]:
    """``{"told": …}``, or ``{"broken": …}``."""
    try:
        return {"told": asked(*pictures)}
    except Broken as broken:
        return {"broken": str(broken)}
    except Exception as error:  # noqa: BLE001  # A decoder stumbles in more ways than it documents.
        return {"broken": f"cannot be decoded ({type(error).__name__}: {str(error)[:200]})"}


def serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """The question in one byte, and of each of its pictures the length in eight (little-endian) and
    the bytes; a line out.
    """
    answers.write(b"ready\n")
    answers.flush()
    while question := questions.read(1):
        asked, count = _ASKED[question]
        pictures = [questions.read(*struct.unpack("<Q", questions.read(8))) for _ in range(count)]
        answers.write(json.dumps(answer(asked, pictures)).encode() + b"\n")
        answers.flush()


def _give_up_rights() -> None:
    """It writes no file and leaves no core; after the start it has nothing to say to a terminal."""
    for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(limit, (0, 0))
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    Image.MAX_IMAGE_PIXELS = MAX_EXAMINED_PIXELS


if __name__ == "__main__":
    _give_up_rights()
    serve(sys.stdin.buffer, sys.stdout.buffer)
