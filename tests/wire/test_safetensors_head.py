"""The head of a checkpoint says how long the file is, and what its data hash to."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.wire.safetensors_head import Head, header_bytes, read_head

HEADER = json.dumps(
    {
        "__metadata__": {"sshs_model_hash": "ab" * 32},
        "a": {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]},
        "b": {"dtype": "F16", "shape": [3], "data_offsets": [4, 10]},
    }
).encode()


def test_a_header_gives_the_size_of_its_file() -> None:
    assert read_head(HEADER) == Head(8 + len(HEADER), 8 + len(HEADER) + 10, "ab" * 32)


def test_the_prefix_gives_the_length_of_the_header() -> None:
    assert header_bytes((300).to_bytes(8, "little")) == 300
    assert header_bytes(b"\x01") == 0
    assert header_bytes(b"\xff" * 8) == 0


@pytest.mark.parametrize(
    "header",
    [b"", b"{}", b"[]", b"\x00" * 40, HEADER[:-1], b'{"a":{"data_offsets":["x","y"]}}', b'{"a":1}'],
)
def test_what_is_no_header_is_none(header: bytes) -> None:
    assert read_head(header) is None


@given(st.binary(max_size=200))
def test_no_bytes_raise(header: bytes) -> None:
    read_head(header)
    header_bytes(header)
