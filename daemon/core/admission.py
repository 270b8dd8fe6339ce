"""Who gets the GPU lease next, or the reason why nobody does.

Law: whenever nothing runs and the queue is not empty, the job at its head has a reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from daemon.core.decide import Studio
from daemon.core.events import AttemptStarted, Event, JobHeld
from daemon.core.ids import is_rehearsal
from daemon.core.job import Job
from daemon.core.jobs import JobId, PanelSpec, Phase
from daemon.core.ladder import profile_for
from daemon.core.policy import Policy
from daemon.core.state import State
from daemon.core.world import World

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a job does not run: a code, a sentence, the earliest start in ms since 1970 (0 =
    unknown).
    """

    code: str
    text: str
    not_before: int = 0


def line(state: State) -> Sequence[Job]:
    """The jobs that wait for the GPU, first come first: higher priority, then the order of
    acceptance.
    """
    waiting = [
        job
        for job in map(state.jobs.__getitem__, state.queue)
        if job.phase in (Phase.WAITING, Phase.HELD)
    ]
    return sorted(waiting, key=lambda job: (-job.priority, job.accepted_seq))


def admit(state: State, world: World, policy: Policy, studio: Studio) -> Sequence[Event]:
    """The start of the next attempt, or why the head of the line is held (said once a reason)."""
    if state.running:
        return _follow(state, world, policy, studio)
    waiting = line(state)
    if not waiting:
        return []
    reason = nobody(state, world, policy)
    first = chosen(state, waiting, world, policy)
    if reason is None and first is not None:
        profile = profile_for(first, state, studio.profiles)
        return [AttemptStarted(first.id, first.attempt + 1, world.engine, profile)]
    head = waiting[0]
    reason = reason or unfit(head, world)
    assert reason is not None
    if head.phase is Phase.HELD and head.code == reason.code:
        return []
    return [JobHeld(head.id, reason.code, reason.text, reason.not_before)]


def _follow(state: State, world: World, policy: Policy, studio: Studio) -> Sequence[Event]:
    """The start of an attempt that is made ready while the one before it draws its last picture.

    Only a picture may follow a picture: a training needs the GPU for itself, and before it the
    engine has to let go of it. Another launch profile waits too: all that run share one engine.
    """
    last = state.jobs[state.running[-1]]
    if world.closing != (last.id, last.attempt) or last.kind != "panel" or last.cancelling:
        return []
    first = chosen(state, line(state), world, policy)
    full = len(state.running) >= policy.max_running
    if first is None or first.kind != "panel" or full or nobody(state, world, policy):
        return []
    profile = profile_for(first, state, studio.profiles)
    if profile != last.profile:
        return []
    return [AttemptStarted(first.id, first.attempt + 1, world.engine, profile)]


def chosen(state: State, waiting: Sequence[Job], world: World, policy: Policy) -> Job | None:
    """Who is next: the first that can run; or, of the same priority and of the few that were
    accepted right after it, the first that draws with the models that are loaded.

    So a job is overtaken by ``policy.max_overtaking`` others at most, whatever is dropped later.
    """
    first = able(waiting, world)
    loaded = models(state.jobs.get(state.drawn)) if state.drawn else None
    if first is None or loaded is None or models(first) in (None, loaded):
        return first
    last = first.place + policy.max_overtaking
    near = (job for job in waiting if job.priority == first.priority and job.place <= last)
    alike = (job for job in near if job.place > first.place and models(job) == loaded)
    return able(alike, world) or first


def models(job: Job | None) -> tuple[str, ...] | None:
    """What takes long to load for a panel: its checkpoint and its LoRAs; None for no panel."""
    if job is None or not isinstance(job.spec, PanelSpec):
        return None
    return (job.spec.checkpoint, *(lora.name for lora in job.spec.loras))


def able(waiting: Iterable[Job], world: World) -> Job | None:
    """The first of these jobs that could run on what is there, None when none could."""
    return next((job for job in waiting if unfit(job, world) is None), None)


def nobody(state: State, world: World, policy: Policy) -> Reason | None:
    """Why no job at all may start just now; None when one may."""
    if state.paused:
        return Reason("PAUSED", "The press is paused. `nightpress resume` lets it go on.")
    if state.losses >= policy.max_losses:
        return Reason(
            "ENGINE_TROUBLE",
            f"The last {state.losses} attempts were all lost on the engine, so the rest of the "
            "queue is kept. Look at the engine first; then `nightpress resume` goes on.",
        )
    floor = policy.min_free_gb * GIB
    if world.free_bytes is not None and world.free_bytes < floor:
        return Reason(
            "DISK_LOW",
            f"{world.free_bytes / GIB:.1f} GB are free on the studio's disk; nothing starts below "
            f"{policy.min_free_gb:g} GB. Free some space, or lower [disk] min_free_gb.",
        )
    if not world.gpu_free:
        return Reason(
            "GPU_BUSY",
            "Another studio of yours is using the GPU; two jobs at once would make the Mac swap. "
            "This one starts when that one has ended.",
        )
    return None


def unfit(job: Job, world: World) -> Reason | None:
    """Why this job cannot be run on what is there now; None when it can.

    A training needs the trainer only: it goes on while ComfyUI is away.
    """
    if is_rehearsal(job.id) == (world.engine == "rehearsal"):
        if job.kind == "train":
            return Reason("TRAINER_MISSING", world.trainer_text) if world.trainer_text else None
        return Reason(world.engine_code, world.engine_text) if world.engine_code else None
    if is_rehearsal(job.id):
        text = (
            "It was accepted for rehearsal and the studio now prints with ComfyUI. Cancel it and "
            'drop its file again to have it printed; [engine] use = "rehearsal" and a restart of '
            "the daemon would rehearse it."
        )
    else:
        text = (
            "It was accepted for ComfyUI and the studio now only rehearses. Let it print again "
            '([engine] use = "comfyui", and COMFYUI_BASE_PATH or [comfyui] url) and start the '
            "daemon again."
        )
    return Reason("ENGINE_MISSING", text)


def why(state: State, world: World, policy: Policy) -> dict[JobId, Reason]:
    """A reason for every job that waits, the held one's included."""
    waiting = line(state)
    blocked = nobody(state, world, policy)
    reasons: dict[JobId, Reason] = {}
    for place, job in enumerate(waiting):
        reason = blocked if place == 0 else None
        reasons[job.id] = reason or unfit(job, world) or _behind(state, waiting, place)
    return reasons


def _behind(state: State, waiting: Sequence[Job], place: int) -> Reason:
    if place > 0:
        return Reason("IN_LINE", f"{place} ahead of it; next before it is {waiting[place - 1].id}.")
    if state.lease is not None:
        return Reason("GPU_LEASED", f"{state.lease} has the GPU; one job at a time. It is next.")
    return Reason("STARTING", "It is about to start.")
