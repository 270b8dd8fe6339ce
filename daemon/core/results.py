"""What follows from the report of something made: a picture, a checkpoint, a comparison.

Law: a report of an attempt that is not the running one, or of what is recorded already, is answered
with no event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from daemon.core.commands import (
    Calibration,
    RecordTrainer,
    ReportCheckpoint,
    ReportImage,
    ReportReference,
    ReportReproduced,
)
from daemon.core.events import (
    CalibrationMeasured,
    CheckpointSaved,
    Event,
    ImageJudged,
    PictureReproduced,
)
from daemon.core.job import Job
from daemon.core.jobs import JobId, Phase
from daemon.core.making import named
from daemon.core.state import State
from daemon.core.tools import TrainerRecorded


def current(state: State, job: JobId, attempt: int) -> Job | None:
    """The job, if this is its running attempt."""
    found = in_phase(state, job, Phase.RUNNING)
    return found if found is not None and found.attempt == attempt else None


def in_phase(state: State, job: JobId, phase: Phase) -> Job | None:
    """The job, if it is there and in this phase."""
    found = state.jobs.get(job)
    return found if found is not None and found.phase is phase else None


def judged(state: State, command: ReportImage) -> Sequence[Event]:
    """A picture was looked at; what drew it is recorded where that is new."""
    if current(state, command.job, command.attempt) is None:
        return []
    making = command.making
    new, (engine, *models) = named(state, (making.engine, *making.models))
    line = ImageJudged(
        job=command.job,
        attempt=command.attempt,
        image=command.image,
        sha256=command.sha256,
        verdict=command.verdict,
        scores=dict(command.scores),
        engine=engine,
        models=tuple(models),
        template=making.template,
        template_sha256=making.template_sha256,
        workflow_sha256=making.workflow_sha256,
        bytes=making.bytes,
        perceptual_hash=making.perceptual_hash,
        rung=making.rung,
        map_sha256=making.map_sha256,
    )
    return [*new, line]


def reproduced(state: State, command: ReportReproduced) -> Sequence[Event]:
    """A picture that was drawn again was compared, once a job."""
    job = current(state, command.job, command.attempt)
    if job is None or job.reproduced is not None:
        return []
    measured = command.calibration
    told = PictureReproduced(
        job=job.id,
        lock_sha256=command.lock_sha256,
        verdict=command.verdict,
        distance=command.distance,
        differences=command.differences,
    )
    if measured is None:
        return [told]
    return [_measured(measured), told]


def referred(state: State, command: ReportReference) -> Sequence[Event]:
    """The reference run of a job is over, and recorded once."""
    job = current(state, command.job, command.attempt)
    if job is None or any(known.job == job.id for known in state.references.values()):
        return []
    return [_measured(command.calibration)]


def _measured(told: Calibration) -> CalibrationMeasured:
    environment = sorted_by_name(told.environment)
    return CalibrationMeasured(**{**asdict(told), "environment": environment})


def trainer_used(state: State, command: RecordTrainer) -> Sequence[Event]:
    """What an attempt at a training is started with."""
    job, trainer = current(state, command.job, command.attempt), command.trainer
    if job is None:
        return []
    new, models = named(state, trainer.models)
    recorded = TrainerRecorded(
        job=job.id,
        attempt=job.attempt,
        trainer=trainer.trainer,
        commit=trainer.commit,
        python=trainer.python,
        packages=sorted_by_name(trainer.packages),
        arguments=trainer.arguments,
        environment=sorted_by_name(trainer.environment),
        models=tuple(models),
        config=trainer.config,
        dataset=trainer.dataset,
    )
    return [] if job.trainers.get(job.attempt) == recorded else [*new, recorded]


def checkpoint_saved(state: State, command: ReportCheckpoint) -> Sequence[Event]:
    """A checkpoint is kept."""
    job = current(state, command.job, command.attempt)
    if job is None:
        return []
    known = job.checkpoints.get(command.step)
    if known is not None and known.sha256 == command.sha256:
        return []
    return [CheckpointSaved(**asdict(command))]


def sorted_by_name(values: Mapping[str, str]) -> Mapping[str, str]:
    """In the order in which the ledger's line has them, so that what is written of them before and
    after a restart is the same.
    """
    return dict(sorted(values.items()))
