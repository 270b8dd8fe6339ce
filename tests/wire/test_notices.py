"""What a person is told of as it happens, in a line."""

from __future__ import annotations

import pytest

from daemon.core.events import Event, Incident, JobEnded, JobHeld, JobRejected
from daemon.core.jobs import Complaint, JobId, Phase
from daemon.core.state import State
from daemon.wire.notices import Happening, happening, message
from tests.core.asking import TRAIN
from tests.examples import job

PANEL, SPYKE = JobId("ch01_v1"), JobId("spyke_v1")


def state(*, approved: tuple[int, ...] = ()) -> State:
    training = job("spyke")._replace(kind="train", spec=TRAIN, approved=approved)
    return State(jobs={training.id: training, PANEL: job("ch01")})


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (JobEnded(PANEL, Phase.PUBLISHED, ""), "done"),
        (JobEnded(SPYKE, Phase.PUBLISHED, ""), "needs_you"),
        (JobEnded(PANEL, Phase.FAILED, "BLACK_OR_GRAY"), "failed"),
        (JobEnded(PANEL, Phase.QUARANTINED, "STALLED"), "failed"),
        (JobEnded(PANEL, Phase.CANCELLED, "CANCELLED"), None),
        (JobRejected("a.toml", "a" * 64, "", (Complaint(1, "k", "No."),), 1, 2, 3), "failed"),
        (JobHeld(PANEL, "ENGINE_MISSING", "None is set.", 0), "needs_you"),
        (JobHeld(PANEL, "WINDOW_CLOSED", "At 22:00.", 5), None),
        (Incident("ENGINE_EXPOSED", "At 192.168.1.5 too."), "needs_you"),
        (Incident("WS_SILENT", "It was found by asking."), None),
    ],
)
def test_what_is_done_failed_or_needs_a_person(event: Event, kind: str | None) -> None:
    found = happening(event, state())
    assert (found.kind if found else None) == kind


def test_a_training_that_is_approved_needs_nobody() -> None:
    found = happening(JobEnded(SPYKE, Phase.PUBLISHED, ""), state(approved=(198,)))
    assert found is not None
    assert found.kind == "done"


def test_one_thing_is_told_as_it_is_and_many_in_one_line_what_needs_her_first() -> None:
    done = [Happening("done", f"ch01_p{number:03}_v1", "", "Done.") for number in range(12)]
    assert message(done[:1]).text == "Done."
    told = message([*done, Happening("needs_you", SPYKE, "", "Choose.")])
    assert told.title == "nightpress: needs you, done"
    assert told.text.startswith("Choose. 12 jobs done: ch01_p000_v1")
    assert len(told.events) == 13


def test_nothing_of_what_is_told_is_obeyed_or_endless() -> None:
    evil = Happening("failed", "", "REJECTED", "\x1b]0;gone\x07\u202e" + "x" * 5_000)
    told = message([evil])
    assert told.text.isprintable()
    assert len(told.text) <= 240
