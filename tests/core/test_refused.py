"""Jobs of which some pictures are results and some are not, and what a person makes of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from daemon.core.commands import ConfirmPublished, ReportUnpublishable
from daemon.core.events import ControlTaken, JobEnded
from daemon.core.jobs import JobId, Outcome, Phase
from daemon.core.plan import PublishResult, plan
from tests.core.asking import PANEL, approve, control, ended, image, panel, published, spoilt
from tests.desk import Desk

P1 = JobId("p1_v1")
TWO = replace(PANEL, seeds=(1, 2))


def drawn(*verdicts: str, seeds: int = 2) -> Desk:
    """A desk at which a job's pictures were judged so, on an engine that is not ours to restart."""
    desk = Desk(profiles=())
    desk.do(panel("p1", spec=replace(PANEL, seeds=tuple(range(seeds)))))
    for number, verdict in enumerate(verdicts, start=1):
        desk.do(replace(image(P1, number), verdict=verdict))
    return desk


def refused(*verdicts: str, seeds: int = 2) -> Desk:
    """The same, when the attempt has failed and what there is has been published."""
    desk = drawn(*verdicts, seeds=seeds)
    desk.do(spoilt(P1, 1))
    desk.do(published(P1))
    return desk


def test_what_was_drawn_of_a_job_that_fails_is_published_before_it_ends() -> None:
    """A3.1: partial results survive a failure."""
    desk = drawn("good", "BLACK_OR_GRAY")
    desk.do(spoilt(P1, 1))
    assert desk.state.jobs[P1].phase is Phase.PUBLISHING
    assert plan(desk.state) == [PublishResult(P1, 1)]
    *_, last = desk.do(published(P1))
    assert last == JobEnded(P1, Phase.FAILED, "BLACK_OR_GRAY")
    assert P1 not in desk.state.queue


def test_a_job_of_which_nothing_was_drawn_has_failed_at_once() -> None:
    desk = drawn()
    *_, last = desk.do(ended(P1, 1, Outcome.FAILED, "VALIDATION"))
    assert last == JobEnded(P1, Phase.FAILED, "VALIDATION")


def test_what_is_gone_of_a_job_that_failed_is_not_drawn_again_by_itself() -> None:
    desk = drawn("good", "BLACK_OR_GRAY")
    desk.do(spoilt(P1, 1))
    *_, last = desk.do(ReportUnpublishable(P1, "It is gone."))
    assert last == JobEnded(P1, Phase.FAILED, "BLACK_OR_GRAY")


def test_a_refused_picture_that_is_approved_is_published_as_overridden() -> None:
    """A3.1"""
    desk = refused("BLACK_OR_GRAY", "good")
    desk.do(approve(P1, image=1))
    job = desk.state.jobs[P1]
    assert (job.phase, job.code, job.images[1].verdict) == (Phase.PUBLISHING, "", "overridden")
    *_, last = desk.do(ConfirmPublished(P1, {"p1_v1-01.png": "c" * 64}))
    assert last == JobEnded(P1, Phase.PUBLISHED, "")


def test_a_job_has_failed_until_all_of_its_pictures_are_results() -> None:
    desk = refused("BLACK_OR_GRAY", "BLACK_OR_GRAY", seeds=3)
    for number in (1, 2):
        desk.do(approve(P1, image=number))
        *_, last = desk.do(published(P1))
        assert last == JobEnded(P1, Phase.FAILED, "BLACK_OR_GRAY")
    assert desk.state.jobs[P1].approved == (1, 2)


def test_a_good_picture_of_a_job_that_failed_is_approved_and_nothing_more() -> None:
    """S3.1"""
    desk = refused("good", "BLACK_OR_GRAY")
    desk.do(approve(P1, image=1))
    assert desk.state.jobs[P1].phase is Phase.FAILED
    assert desk.state.jobs[P1].approved == (1,)


@pytest.mark.parametrize("number", [0, 2, 3])
def test_a_picture_that_nobody_has_seen_cannot_be_approved(number: int) -> None:
    desk = refused("BLACK_OR_GRAY", seeds=3)
    [taken] = desk.do(approve(P1, image=number))
    assert isinstance(taken, ControlTaken)
    assert "it has 1" in taken.error


def test_a_retry_draws_only_what_is_no_result() -> None:
    desk = refused("good", "BLACK_OR_GRAY", "BLACK_OR_GRAY", seeds=3)
    desk.do(approve(P1, image=2))
    desk.do(published(P1))
    desk.do(control("retry", P1))
    job = desk.state.jobs[P1]
    assert [number for number in job.pictures if job.stands(job.images[number])] == [1, 2]
    assert job.attempt == 2


def test_a_refused_picture_can_be_approved_until_another_is_drawn() -> None:
    """A retry that is cancelled before anything was drawn has changed nothing."""
    desk = refused("good", "BLACK_OR_GRAY")
    desk.do(control("retry", P1))
    desk.do(control("cancel", P1))
    desk.do(ended(P1, 2, Outcome.CANCELLED))
    desk.do(approve(P1, image=2))
    assert desk.state.jobs[P1].phase is Phase.PUBLISHING


def test_an_approval_is_of_the_picture_that_was_seen() -> None:
    """What is drawn in its place has to be chosen anew."""
    desk = refused("BLACK_OR_GRAY", seeds=1)
    desk.do(approve(P1, image=1))
    desk.do(ReportUnpublishable(P1, "It is gone."))
    desk.do(image(P1, 1, attempt=2))
    desk.do(ended(P1, 2, Outcome.SUCCEEDED, ""))
    desk.do(published(P1))
    job = desk.state.jobs[P1]
    assert (job.phase, job.approved, job.images[1].verdict) == (Phase.PUBLISHED, (), "good")
    desk.do(approve(P1, image=1, inode=2))
    assert desk.state.jobs[P1].approved == (1,)
