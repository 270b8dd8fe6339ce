"""Spells where a job stands, in a sentence: what was recorded of it, or what its phase means."""

from __future__ import annotations

from typing import assert_never

from daemon.core.events import PictureReproduced
from daemon.core.job import Job
from daemon.core.jobs import Phase
from daemon.core.ladder import spoken
from daemon.core.stages import GRID, PROBE, REGULARIZATION, TRAINING, TRIGGER

_STAGES = {
    TRIGGER: "what its trigger draws without a LoRA is recorded",
    REGULARIZATION: "its regularization pictures are drawn",
    PROBE: "a short run shows whether and how fast it trains",
    GRID: "a grid of its checkpoints is drawn",
}


def sentence(job: Job) -> str:
    """Where a job stands in a sentence: what was recorded of it, or what its phase means."""
    if job.text:
        return f"{job.text}{_remedy(job)}"
    training = job.kind == "train"
    match job.phase:
        case Phase.WAITING if TRAINING in job.stages:
            return (
                "It is trained; a grid of its checkpoints is drawn next. Who has chosen already: "
                f"`nightpress approve {job.id} --checkpoint STEP`."
            )
        case Phase.WAITING:
            return "It waits for its turn."
        case Phase.HELD:
            return "It is held."
        case Phase.RUNNING if job.cancelling:
            going = "its trainer is asked to end" if training else "what is drawn of it is stopped"
            return f"It is being cancelled: {going}."
        case Phase.RUNNING if job.on_a_rung:
            return (
                f"Attempt {job.attempt} is being drawn: the same seed in profile {job.profile}, "
                f"since the picture was spoilt in {spoken(job.rungs)}."
            )
        case Phase.RUNNING if job.stage:
            return f"Attempt {job.attempt}: {_STAGES[job.stage]}."
        case Phase.RUNNING:
            return f"Attempt {job.attempt} is being {'trained' if training else 'drawn'}."
        case Phase.PUBLISHING:
            return f"It is {'trained' if training else 'drawn'} and being put into the outbox."
        case Phase.PUBLISHED if training and job.pruned:
            return (
                f"Done; the checkpoint of step {job.approved[-1]} is approved, and what nobody "
                "chose was pruned."
            )
        case Phase.PUBLISHED if training and job.approved:
            return f"Done; the checkpoint of step {job.approved[-1]} is approved."
        case Phase.PUBLISHED if training:
            return (
                f"Done; its checkpoints are in $STUDIO/outbox/{job.id}/checkpoints. Choose one: "
                f"`nightpress approve {job.id} --checkpoint STEP`."
            )
        case Phase.PUBLISHED if job.reproduced is not None:
            return _reproduced(job.reproduced)
        case Phase.PUBLISHED:
            return f"Done; the result is in $STUDIO/outbox/{job.id}."
        case Phase.FAILED:
            return f"Attempt {job.attempt} failed. `nightpress retry {job.id}` tries again."
        case Phase.QUARANTINED:
            return (
                "It was lost twice while it ran and is not started a third time by itself. "
                f"`nightpress retry {job.id}` starts it."
            )
        case Phase.CANCELLED:
            return "Cancelled by you."
        case Phase.REJECTED:
            return "It asks for something that cannot be done."
        case _:
            assert_never(job.phase)


def _remedy(job: Job) -> str:
    """What a person can do beside what was recorded; '' where the first check says it."""
    if job.phase is Phase.QUARANTINED:
        return f" It was lost twice, so `nightpress retry {job.id}` has to start it."
    if job.phase is Phase.FAILED and any(".refused." in name for name in job.files):
        return f" `nightpress approve {job.id} --image N` takes a refused picture all the same."
    return ""


def _reproduced(told: PictureReproduced) -> str:
    because = f" Another environment: {'; '.join(told.differences)}." if told.differences else ""
    return f"Drawn again: {told.verdict}, mean difference {told.distance:g} of 255.{because}"
