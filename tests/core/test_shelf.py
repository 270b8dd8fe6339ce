"""The shelf of jobs: a mapping like any other, whatever it has packed."""

from __future__ import annotations

from dataclasses import replace

from daemon.core.job import Image, Job
from daemon.core.jobs import JobId, Phase
from daemon.core.shelf import LOOSE, Shelf
from tests.core.asking import TRAIN
from tests.desk import Desk
from tests.examples import PANEL, job


def ended(number: int) -> Job:
    """An ended job of its own."""
    spec = TRAIN if number % 7 == 0 else replace(PANEL, prompt=f"page {number}")
    made = job(f"p{number}", phase=Phase.PUBLISHED, seq=number)
    return made._replace(
        spec=spec, images={1: Image(f"prompt {number}")}, files={"a.png": "f" * 64}
    )


def filled() -> tuple[Shelf, dict[JobId, Job]]:
    """A shelf with many packed jobs, two open ones, and what was put there."""
    put = {one.id: one for one in map(ended, range(1, LOOSE + 300))}
    waiting = job("waiting", phase=Phase.WAITING)
    held = job("held", phase=Phase.HELD)
    put = {waiting.id: waiting, **put, held.id: held}
    shelf = Shelf()
    shelf.update(put)
    return shelf, put


def test_what_is_taken_from_it_equals_what_was_put_there_in_the_same_order() -> None:
    shelf, put = filled()
    assert list(shelf) == list(put)
    assert len(shelf) == len(put)
    assert dict(shelf) == put


def test_open_jobs_and_those_that_ended_last_are_there_as_they_are() -> None:
    shelf, put = filled()
    as_they_are = [name for name in put if shelf[name] is put[name]]
    assert {"waiting_v1", "held_v1"} < set(as_they_are)
    assert LOOSE < len(as_they_are) < len(put)


def test_a_packed_job_that_changes_is_changed_and_its_neighbours_are_not() -> None:
    shelf, put = filled()
    name = JobId("p1_v1")
    assert shelf[name] is not put[name]
    approved = shelf[name]._replace(approved=(1,))
    shelf[name] = approved
    assert dict(shelf) == {**put, name: approved}
    assert list(shelf) == list(put)


def test_a_packed_job_that_is_tried_again_is_open() -> None:
    shelf, put = filled()
    again = put[JobId("p2_v1")]._replace(phase=Phase.WAITING)
    shelf[again.id] = again
    shelf.update({one.id: one for one in map(ended, range(20_000, 20_000 + LOOSE + 64))})
    assert shelf[again.id] is again


def test_a_job_that_is_taken_away_is_gone() -> None:
    shelf, put = filled()
    for name in ("p1_v1", "held_v1", f"p{LOOSE}_v1"):
        del shelf[JobId(name)]
        assert JobId(name) not in shelf
        assert shelf.get(JobId(name)) is None
    assert len(shelf) == len(put) - 3


def test_a_draft_of_a_state_sees_packed_jobs_and_is_absorbed() -> None:
    desk = Desk()
    shelf, put = filled()
    desk.state.jobs = shelf
    draft = desk.state.draft()
    name = JobId("p3_v1")
    draft.jobs[name] = draft.jobs[name]._replace(approved=(1,))
    assert desk.state.jobs[name] == put[name]
    desk.state.absorb(draft)
    assert desk.state.jobs[name].approved == (1,)
