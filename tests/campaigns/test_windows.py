"""Open hours in every zone of the time zone database: a day around each change of its clock, minute
by minute, against a table of minutes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest

from daemon.core.windows import Span
from tests.core.test_windows import SETS
from tests.core.week_table import differences, transitions

DAY_MS = 86_400_000
HALF_A_DAY = 720


@pytest.mark.parametrize("year", range(2020, 2038))
def test_no_answer_differs_from_the_table(
    year: int, record_property: Callable[[str, object], None]
) -> None:
    """A5.2, K3.2. Zones that agree for two weeks are asked once; those that do not change in 2020
    are asked at its beginning.
    """
    epoch = date(1970, 1, 1).toordinal()
    first, last = (date(day, 1, 1).toordinal() - epoch for day in (year, year + 1))
    seen: set[tuple[object, ...]] = set()
    wrong: list[str] = []
    changes = 0
    for zone in map(ZoneInfo, sorted(available_timezones())):
        found = transitions(zone, first, last)
        changes += len(found)
        # The search from one turn to the next relies on it.
        assert all(later - earlier > DAY_MS for earlier, later in pairwise(found)), zone
        for around in found or [first * DAY_MS] * (year == 2020):
            stretch = (around, *offsets(zone, around))
            if stretch not in seen:
                seen.add(stretch)
                sets = (*SETS, drawn(f"{zone} {around}"))
                wrong += differences(zone, sets, around=around, minutes=HALF_A_DAY)
    asked = len(seen) * 2 * HALF_A_DAY * (len(SETS) + 1)
    record_property("windows", (changes, len(seen), asked, 4 * asked, len(wrong)))
    assert wrong[:20] == []


def offsets(zone: ZoneInfo, around: int) -> Iterator[timedelta | None]:
    """What a zone is ahead of UTC, every three hours of the two weeks that an answer depends on."""
    for hour in range(-15, 17 * 24, 3):
        yield datetime.fromtimestamp(around // 1000 + hour * 3600, zone).utcoffset()


def drawn(seed: str) -> tuple[Span, ...]:
    """Windows that nobody thought of, the same for a seed each time."""
    chance = random.Random(seed)
    return tuple(
        Span(
            frozenset(chance.sample(range(7), chance.randint(1, 7))),
            chance.randrange(1440),
            chance.randint(1, 1440),
        )
        for _ in range(chance.randint(1, 4))
    )
