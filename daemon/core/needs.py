"""What a job needs of the machine's memory, as a sum of named terms.

How it is predicted is the trade's knowledge and handed in; here is only what is believed of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from daemon.core.ids import is_rehearsal
from daemon.core.jobs import TrainSpec
from daemon.core.stages import drawn_as

if TYPE_CHECKING:
    from daemon.core.job import Job
    from daemon.core.policy import Policy
    from daemon.core.state import State


@dataclass(frozen=True, slots=True)
class Need:
    """What a job is predicted to take at its peak, in bytes: named ``terms`` in the order of the
    sum, and the ``correction`` by what this machine was measured to take. ``advice`` is a sentence
    on how to need less, '' where there is none. ``disk`` is what it will write.
    """

    terms: tuple[tuple[str, int], ...] = ()
    correction: int = 0
    advice: str = ""
    disk: int = 0

    @property
    def predicted(self) -> int:
        """The sum before its correction."""
        return sum(size for _, size in self.terms)

    @property
    def total(self) -> int:
        """What is believed."""
        return max(0, self.predicted + self.correction)


Weigh = Callable[["Job", "State", "Policy"], Need]
"""Predicts the next attempt at a job, in the launch profile that the job has."""


NO_NEED = Need()


def nothing(_job: Job, _state: State, _policy: Policy) -> Need:
    """The need of a job where nothing is weighed."""
    return NO_NEED


def kin(job: Job) -> str:
    """What two jobs share whose predictions err alike: what is done, and their engine."""
    kind = "panel" if job.draws else "train"
    return f"{kind} {'rehearsal' if is_rehearsal(job.id) else 'comfyui'}"


def configuration(job: Job) -> str:
    """What two jobs share that take the same memory; what one of them took is true of the other."""
    spec, drawn = job.spec, drawn_as(job)
    if drawn is not None:
        hint = drawn.controlnet.model if drawn.controlnet else "-"
        size, profile = f"{drawn.width}x{drawn.height}", job.profile or "default"
        return f"{kin(job)} {profile} {drawn.checkpoint} {size} {len(drawn.loras)} {hint}"
    assert isinstance(spec, TrainSpec), f"{job.id} is neither drawn nor trained"
    lean = f"{spec.gradient_checkpointing:d}{spec.unet_only:d}"
    return f"{kin(job)} {spec.checkpoint} {spec.network_dim} {lean} {spec.optimizer}"
