"""Open hours as a pure predicate on UTC instants."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

_DAY = 1440


@dataclass(frozen=True, slots=True)
class Span:
    """One window of the week: ``days`` on which it begins (0 = Monday), ``start`` and ``end`` in
    minutes of the local day; one that does not end after its start ends on the next day.
    """

    days: frozenset[int]
    start: int
    end: int


ALWAYS_SPANS = (Span(frozenset(range(7)), 0, _DAY),)


@dataclass(frozen=True, slots=True)
class Windows:
    """Several windows, on the wall clock of a zone."""

    spans: tuple[Span, ...] = ALWAYS_SPANS
    zone: tzinfo = UTC


ALWAYS = Windows()


def is_open(windows: Windows, at: int) -> bool:
    """Whether one of them is open at this instant (ms since 1970)."""
    local = datetime.fromtimestamp(at / 1000, UTC).astimezone(windows.zone)
    minute, day = local.hour * 60 + local.minute, local.weekday()
    for span in windows.spans:
        if span.start < span.end:
            if day in span.days and span.start <= minute < span.end:
                return True
        elif (day in span.days and minute >= span.start) or (
            (day - 1) % 7 in span.days and minute < span.end
        ):
            return True
    return False


def closes(windows: Windows, at: int) -> int | None:
    """The first instant after this open one at which none is open; None = never."""
    return _flip(windows, at, to=False)


def opens(windows: Windows, at: int) -> int | None:
    """The first instant from here on at which one is open; None = never."""
    return at if is_open(windows, at) else _flip(windows, at, to=True)


def _flip(windows: Windows, at: int, *, to: bool) -> int | None:
    if windows.spans == ALWAYS_SPANS:
        return None
    first = at // 60_000 * 60_000
    for minute in range(1, 9 * _DAY):
        if is_open(windows, first + minute * 60_000) is to:
            return first + minute * 60_000
    return None
