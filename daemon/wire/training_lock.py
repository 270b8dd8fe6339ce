"""Spells the lock file of a checkpoint.

Law: it is made of the job and of what the ledger recorded, so that it can be made again; no
absolute path and no user name gets in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from daemon.core.ids import lora_file
from daemon.core.job import Job
from daemon.core.jobs import JobId, TrainSpec
from daemon.core.tools import TrainerUse
from daemon.wire.lock_file import LOCK_VERSION
from daemon.wire.toml_text import Section, toml_bytes


def result_name(job: JobId, step: int) -> str:
    """A checkpoint's name in the job's folder, by its true step; installed without the folder."""
    return f"checkpoints/{lora_file(job, step)}"


def lock_name(job: JobId, step: int) -> str:
    """The name of a checkpoint's lock in the job's folder."""
    return f"{result_name(job, step).removesuffix('.safetensors')}.lock.toml"


def checkpoint_lock(
    job: Job, step: int, trainer: TrainerUse, *, size: int, device: str, host: str
) -> bytes:
    """The lock of one checkpoint. ``size`` in bytes, ``device`` as the trainer said it, ``host``
    whose ledger.
    """
    sections = [*_made(job, step, size), *_making(job, trainer, device)]
    saved = job.checkpoints[step].saved
    vouching = {"host": host, "segment": saved.segment, "seq": saved.seq, "chain": saved.chain}
    return toml_bytes(
        {"lock_version": LOCK_VERSION}, [*sections, ("ledger", vouching)], multiline=True
    )


def _made(job: Job, step: int, size: int) -> Iterator[Section]:
    checkpoint = job.checkpoints[step]
    yield (
        "subject",
        {
            "name": job.name,
            "file": result_name(job.id, step),
            "sha256": checkpoint.sha256,
            "size": size,
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
    epoch = step // _spec(job).epoch_steps
    yield "checkpoint", {"step": step, "epoch": epoch, "loss": checkpoint.loss}


def _making(job: Job, trainer: TrainerUse, device: str) -> Iterator[Section]:
    spec = _spec(job)
    yield (
        "trainer",
        {
            "name": trainer.trainer,
            "commit": trainer.commit,
            "device": device,
            "python": trainer.python,
            "args": list(trainer.arguments),
        },
    )
    yield "trainer.packages", dict(trainer.packages)
    yield "trainer.environment", dict(trainer.environment)
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
    models = [asdict(model) for model in trainer.models]
    yield "model", [{key: model[key] for key in model if key != "parts"} for model in models]
    yield (
        "dataset",
        [
            {
                "image": image.name,
                "sha256": image.sha256,
                "caption": f"{image.name.rpartition('.')[0]}.txt",
                "caption_sha256": image.caption_sha256,
                "source": image.source,
            }
            for image in job.dataset
        ],
    )
    yield "config", {"config": trainer.config, "dataset": trainer.dataset}


def _spec(job: Job) -> TrainSpec:
    assert isinstance(job.spec, TrainSpec), f"{job.id} trains nothing"
    return job.spec
