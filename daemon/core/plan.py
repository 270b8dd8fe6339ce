"""What the world should be doing now, from state alone.

Law: ``plan(fold(ledger))`` after a crash is the set it was before: recovery is the ordinary start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from daemon.core.jobs import DEFAULT_PROFILE, JobId, Phase
from daemon.core.state import State


@dataclass(frozen=True, slots=True)
class RunAttempt:
    """Draw what is not drawn yet, or rejoin it; ends in ``ReportEnded``. Needs the GPU lock."""

    job: JobId
    attempt: int


@dataclass(frozen=True, slots=True)
class RunTraining:
    """Train what is not trained yet, or watch the training that runs; ends in ``ReportEnded``.

    A training that runs has the GPU lock itself, so watching it needs none.
    """

    job: JobId
    attempt: int


@dataclass(frozen=True, slots=True)
class StopAttempt:
    """Take back what the attempt has sent or started; ends in ``ReportEnded`` cancelled."""

    job: JobId
    attempt: int


@dataclass(frozen=True, slots=True)
class PublishResult:
    """Put what was made into the outbox; ends in ``ConfirmPublished`` or
    ``ReportUnpublishable``.
    """

    job: JobId
    attempt: int


@dataclass(frozen=True, slots=True)
class InstallLora:
    """Copy an approved checkpoint into the engine's folder; ends in ``ConfirmInstalled``."""

    job: JobId
    checkpoint: int


@dataclass(frozen=True, slots=True)
class Prune:
    """Remove what a decided training needs no more, or what is left of nobody's; ``job`` is either.
    Ends in ``ConfirmPruned``.
    """

    job: str


Effect = RunAttempt | RunTraining | StopAttempt | PublishResult | InstallLora | Prune


def plan(state: State) -> Sequence[Effect]:
    """The effects that ought to be going on, oldest job first. At most one draws: those of
    several attempts at pictures take turns at the engine, in the order of ``state.running``.
    """
    effects: list[Effect] = []
    for name in state.queue:
        job = state.jobs[name]
        match job.phase:
            case Phase.RUNNING if job.cancelling:
                effects.append(StopAttempt(job.id, job.attempt))
            case Phase.RUNNING if job.draws:
                effects.append(RunAttempt(job.id, job.attempt))
            case Phase.RUNNING:
                effects.append(RunTraining(job.id, job.attempt))
            case Phase.PUBLISHING:
                effects.append(PublishResult(job.id, job.attempt))
            case (
                Phase.WAITING
                | Phase.HELD
                | Phase.PUBLISHED
                | Phase.FAILED
                | Phase.CANCELLED
                | Phase.QUARANTINED
                | Phase.REJECTED
            ):
                pass
            case _:
                assert_never(job.phase)
    installs = [InstallLora(job, step) for job, step in state.installs]
    # What was approved is installed before anything beside it goes.
    pruned = [Prune(target) for target in state.pruning] if not installs else []
    return [*effects, *installs, *pruned]


def engine_wanted(state: State) -> str | None:
    """The launch profile in which the engine ought to be up; None: off, a training needs what it
    has (A5.4).
    """
    if state.lease is None:
        return DEFAULT_PROFILE
    job = state.jobs[state.lease]
    return job.profile or DEFAULT_PROFILE if job.draws else None


def prompts_of(state: State) -> set[str]:
    """The prompts that open jobs have sent or are about to send."""
    jobs = (state.jobs[name] for name in state.queue)
    return {image.prompt_id for job in jobs for image in job.images.values()}
