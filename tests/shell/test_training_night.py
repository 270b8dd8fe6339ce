"""A training that runs: stopped for the night's and the machine's sake, and gone on with later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from daemon.core.events import AttemptEnded, CheckpointSaved, Incident
from daemon.core.policy import Policy
from daemon.core.windows import Span, Windows
from daemon.ports import Program, Signals
from tests.shell.machine_fake import CALM, GIB, LoopClock
from tests.shell.test_training import Floor, whole
from tests.shell.trainer_fake import Run, Script
from tests.virtual_time import run

MIDNIGHT_MS = 1_795_392_000_000
EVERY_DAY = frozenset(range(7))


def night(floor: Floor, *, ends_s: float) -> None:
    """The window closes so many seconds after the story's begin (in UTC, at the full minute)."""
    minutes = 60
    floor.policy = Policy(training_windows=Windows((Span(EVERY_DAY, 0, minutes),)))
    floor.clock = LoopClock(MIDNIGHT_MS + minutes * 60_000 - round(ends_s * 1000))


def slow(step_s: float) -> Script:
    """A training of so many seconds a step."""

    async def script(run: Run) -> None:
        run.step_s = step_s
        await run.whole()

    return script


def later(seconds: float, change: Callable[[], None]) -> asyncio.Task[None]:
    async def change_then() -> None:
        await asyncio.sleep(seconds)
        change()

    return asyncio.ensure_future(change_then())


def test_it_ends_with_its_window_and_goes_on_in_the_next_one() -> None:
    """A5.2: never past it; K2.5: from the last state."""
    floor = Floor(slow(10.0), whole)
    night(floor, ends_s=65.0)

    async def story() -> None:
        await floor.attempt()
        loop = asyncio.get_running_loop()
        assert loop.time() <= 66.0
        floor.policy = Policy()
        await floor.attempt()

    run(story())
    assert floor.ends == [("stopped", "WINDOW_END"), ("succeeded", "")]
    assert floor.saved == [2, 4, 6, 8]
    # What was saved in the first window is not learnt anew.
    assert [made.attempt for made in floor.job.checkpoints.values()] == [1, 1, 1, 2]


def test_it_stops_after_the_last_state_that_is_predicted_to_fall_inside() -> None:
    """Policy table, "night": what is begun and cannot be saved in time would be for nothing."""
    floor = Floor(slow(10.0), whole)
    night(floor, ends_s=74.0)
    stopped: list[float] = []

    async def story() -> None:
        await floor.attempt()
        stopped.append(asyncio.get_running_loop().time())

    run(story())
    assert floor.ends == [("stopped", "WINDOW_END")]
    assert floor.saved == [2, 4, 6]
    assert stopped[0] < 74.0


@pytest.mark.parametrize(
    ("seen", "code"),
    [(replace(CALM, level=2), "MEMORY_PRESSURE"), (replace(CALM, on_ac=False), "ON_BATTERY")],
)
def test_what_the_machine_lacks_stops_it_after_its_next_state(seen: Signals, code: str) -> None:
    """A2.8, A5.3: and it goes on later."""
    floor = Floor(slow(10.0), whole)

    async def story() -> None:
        change = later(35.0, lambda: setattr(floor.probe, "seen", seen))
        await floor.attempt()
        await change
        floor.probe.seen = CALM
        await floor.attempt()

    run(story())
    assert floor.ends == [("stopped", code), ("succeeded", "")]
    assert floor.saved == [2, 4, 6, 8]
    # It was asked to after the second epoch, not in its midst.
    assert [made.attempt for made in floor.job.checkpoints.values()] == [1, 1, 2, 2]


def test_swapping_that_runs_away_stops_it_at_once() -> None:
    """A2.8"""
    floor = Floor(slow(60.0), whole)

    async def story() -> None:
        async def swap() -> None:
            for step in range(6):
                await asyncio.sleep(5.0)
                floor.probe.seen = replace(CALM, swapouts_bytes=step * GIB)

        swapping = asyncio.ensure_future(swap())
        await floor.attempt()
        assert asyncio.get_running_loop().time() < 40.0
        await swapping

    run(story())
    assert floor.ends == [("stopped", "MEMORY_PRESSURE")]


def test_critical_without_end_is_not_waited_out_for_a_state() -> None:
    """A2.8: bounded."""
    floor = Floor(slow(900.0), whole)

    async def story() -> None:
        floor.probe.seen = replace(CALM, level=4)
        await floor.attempt()
        assert 600.0 <= asyncio.get_running_loop().time() < 620.0

    run(story())
    assert floor.ends == [("stopped", "MEMORY_PRESSURE")]


def test_what_is_open_beside_it_is_told_at_its_start() -> None:
    """A2.10, K2.6"""
    floor = Floor(whole)
    floor.probe.open = (
        Program("Google Chrome", 7, 3 * GIB, trains=False),
        Program("Slack", 8, GIB, trains=False),
    )
    floor.probe.others = 1
    run(floor.attempt())
    [told] = [e.event for e in floor.desk.entries if isinstance(e.event, Incident)]
    assert told.code == "HEAVY_PROGRAMS"
    programs = "Google Chrome (3.0 GB) and Slack (1.0 GB) are open beside spyke_v1"
    assert told.text.startswith(f"{programs}, and 1 others are logged in")


def test_nothing_is_told_of_an_empty_desk() -> None:
    floor = Floor(whole)
    run(floor.attempt())
    assert not [entry for entry in floor.desk.entries if entry.event.type == "incident"]


def test_a_checkpoint_says_how_fast_its_steps_were() -> None:
    """K3.1: awake seconds; of too few steps it says nothing."""
    floor = Floor(slow(10.0))
    run(floor.attempt())
    events = [entry.event for entry in floor.desk.entries]
    paces = [event.step_s for event in events if isinstance(event, CheckpointSaved)]
    assert paces[0] == 0.0
    assert all(abs(pace - 10.0) < 0.5 for pace in paces[3:])
    assert abs(next(iter(floor.desk.state.paces.values())) - 10.0) < 0.5


def test_an_attempt_says_how_much_memory_it_took() -> None:
    """Policy table: predicted and measured."""
    floor = Floor(whole)
    floor.trainer.pid_now = 7
    floor.probe.holds = (5 * GIB, 6 * GIB)
    run(floor.attempt())
    [ended] = [e.event for e in floor.desk.entries if isinstance(e.event, AttemptEnded)]
    assert ended.peak_bytes == 6 * GIB
