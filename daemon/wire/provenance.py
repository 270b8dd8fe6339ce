"""Spells where a picture or a LoRA comes from, by the ledgers alone.

Law: a file is known by its SHA-256, never by its name or place; a LoRA leads on to the training
whose checkpoint has the very bytes that the engine loaded. A rehearsal's never has: its engine
makes a stage prop of that name, and there the name leads on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import NamedTuple

from daemon.core.events import Entry, ImageJudged
from daemon.core.ids import is_rehearsal, lora_file
from daemon.core.job import Image, Job
from daemon.core.jobs import JobId, PanelSpec
from daemon.core.making import recorded_making, recorded_trainer
from daemon.core.state import State
from daemon.wire.instants import instant_text
from daemon.wire.making import models_of, result_stem, sampler_of
from daemon.wire.status import Document
from daemon.wire.training_lock import result_name


class Chronicle(NamedTuple):
    """One host's ledger: its fold, and when which result of which job was approved first (ms)."""

    host: str
    state: State
    approved: Mapping[tuple[JobId, int], int]


class _Thing(NamedTuple):
    """What the ledger knows by its bytes: a result (picture or step; 0 = none) or a file of it."""

    told: Chronicle
    job: Job
    number: int
    name: str


_Trained = Mapping[str, _Thing]
"""Checkpoints by their hash, and a rehearsal's by their names."""


def explained(sha256: str, chronicles: Iterable[Chronicle]) -> Document | None:
    """All that the ledgers say of the file with this hash; None where no line knows it.

    ``is`` is "picture", "checkpoint" or "file"; ``also`` names other jobs that made the same bytes.
    """
    found: list[_Thing] = []
    trained: dict[str, _Thing] = {}
    for told in chronicles:
        for job in told.state.jobs.values():
            found += [thing for digest, thing in _things(told, job) if digest == sha256]
            for step, checkpoint in job.checkpoints.items():
                own = lora_file(job.id, step)
                key = own if is_rehearsal(job.id) else checkpoint.sha256
                trained[key] = _Thing(told, job, step, own)
    if not found:
        return None
    first, *others = found
    also = sorted({thing.job.id for thing in others} - {first.job.id})
    return {"sha256": sha256, "name": first.name, **_document(first, trained), "also": also}


def picture_of(told: Chronicle, job: Job, number: int) -> Document:
    """How a judged picture was made. ``engine`` is None and ``models`` are none where release
    0.1.0 recorded it, which did not say.
    """
    spec, image = job.spec, job.images[number]
    assert isinstance(spec, PanelSpec), f"{job.id} draws no picture"
    assert image.judged is not None, f"picture {number} of {job.id} was never judged"
    judged = image.judged.event
    assert isinstance(judged, ImageJudged), "that is what a judged picture's entry is"
    making = recorded_making(told.state, judged)
    return {
        "job": job.id,
        "image": number,
        "images": len(spec.seeds),
        "attempt": judged.attempt,
        "file": f"outbox/{job.id}/{result_stem(job, number)}.png",
        "picture_sha256": image.sha256,
        "verdict": image.verdict,
        "rung": judged.rung,
        "sampler": asdict(sampler_of(spec, number)),
        "prompt": {"positive": spec.prompt, "negative": spec.negative},
        "engine": asdict(making.engine) if making else None,
        "models": [asdict(model) for model in models_of(spec, making.models if making else ())],
        "hint": asdict(spec.controlnet) if spec.controlnet else None,
        "template": {"name": judged.template, "sha256": judged.template_sha256},
        "workflow_sha256": judged.workflow_sha256,
        "reproduces": asdict(spec.reproduces) if spec.reproduces else None,
        "reproduced": asdict(job.reproduced) if job.reproduced else None,
        **_vouched(told, job, number, image.judged),
    }


def _things(told: Chronicle, job: Job) -> Iterator[tuple[str, _Thing]]:
    """What is known of a job by its bytes, each with its hash: its results first."""
    stems: dict[str, int] = {}
    for number, image in job.images.items():
        if image.judged:
            stems[result_stem(job, number)] = number
            yield image.sha256, _Thing(told, job, number, f"{result_stem(job, number)}.png")
    for step, checkpoint in job.checkpoints.items():
        name = result_name(job.id, step)
        stems[name.removesuffix(".safetensors")] = step
        yield checkpoint.sha256, _Thing(told, job, step, name)
    for name, digest in job.files.items():
        endings = (".lock.toml", ".workflow.json", ".png", ".safetensors")
        stem = next((name.removesuffix(end) for end in endings if name.endswith(end)), name)
        yield digest, _Thing(told, job, stems.get(stem, 0), name)
    yield job.file.sha256, _Thing(told, job, 0, "job.toml")


def _document(thing: _Thing, trained: _Trained) -> Document:
    told, job, number, _ = thing
    asked = {
        "file": job.file.name,
        "sha256": job.file.sha256,
        "ref": job.ref,
        "accepted_at": instant_text(job.accepted_at),
        "text": job.request,
    }
    if not number:
        return {"is": "file", "job": job.id, "phase": job.phase.value, "request": asked}
    if not isinstance(job.spec, PanelSpec):
        return {"is": "checkpoint", **_checkpoint(told, job, number), "request": asked}
    picture = picture_of(told, job, number)
    trainings = list(_trainings(told, job.images[number], trained))
    return {"is": "picture", **picture, "request": asked, "trainings": trainings}


def _trainings(told: Chronicle, image: Image, trained: _Trained) -> Iterator[Document]:
    """The trainings of ours that a picture's LoRAs come from, each with its LoRA's name."""
    judged = image.judged.event if image.judged else None
    making = recorded_making(told.state, judged) if isinstance(judged, ImageJudged) else None
    for model in making.models if making else ():
        source = trained.get(model.sha256) or trained.get(model.name)
        if model.role == "lora" and source:
            document = _checkpoint(source.told, source.job, source.number)
            yield {"lora": model.name, "prop": is_rehearsal(source.job.id), **document}


def _checkpoint(told: Chronicle, job: Job, step: int) -> Document:
    """How a checkpoint was made. ``trainer`` is None where release 0.1.0 started the attempt."""
    checkpoint = job.checkpoints[step]
    trainer = recorded_trainer(told.state, job, checkpoint.attempt)
    return {
        "job": job.id,
        "step": step,
        "attempt": checkpoint.attempt,
        "loss": checkpoint.loss,
        "device": checkpoint.device,
        "file": f"outbox/{job.id}/{result_name(job.id, step)}",
        "checkpoint_sha256": checkpoint.sha256,
        "training": asdict(job.spec),
        "trainer": asdict(trainer) if trainer else None,
        "dataset": [asdict(image) for image in job.dataset],
        **_vouched(told, job, step, checkpoint.saved),
    }


def _vouched(told: Chronicle, job: Job, number: int, line: Entry) -> Document:
    """When a result was approved, None = not yet, and the line that vouches for it."""
    at = told.approved.get((job.id, number))
    ledger = {"host": told.host, "segment": line.segment, "seq": line.seq, "chain": line.chain}
    return {"approved_at": None if at is None else instant_text(at), "ledger": ledger}
