"""When a job may run: windows of the day, and how much of a training one of them holds.

Law: a training is never planned past its window; what cannot be finished in it is split at the
states that it saves, or not begun.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from daemon.core.ids import is_rehearsal
from daemon.core.job import Job
from daemon.core.jobs import TrainSpec
from daemon.core.needs import pace_of
from daemon.core.policy import Policy
from daemon.core.state import State
from daemon.core.windows import Windows, closes

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True)
class Share:
    """What of a training a window holds. ``epochs`` of the ``left`` ones fit before ``closes`` (ms
    since 1970, None = it never does), each of ``epoch_s`` seconds with all caution; ``measured``:
    by this machine's own pace.
    """

    epochs: int
    left: int
    epoch_s: float
    closes: int | None
    measured: bool

    @property
    def whole(self) -> bool:
        """Whether nothing is left for another night."""
        return self.epochs >= self.left


def share(job: Job, state: State, policy: Policy, *, at: int) -> Share:
    """What a training that begins ``at`` can do before its window closes (A5.1, K3.2)."""
    spec = _training(job)
    epoch_s, measured = _epoch_s(job, spec, state, policy)
    left = spec.epochs - max(job.checkpoints, default=0) // spec.epoch_steps
    end = None if spec.when == "now" else closes(policy.training_windows, at)
    if end is None:
        return Share(left, left, epoch_s, None, measured)
    room_s = (end - at) / 1000 - policy.training_start_s
    return Share(min(left, max(0, int(room_s // epoch_s))), left, epoch_s, end, measured)


def arithmetic(job: Job, found: Share, policy: Policy) -> str:
    """How the share was found, in numbers."""
    spec = _training(job)
    factor = policy.probe_factor if found.measured else policy.unprobed_factor
    step_s = found.epoch_s / spec.epoch_steps
    source = "as measured here" if found.measured else "a guess, nothing was measured yet"
    return (
        f"{found.left * spec.epoch_steps} steps are left, {spec.epoch_steps} an epoch; at"
        f" {step_s:.1f} s a step ({source}, x {factor:g}) an epoch takes {lasting(found.epoch_s)}"
    )


def clock_text(windows: Windows, at: int) -> str:
    """An instant on the wall clock of the windows' zone: ``Fri 22:00``."""
    local = datetime.fromtimestamp(at / 1000, UTC).astimezone(windows.zone)
    return f"{_DAYS[local.weekday()]} {local:%H:%M}"


def lasting(seconds: float) -> str:
    """A span of time as people say it: ``50 s``, ``35 min``, ``3 h 20 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _epoch_s(job: Job, spec: TrainSpec, state: State, policy: Policy) -> tuple[float, bool]:
    pass_s = state.paces.get(pace_of(job))
    prior_s = policy.rehearsal_step_s if is_rehearsal(job.id) else policy.prior_step_s
    one_s = pass_s * policy.probe_factor if pass_s else prior_s * policy.unprobed_factor
    return one_s * spec.gradient_accumulation * spec.epoch_steps, pass_s is not None


def _training(job: Job) -> TrainSpec:
    assert isinstance(job.spec, TrainSpec), f"{job.id} trains nothing"
    return job.spec
