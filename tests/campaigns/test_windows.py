"""Open hours in every zone of the time zone database: a day around each change of its clock, minute
by minute, against a table of minutes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import date
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest

from daemon.core.windows import Span
from tests.core.test_windows import SETS
from tests.core.week_table import clock, differences, transitions

DAY_MS = 86_400_000
HALF_A_DAY = 720


@pytest.mark.parametrize("year", range(2020, 2038))
def test_no_answer_differs_from_the_table(
    year: int, record_property: Callable[[str, object], None]
) -> None:
    """A5.2, K3.2. Zones whose clocks show the same for two weeks are asked once; one that does not
    change in a year is asked in the middle of it.
    """
    epoch = date(1970, 1, 1).toordinal()
    first, last = (date(day, 1, 1).toordinal() - epoch for day in (year, year + 1))
    seen: set[tuple[int, Sequence[int]]] = set()
    wrong: list[str] = []
    changes = 0
    for zone in map(ZoneInfo, sorted(available_timezones())):
        found = transitions(zone, first, last)
        changes += len(found)
        # The search from one turn to the next relies on it.
        assert all(later - earlier > DAY_MS for earlier, later in pairwise(found)), zone
        for around in found or [(first + last) // 2 * DAY_MS]:
            shown = clock(zone, around=around, minutes=HALF_A_DAY)
            if (around, shown) not in seen:
                seen.add((around, shown))
                sets = (*SETS, drawn(f"{zone} {around}"))
                wrong += differences(zone, sets, around=around, minutes=HALF_A_DAY)
    asked = len(seen) * 2 * HALF_A_DAY * (len(SETS) + 1)
    record_property("windows", (changes, len(seen), asked, 4 * asked, len(wrong)))
    assert wrong[:20] == []


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
