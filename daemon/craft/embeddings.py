"""Knows how ComfyUI finds the embeddings that a prompt names, and where it would find none.

Law: ``embedding:name`` counts at the beginning of a prompt, of a line or of a bracket, or behind a
space; the name ends at a space, a comma or a bracket. Anywhere else ComfyUI draws the words, and
says nothing. Source: facts/comfyui.md 9.1, and runs of 0.3.64.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_MARK = re.compile(r"embedding:", re.IGNORECASE)
_NAMED = re.compile(
    r"(?:\A|(?<=[ \n])|(?<![\\])(?<=[()]))"
    r"embedding:(?P<name>[^\s,():\\]+)"
    # A weight stands before the bracket that ends the group.
    r"(?=\Z|\s|,+(?:[\s)]|\Z)|\)|:[-+.\d]+\))"
)


def named(text: str) -> Sequence[str]:
    """The embeddings that a prompt really names, in its order, mostly without their ending."""
    return [found["name"] for found in _NAMED.finditer(text)]


def misspelled(text: str) -> Sequence[str]:
    """What looks like an embedding and is none to ComfyUI, in sentences."""
    fine = {found.start() for found in _NAMED.finditer(text)}
    wrong = [found.start() for found in _MARK.finditer(text) if found.start() not in fine]
    return [
        f'"{text[max(0, at - 1) : at + 30].strip()}" is no embedding to ComfyUI, which would draw '
        "the words. Write a space before it, then embedding:name in small letters, then a space "
        "or a comma; with a weight: (embedding:name:1.2)."
        for at in wrong
    ]
