"""Open hours as a pure predicate on UTC instants, and when they turn next.

Law: whether a window is open is read off the wall clock of its zone and nothing else. Where a clock
is put forward, what would lie in the gap is not; where it is put back, what lies there comes twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

_MINUTE = 60_000
_DAY = 1440 * _MINUTE
_THURSDAY = 3  # 1970 began on one.
_MS = timedelta(milliseconds=1)

# A turn on one day of the week may lie in a gap of the clock; a week later there is none.
_FARTHEST = 15 * _DAY


@dataclass(frozen=True, slots=True)
class Span:
    """One window of the week: ``days`` on which it begins (0 = Monday), ``start`` and ``end`` in
    minutes of the local day, 0..1439 and 1..1440; one that does not end after its start ends on
    the next day.
    """

    days: frozenset[int]
    start: int
    end: int


ALWAYS_SPANS = (Span(frozenset(range(7)), 0, 1440),)


@dataclass(frozen=True, slots=True)
class Windows:
    """Several windows, on the wall clock of a zone."""

    spans: tuple[Span, ...] = ALWAYS_SPANS
    zone: tzinfo = UTC


ALWAYS = Windows()
NEVER = Windows(())


def is_open(windows: Windows, at: int) -> bool:
    """Whether one of them is open at this instant (ms since 1970)."""
    return _open_at(windows.spans, at + _offset(windows.zone, at))


def closes(windows: Windows, at: int) -> int | None:
    """The first instant after this open one at which none is open; None = never."""
    return _turns(windows, at, to=False)


def opens(windows: Windows, at: int) -> int | None:
    """The first instant from here on at which one is open; None = never."""
    return at if is_open(windows, at) else _turns(windows, at, to=True)


def _turns(windows: Windows, at: int, *, to: bool) -> int | None:
    """The first instant after ``at`` at which they are open or not, as ``to`` says.

    Only where the wall clock comes to an end of a window, and where it is put forward or back, can
    that change: from one such instant to the next. No zone does the latter twice within a day.
    """
    spans, zone = windows.spans, windows.zone
    ends = {end % 1440 * _MINUTE for span in spans for end in (span.start, span.end)}
    offset, last = _offset(zone, at), at + _FARTHEST
    while ends and at < last:
        wall = at + offset
        following = at + 1 + min((end - wall - 1) % _DAY for end in ends)
        if _offset(zone, following) != offset:
            following = _first_other(zone, offset, at, following)
            offset = _offset(zone, following)
        at = following
        if _open_at(spans, at + offset) is to:
            return at
    return None


def _open_at(spans: Iterable[Span], wall: int) -> bool:
    """``wall``: what the wall clock shows, in ms since it showed the beginning of 1970."""
    days, minute = divmod(wall // _MINUTE, 1440)
    today = (days + _THURSDAY) % 7
    for span in spans:
        end = span.end if span.start < span.end else span.end + 1440
        if today in span.days and span.start <= minute < end:
            return True
        if (today - 1) % 7 in span.days and minute + 1440 < end:
            return True
    return False


def _first_other(zone: tzinfo, offset: int, low: int, high: int) -> int:
    """The first instant after ``low``, at which the zone has this offset, with another."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(zone, middle) == offset else (low, middle)
    return high


def _offset(zone: tzinfo, at: int) -> int:
    """How far the wall clock of a zone is ahead of UTC, ms. It changes at whole seconds."""
    ahead = datetime.fromtimestamp(at // 1000, zone).utcoffset()
    return ahead // _MS if ahead else 0
