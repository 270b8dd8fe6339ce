"""``python -m tests month``: October on one machine with two studios, every minute of it looked at.

Law: two never use the GPU at once; every training ends or says why not; whoever waits has a reason
in words at every minute.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.sim.checker import chain_violations, violations
from tests.sim.month import (
    LATE_S,
    Calendar,
    Deed,
    Machine,
    Story,
    Studio,
    Troubles,
    days,
    holds_an_hour,
    instant,
    longest_late_s,
    panels,
    starts_in,
    training,
)
from tests.virtual_time import at_once, run

FIRST, DAYS = "2026-10-01", 32
BACKLOG = 5_000
PANELS_A_DAY = 30
LID_DAYS, KILL_DAYS = (5, 11, 17, 24), (3, 8, 13, 14, 20, 27)


def test_a_month_of_two_studios(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at_once(monkeypatch)
    monkeypatch.setattr("daemon.shell.training._POLL_S", 10.0)
    machine, told = run(_month(tmp_path))
    with capsys.disabled():
        print("", *told, sep="\n")
    assert machine.broken == []


async def _month(root: Path) -> tuple[Machine, list[str]]:
    troubles = _troubles()
    machine = Machine(Calendar(instant(f"{FIRST}T00:00")), troubles)
    studios = [Studio(name, root / name, machine) for name in ("ink", "wash")]
    deeds = [*_deeds(machine, studios)]
    end = [date for _, date in days(FIRST, DAYS)][-1]
    await Story(machine, studios, deeds, until=instant(f"{end}T12:00")).tell()
    return machine, [_judged(studio, troubles) for studio in studios]


def _troubles() -> Troubles:
    pressure, unplugged, rivals = [], [], []
    for number, date in days(FIRST, DAYS):
        if number % 3 == 1:
            pressure.append((instant(f"{date}T20:00"), instant(f"{date}T21:15")))
        if number % 7 == 4:
            pressure.append((instant(f"{date}T23:40"), instant(f"{date}T23:55")))
        if number % 5 == 2:
            unplugged.append((instant(f"{date}T21:30"), instant(f"{date}T22:45")))
        if number % 9 == 6:
            rivals.append((instant(f"{date}T22:30"), instant(f"{date}T23:30")))
    return Troubles(pressure, unplugged, rivals)


def _deeds(machine: Machine, studios: list[Studio]) -> Iterator[tuple[int, Deed]]:
    chance = random.Random(7)
    ink, wash = studios
    for number, date in days(FIRST, DAYS - 2):
        for studio in studios:
            files = list(panels(chance, prefix=f"d{number:02}", count=PANELS_A_DAY))
            yield instant(f"{date}T08:00"), partial(_drop, studio, files)
        if number % 7 in (0, 2, 4):  # Three a week, in turn here and there.
            studio, name = (ink, wash)[number % 2], f"spyke{number:02}"
            steps, more = 1000 + 1000 * (number % 4), ""
            if number % 7 == 2 and steps < 2500:
                more = "resume = false"
            text = training(name, steps=steps, more=more)
            yield instant(f"{date}T15:00"), _dropping(studio, name, text)
        if number in LID_DAYS:
            yield instant(f"{date}T02:30"), partial(machine.wake_up, 3.0)
        if number in KILL_DAYS:
            yield instant(f"{date}T01:30"), studios[number % 2].kill
    backlog = list(panels(chance, prefix="back", count=BACKLOG))
    yield instant("2026-10-04T12:00"), partial(_drop, ink, backlog)
    now = training("spyke-now", steps=1000, more='when = "now"')
    yield instant("2026-10-16T10:00"), _dropping(wash, "spyke-now", now)


def _dropping(studio: Studio, name: str, text: str) -> Callable[[], None]:
    return lambda: studio.drop(name, text)


def _drop(studio: Studio, files: list[tuple[str, str]]) -> None:
    for name, text in files:
        studio.drop(name, text)


def _judged(studio: Studio, troubles: Troubles) -> str:
    """What became of one studio's month, in a sentence; or the law that was broken."""
    lines = studio.lines()
    kinds = {line["job"]: line["kind"] for line in lines if line["type"] == "job.accepted"}
    ends = {line["job"]: line["phase"] for line in lines if line["type"] == "job.ended"}
    assert studio.unexplained == []
    assert longest_late_s(studio) <= LATE_S, studio.late_s
    assert starts_in(lines, [*troubles.pressure, *troubles.rivals]) == []
    assert holds_an_hour(lines) <= 6
    assert chain_violations(studio.ledger()) == []
    assert violations(lines) == []
    assert len(kinds) == len(studio.dropped)
    assert Counter(ends.values()) == {"published": len(kinds)}
    nights = [line for line in lines if line["type"] == "attempt.ended"]
    codes = Counter(line["code"] or "succeeded" for line in nights if kinds[line["job"]] == "train")
    counted = Counter(kinds.values())
    return (
        f"{studio.name}: {counted['panel']} panels, {counted['train']} trainings, {len(lines)}"
        f" lines; attempts at trainings: {dict(codes)}; looked at in {studio.minutes} minutes;"
        f" reasons told: {dict(studio.codes)}; at most {holds_an_hour(lines)} job.held an hour"
    )
