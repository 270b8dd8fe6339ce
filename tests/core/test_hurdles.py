"""What keeps one job from running: its hours, the power, its size."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.commands import Observe, ObserveMachine, ObserveTrainer
from daemon.core.events import AttemptStarted, JobHeld
from daemon.core.hurdles import GIB, unfit
from daemon.core.job import Job
from daemon.core.jobs import JobId, Outcome, PanelSpec
from daemon.core.needs import Need
from daemon.core.policy import Policy
from daemon.core.state import State
from daemon.core.windows import Span, Windows, is_open
from daemon.core.world import Heavy, Machine
from tests.core.asking import DOWN, PANEL, TRAIN, checkpoint, ended, panel, training
from tests.desk import READY, REHEARSING, Desk

BERLIN = ZoneInfo("Europe/Berlin")
EVERY_DAY = frozenset(range(7))
NIGHT = Windows((Span(EVERY_DAY, 22 * 60, 7 * 60),), BERLIN)
POLICY = Policy(training_windows=NIGHT)
SPYKE = JobId("spyke_v1")


def at(text: str) -> int:
    """An instant of Berlin's wall clock, in ms since 1970."""
    local = datetime.fromisoformat(text).replace(tzinfo=BERLIN)
    return round(local.astimezone(UTC).timestamp() * 1000)


NOON, EVENING = at("2026-11-23 12:00"), at("2026-11-23 22:30")


def desk_at(when: int, policy: Policy = POLICY) -> Desk:
    """A desk that works at this time."""
    return Desk(policy=policy, at=when)


def test_a_training_waits_for_its_window_and_says_when_that_opens() -> None:
    """A5.2: panels go on meanwhile."""
    desk = desk_at(NOON)
    [*_, held] = desk.do(training())
    assert isinstance(held, JobHeld)
    assert (held.job, held.code, held.not_before) == (
        SPYKE,
        "WINDOW_CLOSED",
        at("2026-11-23 22:00"),
    )
    assert "Mon 22:00" in held.text
    [*_, started] = desk.do(panel("ch01"))
    assert isinstance(started, AttemptStarted)
    assert desk.reasons()[SPYKE].code == "WINDOW_CLOSED"


def test_it_is_held_though_panels_are_drawn_all_day() -> None:
    """A reason of its own is told at once, not when the queue is empty."""
    desk = desk_at(NOON)
    desk.do(panel("ch01"))
    [*_, held] = desk.do(training())
    assert isinstance(held, JobHeld)
    assert held.code == "WINDOW_CLOSED"


def test_now_is_the_makers_word() -> None:
    """A5.2"""
    desk = desk_at(NOON)
    spec = replace(TRAIN, when="now")
    [*_, started] = desk.do(training(spec=spec))
    assert isinstance(started, AttemptStarted)


def test_inside_its_window_a_training_goes_before_panels_of_any_priority() -> None:
    """A5: policy table, "night"."""
    desk = desk_at(EVENING)
    desk.world = DOWN
    desk.do(panel("ch01", priority=9))
    desk.world = replace(DOWN, trainer_text="None.")
    desk.do(training())
    desk.do(Observe(READY))
    assert desk.state.lease == SPYKE


def test_a_window_that_never_closes_gives_nobody_precedence() -> None:
    desk = Desk(world=replace(DOWN, trainer_text="None."))
    desk.do(panel("ch01"))
    desk.do(training())
    desk.do(Observe(READY))
    assert desk.state.lease == "ch01_v1"


def test_panels_have_hours_too() -> None:
    """Contract, [windows] panels."""
    desk = desk_at(EVENING, Policy(panel_windows=Windows((Span(EVERY_DAY, 480, 1200),), BERLIN)))
    [*_, held] = desk.do(panel("ch01"))
    assert isinstance(held, JobHeld)
    assert (held.code, held.not_before) == ("WINDOW_CLOSED", at("2026-11-24 08:00"))


def test_what_a_window_cannot_finish_is_split_or_not_begun() -> None:
    """K3.2: with the arithmetic in the reason."""
    # 990 steps at 10.8 s x 1.5 take 4 h 27 min: too long for 3 h, and two epochs fit.
    late = at("2026-11-24 04:00")
    split = desk_at(late)
    [*_, started] = split.do(training())
    assert isinstance(started, AttemptStarted)
    whole = desk_at(late)
    [*_, held] = whole.do(training(spec=replace(TRAIN, resume=False)))
    assert isinstance(held, JobHeld)
    assert (held.code, held.not_before) == ("WINDOW_SHORT", at("2026-11-24 22:00"))
    assert all(number in held.text for number in ("990 steps", "198 an epoch", "16.2 s", "x 1.5"))


def test_a_rest_too_short_for_an_epoch_is_left_to_the_panels() -> None:
    desk = desk_at(at("2026-11-24 06:30"))
    [*_, held] = desk.do(training())
    assert isinstance(held, JobHeld)
    assert held.code == "WINDOW_SHORT"
    [*_, started] = desk.do(panel("ch01"))
    assert isinstance(started, AttemptStarted)


def test_a_window_that_no_epoch_ever_fits_says_so() -> None:
    short = Windows((Span(EVERY_DAY, 22 * 60, 22 * 60 + 40),), BERLIN)
    desk = desk_at(at("2026-11-23 22:01"), Policy(training_windows=short))
    [*_, held] = desk.do(training())
    assert isinstance(held, JobHeld)
    assert "save_every" in held.text


def test_a_training_that_stays_in_one_piece_is_told_when_the_next_window_is_too_short_too() -> None:
    """K3.2: an epoch fits it, the whole does not, so it would wait for ever."""
    three_hours = Windows((Span(EVERY_DAY, 22 * 60, 60),), BERLIN)
    desk = desk_at(EVENING, Policy(training_windows=three_hours))
    [*_, held] = desk.do(training(spec=replace(TRAIN, resume=False)))
    assert isinstance(held, JobHeld)
    assert held.code == "WINDOW_SHORT"
    assert "The next one is too short as well" in held.text
    assert "resume = true" in held.text


def test_what_is_drawn_for_a_training_waits_for_whichever_window_opens_first() -> None:
    """A5.2: the reason says so, and gives that hour."""
    noon_only = Windows((Span(EVERY_DAY, 12 * 60, 13 * 60),), BERLIN)
    desk = desk_at(at("2026-11-23 20:00"), replace(POLICY, panel_windows=noon_only))
    [*_, held] = desk.do(training(spec=replace(TRAIN, waive_trigger_probe=False)))
    assert isinstance(held, JobHeld)
    assert (held.code, held.not_before) == ("WINDOW_CLOSED", at("2026-11-23 22:00"))
    assert "[windows] training or panels" in held.text


def test_the_pace_that_was_measured_here_counts_from_then_on() -> None:
    """K3.1, A5.1"""
    desk = desk_at(EVENING)
    desk.do(training())
    desk.do(replace(checkpoint("spyke_v1", 198), step_s=30.0))
    desk.at = at("2026-11-24 06:00")
    [_, held] = desk.do(ended("spyke_v1", 1, Outcome.STOPPED, "WINDOW_END"))
    assert isinstance(held, JobHeld)
    assert all(each in held.text for each in ("792 steps", "42.0 s", "as measured", "x 1.4"))


@given(st.integers(0, 7 * 24 * 60))
def test_nothing_is_trained_outside_its_window(minute: int) -> None:
    """A5.2"""
    desk = desk_at(NOON + minute * 60_000)
    desk.do(training())
    started = desk.state.lease is not None
    assert not started or is_open(NIGHT, desk.at)


@pytest.mark.parametrize(("on_ac", "code"), [(False, "ON_BATTERY"), (True, ""), (None, "")])
def test_a_training_wants_the_power_plugged_in(on_ac: bool | None, code: str) -> None:
    """A5.3: what is not known keeps nobody waiting; a panel may draw on the battery."""
    desk = Desk()
    desk.do(ObserveMachine(Machine(on_ac=on_ac, battery_percent=41)))
    desk.do(training())
    assert desk.state.jobs[SPYKE].code == code
    assert (desk.state.lease is None) == bool(code)
    desk.do(panel("ch01"))
    assert desk.state.lease is not None


def test_require_ac_false_lets_it_train_on_the_battery() -> None:
    desk = Desk(policy=Policy(require_ac=False))
    desk.do(ObserveMachine(Machine(on_ac=False)), training())
    assert desk.state.lease == SPYKE


@pytest.mark.parametrize(("heavy", "code"), [("hold", "HEAVY_PROGRAMS"), ("warn", "")])
def test_heavy_programs_hold_a_training_by_policy(
    heavy: Literal["warn", "hold"], code: str
) -> None:
    """A2.10"""
    desk = Desk(policy=Policy(heavy=heavy))
    programs = (Heavy("Google Chrome", 3 * GIB), Heavy("Slack", GIB))
    desk.do(ObserveMachine(Machine(programs=programs)), training())
    assert desk.state.jobs[SPYKE].code == code
    text = "Google Chrome (3.0 GB) and Slack (1.0 GB) are open"
    assert (text in desk.state.jobs[SPYKE].text) == bool(code)


def test_a_trainer_that_is_not_ours_is_waited_for() -> None:
    """A5.4 across programs."""
    desk = Desk()
    desk.do(ObserveMachine(Machine(rival="kohya trains here.")), panel("ch01"))
    assert desk.state.jobs[JobId("ch01_v1")].code == "GPU_FOREIGN"
    desk.do(ObserveMachine(Machine()))
    assert desk.state.lease == "ch01_v1"


@pytest.mark.parametrize("code", ["MEMORY_PRESSURE", "SWAPPING"])
def test_nothing_starts_while_the_memory_is_under_pressure(code: str) -> None:
    """A2.6: held, not failed."""
    desk = Desk()
    desk.do(ObserveMachine(Machine(code=code, text="It swaps.")), panel("ch01"))
    assert desk.state.lease is None
    assert desk.state.jobs[JobId("ch01_v1")].code == code
    desk.do(ObserveMachine(Machine()))
    assert desk.state.lease == "ch01_v1"


def test_a_rehearsal_asks_nothing_of_the_machine() -> None:
    strained = Machine(code="SWAPPING", text="It swaps.", rival="kohya.", on_ac=False)
    desk = Desk(world=REHEARSING)
    desk.do(ObserveMachine(strained), training())
    assert desk.state.lease == "spyke_r1"


def test_a_training_waits_for_a_trainer_that_could_do_it() -> None:
    """K1.3: seen in the evening, and held under what is wrong with the machine, not tried."""
    desk = Desk()
    desk.do(ObserveTrainer("TRAINER_UNFIT", "Its torch was built without MPS."), training())
    assert desk.state.jobs[JobId("spyke_v1")].code == "TRAINER_UNFIT"
    desk.do(panel("ch01"))
    assert desk.state.lease == "ch01_v1"
    desk = Desk()
    desk.do(ObserveTrainer("TRAINER_UNFIT", "Its torch was built without MPS."), training())
    desk.do(ObserveTrainer("", ""))
    assert desk.state.lease == "spyke_v1"


@pytest.mark.parametrize(("free_gb", "starts"), [(19.9, False), (20.0, True), (None, True)])
def test_a_training_whose_files_the_disk_would_not_hold_waits(
    free_gb: float | None, starts: bool
) -> None:
    """facts, 5.3 and 6: it would fail at a save, after hours, and leave a file cut short."""
    desk = Desk(weigh=lambda *_: Need((("UNet", 1),), disk=20 * GIB))
    free = None if free_gb is None else round(free_gb * GIB)
    desk.do(Observe(replace(READY, free_bytes=free)), training())
    assert (desk.state.lease == "spyke_v1") == starts
    if not starts:
        held = desk.state.jobs[JobId("spyke_v1")]
        assert held.code == "DISK_LOW"
        assert "take 20.0 GB" in desk.reasons()[JobId("spyke_v1")].text


def weigh(job: Job, _state: State, _policy: Policy) -> Need:
    """A training takes 9 GB, a panel 4, a wide one 6."""
    wide = isinstance(job.spec, PanelSpec) and job.spec.width == WIDE.width
    size = 6.0 if wide else {"train": 9.0, "panel": 4.0}[job.kind]
    return Need((("UNet", round(size * GIB) - GIB), ("work", GIB)))


WIDE = replace(PANEL, width=768, height=512)


def weighing(machine: Machine) -> Desk:
    desk = Desk(weigh=weigh)
    desk.do(ObserveMachine(machine))
    return desk


@pytest.mark.parametrize(
    ("free_gb", "ours_gb", "starts"),
    [(5.0, 0.0, True), (4.99, 0.0, False), (1.5, 3.5, True), (1.4, 3.5, False), (None, 0.0, True)],
)
def test_a_panel_starts_when_its_need_and_the_reserve_fit(
    free_gb: float | None, ours_gb: float, starts: bool
) -> None:
    """A2.6, A2.7: what our engine holds already is used again; the unknown keeps nobody waiting."""
    free = None if free_gb is None else round(free_gb * GIB)
    desk = weighing(Machine(free_bytes=free, ours_bytes=round(ours_gb * GIB)))
    desk.do(panel("ch01"))
    assert (desk.state.lease is not None) == starts
    reason = desk.reasons().get(JobId("ch01_v1"))
    assert starts or (reason is not None and reason.code == "MEMORY_SHORT")


def test_the_reason_has_the_numbers_and_the_sum() -> None:
    """A2.7"""
    desk = weighing(Machine(16 * GIB, 7 * GIB, 2 * GIB))
    desk.do(training())
    reason = desk.reasons()[SPYKE]
    assert reason.text.startswith(
        "It needs 9.0 GB and 1 GB in reserve, and 9.0 GB can be had without swapping, 2.0 GB of it"
        " with the engine."
    )
    assert reason.need.terms == (("UNet", 8 * GIB), ("work", GIB))
    assert reason.next_look > desk.at


def test_what_can_never_fit_says_so() -> None:
    """K2.4"""
    desk = weighing(Machine(8 * GIB, 7 * GIB))
    desk.do(training())
    assert "8 GB in all, so it can never start: ask for less." in desk.reasons()[SPYKE].text


def test_a_reserve_that_leaves_too_little_is_named_as_the_reason() -> None:
    desk = Desk(weigh=weigh, policy=Policy(memory_reserve_gb=20.0))
    desk.do(ObserveMachine(Machine(16 * GIB, 15 * GIB)))
    desk.do(training())
    assert "ask for less, or lower [memory] reserve_gb." in desk.reasons()[SPYKE].text


def test_a_smaller_job_passes_one_that_does_not_fit() -> None:
    desk = weighing(Machine(16 * GIB, 5 * GIB))
    desk.do(panel("p0", spec=WIDE))
    desk.do(panel("p1"))
    assert desk.state.lease == "p1_v1"
    assert desk.reasons()[JobId("p0_v1")].code == "MEMORY_SHORT"


def test_an_attempt_says_what_it_was_predicted_to_take_and_its_kind_is_remembered() -> None:
    """Policy table, "memory reserve": predicted, measured."""
    desk = weighing(Machine())
    [*_, started] = desk.do(panel("ch01"))
    assert isinstance(started, AttemptStarted)
    assert started.need_bytes == 4 * GIB
    desk.do(replace(ended("ch01_v1", 1, Outcome.SUCCEEDED), peak_bytes=5 * GIB))
    assert set(desk.state.weighed.values()) == {(4 * GIB, 5 * GIB)}


@pytest.mark.parametrize(("peak_gb", "counts"), [(1, False), (5, True)])
def test_what_an_attempt_took_that_was_cut_short_counts_only_where_it_is_more(
    peak_gb: int, counts: bool
) -> None:
    desk = weighing(Machine())
    desk.do(panel("ch01"))
    desk.do(replace(ended("ch01_v1", 1, Outcome.FAILED), peak_bytes=peak_gb * GIB))
    assert bool(desk.state.weighed) is counts


def test_what_fits_everything_has_no_hurdle() -> None:
    desk = weighing(Machine(64 * GIB, 60 * GIB, on_ac=True))
    desk.world = replace(desk.world, engine_code="", at=desk.at)
    desk.do(panel("ch01"))
    assert unfit(desk.scene(), desk.state.jobs[JobId("ch01_v1")]) is None
