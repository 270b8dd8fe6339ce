"""Wire room: the header of a safetensors file <-> values.

Law: a file is believed only when its header accounts for every byte of it. Format: eight bytes
little-endian length, a JSON object of that length (tensor name -> dtype, shape, offsets), the data
(huggingface/safetensors, "Format"; the limit of 100 MB is its reference implementation's).
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PREFIX_BYTES = 8
_LIMIT_BYTES = 100_000_000
_MAX_DIMENSIONS = 16

# Bytes of one number. Kinds that are not here are taken at their offsets' word.
_WIDTHS = {
    "F64": 8,
    "I64": 8,
    "U64": 8,
    "F32": 4,
    "I32": 4,
    "U32": 4,
    "F16": 2,
    "BF16": 2,
    "I16": 2,
    "U16": 2,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
}


@dataclass(frozen=True, slots=True)
class TensorHeader:
    """``dtype`` in which most of the bytes are (``F16``), ``bytes`` of data, number of ``tensors``,
    and what the file says about itself (untrusted text).
    """

    dtype: str
    bytes: int
    tensors: int
    metadata: Mapping[str, str]


class HeaderWrong(ValueError):
    """What is wrong, as the end of a sentence that begins with the file's name."""


def header_bytes(prefix: bytes, *, file_bytes: int) -> int:
    """How long the JSON is, from the file's first eight bytes. Raises ``HeaderWrong``."""
    if file_bytes < PREFIX_BYTES or len(prefix) < PREFIX_BYTES:
        raise HeaderWrong(f"is cut short: it has {file_bytes} bytes, not even a header's length")
    (length,) = struct.unpack("<Q", prefix[:PREFIX_BYTES])
    if length > _LIMIT_BYTES:
        raise HeaderWrong("is no safetensors file: its first bytes are not a header's length")
    missing = PREFIX_BYTES + length - file_bytes
    if missing > 0:
        raise HeaderWrong(f"is cut short: {missing} bytes of its header are missing")
    return int(length)


def read_header(raw: bytes, *, file_bytes: int) -> TensorHeader:
    """The values of a header's JSON, checked against the file's size. Raises ``HeaderWrong``."""
    try:
        header = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise HeaderWrong("is no safetensors file: its header is not JSON") from error
    if not isinstance(header, dict):
        raise HeaderWrong("is no safetensors file: its header is not a JSON object")
    metadata = header.pop("__metadata__", {})
    spans = sorted(_span(name, entry) for name, entry in header.items())
    if not spans:
        raise HeaderWrong("holds no tensors")
    _check_cover(spans, data_bytes=file_bytes - PREFIX_BYTES - len(raw))
    shares: dict[str, int] = {}
    for begin, end, dtype in spans:
        shares[dtype] = shares.get(dtype, 0) + end - begin
    return TensorHeader(
        dtype=max(shares, key=lambda dtype: (shares[dtype], dtype)),
        bytes=spans[-1][1],
        tensors=len(spans),
        metadata=_texts(metadata),
    )


def spell(tensors: Mapping[str, tuple[str, int]], *, metadata: Mapping[str, str]) -> bytes:
    """A whole file whose tensors are vectors of zeros: name -> (dtype, numbers)."""
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    end = 0
    for name, (dtype, count) in tensors.items():
        begin, end = end, end + count * _WIDTHS[dtype]
        header[name] = {"dtype": dtype, "shape": [count], "data_offsets": [begin, end]}
    raw = json.dumps(header, separators=(",", ":")).encode()
    raw += b" " * (-len(raw) % 8)
    return struct.pack("<Q", len(raw)) + raw + bytes(end)


def _span(name: str, entry: Any) -> tuple[int, int, str]:
    """Where a tensor's bytes begin and end, and its dtype."""
    match entry:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [begin, end]}:
            whole = all(type(number) is int and number >= 0 for number in (begin, end, *shape))
            if whole and len(shape) <= _MAX_DIMENSIONS and begin <= end:
                width = _WIDTHS.get(dtype)
                if width is None or end - begin == math.prod(shape) * width:
                    return begin, end, dtype
    raise HeaderWrong(f"is damaged: its header contradicts itself about the tensor {name[:80]!a}")


def _check_cover(spans: list[tuple[int, int, str]], *, data_bytes: int) -> None:
    expected = 0
    for begin, end, _ in spans:
        if begin != expected:
            raise HeaderWrong(f"is damaged: its tensors do not join at byte {expected}")
        expected = end
    missing = expected - data_bytes
    if missing > 0:
        raise HeaderWrong(f"is cut short: {missing} of {expected} bytes of weights are missing")
    if missing < 0:
        raise HeaderWrong(f"is {-missing} bytes longer than its header says")


def _texts(metadata: Any) -> Mapping[str, str]:
    if not isinstance(metadata, dict):
        return {}
    return {key: value for key, value in metadata.items() if isinstance(value, str)}
