"""Spells how a picture was made: the note that waits beside a drawn picture until it is published.

Law: ``read_making`` gives back what ``render_making`` was given, or None; a note is believed only
for the bytes it was written for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from pydantic import TypeAdapter, ValidationError

from daemon.core.events import Entry
from daemon.core.job import Job
from daemon.core.jobs import ModelFacts, PanelSpec
from daemon.craft.samplers import noise_of
from daemon.wire import lock_file
from daemon.wire.comfyui import EngineFacts
from daemon.wire.lock_file import Engine, Input, LockFacts, Model
from daemon.wire.places import Places, portable_args, portable_text


@dataclass(frozen=True, slots=True)
class Making:
    """What only who drew a picture knows of it.

    ``rung`` is that of the precision ladder; ``perceptual_hash`` 16 hexadecimal digits or ''.
    """

    engine: Engine
    models: tuple[Model, ...]
    template: str
    template_sha256: str
    verdict: str
    rung: str = "default"
    perceptual_hash: str = ""


@dataclass(frozen=True, slots=True)
class _Note:
    sha256: str
    workflow_sha256: str
    making: Making


_READER = TypeAdapter(_Note)


def render_making(making: Making, *, png: bytes, workflow: bytes) -> bytes:
    """The note, bound to the picture's bytes and to those of its executed graph."""
    return _READER.dump_json(_Note(digest(png), digest(workflow), making))


def read_making(data: bytes, *, png: bytes, workflow: bytes) -> Making | None:
    """The note, if it is one and was written for these very bytes."""
    try:
        note = _READER.validate_json(data)
    except ValidationError:
        return None
    fits = (note.sha256, note.workflow_sha256) == (digest(png), digest(workflow))
    return note.making if fits else None


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


def lock_of(
    job: Job,
    *,
    judged: Entry,
    making: Making,
    picture: tuple[str, bytes],
    workflow: tuple[str, bytes],
    image: int,
    host: str,
) -> LockFacts:
    """The lock of picture ``image`` (from 1). ``picture`` and ``workflow`` are names and bytes.

    ``judged`` is the ledger entry of its verdict, ``host`` whose ledger that is in.
    """
    spec = job.spec
    assert isinstance(spec, PanelSpec), f"{job.id} draws no picture"
    hint = spec.controlnet.sha256 if spec.controlnet else ""
    return LockFacts(
        lock_version=lock_file.LOCK_VERSION,
        subject=_subject(job.name, picture, making),
        job=lock_file.Request(job.id, job.ref, job.attempt, image, job.file.sha256),
        engine=making.engine,
        sampler=_sampler(spec, image),
        prompt=lock_file.Prompt(spec.prompt, spec.negative),
        model=making.models,
        input=(Input("hint", f"$JOB/{hint_name(hint)}", hint),) if hint else (),
        workflow=lock_file.Workflow(
            workflow[0], digest(workflow[1]), making.template, making.template_sha256
        ),
        quality=lock_file.Quality(making.verdict, making.rung),
        ledger=lock_file.Ledger(host, judged.segment, judged.seq, judged.chain),
    )


def _subject(name: str, picture: tuple[str, bytes], making: Making) -> lock_file.Subject:
    file, png = picture
    return lock_file.Subject(name, file, digest(png), len(png), making.perceptual_hash)


def _sampler(spec: PanelSpec, image: int) -> lock_file.Sampler:
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
