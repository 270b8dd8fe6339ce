"""Spells the text that ComfyUI writes into a PNG, of a file that is whole.

Law: of a file that was cut short or changed nothing is told, and no bytes raise. ComfyUI writes a
picture straight under its final name, so that a crash can leave half of one (measured).
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping, Sequence

CHUNKS_LIMIT = 100_000
"""Pillow writes one for 64 KiB of data."""
TEXT_LIMIT_BYTES = 4 * 2**20

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEAD = struct.Struct(">I4s")
_CRC = struct.Struct(">I")


def prompt_of(png: bytes) -> Mapping[str, object] | None:
    """The graph that drew the picture (API format); None where the file is not whole or has none.

    Source: ComfyUI writes it as JSON into the ``tEXt`` chunk ``prompt``.
    """
    return _document(png, b"prompt")


def note_of(png: bytes) -> Mapping[str, object] | None:
    """The note of ours that travelled with the prompt; None as for ``prompt_of``."""
    return _document(png, b"nightpress")


def _document(png: bytes, keyword: bytes) -> Mapping[str, object] | None:
    start = keyword + b"\0"
    text = next((text for text in _texts(png) if text.startswith(start)), b"")
    try:
        told = json.loads(text.removeprefix(start))
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def _texts(png: bytes) -> Sequence[bytes]:
    """The data of the text chunks; none at all where the file is not whole."""
    found: list[bytes] = []
    at = len(_SIGNATURE)
    if not png.startswith(_SIGNATURE) or png[at + 4 : at + 8] != b"IHDR":
        return ()
    for _ in range(CHUNKS_LIMIT):
        if at + _HEAD.size + _CRC.size > len(png):
            return ()
        length, kind = _HEAD.unpack_from(png, at)
        end = at + _HEAD.size + length
        if end + _CRC.size > len(png) or (kind == b"tEXt" and length > TEXT_LIMIT_BYTES):
            return ()
        # The checksum is over the kind and the data.
        if _CRC.unpack_from(png, end) != (zlib.crc32(memoryview(png)[at + 4 : end]),):
            return ()
        if kind == b"tEXt":
            found.append(png[at + _HEAD.size : end])
        at = end + _CRC.size
        if kind == b"IEND":
            return found if at == len(png) else ()
    return ()
