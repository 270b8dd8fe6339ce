"""Text from jobs, files and servers is shown, never obeyed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.wire.text import excerpt, is_control, tame, visible
from tests.shell.hostile_files import OBEYED


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]52;c;aGk=\x07", "\\x1b]52;c;aGk=\\x07"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("\u009b31m", "\\x9b31m"),
        ("done\rfailed", "done\\rfailed"),
        ("a\nfake line\tb", "a\\nfake line\\tb"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\u2066x\u2069", "\\u2066x\\u2069"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("\u2028", "\\u2028"),
        ("\udcff", "\\udcff"),
        ("\U000e0041", "\\U000e0041"),
        ("\x7f", "\\x7f"),
    ],
)
def test_control_escape_and_bidi_characters_are_spelled_out(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize("text", ["", "white cloak", "Grüße", "漫画", "“quoted” — fine", "🦊 \\ '"])
def test_plain_text_comes_through_unchanged(text: str) -> None:
    assert visible(text) == text


@given(st.text(st.characters()))
def test_below_a_whole_line_the_last_net_leaves_nothing_that_is_obeyed(text: str) -> None:
    shown = tame(text)
    assert not OBEYED.search(shown)
    assert tame(shown) == shown
    assert (
        tame("Tab\there,\nnext line, 漫画\u3000🧑\u200d🎨")
        == "Tab\there,\nnext line, 漫画\u3000🧑\u200d🎨"
    )
    shown.encode()


@given(st.text(st.characters()))
def test_whatever_it_was_it_is_one_printable_line(text: str) -> None:
    shown = visible(text)
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1
    shown.encode("utf-8")


@given(st.text(), st.integers(1, 80))
def test_an_excerpt_is_short_and_begins_like_the_text(text: str, limit: int) -> None:
    shown = excerpt(text, limit=limit)
    assert len(shown) <= limit
    assert visible(text).startswith(shown.removesuffix("…")) or "…" in text


def test_controls_are_c0_del_and_c1() -> None:
    assert [code for code in range(256) if is_control(chr(code))] == [*range(32), *range(127, 160)]
