"""A training that runs: stopped for the night's and the machine's sake, and gone on with later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from daemon.core.commands import ReportIncident
from daemon.core.events import AttemptEnded, CheckpointSaved, Incident
from daemon.core.policy import Policy
from daemon.core.stages import pace_of
from daemon.core.windows import Span, Windows
from daemon.ports import Program, Signals
from daemon.shell.training_watch import Pace
from tests.shell.machine_fake import CALM, GIB, LoopClock
from tests.shell.test_training import Floor, whole
from tests.shell.trainer_fake import Died, Run, Script, Stopped
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


def test_a_night_in_which_the_mac_sleeps_ends_when_it_wakes_and_counts_in_no_pace() -> None:
    """K3.5, A5.2: the wall clock ends the window, the awake one measures the steps."""
    floor = Floor(slow(10.0), whole)
    night(floor, ends_s=3_600.0)

    async def story() -> None:
        def sleep() -> None:
            floor.clock.began_ms += 8 * 3_600_000

        change = later(75.0, sleep)
        await floor.attempt()
        assert asyncio.get_running_loop().time() < 78.0
        await change

    run(story())
    assert floor.ends == [("stopped", "WINDOW_END")]
    assert "MACHINE_SLEPT" in [told.code for told in floor.told if isinstance(told, ReportIncident)]
    assert abs(floor.desk.state.paces[pace_of(floor.job)] - 10.0) < 0.5


def test_a_night_without_a_single_state_teaches_the_next_one_its_pace() -> None:
    """K3.1, K3.2: else it would begin in vain night after night."""

    async def endless(run: Run) -> None:
        run.begin()
        for run.step in range(1, 1_000):
            run.say("stderr.log", f"\rsteps:  50%|#| {run.step}/8 [00:01<00:01,  1.00s/it]")
            await run.rest(30.0)

    floor = Floor(endless)
    night(floor, ends_s=600.0)
    run(floor.attempt())
    assert (floor.ends, floor.saved) == ([("stopped", "WINDOW_END")], [])
    assert abs(floor.desk.state.paces[pace_of(floor.job)] - 30.0) < 1.0


def test_over_three_nights_nothing_is_learnt_twice() -> None:
    """K3.2, K2.5: split at its states, each night by a daemon that knows nothing."""
    floor = Floor(slow(10.0), slow(10.0), whole)
    night(floor, ends_s=25.0)

    async def story() -> None:
        for _ in range(2):
            await floor.attempt()
            here_ms = round(asyncio.get_running_loop().time() * 1000)
            floor.clock.began_ms = MIDNIGHT_MS + 3_600_000 - 25_000 - here_ms
        floor.policy = Policy()
        await floor.attempt()

    run(story())
    assert floor.ends == [("stopped", "WINDOW_END")] * 2 + [("succeeded", "")]
    assert floor.saved == [2, 4, 6, 8]
    assert floor.began == [0, 1, 2]


def test_a_power_cut_between_the_order_to_stop_and_the_end_costs_no_epoch() -> None:
    """N4.4, K2.5: its shim never answered; the next attempt goes on from the last state."""

    async def deaf(run: Run) -> None:
        run.step_s = 10.0
        with suppress(Stopped):
            await run.whole()
        raise Died

    floor = Floor(deaf, whole)
    night(floor, ends_s=75.0)

    async def story() -> None:
        change = later(64.5, lambda: setattr(floor.trainer, "boot_now", "another"))
        await floor.attempt()
        await change
        floor.policy = Policy()
        await floor.attempt()

    run(story())
    assert floor.ends == [("lost", "MACHINE_RESTARTED"), ("succeeded", "")]
    assert floor.saved == [2, 4, 6, 8]
    assert floor.began == [0, 3]


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
            await asyncio.sleep(2.0)  # Between two looks.
            for step in range(5):
                await asyncio.sleep(5.0)
                floor.probe.seen = replace(CALM, swapouts_bytes=2 * step * GIB)

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


def test_a_mac_that_grows_slow_is_believed_to_stay_so() -> None:
    """A5.1: the pace is that since the last checkpoint; else the last state would come too late."""
    pace = Pace()

    async def story() -> None:
        for step in range(1, 200):
            pace.seen(step)
            await asyncio.sleep(10.0 if step < 100 else 20.0)
            if step == 100:
                pace.begin_anew()

    run(story())
    assert abs(pace.step_s - 20.0) < 0.5


def test_a_step_that_is_under_way_is_not_slow_yet() -> None:
    pace = Pace()

    async def story() -> None:
        for step in range(1, 8):
            for _ in range(4):
                pace.seen(step)
                await asyncio.sleep(2.5)

    run(story())
    assert abs(pace.step_s - 10.0) < 0.1


def test_a_process_that_cannot_be_asked_for_keeps_no_training_from_its_end() -> None:
    """Policy table: no job fails for a look at the machine."""
    floor = Floor(whole)

    async def unasked(folder: str) -> int | None:
        raise OSError(f"{folder} cannot be read")

    floor.trainer.pid = unasked  # type: ignore[method-assign]
    run(floor.attempt())
    assert floor.ends == [("succeeded", "")]


def test_an_attempt_says_how_much_memory_it_took() -> None:
    """Policy table: predicted and measured."""
    floor = Floor(whole)
    floor.trainer.pid_now = 7
    floor.probe.holds = (5 * GIB, 6 * GIB)
    run(floor.attempt())
    [ended] = [e.event for e in floor.desk.entries if isinstance(e.event, AttemptEnded)]
    assert ended.peak_bytes == 6 * GIB
