"""Open hours written down minute by minute: what the arithmetic of core/windows.py is held against.

Law: nothing is computed here that can be looked up. The week is painted, each minute of UTC is put
on the zone's wall clock by zoneinfo, and the next turn is found by walking back through the list.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from daemon.core.windows import Span, Windows, closes, is_open, opens

DAY = 1440
_AHEAD = 16 * DAY  # A window of one hour a week that falls into a gap comes two weeks later.
_QUARTER = DAY // 4


def week(spans: Sequence[Span]) -> Sequence[bool]:
    """Whether a window is open at each minute of the week, from Monday 00:00."""
    table = [False] * (7 * DAY)
    for span in spans:
        length = span.end - span.start + (0 if span.end > span.start else DAY)
        for day in span.days:
            for minute in range(day * DAY + span.start, day * DAY + span.start + length):
                table[minute % (7 * DAY)] = True
    return table


def walls(zone: ZoneInfo, minutes: Iterable[int]) -> Sequence[int]:
    """The minute of the week that the wall clock shows in each of these minutes since 1970."""
    clocks = (datetime.fromtimestamp(minute * 60, zone) for minute in minutes)
    return [local.weekday() * DAY + local.hour * 60 + local.minute for local in clocks]


def turns(hours: Sequence[bool]) -> Sequence[int | None]:
    """For each minute the next one that differs from it; None = there is none in the list."""
    found: list[int | None] = [None] * len(hours)
    for minute in range(len(hours) - 2, -1, -1):
        following = minute + 1
        found[minute] = following if hours[following] is not hours[minute] else found[following]
    return found


def differences(
    zone: ZoneInfo, sets: Sequence[Sequence[Span]], *, around: int, minutes: int
) -> Sequence[str]:
    """Where production answers otherwise than the table, in so many minutes before and after an
    instant (ms), for each of the sets of windows.
    """
    first = around // 60_000 - minutes
    shown = walls(zone, range(first, first + 2 * minutes + _AHEAD))
    wrong = []
    for spans in sets:
        table, windows = week(spans), Windows(tuple(spans), zone)
        hours = [table[wall] for wall in shown]
        ahead = turns(hours)
        for minute, now in enumerate(hours[: 2 * minutes]):
            at, turn = (first + minute) * 60_000, ahead[minute]
            then = None if turn is None else (first + turn) * 60_000
            told = answers(windows, at)
            if told != (now, now, at if now else then, then if now else None):
                wrong.append(f"{zone} {datetime.fromtimestamp(at / 1000, UTC)} {spans}: {told}")
    return wrong


def answers(windows: Windows, at: int) -> tuple[bool, bool, int | None, int | None]:
    """What production says of a minute: at its first and last millisecond, and of its turn."""
    now, last = is_open(windows, at), is_open(windows, at + 59_999)
    return now, last, opens(windows, at), closes(windows, at) if now else None


def transitions(zone: ZoneInfo, first: int, last: int) -> Sequence[int]:
    """The minutes (in ms) between two days of UTC, counted from 1970, at which the zone's offset
    from UTC has changed.
    """
    found = []
    for quarter in range(first * 4, last * 4):
        begin, end = quarter * _QUARTER, (quarter + 1) * _QUARTER
        if _offset(zone, end) != (before := _offset(zone, begin)):
            changed = (m for m in range(begin, end + 1) if _offset(zone, m) != before)
            found.append(next(changed) * 60_000)
    return found


def _offset(zone: ZoneInfo, minute: int) -> timedelta | None:
    return datetime.fromtimestamp(minute * 60, zone).utcoffset()
