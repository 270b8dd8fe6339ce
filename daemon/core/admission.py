"""Who gets the GPU lease next, or the reason why nobody does.

Law: whenever nothing runs and the queue is not empty, the job at its head has a reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from daemon.core.events import AttemptStarted, Event, JobHeld
from daemon.core.hurdles import GIB, Reason, Scene, unfit, unmade
from daemon.core.job import Job
from daemon.core.jobs import JobId, PanelSpec, Phase
from daemon.core.ladder import profile_for
from daemon.core.policy import Policy
from daemon.core.stages import REGULARIZATION, next_stage
from daemon.core.state import State
from daemon.core.windows import ALWAYS, is_open

_WEIGHED = 200
"""How many of those that wait are weighed, and told why: what is behind them waits for them."""


def line(state: State, policy: Policy, *, at: int) -> Sequence[Job]:
    """The jobs that wait for the GPU: inside a training window trainings before panels (one that
    never closes gives nobody precedence), then higher priority, then the order of acceptance.
    """
    waiting = list(_waiting(state))
    windows = policy.training_windows
    trains = windows.spans != ALWAYS.spans and any(job.kind == "train" for job in waiting)
    night = trains and is_open(windows, at)

    def place(job: Job) -> tuple[bool, bool, int, int]:
        # By day, a hundred pictures that nobody waits for come after all others (D3.1).
        behind = not night and next_stage(job, state) == REGULARIZATION
        return night and job.kind != "train", behind, -job.priority, job.accepted_seq

    return sorted(waiting, key=place)


def admit(scene: Scene) -> Sequence[Event]:
    """The start of the next attempt, or why those that could be next are held (said once a
    reason): the head of the line, and the first training, which waits for other things.
    """
    state, world = scene.state, scene.world
    if state.running and not _may_follow(scene):
        # That something runs is why panels wait, and no news.
        trainings = [job for job in _waiting(state) if job.kind == "train"]
        return _held(
            scene, sorted(trainings, key=lambda job: (-job.priority, job.accepted_seq))[:1]
        )
    waiting = line(state, scene.policy, at=world.at)
    if not waiting:
        return []
    blocked = nobody(scene)
    first = None if blocked else chosen(scene, waiting)
    if first is not None and (not state.running or _follows(scene, first)):
        profile = profile_for(first, state, scene.studio.profiles)
        need, stage = scene.need(first).predicted, next_stage(first, state)
        return [AttemptStarted(first.id, first.attempt + 1, world.engine, profile, need, stage)]
    heads = [] if state.running else [waiting[0]]
    training = next((job for job in waiting if job.kind == "train"), None)
    if training is not None and training not in heads:
        heads.append(training)
    return _held(scene, heads, blocked)


def _waiting(state: State) -> Iterator[Job]:
    jobs = map(state.jobs.__getitem__, state.queue)
    return (job for job in jobs if job.phase in (Phase.WAITING, Phase.HELD))


def _held(scene: Scene, heads: Sequence[Job], blocked: Reason | None = None) -> Sequence[Event]:
    """Why each of these is held, where that is news; ``blocked``: what holds the first of all."""
    held = []
    for place, job in enumerate(heads):
        reason = (None if place or scene.state.running else blocked) or unfit(scene, job)
        if reason is not None and (job.phase is not Phase.HELD or job.code != reason.code):
            held.append(JobHeld(job.id, reason.code, reason.text, reason.not_before))
    return held


def _may_follow(scene: Scene) -> bool:
    """Whether an attempt may be made ready while the one before it draws its last picture."""
    state = scene.state
    last = state.jobs[state.running[-1]]
    closing = scene.world.closing == (last.id, last.attempt)
    room = len(state.running) < scene.policy.max_running
    return closing and room and last.kind == "panel" and not last.cancelling


def _follows(scene: Scene, first: Job) -> bool:
    """Whether this one may. Only a picture may follow a picture: a training needs the GPU for
    itself, and before it the engine has to let go of it. Another launch profile waits too: all that
    run share one engine.
    """
    last = scene.state.jobs[scene.state.running[-1]]
    profile = profile_for(first, scene.state, scene.studio.profiles)
    return first.kind == "panel" and profile == last.profile


def chosen(scene: Scene, waiting: Sequence[Job]) -> Job | None:
    """Who is next: the first that can run; or, of the same priority and of the few that were
    accepted right after it, the first that draws with the models that are loaded.

    So a job is overtaken by ``policy.max_overtaking`` others at most, whatever is dropped later.
    """
    state = scene.state
    first = able(scene, waiting)
    loaded = models(state.jobs.get(state.drawn)) if state.drawn else None
    if first is None or loaded is None or models(first) in (None, loaded):
        return first
    last = first.place + scene.policy.max_overtaking
    near = (job for job in waiting if job.priority == first.priority and job.place <= last)
    alike = (job for job in near if job.place > first.place and models(job) == loaded)
    return able(scene, alike) or first


def models(job: Job | None) -> tuple[str, ...] | None:
    """What takes long to load for a panel: its checkpoint and its LoRAs; None for no panel."""
    if job is None or not isinstance(job.spec, PanelSpec):
        return None
    return (job.spec.checkpoint, *(lora.name for lora in job.spec.loras))


def able(scene: Scene, waiting: Iterable[Job]) -> Job | None:
    """The first of these jobs that could run on what is there, None when none could."""
    made = (job for job in waiting if unmade(job, scene.state, scene.world) is None)
    drawable = islice(made, _WEIGHED)
    return next((job for job in drawable if unfit(scene, job) is None), None)


def nobody(scene: Scene) -> Reason | None:
    """Why no job at all may start just now; None when one may."""
    state, world, policy = scene.state, scene.world, scene.policy
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
    machine = world.strain
    if machine.rival:
        return Reason("GPU_FOREIGN", machine.rival)
    if machine.code:
        look = world.at + round(policy.memory_sample_s * 1000)
        return Reason(machine.code, machine.text, next_look=look)
    return None


def why(scene: Scene) -> dict[JobId, Reason]:
    """A reason for the jobs that wait, the held one's included: for the first of them and for every
    training.
    """
    waiting = line(scene.state, scene.policy, at=scene.world.at)
    blocked = nobody(scene)
    reasons: dict[JobId, Reason] = {}
    for place, job in enumerate(waiting):
        if place >= _WEIGHED and job.kind != "train":
            continue
        reason = blocked if place == 0 else None
        reason = reason or unfit(scene, job) or _behind(scene.state, waiting, place)
        reasons[job.id] = replace(reason, need=scene.need(job))
    return reasons


def _behind(state: State, waiting: Sequence[Job], place: int) -> Reason:
    if place > 0:
        return Reason("IN_LINE", f"{place} ahead of it; next before it is {waiting[place - 1].id}.")
    if state.lease is not None:
        return Reason("GPU_LEASED", f"{state.lease} has the GPU; one job at a time. It is next.")
    return Reason("STARTING", "It is about to start.")
