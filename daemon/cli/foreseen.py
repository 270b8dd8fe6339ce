"""The face: what would become of a job that `check` finds fine: its memory, hours and start."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import replace

from daemon.adapters.clock import SystemClock
from daemon.adapters.disk import StudioDisk
from daemon.adapters.probe import MachineProbe
from daemon.bootstrap import idle_trainer, trainer_text
from daemon.cli.say import paint
from daemon.cli.weighing import sum_lines
from daemon.core.events import Entry, Event, JobAccepted
from daemon.core.hurdles import GIB, Scene, unfit
from daemon.core.job import Job
from daemon.core.jobs import TrainSpec
from daemon.core.ladder import spoken
from daemon.core.needs import Need
from daemon.core.night import Share, arithmetic, lasting, share, tonight
from daemon.core.policy import Policy
from daemon.core.stages import MORE_PROMPTS, PROBE, REGULARIZATION, TRAINING, TRIGGER, next_stage
from daemon.core.state import State, apply
from daemon.core.world import World
from daemon.craft.memory import need
from daemon.home import Home
from daemon.shell.trainer_watch import why_unfit
from daemon.wire.machine_status import need_document

_BEFORE = {
    TRIGGER: "what the trigger draws without a LoRA",
    REGULARIZATION: "the regularization pictures",
    PROBE: "a short run that shows whether and how fast it trains",
}


def foreseen(home: Home, state: State, events: Iterable[Event]) -> Iterator[str]:
    """Lines about the job that these events would accept; none where they accept none."""
    draft, at, job = state.draft(), SystemClock().now(), None
    for event in events:
        apply(draft, Entry(draft.seq + 1, at, event, "", ""))
        job = draft.jobs[event.job] if isinstance(event, JobAccepted) else job
    if job is None:
        return
    policy = home.settings.policy
    world = replace(_world(home, job, policy), at=at)
    scene = Scene(draft, world, policy, replace(home.studio, weigh=need))
    if isinstance(job.spec, TrainSpec):
        yield from _stages(job, job.spec, draft)
        # What is said of hours is said of the training itself.
        job = job._replace(stages=(TRIGGER, REGULARIZATION, PROBE))
    yield from _memory(scene.need(job), policy)
    reason = unfit(scene, job)
    start = reason.not_before if reason else at
    if isinstance(job.spec, TrainSpec):
        yield from _hours(job, job.spec, share(job, draft, policy, at=start or at), policy)
    if reason is not None:
        yield reason.text
    if start and job.kind == "train":
        begun = "Begun then" if reason else "Begun now"
        yield f"{begun}: {tonight(job, draft, policy, at=start) or 'not one whole epoch.'}"


def _stages(job: Job, spec: TrainSpec, state: State) -> Iterator[str]:
    """What is drawn before it and after it, and the short run that tries it."""
    told = []
    while (stage := next_stage(job, state)) != TRAINING:
        told.append(_BEFORE[stage])
        job = job._replace(stages=(*job.stages, stage))
    if told:
        yield f"Before it, by day too: {spoken(told)}."
    if spec.grid is not None:
        pictures = (
            (1 + spec.epochs) * (len(spec.grid.prompts) + MORE_PROMPTS) * len(spec.grid.seeds)
        )
        yield f"After it: a grid of {pictures} pictures, to choose a checkpoint by."


def _world(home: Home, job: Job, policy: Policy) -> World:
    """An engine that draws, and the trainer as it is (K1.3)."""
    world = World(home.engine, engine_code="", engine_text="")
    if not isinstance(job.spec, TrainSpec):
        return world
    free = asyncio.run(StudioDisk(home.folder).free_bytes())
    world, trainer = replace(world, free_bytes=free), idle_trainer(home)
    if trainer is None:
        return replace(world, trainer_text=trainer_text(home))
    seen = asyncio.run(why_unfit(trainer, job.spec, policy))
    return replace(world, trainer_code=seen.code, trainer_text=seen.text)


def _memory(wanted: Need, policy: Policy) -> Iterator[str]:
    """The budget of the whole machine (A2.7), and what would make it smaller (K2.4)."""
    told = need_document(wanted)
    if told is None:
        return
    reserve, system = policy.memory_reserve_gb * GIB, policy.memory_system_gb * GIB
    more = ("the system, at the least", round(system))
    yield "At its peak it needs:"
    yield from sum_lines(told, reserve_bytes=round(reserve), more=more)
    seen = asyncio.run(MachineProbe().signals()).total_bytes or 0
    total = policy.memory_total_gb * GIB or seen
    if 0 < total < wanted.total + reserve + system:
        never = f"This machine has {total / GIB:.1f} GB in all, so it would wait for ever."
        yield f"{paint('warning', 'yellow')}: {never} {wanted.advice}".rstrip()


def _hours(job: Job, spec: TrainSpec, found: Share, policy: Policy) -> Iterator[str]:
    """How long it takes (A5.1), and what accumulation costs (K2.3)."""
    learns_s, passes = found.left * found.epoch_s, spec.gradient_accumulation
    took = lasting(found.start_s + learns_s)
    yield f"It takes about {took}: {arithmetic(job, found, policy)}."
    low, high = policy.recommended_gradient_accumulation, policy.max_gradient_accumulation
    other = low if passes == 1 else 1
    would = lasting(found.start_s + learns_s / passes * other)
    yield (
        f"gradient_accumulation = {passes}; {low} to {high} are recommended, and each makes a step"
        f" that much longer: with {other} it would take {would}."
    )
