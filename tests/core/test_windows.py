"""Open hours are read off the wall clock, also where it jumps; `python -m tests windows` asks all
zones, these ask twelve.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.windows import ALWAYS, Span, Windows, closes, is_open, opens
from tests.core.week_table import differences, transitions, week

EVERY_DAY = frozenset(range(7))
NIGHT = (Span(EVERY_DAY, 22 * 60, 7 * 60),)
IN_THE_GAP = (Span(frozenset({6}), 2 * 60, 3 * 60),)
SETS = (
    NIGHT,
    (Span(frozenset(range(5)), 22 * 60, 7 * 60), Span(frozenset({5, 6}), 0, 1440)),
    IN_THE_GAP,
    (Span(EVERY_DAY, 0, 90), Span(EVERY_DAY, 90, 150), Span(EVERY_DAY, 1439, 1)),
)
ZONES = (
    "Europe/Berlin",
    "Europe/Dublin",  # Winter time is the exception there.
    "America/New_York",
    "America/Havana",  # The clock jumps at midnight.
    "America/St_Johns",
    "Africa/Casablanca",  # A second time for Ramadan.
    "Africa/Cairo",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",  # By half an hour.
    "Antarctica/Troll",  # By two hours.
    "Pacific/Apia",
)
BERLIN = Windows(NIGHT, ZoneInfo("Europe/Berlin"))
FIRST, LAST = (date(year, 1, 1).toordinal() - date(1970, 1, 1).toordinal() for year in (2026, 2027))

spans = st.builds(
    Span, st.frozensets(st.integers(0, 6)), st.integers(0, 1439), st.integers(1, 1440)
)
windows = st.builds(
    Windows, st.lists(spans, max_size=4).map(tuple), st.sampled_from(ZONES).map(ZoneInfo)
)
instants = st.integers(
    *(int(datetime(y, 1, 1, tzinfo=UTC).timestamp()) * 1000 for y in (2020, 2038))
)


def at(text: str) -> int:
    """ms since 1970 of an instant as ISO 8601 has it, with its offset."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize("name", ZONES)
def test_the_hours_are_those_of_a_table_of_minutes(name: str) -> None:
    """A5.2: around each change of a zone's clock, and where none changes."""
    zone = ZoneInfo(name)
    for around in transitions(zone, FIRST, LAST) or [FIRST * 86_400_000]:
        assert differences(zone, SETS, around=around, minutes=130) == []


@pytest.mark.parametrize(
    ("evening", "closing", "hours"),
    [
        ("2026-11-23T22:00+01:00", "2026-11-24T07:00+01:00", 9),
        ("2026-03-28T22:00+01:00", "2026-03-29T07:00+02:00", 8),
        ("2026-10-24T22:00+02:00", "2026-10-25T07:00+01:00", 10),
    ],
)
def test_a_night_is_as_long_as_it_is(evening: str, closing: str, hours: int) -> None:
    """A5.2, K3.2: 22:00 to 07:00 in Berlin, where the clock is changed twice a year."""
    begin, end = at(evening), at(closing)
    assert (is_open(BERLIN, begin - 1), is_open(BERLIN, begin)) == (False, True)
    assert (is_open(BERLIN, end - 1), is_open(BERLIN, end)) == (True, False)
    assert opens(BERLIN, begin - 5 * 3_600_000) == begin
    assert closes(BERLIN, begin) == closes(BERLIN, end - 1) == end == begin + hours * 3_600_000


def test_what_lies_in_the_gap_of_a_clock_is_not() -> None:
    berlin = Windows(IN_THE_GAP, ZoneInfo("Europe/Berlin"))
    assert opens(berlin, at("2026-03-22T03:00+01:00")) == at("2026-04-05T02:00+02:00")


def test_what_lies_where_a_clock_is_put_back_comes_twice() -> None:
    early = Windows((Span(EVERY_DAY, 90, 150),), ZoneInfo("Europe/Berlin"))
    first, second = at("2026-10-25T01:30+02:00"), at("2026-10-25T02:00+01:00")
    assert closes(early, first) == at("2026-10-25T02:30+02:00")
    assert opens(early, at("2026-10-25T02:30+02:00")) == second
    assert closes(early, second) == at("2026-10-25T02:30+01:00")


def test_a_day_that_a_zone_leaves_out_has_no_window() -> None:
    """Samoa went from Thursday, 29 December 2011, to Saturday."""
    friday = Windows((Span(frozenset({4}), 600, 660),), ZoneInfo("Pacific/Apia"))
    assert opens(friday, at("2011-12-23T11:00-10:00")) == at("2012-01-06T10:00+14:00")


def test_a_window_without_gaps_never_closes_and_one_without_hours_never_opens() -> None:
    whole = Windows((Span(EVERY_DAY, 0, 720), Span(EVERY_DAY, 720, 1440)), ZoneInfo(ZONES[0]))
    assert closes(ALWAYS, 0) is closes(whole, 0) is None
    assert opens(ALWAYS, 5) == opens(whole, 5) == 5
    for never in (Windows(()), Windows((Span(frozenset(), 0, 1440),))):
        assert not is_open(never, 0)
        assert opens(never, 0) is None


@given(windows, instants)
def test_nothing_turns_before_the_instant_that_is_told(hours: Windows, now: int) -> None:
    turn = closes(hours, now) if (inside := is_open(hours, now)) else opens(hours, now)
    assert (turn is None) == (set(week(hours.spans)) == {inside})
    if turn is not None:
        assert turn > now
        assert is_open(hours, turn) is not inside
        step = max(1, (turn - now) // 12)
        for between in (*range(now, turn, step), turn - 1):
            assert is_open(hours, between) is inside
            assert (closes if inside else opens)(hours, between) == turn


@given(windows, windows, instants)
def test_two_sets_together_are_open_when_one_of_them_is(
    one: Windows, two: Windows, now: int
) -> None:
    both = Windows((*one.spans, *two.spans), one.zone)
    assert is_open(both, now) is (is_open(one, now) or is_open(Windows(two.spans, one.zone), now))


@given(windows, instants, st.integers(-840, 840))
def test_on_a_clock_that_is_ahead_everything_is_earlier(
    hours: Windows, now: int, minutes: int
) -> None:
    ahead = Windows(hours.spans, timezone(timedelta(minutes=minutes)))
    shifted = opens(ahead, now - minutes * 60_000)
    told = opens(Windows(hours.spans), now)
    assert shifted == (None if told is None else told - minutes * 60_000)
