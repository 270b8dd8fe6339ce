"""Where a job stands after an event of its own.

Law: ``evolve`` is total over the events of a job; events of jobs that were never accepted are a
damaged history, and no setting is asked.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from daemon.core.events import (
    AttemptEnded,
    AttemptStarted,
    CalibrationMeasured,
    CheckpointSaved,
    ControlTaken,
    DaemonStarted,
    DaemonStopped,
    DatasetRecorded,
    Entry,
    ImageJudged,
    Incident,
    JobAccepted,
    JobApproved,
    JobDuplicate,
    JobEnded,
    JobHeld,
    JobRejected,
    LedgerRestored,
    LedgerTorn,
    LoraInstalled,
    PictureReproduced,
    PromptSent,
    ResultPublished,
)
from daemon.core.ids import split_job
from daemon.core.job import Checkpoint, Image, Job
from daemon.core.jobs import (
    OVERRIDDEN,
    QUALITY_CODES,
    Outcome,
    PanelSpec,
    Phase,
    TrainingImage,
)
from daemon.core.stages import DRAWN, GRID, PROBE, TRAINING
from daemon.core.tools import EngineRecorded, ModelRecorded, TrainerRecorded


def evolve(job: Job | None, entry: Entry) -> Job:
    """The job after an event of its own. Events of jobs that were never accepted are a damaged
    history.
    """
    event = entry.event
    if isinstance(event, JobAccepted):
        return _accepted(event, entry)
    assert job is not None, f"{event.type} for a job that was never accepted"
    match event:
        case JobHeld():
            return _held(job, entry, event)
        case AttemptStarted():
            return _started(job, entry, event)
        case PromptSent(image=image, prompt_id=prompt_id):
            return job._replace(images={**job.images, image: Image(prompt_id)})
        case ImageJudged(image=image):
            sent = job.images.get(image, Image(""))
            drawn = Image(sent.prompt_id, event.verdict, event.sha256, entry)
            # Another picture than the one that was chosen.
            approved = tuple(chosen for chosen in job.approved if chosen != image)
            return job._replace(images={**job.images, image: drawn}, approved=approved)
        case CheckpointSaved(step=step):
            saved = Checkpoint(
                event.sha256, event.loss, event.attempt, entry, event.bytes, event.device
            )
            return job._replace(checkpoints={**job.checkpoints, step: saved}, unlucky=0)
        case DatasetRecorded(images=images):
            return job._replace(dataset=(*job.dataset, *(TrainingImage(*i) for i in images)))
        case TrainerRecorded(attempt=attempt):
            return job._replace(trainers={**job.trainers, attempt: event})
        case JobApproved():
            return _approved(job, entry, event)
        case AttemptEnded():
            return _attempt_ended(job, entry, event)
        case ResultPublished(files=files):
            phase = Phase.FAILED if job.code else Phase.PUBLISHED
            return _moved(job, entry, phase, code=job.code, text=job.text)._replace(files=files)
        case JobEnded(phase=phase, code=code):
            return _moved(job, entry, phase, code=code, text=job.text)
        case ControlTaken(kind="cancel"):
            if job.phase is Phase.RUNNING:
                return job._replace(cancelling=True)
            return _moved(job, entry, Phase.CANCELLED, code="CANCELLED", text="Cancelled by you.")
        case ControlTaken(kind="retry"):
            again = _moved(job, entry, Phase.WAITING)
            return again._replace(rungs=(), unlucky=0, cancelling=False, notes=())
        case Incident(code=code):
            notes = job.notes if code in job.notes else (*job.notes, code)
            return job._replace(notes=notes, changed_seq=entry.seq)
        case ControlTaken(kind="prune"):
            return job._replace(pruned=True, changed_seq=entry.seq)
        case PictureReproduced():
            return job._replace(reproduced=event)
        case ControlTaken() | LoraInstalled():
            return job
        case (
            JobRejected()
            | JobDuplicate()
            | DaemonStarted()
            | DaemonStopped()
            | ModelRecorded()
            | EngineRecorded()
            | CalibrationMeasured()
            | LedgerTorn()
            | LedgerRestored()
        ):
            raise AssertionError(f"{event.type} belongs to no job")
        case _:
            assert_never(event)


def _held(job: Job, entry: Entry, event: JobHeld) -> Job:
    if event.code == "RESULT_GONE":
        # Its last epoch is trained again, and what is drawn with it is drawn again.
        over = tuple(stage for stage in job.stages if stage not in (TRAINING, GRID))
        job = job._replace(stages=over)
    not_before = event.not_before
    return _moved(job, entry, Phase.HELD, code=event.code, text=event.text, not_before=not_before)


def _started(job: Job, entry: Entry, event: AttemptStarted) -> Job:
    # What was seen stays, until another is drawn in its place.
    seen = {n: image for n, image in job.images.items() if image.judged}
    nonces = job.nonces
    if event.stage not in DRAWN:
        nonces = {**nonces, event.attempt: entry.chain}
    return _moved(job, entry, Phase.RUNNING)._replace(
        attempt=event.attempt,
        engine=event.engine,
        profile=event.profile,
        stage=event.stage,
        images=seen if event.stage == job.stage else {},
        nonces=nonces,
        need_bytes=event.need_bytes,
    )


def _accepted(event: JobAccepted, entry: Entry) -> Job:
    parts = split_job(event.job)
    assert parts is not None, f"not a job id: {event.job}"
    return Job(
        id=event.job,
        kind=event.kind,
        name=parts[0],
        ref=event.ref,
        priority=event.priority,
        file=event.file,
        request=event.request,
        spec=event.spec,
        warnings=event.warnings,
        accepted_seq=entry.seq,
        accepted_at=entry.at,
        phase=Phase.WAITING,
        changed_at=entry.at,
        changed_seq=entry.seq,
    )


def _moved(
    job: Job, entry: Entry, phase: Phase, *, code: str = "", text: str = "", not_before: int = 0
) -> Job:
    return job._replace(
        phase=phase,
        code=code,
        text=text,
        not_before=not_before,
        changed_at=entry.at,
        changed_seq=entry.seq,
    )


def _approved(job: Job, entry: Entry, event: JobApproved) -> Job:
    """A picture that the judge had refused becomes a result, and is published."""
    # Its status file says so, and has to be written again by whoever comes after a crash.
    chosen = (*job.approved, event.image or event.checkpoint)
    job = job._replace(approved=chosen, changed_seq=entry.seq)
    if TRAINING in job.stages and job.open:
        # Who has chosen needs no grid.
        return _moved(job, entry, Phase.PUBLISHING)._replace(stages=(*job.stages, GRID))
    refused = job.images.get(event.image)
    if refused is None or refused.judged is None or job.stands(refused):
        return job
    images = {**job.images, event.image: replace(refused, verdict=OVERRIDDEN)}
    whole = all(number in images and job.stands(images[number]) for number in job.pictures)
    code, text = ("", "") if whole else (job.code, job.text)
    return _moved(job, entry, Phase.PUBLISHING, code=code, text=text)._replace(images=images)


def _succeeded(job: Job, entry: Entry) -> Job:
    """A stage of a training is over: the next one waits, or all that was made is published."""
    spec = job.spec
    if isinstance(spec, PanelSpec):
        return _moved(job, entry, Phase.PUBLISHING)
    last = GRID if spec.grid else TRAINING
    phase = Phase.PUBLISHING if job.stage == last else Phase.WAITING
    drawn = {job.stage: job.images} if job.stage in DRAWN else {}
    return _moved(job, entry, phase)._replace(
        stages=(*job.stages, job.stage),
        series={**job.series, **drawn},
        images={},
        lost=(),
        unlucky=0,
    )


def _attempt_ended(job: Job, entry: Entry, event: AttemptEnded) -> Job:
    code, text = event.code, event.evidence
    if code in QUALITY_CODES and event.outcome in (Outcome.STOPPED, Outcome.FAILED):
        job = job._replace(rungs=(*job.rungs, job.profile), lost=())
    if job.stage == PROBE:
        # Nothing that comes later may take it for a part of the training.
        left = {number: nonce for number, nonce in job.nonces.items() if number != event.attempt}
        job = job._replace(nonces=left)
    if job.cancelling or event.outcome is Outcome.CANCELLED:
        stopped = _moved(job, entry, Phase.CANCELLED, code="CANCELLED", text="Cancelled by you.")
        return stopped._replace(cancelling=False)
    match event.outcome:
        case Outcome.SUCCEEDED:
            return _succeeded(job, entry)
        case Outcome.FAILED if job.stage == GRID:
            # What was trained is a result without it.
            return _succeeded(job, entry)
        case Outcome.FAILED if job.kind == "train":
            failed = _moved(job, entry, Phase.FAILED, code=code, text=text)
            return failed._replace(images={}, lost=())
        case Outcome.FAILED:
            # What was drawn is kept: the good ones are results, the others may be approved.
            drawn = any(image.judged for image in job.images.values())
            phase = Phase.PUBLISHING if drawn and code else Phase.FAILED
            return _moved(job, entry, phase, code=code, text=text)._replace(lost=())
        case Outcome.STOPPED:
            return _moved(job, entry, Phase.WAITING, code=code, text=text)
        case Outcome.LOST:
            lost = _moved(job, entry, Phase.WAITING, code=code, text=text)
            return lost._replace(unlucky=job.unlucky + 1, lost=(*job.lost, job.attempt))
        case _:
            assert_never(event.outcome)
