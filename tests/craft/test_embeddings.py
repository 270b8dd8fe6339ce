"""Embeddings in prompts: found where ComfyUI finds them, and told where it would find none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.craft.embeddings import misspelled, named


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", []),
        ("embedding:bad", ["bad"]),
        ("ink, embedding:bad, embedding:hands", ["bad", "hands"]),
        ("ink,\nembedding:bad\nrain", ["bad"]),
        ("embedding:sub/bad.safetensors rain", ["sub/bad.safetensors"]),
        ("(embedding:bad:1.2), rain", ["bad"]),
        ("(rain, embedding:bad:0.8)", ["bad"]),
        ("((embedding:bad))", ["bad"]),
        ("(rain)embedding:bad", ["bad"]),
        ("embedding:bad,", ["bad"]),
        ("embedding:bad embedding:bad", ["bad", "bad"]),
        ("embeddings are nice", []),
    ],
)
def test_an_embedding_is_found_where_the_engine_finds_it(text: str, names: list[str]) -> None:
    """M4.2"""
    assert named(text) == names
    assert misspelled(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "rain,embedding:bad",
        "xembedding:bad",
        "rain\tembedding:bad",
        "Embedding:bad",
        "embedding: bad",
        "embedding:",
        "embedding:bad:1.2",
        "embedding:bad,rain",
        "embedding:bad(rain)",
        r"\(embedding:bad",
        r"embedding:bad\)",
        "embedding:embedding:bad",
    ],
)
def test_what_the_engine_would_draw_as_words_is_told(text: str) -> None:
    """M4.2: ComfyUI draws the words and says nothing, or only in its log."""
    assert named(text) == []
    assert misspelled(text)


def test_one_that_is_right_beside_one_that_is_wrong_is_found() -> None:
    text = "embedding:good, rain,embedding:bad"
    assert named(text) == ["good"]
    [sentence] = misspelled(text)
    assert sentence.startswith("'embedding:bad' needs a space before it")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,embedding:x", "needs a space before it"),
        ("Embedding:x", "in small letters"),
        ("embedding: x", "right behind the colon"),
        ("embedding:x,y", "with a space behind it"),
        ("embedding:a,/../b", "no plain name"),
        ("embedding:a)/../b", "no plain name"),
        ("embedding:../b", "leaves models/embeddings"),
        ("embedding:x.pt", 'write "embedding:x.safetensors"'),
    ],
)
def test_what_the_engine_would_read_otherwise_is_said(text: str, said: str) -> None:
    """M4.1, N3.1: it would load another file than the one that was checked, or none."""
    assert said in "\n".join(misspelled(text))
    assert named(text) == []


@given(st.text("embding:ABx/.,()\\ \n1[]<%", max_size=40))
def test_no_text_makes_the_reader_fall_over_and_no_name_leaves_its_folder(text: str) -> None:
    for name in named(f"embedding:{text}"):
        assert ".." not in name.split("/")
        assert not name.startswith("/")
    assert all(fault.endswith((".", '"')) for fault in misspelled(text))
