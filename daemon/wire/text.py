"""Spells text from outside for people: nothing in it can move a cursor, hide, or forge a line.

Law: what ``visible`` returns is printable (``str.isprintable``), hence one line; printable text
comes through unchanged.
"""

from __future__ import annotations

import re
import unicodedata

_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str) -> str:
    """The text with control, escape and bidi characters spelled out (``\\x1b``, ``\\u202e``).

    Newlines are spelled out too: text from outside must not begin a line of ours. Source: a
    terminal obeys ESC and C1, and bidi characters show text in another order than it has.
    """
    return text if text.isprintable() else "".join(map(_spelled, text))


def tame(text: str) -> str:
    """The text with what a terminal obeys spelled out, but for new lines and tabs: the last net
    below a whole line of ours, where a caller forgot to make a part of it ``visible``.
    """
    return _OBEYED.sub(lambda found: _spelled(found[0]), text)


def excerpt(text: str, *, limit: int = 60) -> str:
    """At most ``limit`` characters of the visible text, the cut marked with an ellipsis."""
    shown = visible(text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def is_control(character: str) -> bool:
    """Whether it is a C0, DEL or C1 control character."""
    return unicodedata.category(character) == "Cc"


def _spelled(character: str) -> str:
    if character in _NAMED:
        return _NAMED[character]
    if character.isprintable():
        return character
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
