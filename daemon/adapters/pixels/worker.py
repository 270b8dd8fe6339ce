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
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Four times the largest picture that a job may ask for would be 1.5 million pixels.
MAX_PIXELS = 4_000_000
_DARK_BELOW = 16
_END = b"IEND\xaeB`\x82"

Bytes = NDArray[np.uint8]


class Broken(Exception):
    """What is wrong with the picture, as the end of a sentence that begins with it."""


def measure(png: bytes) -> Mapping[str, Any]:
    """The fields of ``PictureStats``. Raises ``Broken``, or whatever the decoder stumbles over."""
    flat, mode = _decoded(png)
    return {
        "width": flat.width,
        "height": flat.height,
        "mode": mode,
        **_numbers(np.asarray(flat)),
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
        "largest": int(levels.max()),
        "hash_distance": places.bit_count(),
    }


def _decoded(png: bytes) -> tuple[Image.Image, str]:
    """The picture on white, and the mode that the file has. Raises as ``measure`` does."""
    if _END not in png:
        raise Broken("is cut short: the end of the PNG is missing")
    with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise Broken(f"is {width}x{height}, more than {MAX_PIXELS // 10**6} million pixels")
        image.verify()
    # After `verify`, which reads the checksums, Pillow wants the file opened again.
    with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
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


def _numbers(rgb: Bytes) -> Mapping[str, Any]:
    """``rgb``: height x width x 3."""
    channels = rgb.reshape(-1, 3)
    wide = channels.astype(np.uint32)
    luminance = (wide @ np.array([299, 587, 114], dtype=np.uint32) + 500) // 1000
    highest, lowest = channels.max(axis=1), channels.min(axis=1)
    chroma = (highest - lowest) / np.maximum(highest, 1)
    packed = wide @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
    _, counts = np.unique(packed, return_counts=True)
    return {
        "mean": float(luminance.mean()),
        "std": float(luminance.std()),
        "low": int(luminance.min()),
        "high": int(luminance.max()),
        "spread": int((channels.max(axis=0) - channels.min(axis=0)).max()),
        "saturation": float(chroma.mean()),
        "dark": float((luminance < _DARK_BELOW).mean()),
        "one_colour": float(counts.max() / len(packed)),
    }


def _dhash(image: Image.Image) -> str:
    small = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    signs = (small[:, 1:] > small[:, :-1]).ravel()
    return np.packbits(signs).tobytes().hex()


def answer(png: bytes, other: bytes = b"") -> Mapping[str, Any]:
    """``{"stats": …}``, with another picture ``{"distance": …}``, or ``{"broken": …}``."""
    try:
        return {"distance": compare(png, other)} if other else {"stats": measure(png)}
    except Broken as broken:
        return {"broken": str(broken)}
    except Exception as error:  # noqa: BLE001  # A decoder stumbles in more ways than it documents.
        return {"broken": f"cannot be decoded ({type(error).__name__}: {str(error)[:200]})"}


def serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """Two lengths of eight bytes (little-endian) and as many PNGs in, the second one empty where
    there is nothing to compare with; a line out.
    """
    answers.write(b"ready\n")
    answers.flush()
    while len(prefix := questions.read(16)) == 16:
        pictures = [questions.read(length) for length in struct.unpack("<QQ", prefix)]
        answers.write(json.dumps(answer(*pictures)).encode() + b"\n")
        answers.flush()


def _give_up_rights() -> None:
    """It writes no file and leaves no core; after the start it has nothing to say to a terminal."""
    for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(limit, (0, 0))
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS


if __name__ == "__main__":
    _give_up_rights()
    serve(sys.stdin.buffer, sys.stdout.buffer)
