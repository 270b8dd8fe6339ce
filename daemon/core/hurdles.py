"""What keeps one job from running: nothing to make it with, its hours, the power, its size.

Law: whatever is not known keeps nobody waiting.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace

from daemon.core.decide import Studio
from daemon.core.ids import is_rehearsal
from daemon.core.job import Job
from daemon.core.jobs import PanelSpec, TrainSpec
from daemon.core.ladder import profile_for, spoken
from daemon.core.needs import NO_NEED, Need
from daemon.core.night import Share, arithmetic, clock_text, lasting, share
from daemon.core.policy import Policy
from daemon.core.stages import DRAWN, TRAINING, next_stage
from daemon.core.state import State
from daemon.core.windows import Windows, is_open, opens
from daemon.core.world import Machine, World

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a job does not run: a code, a sentence, the earliest start and the next look in ms since
    1970 (0 = unknown; at each tick), and the memory that it needs.
    """

    code: str
    text: str
    not_before: int = 0
    next_look: int = 0
    need: Need = NO_NEED


@dataclass(frozen=True, slots=True)
class Scene:
    """All that admission looks at."""

    state: State
    world: World
    policy: Policy
    studio: Studio
    needs: dict[Hashable, Need] = field(default_factory=dict, compare=False)

    def need(self, job: Job) -> Need:
        """The memory that the next attempt is predicted to take; the pages of a chapter are alike,
        and are weighed once.
        """
        profile = profile_for(job, self.state, self.studio.profiles)
        alike = _alike(job), profile
        if alike not in self.needs:
            asked = job._replace(profile=profile, stage=next_stage(job, self.state))
            self.needs[alike] = self.studio.weigh(asked, self.state, self.policy)
        return self.needs[alike]


def _alike(job: Job) -> Hashable:
    """What two jobs share that need the same."""
    spec = job.spec
    if not isinstance(spec, PanelSpec):
        return job.id
    loras, net = tuple(lora.name for lora in spec.loras), spec.controlnet and spec.controlnet.model
    return is_rehearsal(job.id), spec.checkpoint, spec.vae, loras, net, spec.width, spec.height


def unfit(scene: Scene, job: Job) -> Reason | None:
    """Why this job cannot be run on what is there now; None when it can."""
    return (
        unmade(job, scene.state, scene.world)
        or _unmeasured(scene, job)
        or _out_of_hours(scene, job)
        or (None if _draws(job, scene.state) else _unwise(scene))
        or _too_large(scene, job)
        or _no_room(scene, job)
    )


def _draws(job: Job, state: State) -> bool:
    """Whether the next attempt draws pictures; else it trains."""
    return job.kind == "panel" or next_stage(job, state) in DRAWN


def unmade(job: Job, state: State, world: World) -> Reason | None:
    """Why there is nothing to make this job with; None when there is.

    What is trained needs the trainer only: it goes on while ComfyUI is away.
    """
    if is_rehearsal(job.id) == (world.engine == "rehearsal"):
        if _draws(job, state):
            return Reason(world.engine_code, world.engine_text) if world.engine_code else None
        return Reason(world.trainer_code, world.trainer_text) if world.trainer_text else None
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


def _unmeasured(scene: Scene, job: Job) -> Reason | None:
    """Where there is a canary: that the reference run is not green on what draws now (A1.3)."""
    measures = isinstance(job.spec, PanelSpec) and job.spec.measures
    if not scene.policy.canary or measures or not scene.world.setup:
        return None
    known = scene.state.references.get(scene.world.setup)
    if known is None:
        return Reason(
            "CANARY_PENDING",
            "The reference run has to be green before anything is made, and there is none yet for"
            " the engine, its flags, torch and system as they are now. It begins by itself when the"
            " models are known; `nightpress calibrate` begins it at once.",
        )
    if known.verdict == "failed":
        return Reason(
            "CANARY_FAILED",
            f"The reference run projects {known.seconds:.0f} s for 512x512 and 20 steps; from"
            f" {scene.policy.failed_s:.0f} s on it has failed. Look into {known.job}, then"
            " `nightpress calibrate`; or set [policy] canary = false.",
        )
    return None


def _out_of_hours(scene: Scene, job: Job) -> Reason | None:
    """A job whose window is closed, or too short for it."""
    policy, at = scene.policy, scene.world.at
    windows, stage = policy.training_windows, next_stage(job, scene.state)
    if not isinstance(job.spec, TrainSpec):
        return _closed(policy.panel_windows, "Panels are drawn", "panels", at)
    if job.spec.when == "now":
        return None
    if stage != TRAINING:
        # Short, or a few pictures at a time: by day as well, so that the night is for training.
        either = replace(windows, spans=windows.spans + policy.panel_windows.spans)
        return _closed(either, f"Its {stage} is made", "training or panels", at)
    closed = _closed(windows, "Trainings run", "training", at)
    if closed is not None:
        return replace(closed, text=f'{closed.text} when = "now" in the job file would not wait.')
    found = share(job, scene.state, policy, at=at)
    if found.closes is None or _worth(found, job.spec):
        return None
    following = opens(windows, found.closes) or 0
    left = lasting((found.closes - at) / 1000)
    one = "one epoch" if job.spec.resume else "all of it, and resume = false keeps it in one piece"
    text = (
        f"The training window closes at {clock_text(windows, found.closes)}, in {left}, which is"
        f" too short for {one}: {arithmetic(job, found, policy)}, and it takes"
        f" {lasting(found.start_s)} to begin."
    )
    if following and not _worth(share(job, scene.state, policy, at=following), job.spec):
        other = "lower save_every" if job.spec.resume else "ask for resume = true"
        text += f" The next one is too short as well: widen [windows] training, or {other}."
    return Reason("WINDOW_SHORT", text, following, following)


def _worth(found: Share, spec: TrainSpec) -> bool:
    """Whether a training may begin in a window that holds so much of it."""
    return bool(found.epochs) and (found.whole or spec.resume)


def _closed(windows: Windows, doing: str, key: str, at: int) -> Reason | None:
    if is_open(windows, at):
        return None
    following = opens(windows, at)
    if following is None:
        text = f"{doing} only inside their windows, and there are none: set [windows] {key}."
        return Reason("WINDOW_CLOSED", text)
    text = (
        f"{doing} only inside [windows] {key}; the next one opens at"
        f" {clock_text(windows, following)}."
    )
    return Reason("WINDOW_CLOSED", text, following, following)


def _unwise(scene: Scene) -> Reason | None:
    """What would spoil a night."""
    machine, policy = scene.world.strain, scene.policy
    if policy.require_ac and machine.on_ac is False:
        charge = f", {machine.battery_percent} % charged" if machine.battery_percent else ""
        return Reason(
            "ON_BATTERY",
            f"The Mac runs on its battery{charge}, and a training would empty it. Plug it in; or"
            " set [power] require_ac = false.",
        )
    if policy.heavy == "hold" and machine.programs:
        return Reason(
            "HEAVY_PROGRAMS",
            f"{heavy_text(machine)} beside the training. Quit them; or set [policy] heavy ="
            ' "warn".',
        )
    return None


def heavy_text(machine: Machine) -> str:
    """The programs that take much memory, with what they take."""
    told = [f"{each.name} ({each.bytes / GIB:.1f} GB)" for each in machine.programs]
    return f"{spoken(told)} {'is' if len(told) == 1 else 'are'} open"


def _no_room(scene: Scene, job: Job) -> Reason | None:
    """A training whose files the disk will not hold: it would fail at a save, hours later."""
    free, wanted = scene.world.free_bytes, scene.need(job).disk
    if free is None or wanted <= free:
        return None
    text = (
        f"Its checkpoints and states will take {wanted / GIB:.1f} GB, and {free / GIB:.1f} GB are "
        "free on the studio's disk. Free some space, or write a larger "
        "save_every or a smaller network_dim."
    )
    return Reason("DISK_LOW", text)


def _too_large(scene: Scene, job: Job) -> Reason | None:
    """A job whose need does not fit what can be had (A2.6, A2.7, K2.4)."""
    machine, policy = scene.world.strain, scene.policy
    if machine.free_bytes is None:
        return None
    need, reserve = scene.need(job), policy.memory_reserve_gb * GIB
    there = machine.free_bytes + machine.ours_bytes
    if need.total + reserve <= there:
        return None
    held = machine.ours_bytes / GIB
    ours = f", {held:.1f} GB of it with the engine" if held else ""
    total, remedy = machine.total_bytes or 0, "Close other programs."
    if total and need.total + reserve > total:
        other = "" if need.total > total else ", or lower [memory] reserve_gb"
        remedy = (
            f"There are {total / GIB:.0f} GB in all, so it can never start: ask for less{other}."
        )
    text = (
        f"It needs {need.total / GIB:.1f} GB and {policy.memory_reserve_gb:g} GB in reserve, and"
        f" {there / GIB:.1f} GB can be had without swapping{ours}. {remedy} {need.advice}"
    ).rstrip()
    look = scene.world.at + round(policy.memory_sample_s * 1000)
    return Reason("MEMORY_SHORT", text, next_look=look, need=need)
