"""Spells windows of the week: ``22:00-07:00``, ``mon-fri 22:00-07:00``, ``sat,sun 00:00-24:00``."""

from __future__ import annotations

import re

from daemon.core.windows import Span
from daemon.wire.text import excerpt

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = r"([0-9]{1,2}):([0-9]{2})"
_WINDOW = re.compile(rf"(?:([a-z,-]+)\s+)?{_CLOCK}-{_CLOCK}")
_EXAMPLES = 'Write for example: "22:00-07:00", "mon-fri 22:00-07:00" or "sat,sun 00:00-24:00".'


def read_span(text: str) -> Span | str:
    """The window, or in a sentence what is wrong with it. Days are those on which it begins."""
    found = _WINDOW.fullmatch(text.strip().lower())
    if found is None:
        return f'"{excerpt(text)}" is no window of time. {_EXAMPLES}'
    named, *clocks = found.groups()
    start, end = _minute(*clocks[:2]), _minute(*clocks[2:])
    days = _days(named) if named else frozenset(range(7))
    if days is None:
        return f'"{named}" names no days; they are {", ".join(_DAYS)}. {_EXAMPLES}'
    if start is None or end is None or start == 1440:
        return (
            f'"{excerpt(text)}" has a time that no clock shows: a window begins from 00:00 to'
            f" 23:59 and ends from 00:00 to 24:00. {_EXAMPLES}"
        )
    if start == end:
        return f'"{excerpt(text)}" ends where it begins. The whole day is "00:00-24:00".'
    return Span(days, start, end or 1440)


def _minute(hour: str, minute: str) -> int | None:
    """Minutes of the day, 0..1440."""
    minutes = int(hour) * 60 + int(minute)
    return minutes if int(minute) < 60 and minutes <= 1440 else None


def _days(text: str) -> frozenset[int] | None:
    """``mon-fri,sun``; a range may go over the end of the week."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if {first, last or first} - set(_DAYS) or part.endswith("-"):
            return None
        begin, end = _DAYS.index(first), _DAYS.index(last or first)
        found |= {(begin + step) % 7 for step in range((end - begin) % 7 + 1)}
    return frozenset(found)
