"""The stages of a training: what is next follows from the ledger alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.admission import line
from daemon.core.commands import ReportEnded, ReportUnpublishable
from daemon.core.decide import Studio
from daemon.core.events import AttemptStarted
from daemon.core.hurdles import Scene, unfit
from daemon.core.jobs import JobId, Outcome, Phase, TrainSpec
from daemon.core.needs import configuration, kin
from daemon.core.plan import RunAttempt, RunTraining, engine_wanted, plan
from daemon.core.policy import Policy
from daemon.core.stages import GRID, PROBE, REGULARIZATION, TRAINING, TRIGGER, next_stage, page
from daemon.core.windows import Span, Windows
from tests.core.asking import (
    DOWN,
    TRAIN,
    WHOLE,
    approve,
    checkpoint,
    control,
    image,
    panel,
    training,
)
from tests.desk import READY, Desk

STUDIO = Studio("studio", rehearsal=False)
EVERY_DAY = frozenset(range(7))
SPYKE = JobId("spyke_v1")


def desk(spec: TrainSpec = WHOLE) -> Desk:
    """With a training of this kind, whose first attempt has begun."""
    found = Desk()
    found.do(training(spec=spec))
    return found


def end(found: Desk, outcome: Outcome = Outcome.SUCCEEDED, code: str = "") -> None:
    job = found.state.jobs[SPYKE]
    found.do(ReportEnded(SPYKE, job.attempt, outcome, code, "It was seen."))


def stages_of(found: Desk) -> list[str]:
    """Of all attempts, in their order."""
    events = (entry.event for entry in found.entries)
    return [event.stage for event in events if isinstance(event, AttemptStarted)]


def test_a_training_is_drawn_for_tried_trained_and_shown_in_this_order() -> None:
    """K6.2, D3.1, K3.1, D2.3."""
    found = desk()
    for _ in range(5):
        end(found)
    assert stages_of(found) == [TRIGGER, REGULARIZATION, PROBE, TRAINING, GRID]
    assert found.state.jobs[SPYKE].phase is Phase.PUBLISHING


@pytest.mark.parametrize(
    ("spec", "stages"),
    [
        (TRAIN, [TRAINING]),
        (replace(WHOLE, waive_trigger_probe=True), [REGULARIZATION, PROBE, TRAINING, GRID]),
        (replace(WHOLE, regularization=None), [TRIGGER, PROBE, TRAINING, GRID]),
        (replace(WHOLE, probe=False), [TRIGGER, REGULARIZATION, TRAINING, GRID]),
        (replace(WHOLE, grid=None), [TRIGGER, REGULARIZATION, PROBE, TRAINING]),
    ],
)
def test_what_is_not_asked_for_is_left_out(spec: TrainSpec, stages: list[str]) -> None:
    found = desk(spec)
    for _ in stages:
        end(found)
    assert stages_of(found) == stages
    assert found.state.jobs[SPYKE].phase is Phase.PUBLISHING


def test_pictures_are_drawn_by_the_engine_and_the_rest_by_the_trainer() -> None:
    found = desk()
    wanted = {}
    for stage in (TRIGGER, REGULARIZATION, PROBE, TRAINING, GRID):
        [effect] = plan(found.state)
        wanted[stage] = (type(effect), engine_wanted(found.state))
        end(found)
    drawn, trained = (RunAttempt, "default"), (RunTraining, None)
    assert wanted == {
        TRIGGER: drawn,
        REGULARIZATION: drawn,
        PROBE: trained,
        TRAINING: trained,
        GRID: drawn,
    }


def test_what_a_machine_has_measured_is_not_tried_again() -> None:
    """K3.1: by the pace of any training like it."""
    found = desk(replace(TRAIN, probe=True))
    found.do(ReportEnded(SPYKE, 1, Outcome.SUCCEEDED, "", "Tried.", 0, 9.5))
    found.do(training("kirby", inode=9, spec=replace(TRAIN, probe=True)))
    assert next_stage(found.state.jobs[JobId("kirby_v1")], found.state) == TRAINING


@pytest.mark.parametrize("outcome", [Outcome.LOST, Outcome.FAILED, Outcome.CANCELLED])
def test_a_short_run_that_was_not_over_well_is_made_again(outcome: Outcome) -> None:
    """K3.1, K1.4: that its pace was seen opens none of the other gates, for no training like it."""
    found = desk(replace(TRAIN, probe=True))
    found.do(ReportEnded(SPYKE, 1, outcome, "", "It was seen.", 0, 9.5))
    assert next_stage(found.state.jobs[SPYKE], found.state) == PROBE
    found.do(training("kirby", inode=9, spec=replace(TRAIN, probe=True)))
    assert next_stage(found.state.jobs[JobId("kirby_v1")], found.state) == PROBE


def test_a_short_run_leaves_nothing_that_could_be_taken_for_the_training() -> None:
    found = desk(replace(TRAIN, probe=True))
    assert list(found.state.jobs[SPYKE].nonces) == [1]
    end(found)
    assert list(found.state.jobs[SPYKE].nonces) == [2]


def test_a_gate_that_is_closed_ends_the_job_before_the_night() -> None:
    """K3.1, K1.4."""
    found = desk(replace(TRAIN, probe=True))
    end(found, Outcome.FAILED, "TRAINER_ON_CPU")
    assert found.state.jobs[SPYKE].phase is Phase.FAILED


def test_a_grid_that_fails_costs_nothing_of_what_was_trained() -> None:
    found = desk(replace(TRAIN, grid=WHOLE.grid))
    end(found)
    end(found, Outcome.FAILED, "NODE_ERROR")
    job = found.state.jobs[SPYKE]
    assert (job.phase, job.code) == (Phase.PUBLISHING, "")


def test_who_has_chosen_needs_no_grid() -> None:
    """D2.3: approved while the grid waits, and not while it is drawn."""
    found = desk(replace(TRAIN, grid=WHOLE.grid))
    found.do(checkpoint(SPYKE, 198))
    end(found)
    found.do(approve(SPYKE, checkpoint=198))
    assert found.state.jobs[SPYKE].approved == ()
    found.do(control("pause"))
    end(found, Outcome.STOPPED, "IN_TURNS")
    found.do(approve(SPYKE, checkpoint=198, inode=2))
    job = found.state.jobs[SPYKE]
    assert (job.approved, job.phase, job.stages[-1]) == ((198,), Phase.PUBLISHING, GRID)


def test_a_result_that_is_gone_is_trained_and_shown_again() -> None:
    found = desk(replace(TRAIN, grid=WHOLE.grid))
    for _ in range(2):
        end(found)
    found.do(ReportUnpublishable(SPYKE, "It is gone."))
    assert stages_of(found) == [TRAINING, GRID, TRAINING]


def test_what_is_drawn_for_a_training_stays_while_its_stage_lasts() -> None:
    found = desk(replace(WHOLE, regularization=None, probe=False))
    found.do(image(SPYKE))
    end(found, Outcome.STOPPED, "IN_TURNS")
    assert list(found.state.jobs[SPYKE].images) == [1]
    end(found)
    job = found.state.jobs[SPYKE]
    assert (list(job.images), list(job.series[TRIGGER])) == ([], [1])


def test_by_day_regularization_waits_for_panels_and_the_trigger_does_not() -> None:
    """D3.1: a hundred pictures that nobody waits for."""
    for stages, first in (((TRIGGER,), "ch01_v1"), ((), SPYKE)):
        found = Desk(world=DOWN)
        found.do(training(spec=WHOLE), panel("ch01"))
        job = found.state.jobs[SPYKE]
        found.state.jobs[SPYKE] = job._replace(stages=stages)
        assert line(found.state, Policy(), at=0)[0].id == first


@pytest.mark.parametrize("stage", [TRIGGER, REGULARIZATION, PROBE, GRID])
def test_all_but_the_training_itself_may_be_made_by_day(stage: str) -> None:
    """A5.2: panels' hours or the training's; the night is for training."""
    day, night = Span(EVERY_DAY, 8 * 60, 20 * 60), Span(EVERY_DAY, 22 * 60, 7 * 60)
    policy = Policy(training_windows=Windows((night,)), panel_windows=Windows((day,)))
    order = [TRIGGER, REGULARIZATION, PROBE, TRAINING, GRID]
    found = Desk(world=DOWN)
    found.do(training(spec=WHOLE))
    job = found.state.jobs[SPYKE]._replace(stages=tuple(order[: order.index(stage)]))
    for hour in range(24):
        world = replace(READY, at=hour * 3_600_000)
        reason = unfit(Scene(found.state, world, policy, STUDIO), job)
        assert (reason is None) == (hour not in (7, 20, 21)), (hour, reason)


@given(st.integers(64, 2048), st.integers(64 * 64, 2048**2), st.integers(1, 60))
def test_what_a_training_draws_keeps_the_caps_of_its_studio(
    side: int, area: int, steps: int
) -> None:
    """A2.1, A2.7."""
    policy = Policy(max_side=side, max_area=area, max_steps=steps)
    found = page(WHOLE, policy, "", seed=1)
    assert found.width == found.height <= min(512, side)
    assert found.width % policy.side_multiple == 0
    assert found.width * found.height <= area
    assert 1 <= found.steps <= steps


def test_a_stage_that_draws_needs_what_a_panel_needs() -> None:
    """A2.7: its size is not the training's, and measures nothing of it."""
    found = desk()
    job = found.state.jobs[SPYKE]
    like = page(WHOLE, Policy(), "", seed=0)
    drawn = Desk()
    drawn.do(panel(spec=like))
    assert kin(job) == "panel comfyui"
    assert configuration(job) == configuration(drawn.state.jobs[JobId("ch01_v1")])
    assert configuration(job) != configuration(job._replace(stage=TRAINING))
