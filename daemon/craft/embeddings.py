"""Knows how ComfyUI finds ``embedding:NAME`` in a text: what it would load, and what it would miss.

Law: the name that is checked and recorded is the name that the engine loads. It reads on to the
next white space or bracket, so whatever stands there is part of the name for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_START = re.compile("embedding:", re.IGNORECASE)
# A bracket that is written with a backslash is a word to the engine.
_AT_ONE = re.compile(r"(?:\A|[ \n]|(?<!\\)[()])\Z")
_NAME = re.compile(r"[\w.+-]+(?:/[\w.+-]+)*")
# Commas are taken off a name; a bracket ends it, perhaps with a weight before it.
_END = re.compile(r",*|(?::[-+.\deE]+)?\)[^/\\]*")
_PICKLED = (".ckpt", ".pt", ".pt2", ".pth", ".bin", ".pkl")


def named(text: str) -> Sequence[str]:
    """The names, each as it is written, mostly without an ending."""
    return [name for name, fault in _read(text) if not fault]


def misspelled(text: str) -> Sequence[str]:
    """What is wrong with the embeddings of a text, in sentences."""
    return [fault for _, fault in _read(text) if fault]


def _read(text: str) -> Iterator[tuple[str, str]]:
    for start in _START.finditer(text):
        # The engine splits at white space of any kind, also right behind the colon.
        token = (text[start.end() :].split(maxsplit=1) or [""])[0]
        name = found[0] if (found := _NAME.match(token)) else ""
        yield name, _fault(text, start, name, token)


def _fault(text: str, start: re.Match[str], name: str, token: str) -> str:
    shown = repr(f"embedding:{token}"[:80])
    if start[0] != "embedding:":
        return f"{shown}: write embedding: in small letters, or the engine takes it for a word."
    if not _AT_ONE.search(text[max(0, start.start() - 2) : start.start()]):
        return f"{shown} needs a space before it, or the engine takes it for a word."
    if text[start.end() : start.end() + 1].isspace():
        return f"{shown}: the name stands right behind the colon, without a space."
    if not name or not _END.fullmatch(token, len(name)):
        return (
            f"{shown} is no plain name: write the file's name in models/embeddings in letters,"
            " digits, . _ - + and /, with a space behind it."
        )
    if any(part in (".", "..") for part in name.split("/")) or name.startswith("/"):
        return f"{shown} leaves models/embeddings. Write a name within it."
    if name.lower().endswith(_PICKLED):
        better = name.rpartition(".")[0]
        return (
            f"{shown} can run code when it is loaded: only .safetensors files are loaded. Put the"
            f' embedding as one into models/embeddings, and write "embedding:{better}.safetensors".'
        )
    return ""
