"""sources.toml is written by people: what can be understood of it is."""

from __future__ import annotations

import pytest

from daemon.wire.sources import Source, read_sources, sources_toml

TEXT = b"""\
"face1.png" = "crop"
"03.png" = "gemini"
"a.png" = {caption = "auto", reviewed = false}
"b.png" = {source = "panel", caption = "auto", reviewed = true}
"c.png" = "auto"
"""


def test_each_picture_has_its_source_and_what_is_known_of_its_caption() -> None:
    """K4.3, K5.5"""
    assert read_sources(TEXT) == (
        {
            "face1.png": Source("crop"),
            "03.png": Source("gemini"),
            "a.png": Source(auto=True),
            "b.png": Source("panel", auto=True, reviewed=True),
            "c.png": Source(auto=True),
        },
        [],
    )


@pytest.mark.parametrize(
    "said", ["3", '{reviewed = "no"}', '{who = "me"}', "['a']", '"regularization"', '"a\\nb"']
)
def test_a_line_that_means_nothing_costs_a_sentence_and_no_other_line(said: str) -> None:
    found, wrong = read_sources(TEXT + f'"x.png" = {said}'.encode())
    assert (len(found), len(wrong)) == (5, 1)
    assert "says of no picture where it is from" in wrong[0]


def test_what_is_no_toml_is_told_with_its_line() -> None:
    found, [wrong] = read_sources(b'"a.png" = "crop"\n"b.png" "crop"\n')
    assert (found, wrong.startswith("sources.toml, line 2: ")) == ({}, True)


def test_what_is_written_is_read_again() -> None:
    told = {**read_sources(TEXT)[0], 'a "b" = c.png': Source("x = y")}
    assert read_sources(sources_toml(told)) == (told, [])
