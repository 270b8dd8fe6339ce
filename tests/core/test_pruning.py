"""What a request to prune concerns, and that each of it is named in the ledger once."""

from __future__ import annotations

from daemon.core.commands import ConfirmInstalled, ConfirmPruned, ReportEnded
from daemon.core.events import ControlTaken
from daemon.core.jobs import JobId, Outcome
from daemon.core.plan import Prune
from daemon.core.pruning import LOGS, OUTPUTS, leavings, targets
from tests.core.asking import approve, checkpoint, control, trained, training
from tests.desk import Desk

SPYKE = JobId("spyke_v1")
PRUNE = control("prune", inode=90)


def chosen(step: int) -> Desk:
    """A training with checkpoints of two steps, of which one is chosen and installed."""
    desk = trained()
    desk.do(approve(SPYKE, checkpoint=step, inode=80))
    desk.do(ConfirmInstalled(SPYKE, step, f"spyke_v1-{step:06}.safetensors", f"{step:064x}"))
    return desk


def test_a_training_that_nobody_has_chosen_of_keeps_everything() -> None:
    desk = trained()
    assert list(targets(desk.state)) == [LOGS, OUTPUTS]
    failed = Desk()
    failed.do(training())
    failed.do(checkpoint(SPYKE, 198), ReportEnded(SPYKE, 1, Outcome.FAILED, "LOSS_NAN", "NaN."))
    assert list(targets(failed.state)) == [LOGS, OUTPUTS], "it may be tried again"


def test_of_a_decided_training_go_the_states_and_what_nobody_chose_and_no_lock() -> None:
    desk = chosen(198)
    assert list(targets(desk.state)) == [SPYKE, LOGS, OUTPUTS]
    assert list(leavings(desk.state.jobs[SPYKE])) == [
        "outbox/spyke_v1/resume",
        "outbox/spyke_v1/checkpoints/spyke_v1-000396.safetensors",
    ]


def test_each_target_has_a_line_and_after_a_crash_what_has_none_is_asked_for_again() -> None:
    desk = chosen(198)
    desk.do(PRUNE)
    assert [effect for effect in desk.wants() if isinstance(effect, Prune)] == [
        *(Prune(SPYKE), Prune(LOGS), Prune(OUTPUTS))
    ]
    [line] = desk.do(ConfirmPruned(SPYKE))
    assert line == ControlTaken(SPYKE, "prune", "", PRUNE.file)
    assert desk.do(ConfirmPruned(SPYKE)) == []
    desk.restart()
    assert [effect.job for effect in desk.wants() if isinstance(effect, Prune)] == [LOGS, OUTPUTS]
    desk.do(ConfirmPruned(LOGS), ConfirmPruned(OUTPUTS))
    assert desk.wants() == []
    assert desk.state.jobs[SPYKE].pruned
    assert list(targets(desk.state)) == [LOGS, OUTPUTS]


def test_what_was_pruned_can_be_approved_no_more_and_what_was_chosen_still_is() -> None:
    desk = chosen(198)
    desk.do(PRUNE)
    [early] = desk.do(approve(SPYKE, checkpoint=396, inode=93))
    assert isinstance(early, ControlTaken)
    assert "was pruned" in early.error, "its file may be gone already"
    desk.do(ConfirmPruned(SPYKE))
    [taken] = desk.do(approve(SPYKE, checkpoint=396, inode=91))
    assert isinstance(taken, ControlTaken)
    assert "was pruned" in taken.error
    [again] = desk.do(approve(SPYKE, checkpoint=198, inode=92))
    assert isinstance(again, ControlTaken)
    assert again.error == ""


def test_nothing_goes_before_what_was_approved_is_installed() -> None:
    desk = trained()
    desk.do(approve(SPYKE, checkpoint=198, inode=80))
    desk.do(PRUNE)
    assert [effect for effect in desk.wants() if isinstance(effect, Prune)] == []
