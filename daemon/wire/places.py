"""Spells paths so that they mean the same on another machine: ``$STUDIO``, ``$COMFYUI``, ``$HOME``.

Law: what comes out of ``portable_args`` holds no absolute path and nobody's home folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

Places = Mapping[str, str]
"""Absolute folders by the name to write for them: ``{"$STUDIO": "/Volumes/manga/studio"}``."""

_HOME = re.compile(r"(?<![\w.$-])(?:[A-Za-z]:)?[\\/](?:Users|home)[\\/](?!Shared\b)[^\\/\s'\":,;]+")
_TILDE = re.compile(r"^~[^\\/]*")
_SEPARATOR = re.compile(r"[\\/]")
_PLACED = re.compile(r"\$[A-Z]+(?:/(?!\.\.(?:/|$))[^/\\:;,]+)*")


def portable_text(text: str, places: Places) -> str:
    """A sentence with the known folders named, for the ledger and the outbox, which are shared.

    Homes that are in no known folder become ``$HOME``; other paths stay as they are.
    """
    for name, folder in sorted(places.items(), key=lambda item: -len(item[1])):
        root = folder.rstrip("/\\")
        if root:
            text = re.sub(rf"{re.escape(root)}(?![\w.-])", name, text)
    return _HOME.sub("$HOME", text)


def portable_args(argv: Iterable[str], places: Places) -> tuple[str, ...]:
    """A command line for a lock file: known folders are named, of other paths the last part is
    kept.
    """
    return tuple(_portable_arg(arg, places) for arg in argv)


def _portable_arg(arg: str, places: Places) -> str:
    flag, equals, value = arg.partition("=")
    if not equals or not flag.startswith("-") or _SEPARATOR.search(flag):
        return _portable_value(arg, places)
    return flag + equals + _portable_value(value, places)


def _portable_value(value: str, places: Places) -> str:
    value = _TILDE.sub("$HOME", value)
    if not _SEPARATOR.search(value):
        return value
    named = portable_text(value, places).rstrip("/\\")
    return named if _PLACED.fullmatch(named) else _SEPARATOR.split(named)[-1]
