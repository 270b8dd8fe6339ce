"""Two studios on one machine, through a night that has 25 hours: the short form of `month`."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.sim.checker import chain_violations, violations
from tests.sim.month import (
    LATE_S,
    Calendar,
    Machine,
    Story,
    Studio,
    Troubles,
    holds_an_hour,
    instant,
    longest_late_s,
    panels,
    starts_in,
    training,
)
from tests.virtual_time import at_once, run


def test_a_weekend_of_two_studios(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A2.6, A5.2, A5.3, A5.4, K3.2: panels, two trainings, pressure, battery, lid, a kill."""
    at_once(monkeypatch)
    monkeypatch.setattr("daemon.shell.training._POLL_S", 10.0)
    run(_weekend(tmp_path))


async def _weekend(root: Path) -> None:
    pressure = [(instant("2026-10-24T23:30"), instant("2026-10-25T00:20"))]
    unplugged = [(instant("2026-10-25T21:30"), instant("2026-10-25T23:00"))]
    rivals = [(instant("2026-10-25T10:00"), instant("2026-10-25T11:00"))]
    machine = Machine(Calendar(instant("2026-10-24T20:00")), Troubles(pressure, unplugged, rivals))
    studios = [Studio(name, root / name, machine) for name in ("ink", "wash")]
    ink, wash = studios
    chance = random.Random(1)
    deeds = [
        (instant("2026-10-24T20:05"), lambda: _drop(ink, panels(chance, prefix="a", count=12))),
        (instant("2026-10-24T20:05"), lambda: _drop(wash, panels(chance, prefix="b", count=12))),
        (instant("2026-10-24T21:00"), lambda: ink.drop("spyke", training("spyke", steps=2000))),
        (instant("2026-10-24T21:00"), lambda: wash.drop("kirby", training("kirby", steps=1000))),
        (instant("2026-10-25T03:00"), ink.kill),
        (instant("2026-10-25T05:00"), lambda: machine.wake_up(4.0)),
        (instant("2026-10-25T12:00"), lambda: _drop(ink, panels(chance, prefix="c", count=8))),
    ]
    story = Story(machine, studios, deeds, until=instant("2026-10-26T09:00"))
    await story.tell()
    assert machine.broken == []
    for studio in studios:
        lines = studio.lines()
        ends = {line["job"]: line["phase"] for line in lines if line["type"] == "job.ended"}
        assert len(ends) == len(studio.dropped)
        assert set(ends.values()) == {"published"}
        assert studio.unexplained == []
        assert longest_late_s(studio) <= LATE_S
        assert starts_in(lines, [*pressure, *rivals]) == []
        assert holds_an_hour(lines) <= 6
        assert chain_violations(studio.ledger()) == []
        assert violations(lines) == []


def _drop(studio: Studio, files: Iterable[tuple[str, str]]) -> None:
    for name, text in files:
        studio.drop(name, text)
