"""Spells what the review sheet says of one job: a panel's pictures, a training's checkpoints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from daemon.core.controls import objection
from daemon.core.events import ImageJudged
from daemon.core.ids import lora_file
from daemon.core.job import Image, Job
from daemon.core.jobs import Control, ControlKind, JobId, PanelSpec, TrainSpec
from daemon.core.making import recorded_making, recorded_trainer
from daemon.core.state import State
from daemon.core.tools import Making
from daemon.craft.diagnosis import first_check
from daemon.wire.making import models_of, result_stem
from daemon.wire.phrases import counted, joined
from daemon.wire.sentence import sentence
from daemon.wire.text import excerpt

Row = tuple[str, str]
_PICTURES = 100
_ACTS: Sequence[tuple[str, ControlKind]] = (("Cancel it", "cancel"), ("Try it again", "retry"))
_SHOWN = (("grid.png", "Grid of the checkpoints"), ("loss.svg", "Loss by step"))


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as it is shown; ``file`` relative to outbox/, '' = there is none; pixels."""

    file: str
    alt: str
    caption: str
    width: int = 0
    height: int = 0
    approved: bool = False


@dataclass(frozen=True, slots=True)
class Lora:
    """A LoRA of a picture, and what the ledger knows of its training."""

    name: str
    facts: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Made:
    """A checkpoint, and the command that chooses it, '' where none can."""

    step: int
    loss: str
    approved: bool
    command: str


@dataclass(frozen=True, slots=True)
class Card:
    """What is said of a job. ``check`` is the first thing to look at; so is each note's second."""

    job: str
    prompt: str
    phase: str
    code: str
    sentence: str
    check: str
    when: str
    notes: Sequence[Row]
    pictures: Sequence[Picture]
    facts: Sequence[Row]
    commands: Sequence[Row]
    loras: Sequence[Lora] = ()
    checkpoints: Sequence[Made] = ()


def local_text(at: int, zone: tzinfo) -> str:
    """An instant (ms since 1970) on the studio's wall clock."""
    return f"{datetime.fromtimestamp(at / 1000, UTC).astimezone(zone):%Y-%m-%d %H:%M}"


def panel_card(job: Job, state: State, zone: tzinfo) -> Card:
    """What is said of a panel."""
    spec = job.spec
    assert isinstance(spec, PanelSpec), f"{job.id} is no panel"
    making = next(
        (found for image in job.images.values() if (found := _making(image, state))), None
    )
    return Card(
        *_standing(job, zone),
        pictures=[_picture(job, spec, number) for number in list(job.images)[:_PICTURES]],
        facts=[*_panel_facts(job, spec, making), *_request(job)],
        commands=[*_panel_commands(job), *_state_commands(job, state)],
        loras=list(_loras(spec, making, state)),
    )


def training_card(job: Job, state: State, zone: tzinfo) -> Card:
    """What is said of a training."""
    spec = job.spec
    assert isinstance(spec, TrainSpec), f"{job.id} is no training"
    return Card(
        *_standing(job, zone),
        pictures=[
            Picture(f"{job.id}/{name}", f"{what} of {job.id}", what)
            for name, what in _SHOWN
            if name in job.files
        ],
        facts=[*_training_facts(job, spec, state), *_request(job)],
        commands=list(_state_commands(job, state)),
        checkpoints=[
            Made(
                step,
                f"{made.loss:.4f}",
                step in job.approved,
                _choosing(job, step, state),
            )
            for step, made in sorted(job.checkpoints.items())
        ],
    )


def _standing(job: Job, zone: tzinfo) -> tuple[str, str, str, str, str, str, str, list[Row]]:
    told = sentence(job)
    check = first_check(job.code)
    prompt = getattr(job.spec, "prompt", "")
    return (
        job.id,
        excerpt(prompt, limit=120),
        job.phase,
        job.code,
        told,
        check,
        local_text(job.changed_at, zone),
        [(code, first_check(code)) for code in job.notes],
    )


def _making(image: Image, state: State) -> Making | None:
    judged = image.judged.event if image.judged else None
    return recorded_making(state, judged) if isinstance(judged, ImageJudged) else None


def _picture(job: Job, spec: PanelSpec, number: int) -> Picture:
    image, stem = job.images[number], result_stem(job, number)
    there = next((name for name in (f"{stem}.png", f"{stem}.refused.png") if name in job.files), "")
    seed = spec.seeds[number - 1]
    return Picture(
        file=f"{job.id}/{there}" if there else "",
        alt=f"{job.id}, picture {number}: {spec.prompt[:200]}",
        caption=joined((f"{number}: seed {seed}", image.verdict or "not judged yet")),
        width=spec.width,
        height=spec.height,
        approved=number in job.approved,
    )


def _panel_facts(job: Job, spec: PanelSpec, making: Making | None) -> Iterator[Row]:
    yield "prompt", spec.prompt
    if spec.negative:
        yield "negative", spec.negative
    yield "size", f"{spec.width} x {spec.height}"
    yield "sampler", f"{spec.sampler}, {spec.scheduler}, {spec.steps} steps, CFG {spec.cfg:g}"
    yield "template", spec.workflow
    known = {(model.role, model.name): model for model in making.models} if making else {}
    for role, name in (("checkpoint", spec.checkpoint), ("vae", spec.vae)):
        model = known.get((role, name))
        yield role, f"{name} ({model.dtype}, {model.sha256[:12]})" if model else name
    if spec.controlnet:
        net = spec.controlnet
        yield "ControlNet", f"{net.model} at {net.strength:g}, after {net.image}"
    if making:
        engine = making.engine
        yield "drawn by", f"{engine.name} {engine.version} on {engine.device}, torch {engine.torch}"
        yield "profile", making.rung
    if job.reproduced:
        yield "drawn again", f"{job.reproduced.verdict}, {job.reproduced.distance:g} of 255"


def _request(job: Job) -> Iterator[Row]:
    yield "request", f"{job.file.name}, {job.file.sha256[:12]}"
    if job.ref:
        yield "ref", job.ref
    for warning in job.warnings:
        yield "warning", warning


def _loras(spec: PanelSpec, making: Making | None, state: State) -> Iterator[Lora]:
    """Each LoRA with its training: of ours, by the job that it names."""
    found = models_of(spec, making.models) if making else ()
    hashes = {model.name: model.sha256 for model in found if model.role == "lora"}
    for lora in spec.loras:
        facts: list[Row] = [("strength", f"{lora.strength:g}")]
        if lora.name in hashes:
            facts.append(("SHA-256", hashes[lora.name][:12]))
        training = state.jobs.get(JobId(lora.job))
        if training is not None and isinstance(training.spec, TrainSpec):
            steps = training.checkpoints
            step = [each for each in steps if lora_file(training.id, each) == lora.name]
            facts.append(("trained by", joined((training.id, *(f"step {each}" for each in step)))))
            facts += _training_facts(training, training.spec, state)
        yield Lora(lora.name, facts)


def _training_facts(job: Job, spec: TrainSpec, state: State) -> Iterator[Row]:
    yield "trigger", spec.trigger
    sources = Counter(image.source or "not told" for image in job.dataset)
    told = ", ".join(f"{count} {source}" for source, count in sources.most_common(6))
    yield (
        "dataset",
        f"{spec.dataset}: {counted(len(job.dataset) or spec.images, 'picture')} ({told})",
    )
    yield "base", f"{spec.checkpoint}, {spec.vae}"
    yield "steps", f"{spec.steps} in {counted(spec.epochs, 'epoch')}"
    yield "network", f"dim {spec.network_dim}, alpha {spec.network_alpha:g}"
    yield "optimizer", f"{spec.optimizer}, {spec.lr_scheduler}, {spec.learning_rate:g}"
    trainer = recorded_trainer(state, job, max(job.trainers, default=0))
    if trainer:
        yield "trained by", joined((trainer.trainer, trainer.commit[:12]), " ")


def _panel_commands(job: Job) -> Iterator[Row]:
    for number, image in job.images.items():
        stem = result_stem(job, number)
        if number in job.approved:
            pass
        elif f"{stem}.lock.toml" in job.files:
            yield f"Approve picture {number}", f"nightpress approve {job.id} --image {number}"
        elif f"{stem}.refused.png" in job.files:
            what = f"Take picture {number} all the same ({image.verdict})"
            yield what, f"nightpress approve {job.id} --image {number}"
        if f"{stem}.lock.toml" in job.files:
            lock = f"outbox/{job.id}/{stem}.lock.toml"
            yield f"Draw picture {number} again", f"nightpress reproduce {lock}"


def _state_commands(job: Job, state: State) -> Iterator[Row]:
    for what, kind in _ACTS:
        if not objection(state, Control(kind, job.id)):
            yield what, f"nightpress {kind} {job.id}"


def _choosing(job: Job, step: int, state: State) -> str:
    """The command that approves a checkpoint; '' while it would be refused."""
    refused = objection(state, Control("approve", job.id, checkpoint=step))
    return "" if refused else f"nightpress approve {job.id} --checkpoint {step}"
