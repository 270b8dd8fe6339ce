"""When a job may run: windows of the day, and how much of a training one of them holds.

Law: a training is never planned past its window; what cannot be finished in it is split at the
states that it saves, or not begun.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from daemon.core.ids import is_rehearsal
from daemon.core.job import Job
from daemon.core.jobs import Phase, TrainSpec
from daemon.core.policy import Policy
from daemon.core.stages import TRAINING, pace_of
from daemon.core.state import State
from daemon.core.windows import Windows, closes, is_open
from daemon.core.world import World

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True)
class Share:
    """What of a training a window holds. ``epochs`` of the ``left`` ones fit before ``closes`` (ms
    since 1970, None = it never does): ``start_s`` seconds to begin, and ``epoch_s`` each with all
    caution; ``measured``: by this machine's own pace.
    """

    epochs: int
    left: int
    start_s: float
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
    left = spec.epochs - _done(job, spec)
    end = None if spec.when == "now" else closes(policy.training_windows, at)
    start_s, fit = beginning_s(job, policy), left
    if end is not None:
        fit = min(left, max(0, int(((end - at) / 1000 - start_s) // epoch_s)))
    return Share(fit, left, start_s, epoch_s, end, measured)


def since(job: Job) -> int:
    """From when on a training that runs is reckoned, in ms since 1970: when its last state was
    saved, or it was started. What it did since then may be lost yet.
    """
    return max(job.changed_at, *(made.saved.at for made in job.checkpoints.values()), 0)


def beginning_s(job: Job, policy: Policy) -> float:
    """How long a training takes to begin: loading, and caching the latents."""
    return policy.rehearsal_start_s if is_rehearsal(job.id) else policy.training_start_s


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a training that runs is to be stopped for now: the code and the sentence of its end."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How a training stands when it is asked whether it may go on. ``epoch_s``: what an epoch takes
    in this run, 0 = not known yet; ``saved``: a state was saved just now, so that nothing is lost.
    """

    epoch_s: float
    saved: bool


def stop(job: Job, policy: Policy, world: World, going: Standing) -> Stop | None:
    """Why it is to be stopped now, to go on another time; None while it may go on.

    Never past its window; and, for whatever else can wait so long, when a state was just saved.
    """
    machine, windows, spec = world.strain, policy.training_windows, _training(job)
    # The run that tries it is short, and may be made by day.
    night = spec.when == "night" and job.stage == TRAINING
    later = (
        "It goes on from its last epoch" if spec.resume else "With resume = false it begins anew"
    )
    if night and not is_open(windows, world.at):
        return Stop("WINDOW_END", f"The training window has closed. {later} in the next one.")
    if machine.runaway:
        return Stop("MEMORY_PRESSURE", f"{machine.text} {later} when that has stopped.")
    if not going.saved:
        return None
    end = closes(windows, world.at) if night else None
    ends = world.at + round(going.epoch_s * policy.night_margin * 1000)
    if end is not None and ends > end:
        text = (
            f"The next state would be saved at {clock_text(windows, ends)}, and the window closes"
            f" at {clock_text(windows, end)}. {later} in the next one."
        )
        return Stop("WINDOW_END", text)
    if machine.code:
        return Stop("MEMORY_PRESSURE", f"{machine.text} {later}.")
    if policy.require_ac and machine.on_ac is False:
        return Stop("ON_BATTERY", f"The Mac runs on its battery. {later} when it is plugged in.")
    return None


def tonight(job: Job, state: State, policy: Policy, *, at: int) -> str:
    """What this window holds of a training that runs or begins now, as a sentence; '' where no
    whole epoch is promised of it.
    """
    found, spec = share(job, state, policy, at=at), _training(job)
    if not found.epochs:
        return ""
    steps = found.left * spec.epoch_steps
    until = at + round((found.start_s + found.epochs * found.epoch_s) * 1000)
    zone = policy.training_windows
    if found.whole:
        return f"The {steps} steps that are left, until about {clock_text(zone, until)}."
    return (
        f"{found.epochs} of {found.left} epochs ({found.epochs * spec.epoch_steps} of {steps}"
        f" steps), until about {clock_text(zone, until)}; the rest in the next window."
    )


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


def _done(job: Job, spec: TrainSpec) -> int:
    """The epochs that need no more learning: those with a state to go on from, which the last has
    not; with resume = false only those of the attempt that runs.
    """
    now = job.attempt if job.phase is Phase.RUNNING else 0
    steps = [
        step
        for step, made in job.checkpoints.items()
        if step < spec.steps and (spec.resume or made.attempt == now)
    ]
    return max(steps, default=0) // spec.epoch_steps


def _epoch_s(job: Job, spec: TrainSpec, state: State, policy: Policy) -> tuple[float, bool]:
    pass_s = state.paces.get(pace_of(job))
    prior_s = policy.rehearsal_step_s if is_rehearsal(job.id) else policy.prior_step_s
    one_s = pass_s * policy.probe_factor if pass_s else prior_s * policy.unprobed_factor
    return one_s * spec.gradient_accumulation * spec.epoch_steps, pass_s is not None


def _training(job: Job) -> TrainSpec:
    assert isinstance(job.spec, TrainSpec), f"{job.id} trains nothing"
    return job.spec
