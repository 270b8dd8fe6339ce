"""What follows from a control file: who may be cancelled, tried again, approved.

Law: each is answered with one line, which says why where it could not be obeyed.
"""

from __future__ import annotations

from collections.abc import Sequence

from daemon.core.commands import TakeControl
from daemon.core.events import ControlTaken, Event, JobApproved
from daemon.core.job import Job
from daemon.core.jobs import Control, JobId, Phase
from daemon.core.stages import TRAINING
from daemon.core.state import State, drop_of

RETRIABLE = frozenset({Phase.FAILED, Phase.CANCELLED, Phase.QUARANTINED})
_WAITING = frozenset({Phase.WAITING, Phase.HELD})


def answer_control(state: State, command: TakeControl) -> Sequence[Event]:
    """What follows from a control file: obeyed, or a sentence why it is not."""
    file, control = command.file, command.control
    if drop_of(file) in state.answered:
        return []
    why_not = objection(state, control)
    taken = ControlTaken(control.job, control.kind, why_not, file)
    if why_not or control.kind != "approve":
        return [taken]
    job = state.jobs[JobId(control.job)]
    if (control.image or control.checkpoint) in job.approved:
        return [taken]
    return [taken, JobApproved(job.id, control.image, control.checkpoint)]


def objection(state: State, control: Control) -> str:
    """Why a control cannot be obeyed, as a sentence; '' when it can."""
    if control.kind in ("pause", "resume", "prune"):
        return ""
    job = state.jobs.get(JobId(control.job))
    if job is None:
        return f"There is no job {control.job} in this studio's ledger; see `nightpress status`."
    if control.kind == "approve":
        return _unapprovable(job, control, pruned=job.pruned or job.id in state.pruning)
    if control.kind == "cancel":
        if job.phase in _WAITING or job.phase is Phase.RUNNING:
            return ""
        return f"{job.id} is {job.phase}: only a waiting, held or running job can be cancelled."
    if job.phase in RETRIABLE:
        return ""
    remedy = " Drop its file again with rerun = true for another result." if not job.open else ""
    return (
        f"{job.id} is {job.phase}: only a failed, cancelled or quarantined job can be tried "
        f"again.{remedy}"
    )


def _pictures(job: Job) -> Sequence[int]:
    """Those that are in its folder: all of a published panel, what was drawn of one that failed."""
    if job.phase is Phase.PUBLISHED:
        return job.pictures
    drawn = [number for number, image in sorted(job.images.items()) if image.judged]
    return drawn if job.files else []


def _unapprovable(job: Job, control: Control, *, pruned: bool) -> str:
    """Why this picture or checkpoint cannot be approved, as a sentence; '' when it can."""
    trained = TRAINING in job.stages and job.phase in _WAITING
    if job.open and not trained:
        return f"{job.id} is {job.phase}: approve what it made when it has ended."
    if job.kind == "panel":
        pictures = _pictures(job)
        if control.image in pictures:
            return ""
        known = ", ".join(map(str, pictures)) or "none"
        return (
            f"{job.id} is a panel: choose one of its pictures (it has {known}) by its number, for "
            "example image = 1."
        )
    if control.checkpoint in job.checkpoints:
        gone = pruned and control.checkpoint not in job.approved
        return f"The checkpoint of step {control.checkpoint} was pruned." if gone else ""
    known = ", ".join(map(str, sorted(job.checkpoints))) or "none"
    return (
        f"{job.id} is a training: choose one of its checkpoints (it has {known}) by its step, for "
        f"example checkpoint = {max(job.checkpoints, default=198)}."
    )
