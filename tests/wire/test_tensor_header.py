"""The header of a safetensors file accounts for every byte, or the file is not believed."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load

from daemon.wire.tensor_header import HeaderWrong, TensorHeader, header_bytes, read_header, spell

FILE = spell({"a": ("F16", 8), "b": ("F32", 2)}, metadata={"made": "here"})


def look(data: bytes) -> TensorHeader:
    length = header_bytes(data[:8], file_bytes=len(data))
    return read_header(data[8 : 8 + length], file_bytes=len(data))


def spelled(header: object, data_bytes: int = 0) -> bytes:
    raw = json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + bytes(data_bytes)


def tensor(dtype: str, shape: list[object], begin: int, end: int) -> Mapping[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_a_file_says_in_which_dtype_most_of_its_bytes_are() -> None:
    """M2.2"""
    assert look(FILE) == TensorHeader("F16", 24, 2, {"made": "here"})


def test_what_we_spell_the_reference_implementation_reads() -> None:
    assert {name: values.shape for name, values in load(FILE).items()} == {"a": (8,), "b": (2,)}


@pytest.mark.parametrize("kept", [0, 7, 8, 40, len(FILE) - 25, len(FILE) - 24, len(FILE) - 1])
def test_a_file_cut_short_says_so(kept: int) -> None:
    """M2.2"""
    with pytest.raises(HeaderWrong, match="is cut short"):
        look(FILE[:kept])


def test_it_is_said_how_much_is_missing() -> None:
    with pytest.raises(HeaderWrong, match="5 of 24 bytes of weights are missing"):
        look(FILE[:-5])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (FILE + b"x", "1 bytes longer"),
        (b"PK\x03\x04" + b"x" * 60, "no safetensors file"),
        (struct.pack("<Q", 9) + b"not json!", "not JSON"),
        (struct.pack("<Q", 3) + b"\xff\xfe\xfd", "not JSON"),
        (struct.pack("<Q", 50_000) + b"[" * 50_000, "not JSON"),
        (spelled([]), "not a JSON object"),
        (spelled({"__metadata__": {}}), "no tensors"),
        (spelled({"a": 1}), "contradicts itself"),
        (spelled({"a": tensor("F16", [4], 0, 6)}, 6), "contradicts itself"),
        (spelled({"a": tensor("F16", [-4, -1], 0, 8)}, 8), "contradicts itself"),
        (spelled({"a": tensor("F16", [True, 4], 0, 8)}, 8), "contradicts itself"),
        (spelled({"a": tensor("F16", [1] * 9_000, 0, 2)}, 2), "contradicts itself"),
        (spelled({"a": tensor("F9", [4], 8, 0)}, 8), "contradicts itself"),
        (spelled({"a": tensor("U8", [4], 4, 8)}, 8), "do not join at byte 0"),
        (spelled({"a": tensor("U8", [4], 0, 4), "b": tensor("U8", [4], 2, 6)}, 6), "join at byte"),
    ],
)
def test_a_header_that_does_not_fit_is_refused_with_the_reason(data: bytes, why: str) -> None:
    """M2.2"""
    with pytest.raises(HeaderWrong, match=why):
        look(data)


def test_the_name_of_a_tensor_cannot_forge_a_line() -> None:
    with pytest.raises(HeaderWrong) as caught:
        look(spelled({"a\n\x1b[31m": 1}))
    assert str(caught.value).isprintable()


@given(st.integers(0, len(FILE) - 1), st.binary(max_size=40))
def test_whatever_is_damaged_the_answer_is_a_reason_and_never_a_stumble(
    at: int, damage: bytes
) -> None:
    with suppress(HeaderWrong):
        look(FILE[:at] + damage + FILE[at + len(damage) :])


@given(st.binary(max_size=200))
def test_whatever_the_json_is_the_answer_is_a_reason_and_never_a_stumble(raw: bytes) -> None:
    with suppress(HeaderWrong):
        look(struct.pack("<Q", len(raw)) + raw)
