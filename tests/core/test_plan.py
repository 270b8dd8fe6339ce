"""What the world should be doing, from the state alone: recovery is the ordinary start."""

from __future__ import annotations

from hypothesis import given

from daemon.core.commands import ConfirmInstalled
from daemon.core.ids import is_rehearsal
from daemon.core.jobs import JobId, Outcome, Phase
from daemon.core.plan import (
    InstallLora,
    Prune,
    PublishResult,
    RunAttempt,
    RunTraining,
    StopAttempt,
    engine_wanted,
    plan,
)
from daemon.core.state import State, fold
from tests.core.asking import (
    approve,
    control,
    desks,
    ended,
    panel,
    published,
    spoilt,
    trained,
    training,
)
from tests.desk import REHEARSING, Desk

CH01, CH02, SPYKE = JobId("ch01_v1"), JobId("ch02_v1"), JobId("spyke_v1")


@given(desks)
def test_after_a_crash_the_same_is_wanted_in_the_same_order(desk: Desk) -> None:
    assert plan(fold(desk.entries)) == desk.wants()


@given(desks)
def test_at_most_one_effect_has_the_gpu(desk: Desk) -> None:
    """A2.3."""
    going = [e for e in desk.wants() if isinstance(e, RunAttempt | RunTraining | StopAttempt)]
    assert [effect.job for effect in going] == [job for job in [desk.state.lease] if job]


@given(desks)
def test_every_job_that_runs_or_is_to_be_published_has_its_effect(desk: Desk) -> None:
    open_jobs = map(desk.state.jobs.__getitem__, desk.state.queue)
    going = [(job.id, job.attempt) for job in open_jobs if job.attempt and _acts(job.phase)]
    wanted = [effect for effect in desk.wants() if not isinstance(effect, InstallLora | Prune)]
    assert [(effect.job, effect.attempt) for effect in wanted] == going


def _acts(phase: Phase) -> bool:
    return phase in (Phase.RUNNING, Phase.PUBLISHING)


def test_nothing_is_wanted_of_an_empty_studio() -> None:
    assert plan(State()) == []


def test_a_job_is_drawn_then_published_then_left_alone() -> None:
    desk = Desk()
    desk.do(panel("ch01"))
    assert desk.wants() == [RunAttempt(CH01, 1)]
    desk.do(ended("ch01_v1", 1, Outcome.SUCCEEDED))
    assert desk.wants() == [PublishResult(CH01, 1)]
    desk.do(published("ch01_v1"))
    assert desk.wants() == []


def test_a_running_job_that_was_cancelled_is_stopped() -> None:
    desk = Desk()
    desk.do(panel("ch01"))
    desk.do(control("cancel", "ch01_v1"))
    assert desk.wants() == [StopAttempt(CH01, 1)]


def test_the_next_job_is_drawn_while_the_last_is_published() -> None:
    desk = Desk()
    desk.do(panel("ch01"), panel("ch02"))
    desk.do(ended("ch01_v1", 1, Outcome.SUCCEEDED))
    assert desk.wants() == [PublishResult(CH01, 1), RunAttempt(CH02, 1)]


def test_an_attempt_that_was_lost_is_wanted_under_its_next_number() -> None:
    desk = Desk()
    desk.do(panel("ch01"))
    desk.do(ended("ch01_v1", 1, Outcome.LOST))
    assert desk.wants() == [RunAttempt(CH01, 2)]


def test_a_training_is_trained_not_drawn_and_stopped_like_every_other() -> None:
    desk = Desk()
    desk.do(training())
    assert desk.wants() == [RunTraining(SPYKE, 1)]
    desk.do(control("cancel", SPYKE))
    assert desk.wants() == [StopAttempt(SPYKE, 1)]


def test_what_a_person_approved_is_wanted_in_the_engines_folder_until_it_is_there() -> None:
    desk = trained()
    desk.do(approve(SPYKE, checkpoint=198))
    assert desk.wants() == [InstallLora(SPYKE, 198)]
    desk.restart()
    assert desk.wants() == [InstallLora(SPYKE, 198)]
    desk.do(ConfirmInstalled(SPYKE, 198, "spyke_v1-000198.safetensors", f"{198:064x}"))
    assert desk.wants() == []


@given(desks)
def test_a_rehearsal_is_never_installed(desk: Desk) -> None:
    assert not [e for e in desk.wants() if isinstance(e, InstallLora) and is_rehearsal(e.job)]


def test_a_rehearsal_that_is_approved_is_not_installed() -> None:
    desk = trained(REHEARSING)
    [_, approved] = desk.do(approve("spyke_r1", checkpoint=198))
    assert approved.type == "job.approved"
    assert desk.wants() == []


def test_the_engine_is_wanted_as_the_lease_wants_it_and_off_for_a_training() -> None:
    """A3.2, A5.4."""
    desk = Desk()
    wanted = [engine_wanted(desk.state)]
    desk.do(panel("ch01"))
    wanted.append(engine_wanted(desk.state))
    desk.do(spoilt("ch01_v1", 1))
    wanted.append(engine_wanted(desk.state))
    desk.do(ended("ch01_v1", 2, Outcome.SUCCEEDED), training())
    wanted.append(engine_wanted(desk.state))
    desk.do(control("cancel", "spyke_v1"))
    wanted.append(engine_wanted(desk.state))
    desk.do(ended("spyke_v1", 1, Outcome.CANCELLED))
    assert [*wanted, engine_wanted(desk.state)] == [
        *("default", "default", "fp32-unet", None, None, "default")
    ]
