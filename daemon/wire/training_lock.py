"""Spells the lock file of a checkpoint, and the note that tells what only its attempt knew.

Law: no absolute path and no user name gets in; the note is believed only with its attempt's nonce.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from pydantic import TypeAdapter, ValidationError

from daemon.core.job import Checkpoint, Job
from daemon.core.jobs import ModelFacts, TrainSpec
from daemon.wire.lock_file import LOCK_VERSION
from daemon.wire.toml_text import Section, toml_bytes


@dataclass(frozen=True, slots=True)
class Note:
    """What an attempt was started with. ``config`` and ``dataset`` are its documents as they go
    into locks: with names for folders; ``packages`` are versions by name.
    """

    nonce: str
    trainer: str
    commit: str
    python: str
    packages: Mapping[str, str]
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    models: tuple[ModelFacts, ...]
    config: str
    dataset: str


_READER = TypeAdapter(Note)


def render_note(note: Note) -> bytes:
    """The note's file, JSON."""
    return _READER.dump_json(note)


def read_note(data: bytes | None, *, nonce: str) -> Note | None:
    """The note of this attempt, None where there is none."""
    try:
        note = _READER.validate_json(data or b"")
    except ValidationError:
        return None
    return note if note.nonce == nonce else None


@dataclass(frozen=True, slots=True)
class Subject:
    """The checkpoint's file: its step, its name in the job's folder, its size in bytes."""

    step: int
    file: str
    size: int


def render_training_lock(
    job: Job, subject: Subject, note: Note, *, device: str, host: str
) -> bytes:
    """The lock of one checkpoint. ``device`` as the trainer said it, ``host`` whose ledger."""
    checkpoint = job.checkpoints[subject.step]
    sections = [*_made(job, subject, checkpoint), *_making(job, note, device)]
    saved = checkpoint.saved
    vouching = {"host": host, "segment": saved.segment, "seq": saved.seq, "chain": saved.chain}
    return toml_bytes(
        {"lock_version": LOCK_VERSION}, [*sections, ("ledger", vouching)], multiline=True
    )


def _made(job: Job, subject: Subject, checkpoint: Checkpoint) -> Iterator[Section]:
    yield (
        "subject",
        {
            "name": job.name,
            "file": subject.file,
            "sha256": checkpoint.sha256,
            "size": subject.size,
        },
    )
    yield (
        "job",
        {
            "id": job.id,
            "ref": job.ref,
            "attempt": checkpoint.attempt,
            "request_sha256": job.file.sha256,
        },
    )
    epoch = subject.step // _spec(job).epoch_steps
    yield "checkpoint", {"step": subject.step, "epoch": epoch, "loss": checkpoint.loss}


def _making(job: Job, note: Note, device: str) -> Iterator[Section]:
    spec = _spec(job)
    yield (
        "trainer",
        {
            "name": note.trainer,
            "commit": note.commit,
            "device": device,
            "python": note.python,
            "args": list(note.arguments),
        },
    )
    yield "trainer.packages", dict(note.packages)
    yield "trainer.environment", dict(note.environment)
    yield (
        "training",
        {
            "trigger": spec.trigger,
            "images": spec.images,
            "repeats": spec.repeats,
            "epoch_steps": spec.epoch_steps,
            "epochs": spec.epochs,
        },
    )
    yield "model", [asdict(model) for model in note.models]
    yield (
        "dataset",
        [
            {
                "image": image.name,
                "sha256": image.sha256,
                "caption": f"{image.name.rpartition('.')[0]}.txt",
                "caption_sha256": image.caption_sha256,
            }
            for image in job.dataset
        ],
    )
    yield "config", {"config": note.config, "dataset": note.dataset}


def _spec(job: Job) -> TrainSpec:
    assert isinstance(job.spec, TrainSpec), f"{job.id} trains nothing"
    return job.spec
