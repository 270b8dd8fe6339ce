"""How much of a training a window holds, and when one that runs has to stop."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.events import Entry, Incident
from daemon.core.job import Checkpoint
from daemon.core.jobs import Phase
from daemon.core.night import Standing, lasting, share, stop, tonight
from daemon.core.policy import Policy
from daemon.core.stages import pace_of
from daemon.core.state import State
from daemon.core.windows import Span, Windows, closes, is_open
from daemon.core.world import Machine, World
from tests.core.asking import TRAIN
from tests.examples import job

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = Windows((Span(frozenset(range(7)), 22 * 60, 7 * 60),), BERLIN)
POLICY = Policy(training_windows=NIGHT)
SPYKE = job("spyke")._replace(kind="train", spec=TRAIN)
NOW = SPYKE._replace(spec=replace(TRAIN, when="now"))
EPOCHS, EPOCH_STEPS = TRAIN.epochs, TRAIN.epoch_steps


def at(text: str) -> int:
    """An instant of Berlin's wall clock, in ms since 1970."""
    local = datetime.fromisoformat(text).replace(tzinfo=BERLIN)
    return round(local.astimezone(UTC).timestamp() * 1000)


EVENING = at("2026-11-23 22:00")
minutes = st.integers(0, 60 * 24 * 200).map(lambda minute: EVENING + minute * 60_000)
paces = st.floats(0.5, 400.0)


def world(when: int, machine: Machine | None = None) -> World:
    return World("none", machine=machine or Machine(), at=when)


@given(when=minutes, pace=paces)
def test_a_share_never_ends_after_its_window(when: int, pace: float) -> None:
    """K3.2: through the nights at which the clocks change, too."""
    state = State(paces={pace_of(SPYKE): pace})
    if not is_open(NIGHT, when):
        return
    found = share(SPYKE, state, POLICY, at=when)
    assert found.closes is not None
    assert 0 <= found.epochs <= EPOCHS
    ends = when + 1000 * (POLICY.training_start_s + found.epochs * found.epoch_s)
    assert found.epochs == 0 or ends <= found.closes
    # And it is the most that fits.
    assert found.whole or ends + 1000 * found.epoch_s > found.closes


def test_without_a_measurement_the_prior_counts_one_and_a_half_times() -> None:
    """A5.1, K3.3"""
    found = share(SPYKE, State(), POLICY, at=EVENING)
    assert (found.epoch_s, found.measured) == (EPOCH_STEPS * 10.8 * 1.5, False)


def test_what_was_measured_counts_one_point_four_times() -> None:
    """K3.1"""
    found = share(SPYKE, State(paces={pace_of(SPYKE): 10.0}), POLICY, at=EVENING)
    assert (round(found.epoch_s), found.measured) == (round(EPOCH_STEPS * 14.0), True)


def test_accumulation_makes_each_step_so_much_longer() -> None:
    """K2.3, W20"""
    four = SPYKE._replace(spec=replace(TRAIN, gradient_accumulation=4))
    one, other = (share(each, State(), POLICY, at=EVENING).epoch_s for each in (SPYKE, four))
    assert other == 4 * one


def saved(*steps: int, attempt: int = 1) -> dict[int, Checkpoint]:
    line = Entry(1, EVENING, Incident("CODE", ""), "", "")
    return {step: Checkpoint("c" * 64, 0.1, attempt, line, 9, "mps") for step in steps}


def test_what_is_saved_need_not_be_learnt_again() -> None:
    """K3.2: split at states."""
    assert share(SPYKE._replace(checkpoints=saved(198, 396)), State(), POLICY, at=EVENING).left == 3


def test_without_resume_every_attempt_has_all_of_it_before_it() -> None:
    """K3.2: else the next night's plan would take a whole training for the rest of one."""
    whole = SPYKE._replace(spec=replace(TRAIN, resume=False), checkpoints=saved(198, 396))
    assert share(whole, State(), POLICY, at=EVENING).left == EPOCHS
    running = whole._replace(phase=Phase.RUNNING, attempt=1)
    assert share(running, State(), POLICY, at=EVENING).left == EPOCHS - 2
    again = running._replace(attempt=2)
    assert share(again, State(), POLICY, at=EVENING).left == EPOCHS


def test_after_the_last_epoch_there_is_no_state_so_it_is_learnt_again() -> None:
    """One that was lost in its very end would else wait for ever for a window without it."""
    lost = SPYKE._replace(checkpoints=saved(198, 396, 594, 792, 990))
    found = share(lost, State(), POLICY, at=EVENING)
    assert (found.left, found.epochs) == (1, 1)


def test_what_the_maker_wants_now_has_no_end() -> None:
    assert share(NOW, State(), POLICY, at=at("2026-11-23 12:00")).whole


@pytest.mark.parametrize(
    ("pace", "words"),
    [
        (5.0, "The 990 steps that are left, until about Tue 00:00."),
        (30.0, "3 of 5 epochs (594 of 990"),
    ],
)
def test_tonights_share_is_told_in_a_sentence(pace: float, words: str) -> None:
    """Policy table, "night"."""
    told = tonight(SPYKE, State(paces={pace_of(SPYKE): pace}), POLICY, at=EVENING)
    assert told.startswith(words)


def test_no_night_is_promised_to_less_than_an_epoch() -> None:
    assert tonight(SPYKE, State(paces={pace_of(SPYKE): 400.0}), POLICY, at=EVENING) == ""


@given(when=minutes, epoch_s=st.floats(1.0, 40_000.0))
def test_after_a_state_it_stops_unless_the_next_one_falls_inside(when: int, epoch_s: float) -> None:
    """Policy table, "night": it stops at the last state predicted to fall inside the window."""
    found = stop(SPYKE, POLICY, world(when), Standing(epoch_s, saved=True))
    end = closes(NIGHT, when) if is_open(NIGHT, when) else when
    assert end is not None
    assert (found is None) == (when + round(epoch_s * POLICY.night_margin * 1000) <= end)
    assert found is None or found.code == "WINDOW_END"


@given(when=minutes)
def test_it_never_goes_on_outside_its_window_and_loses_nothing_inside(when: int) -> None:
    """A5.2: never past it."""
    found = stop(SPYKE, POLICY, world(when), Standing(1e9, saved=False))
    assert (found is None) == is_open(NIGHT, when)


@given(when=minutes, saved=st.booleans())
def test_now_is_stopped_by_no_window(when: int, saved: bool) -> None:
    assert stop(NOW, POLICY, world(when), Standing(1e9, saved=saved)) is None


@pytest.mark.parametrize("saved", [True, False])
@pytest.mark.parametrize(
    ("machine", "code", "waits"),
    [
        (Machine(code="SWAPPING", text="It swaps."), "MEMORY_PRESSURE", True),
        (Machine(code="SWAPPING", text="It swaps.", runaway=True), "MEMORY_PRESSURE", False),
        (Machine(on_ac=False), "ON_BATTERY", True),
        (Machine(on_ac=None), "", True),
        (Machine(), "", True),
    ],
)
def test_the_machine_is_obeyed_when_a_state_was_saved_and_at_once_when_it_swaps_away(
    machine: Machine, code: str, waits: bool, saved: bool
) -> None:
    """A2.8, A5.3"""
    found = stop(NOW, POLICY, world(EVENING, machine), Standing(60.0, saved=saved))
    assert (found.code if found else "") == (code if saved or not waits else "")


def test_only_what_can_go_on_from_its_last_epoch_is_said_to() -> None:
    going = Standing(60.0, saved=True)
    for resume, words in ((True, "on from its last epoch"), (False, "resume = false it begins")):
        told = SPYKE._replace(spec=replace(TRAIN, resume=resume))
        for machine in (Machine(code="SWAPPING", text="It swaps."), Machine(on_ac=False)):
            found = stop(told, POLICY, world(EVENING, machine), going)
            assert found is not None
            assert words in found.text


@pytest.mark.parametrize(
    ("seconds", "text"), [(50, "50 s"), (2_100, "35 min"), (12_000, "3 h 20 min")]
)
def test_a_span_of_time_is_told_as_people_say_it(seconds: float, text: str) -> None:
    assert lasting(seconds) == text
