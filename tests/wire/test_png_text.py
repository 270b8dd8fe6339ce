"""A picture tells the graph that drew it if it is whole, and nothing otherwise; no bytes raise."""

import io
import json
import struct
import zlib
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from daemon.wire.png_text import CHUNKS_LIMIT, TEXT_LIMIT_BYTES, note_of, prompt_of

PROMPT = {"3": {"class_type": "KSampler", "inputs": {"seed": 7, "text": "plüschig"}}}
NOTE = {"job": "ch01_p003_v1", "image": 0}


def picture(texts: Mapping[str, str]) -> bytes:
    """A PNG as ComfyUI saves it: by Pillow, with texts."""
    info = PngInfo()
    for key, text in texts.items():
        info.add_text(key, text)
    buffer = io.BytesIO()
    Image.effect_noise((48, 40), 90).convert("RGB").save(
        buffer, "png", pnginfo=info, compress_level=4
    )
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


DRAWN = picture({"prompt": json.dumps(PROMPT), "nightpress": json.dumps(NOTE)})
SIGNATURE, HEADER, END = DRAWN[:8], DRAWN[8:33], chunk(b"IEND", b"")


def test_a_whole_picture_tells_its_prompt_and_our_note() -> None:
    assert prompt_of(DRAWN) == PROMPT
    assert note_of(DRAWN) == NOTE


def test_of_a_picture_that_was_cut_anywhere_nothing_is_told() -> None:
    assert all(prompt_of(DRAWN[:length]) is None for length in range(len(DRAWN)))


def test_of_a_picture_with_any_one_byte_changed_nothing_is_told() -> None:
    for place in range(len(DRAWN)):
        flipped = bytearray(DRAWN)
        flipped[place] ^= 0x20
        assert prompt_of(bytes(flipped)) is None, place


@given(behind=st.binary(min_size=1, max_size=40) | st.just(END))
def test_of_a_picture_with_something_behind_its_end_nothing_is_told(behind: bytes) -> None:
    assert prompt_of(DRAWN + behind) is None


@given(st.binary(max_size=200))
def test_no_bytes_raise(data: bytes) -> None:
    assert prompt_of(data) is None
    assert prompt_of(SIGNATURE + data) is None
    assert prompt_of(SIGNATURE + HEADER + data) is None


@given(length=st.integers(1, 2**32 - 1), place=st.integers(0, 60))
def test_a_length_beyond_the_file_is_a_cut_file(length: int, place: int) -> None:
    head = struct.pack(">I4s", length, b"tEXt")
    assert prompt_of(SIGNATURE + HEADER + head + DRAWN[33 : 33 + place]) is None


@given(
    st.one_of(st.just("[1]"), st.just("[" * 100_000), st.just("1" * 5_000), st.text(max_size=30))
    .map(lambda text: text.encode("utf-8", "surrogatepass"))
    .filter(lambda text: not text.startswith(b"{"))
)
def test_a_text_that_is_no_json_object_is_none(text: bytes) -> None:
    whole = SIGNATURE + HEADER + chunk(b"tEXt", b"prompt\0" + text) + END
    assert prompt_of(whole) is None


def test_a_picture_without_the_text_has_none() -> None:
    assert prompt_of(picture({})) is None
    assert prompt_of(picture({"prompts": json.dumps(PROMPT)})) is None
    assert note_of(picture({"prompt": json.dumps(PROMPT)})) is None


def test_a_file_that_does_not_begin_as_a_picture_is_none() -> None:
    text = chunk(b"tEXt", b"prompt\0" + json.dumps(PROMPT).encode())
    assert prompt_of(SIGNATURE + HEADER + text + END) == PROMPT
    assert prompt_of(SIGNATURE + text + END) is None


def test_texts_and_chunks_have_a_limit() -> None:
    long = b'prompt\0{"a": "' + b"x" * TEXT_LIMIT_BYTES + b'"}'
    assert prompt_of(SIGNATURE + HEADER + chunk(b"tEXt", long) + END) is None
    text = chunk(b"tEXt", b'prompt\0{"a": 1}')
    filled = chunk(b"IDAT", b"") * (CHUNKS_LIMIT - 3)
    assert prompt_of(SIGNATURE + HEADER + text + filled + END) == {"a": 1}
    assert prompt_of(SIGNATURE + HEADER + text + filled + filled[:12] + END) is None
