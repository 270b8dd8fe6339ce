"""Spells small phrases: how many, which of them, how often, how long.

Law: the plural is right, and a list that is cut says how much is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

Key = TypeVar("Key")
_SHOWN = 3


def counted(number: int, one: str) -> str:
    """``1 picture``, ``2 pictures``."""
    return f"{number} {one}" if number == 1 else f"{number} {one}s"


def times(number: int) -> str:
    """``once``, ``2 times``."""
    return "once" if number == 1 else f"{number} times"


def duration(ms: int) -> str:
    """``12 s``, ``4 min``, ``1 h 12 min``."""
    seconds = round(ms / 1000)
    if seconds < 100:
        return f"{seconds} s" if seconds else "less than a second"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def joined(parts: Iterable[str], between: str = ", ") -> str:
    """Those of the parts that say something."""
    return between.join(filter(None, parts))


def some(names: Iterable[str]) -> str:
    """``a, b, c and 21 more``, each name once."""
    each = list(dict.fromkeys(names))
    # A fourth name costs no more than saying that there is one.
    if len(each) <= _SHOWN + 1:
        return ", ".join(each)
    return f"{', '.join(each[:_SHOWN])} and {len(each) - _SHOWN} more"


def span(names: Sequence[str]) -> str:
    """All of a few names; of many the first and the last."""
    return f"{names[0]} to {names[-1]}" if len(names) > _SHOWN else ", ".join(names)


def who(names: Sequence[str], one: str) -> str:
    """The only name, or how many there are: ``a.toml``, ``3 files``. ``rest_of`` names them."""
    return names[0] if len(names) == 1 else counted(len(names), one)


def rest_of(names: Sequence[str]) -> str:
    """The names that ``who`` has only counted, in parentheses; '' where it has named the one."""
    return f" ({some(names)})" if len(names) > 1 else ""


def grouped(pairs: Iterable[tuple[Key, str]]) -> Iterable[tuple[Key, Sequence[str]]]:
    """The names of each key, in the order of their first coming."""
    found: dict[Key, list[str]] = {}
    for key, name in pairs:
        found.setdefault(key, []).append(name)
    return found.items()


def commonest(pairs: Iterable[tuple[Key, str]]) -> Iterable[tuple[Key, Sequence[str]]]:
    """The same, the keys with most names first."""
    return sorted(grouped(pairs), key=lambda item: -len(item[1]))
