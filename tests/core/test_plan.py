"""What the world should be doing, from the state alone: recovery is the ordinary start."""

from __future__ import annotations

from hypothesis import given

from daemon.core.jobs import JobId, Outcome, Phase
from daemon.core.plan import InstallLora, PublishResult, RunAttempt, StopAttempt, plan
from daemon.core.state import State, fold
from tests.core.asking import control, desks, ended, panel, published
from tests.desk import Desk

CH01, CH02 = JobId("ch01_v1"), JobId("ch02_v1")


@given(desks)
def test_after_a_crash_the_same_is_wanted_in_the_same_order(desk: Desk) -> None:
    assert plan(fold(desk.entries)) == desk.wants()


@given(desks)
def test_at_most_one_effect_has_the_gpu(desk: Desk) -> None:
    """A2.3."""
    drawing = [effect for effect in desk.wants() if not isinstance(effect, PublishResult)]
    assert [effect.job for effect in drawing] == [job for job in [desk.state.lease] if job]


@given(desks)
def test_every_job_that_is_drawn_or_to_be_published_has_its_effect(desk: Desk) -> None:
    open_jobs = map(desk.state.jobs.__getitem__, desk.state.queue)
    going = [(job.id, job.attempt) for job in open_jobs if job.attempt and _acts(job.phase)]
    wanted = [effect for effect in desk.wants() if not isinstance(effect, InstallLora)]
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
