"""Spells the head of a .safetensors file: enough of it to know whether the file is whole.

The format: 8 bytes little-endian header length, a JSON object of tensors, then their data. A
trainer writes a checkpoint in place under its final name, so a name proves nothing (measured).
"""

from __future__ import annotations

import json
from dataclasses import dataclass

PREFIX_BYTES = 8
HEADER_LIMIT_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Head:
    """``data_at``: where the tensors' data begin, in bytes; ``size`` of the whole file in bytes.

    ``data_sha256`` is what the file says of its data (``sshs_model_hash``), '' where it does not.
    """

    data_at: int
    size: int
    data_sha256: str


def header_bytes(prefix: bytes) -> int:
    """The length of the header that follows the first 8 bytes; 0 for what is none."""
    length = int.from_bytes(prefix[:PREFIX_BYTES], "little") if len(prefix) >= PREFIX_BYTES else 0
    return length if length <= HEADER_LIMIT_BYTES else 0


def read_head(header: bytes) -> Head | None:
    """What a header says of its file; None for what is none."""
    try:
        tensors = json.loads(header)
        told = tensors.pop("__metadata__", {}).get("sshs_model_hash", "")
        end = max(tensor["data_offsets"][1] for tensor in tensors.values())
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    data_at = PREFIX_BYTES + len(header)
    if not isinstance(end, int) or not isinstance(told, str):
        return None
    return Head(data_at, data_at + end, told.removeprefix("0x"))
