"""A window of the week is read as people write it, or answered with a sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.windows import Span
from daemon.wire.window_text import read_span

EVERY_DAY = range(7)
NIGHT = (22 * 60, 7 * 60)
clocks = st.tuples(st.integers(0, 23), st.integers(0, 59))


@pytest.mark.parametrize(
    ("text", "days", "minutes"),
    [
        ("22:00-07:00", EVERY_DAY, NIGHT),
        (" 22:00-7:00 ", EVERY_DAY, NIGHT),
        ("00:00-24:00", EVERY_DAY, (0, 1440)),
        ("22:30-00:00", EVERY_DAY, (1350, 1440)),
        ("mon-fri 22:00-07:00", range(5), NIGHT),
        ("Sat,Sun  22:00-07:00", (5, 6), NIGHT),
        ("fri-mon,wed 22:00-07:00", (4, 5, 6, 0, 2), NIGHT),
        ("sun 22:00-07:00", (6,), NIGHT),
    ],
)
def test_a_window_is_its_days_and_its_minutes(
    text: str, days: tuple[int, ...], minutes: tuple[int, int]
) -> None:
    assert read_span(text) == Span(frozenset(days), *minutes)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no window of time"),
        ("22-7", "no window of time"),
        ("22:00–07:00", "no window of time"),
        ("22:00 - 07:00", "no window of time"),
        ("10pm-7am", "no window of time"),
        ("22:00-07:00 mon", "no window of time"),
        ("mon-fri", "no window of time"),
        ("monday 22:00-07:00", "names no days; they are mon, tue"),
        ("mon- 22:00-07:00", "names no days"),
        ("mon,,tue 22:00-07:00", "names no days"),
        ("mon-tue-wed 22:00-07:00", "names no days"),
        ("22:60-07:00", "no clock shows"),
        ("22:00-24:01", "no clock shows"),
        ("24:00-07:00", "no clock shows"),
        ("07:00-07:00", '"00:00-24:00"'),
        ("\x1b[31m", "\\x1b"),
    ],
)
def test_what_is_no_window_is_answered_with_an_example(text: str, words: str) -> None:
    said = read_span(text)
    assert isinstance(said, str)
    assert said.isprintable()
    assert words in said
    assert ":00-24:00" in said


@given(clocks, clocks, st.frozensets(st.integers(0, 6), min_size=1))
def test_every_window_that_can_be_written_is_read_as_it_was_meant(
    start: tuple[int, int], end: tuple[int, int], days: frozenset[int]
) -> None:
    names = ",".join(("mon", "tue", "wed", "thu", "fri", "sat", "sun")[day] for day in days)
    begin, stop = (hour * 60 + minute for hour, minute in (start, end))
    found = read_span(f"{names} {start[0]:02}:{start[1]:02}-{end[0]:02}:{end[1]:02}")
    assert isinstance(found, str) if begin == stop else found == Span(days, begin, stop or 1440)


@given(st.text(st.sampled_from("mon-tue, 0123456789:\u0661\n"), max_size=30))
def test_any_text_is_a_window_or_a_sentence(text: str) -> None:
    found = read_span(text)
    assert found.isprintable() if isinstance(found, str) else 0 <= found.start < 1440
