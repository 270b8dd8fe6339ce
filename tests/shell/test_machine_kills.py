"""What the watch over the machine has to say of a kill."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from daemon.core.needs import Need
from daemon.core.policy import Policy
from daemon.core.state import State
from daemon.ports import Signals
from daemon.shell.machine_watch import Blind, MachineWatch
from daemon.wire.shim_record import ExitRecord
from tests.fakes import NoTrainer
from tests.sim.story import SimClock
from tests.virtual_time import run

BEGAN = 1_795_000_000_000
HOUR_MS = 3_600_000


class Seeing(Blind):
    """Sees these levels in turn, the last one for ever; ``asked`` has pid and since."""

    def __init__(self, levels: list[int], report: str = "") -> None:
        self.levels, self.report = levels, report
        self.asked: list[tuple[int, int]] = []

    async def signals(self) -> Signals:
        level = self.levels.pop(0) if len(self.levels) > 1 else self.levels[0]
        return Signals(level=level)

    async def kill_evidence(self, **asked: int) -> str:
        self.asked.append((asked["pid"], asked["since"]))
        await asyncio.sleep(0.0 if self.report != "never" else 3600.0)
        return self.report


def said(probe: Seeing, *, looks: int = 3, later_s: float = 0.0, oom_kills: int = 0) -> str:
    """What is said of a kill after so many looks, and some time, in virtual time."""

    async def relieve() -> None:
        pass

    async def story() -> str:
        clock, policy = SimClock(BEGAN), Policy()
        watch = MachineWatch(
            probe=probe,
            policy=policy,
            clock=clock,
            state=State,
            tell=lambda _: None,
            host=None,
            trainer=NoTrainer(),
            weigh=lambda *_: Need(()),
            engine="comfyui",
            relieve=relieve,
        )
        for _ in range(looks):
            await watch.look()
            await asyncio.sleep(policy.memory_sample_s)
        await asyncio.sleep(later_s)
        ended = clock.now()
        record = ExitRecord("n", None, 9, "", started=BEGAN - HOUR_MS, ended=ended, child=4711)
        return await watch.kill_evidence(replace(record, oom_kills=oom_kills))

    return run(story())


def test_nothing_seen_and_nothing_reported_is_no_evidence() -> None:
    """N4.3."""
    probe = Seeing([1])
    assert said(probe) == ""
    assert said(Seeing([2])) == "", "a warning is no distress"
    [(pid, since)] = probe.asked
    assert pid == 4711
    assert BEGAN - HOUR_MS < since <= BEGAN


@pytest.mark.parametrize(
    ("probe", "oom_kills", "evidence"),
    [
        (Seeing([1]), 2, "oom_kill of its control group grew by 2 while it ran"),
        (Seeing([1, 4, 1]), 0, "critical (level 4 of 4)"),
        (Seeing([1], "JetsamEvent-x.ips says so"), 0, "JetsamEvent-x.ips says so"),
    ],
)
def test_whatever_speaks_for_memory_is_told(probe: Seeing, oom_kills: int, evidence: str) -> None:
    """N4.3, W30: the kernel's count, the system's report, our own samples."""
    assert evidence in said(probe, oom_kills=oom_kills)


def test_a_report_that_does_not_come_keeps_back_nothing_else() -> None:
    told = said(Seeing([4], "never"))
    assert "critical" in told
    assert "never" not in told


def test_a_critical_hour_ago_is_no_evidence() -> None:
    assert said(Seeing([4, 4, 1]), later_s=3600.0) == ""
