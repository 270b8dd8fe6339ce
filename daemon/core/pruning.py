"""What is not needed any more: states and checkpoints of decided trainings, old logs and outputs.

Law: published pictures, locks, approved checkpoints and the ledger are never among it; and what is
pruned once is named in the ledger, a line each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from daemon.core.ids import lora_file
from daemon.core.jobs import Phase

if TYPE_CHECKING:
    from daemon.core.job import Job
    from daemon.core.state import State

LOGS, OUTPUTS = "logs", "outputs"
"""What belongs to no job; no job has such a name, for each ends in its number."""


def decided(job: Job) -> bool:
    """Whether a training is over for good: one that failed may be tried again from its states."""
    over = job.kind == "train" and job.phase is Phase.PUBLISHED and not job.pruned
    return over and bool(job.approved)


def targets(state: State) -> Sequence[str]:
    """What a request to prune concerns: decided trainings, and the studio's own leavings."""
    return [*(job.id for job in state.jobs.values() if decided(job)), LOGS, OUTPUTS]


def leavings(job: Job) -> Sequence[str]:
    """The files and folders of a decided training that go, relative to the studio: the dataset's
    copy with the states, and the checkpoints that nobody chose. Their locks stay.
    """
    unchosen = (step for step in sorted(job.checkpoints) if step not in job.approved)
    folder = f"outbox/{job.id}"
    return [
        f"{folder}/resume",
        *(f"{folder}/checkpoints/{lora_file(job.id, step)}" for step in unchosen),
    ]
