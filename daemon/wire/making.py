"""Spells how a picture was made: from what the engine and the ledger say to the picture's lock.

Law: a lock is made of the job and of what the ledger recorded, so that it can be made again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256

from daemon.core.events import ImageJudged
from daemon.core.job import Job
from daemon.core.jobs import Engine, ModelFacts, PanelSpec
from daemon.core.tools import Making
from daemon.craft.samplers import noise_of
from daemon.wire import lock_file
from daemon.wire.comfyui import EngineFacts
from daemon.wire.lock_file import Input, LockFacts, Model, render_lock
from daemon.wire.places import Places, portable_args, portable_text


def digest(data: bytes) -> str:
    """SHA-256, hexadecimal."""
    return sha256(data).hexdigest()


def engine_of(facts: EngineFacts, places: Places) -> Engine:
    """What a lock says of the engine; ``places`` are the folders that its arguments may name."""
    same = facts.device in ("", facts.device_type)
    return Engine(
        name=facts.name,
        version=facts.version,
        commit=facts.commit,
        mode=facts.mode,
        args=portable_args(facts.argv, places),
        device=facts.device_type if same else f"{facts.device_type} ({facts.device})",
        python=portable_text(facts.python, places),
        torch=facts.torch,
        os=facts.os,
        custom_nodes=portable_args(facts.custom_nodes, places),
    )


def models_of(spec: PanelSpec, facts: Iterable[ModelFacts]) -> tuple[Model, ...]:
    """The models of a picture with the strengths that the job asked for."""
    loras = {lora.name: lora for lora in spec.loras}
    found = []
    for model in facts:
        lora = loras.get(model.name) if model.role == "lora" else None
        strength = lora.strength if lora else None
        if model.role == "controlnet" and spec.controlnet:
            strength = spec.controlnet.strength
        found.append(
            Model(
                role=model.role,
                name=model.name,
                strength=strength,
                sha256=model.sha256,
                dtype=model.dtype,
                bytes=model.bytes,
                job=lora.job if lora else "",
            )
        )
    return tuple(found)


def hint_name(hint_sha256: str) -> str:
    """The hint image's name in a job's outbox folder."""
    return f"input-{hint_sha256[:12]}.png"


def images_of(job: Job) -> range:
    """The numbers of a panel's pictures, from 1 in the order of its seeds."""
    return range(1, len(_spec(job).seeds) + 1)


def result_stem(job: Job, image: int) -> str:
    """What a picture's files are called: the job's id, with a number where there are several."""
    return job.id if len(images_of(job)) == 1 else f"{job.id}-{image:02}"


def picture_lock(job: Job, image: int, making: Making, *, host: str) -> bytes:
    """The lock of a judged picture (from 1); ``host`` is whose ledger vouches for it."""
    spec, stem = _spec(job), result_stem(job, image)
    drawn = job.images[image]
    judged = drawn.judged
    assert judged is not None, f"picture {image} of {job.id} was never judged"
    assert isinstance(judged.event, ImageJudged), "that is what a judged picture's entry is"
    lock = LockFacts(
        lock_version=lock_file.LOCK_VERSION,
        subject=lock_file.Subject(
            job.name, f"{stem}.png", drawn.sha256, making.bytes, making.perceptual_hash
        ),
        job=lock_file.Request(job.id, job.ref, judged.event.attempt, image, job.file.sha256),
        engine=making.engine,
        sampler=sampler_of(spec, image),
        prompt=lock_file.Prompt(spec.prompt, spec.negative),
        model=models_of(spec, making.models),
        input=tuple(_inputs(spec, making, stem)),
        workflow=lock_file.Workflow(
            f"{stem}.workflow.json",
            making.workflow_sha256,
            making.template,
            making.template_sha256,
        ),
        quality=lock_file.Quality(drawn.verdict, making.rung),
        ledger=lock_file.Ledger(host, judged.segment, judged.seq, judged.chain),
    )
    return render_lock(lock)


def _inputs(spec: PanelSpec, making: Making, stem: str) -> Iterator[Input]:
    """What went in beside the models: the hint first, then what the graph made of it."""
    if spec.controlnet and (hint := spec.controlnet.sha256):
        yield Input("hint", f"$JOB/{hint_name(hint)}", hint)
    if making.map_sha256:
        yield Input("pose_map", f"$JOB/{stem}.map.png", making.map_sha256)


def _spec(job: Job) -> PanelSpec:
    assert isinstance(job.spec, PanelSpec), f"{job.id} draws no picture"
    return job.spec


def sampler_of(spec: PanelSpec, image: int) -> lock_file.Sampler:
    """How a picture (from 1) was asked to be drawn, as its lock says it."""
    return lock_file.Sampler(
        seed=spec.seeds[image - 1],
        steps=spec.steps,
        cfg=spec.cfg,
        sampler=spec.sampler,
        scheduler=spec.scheduler,
        denoise=spec.denoise,
        clip_skip=spec.clip_skip,
        width=spec.width,
        height=spec.height,
        noise=noise_of(spec.sampler),
    )
