"""Prepares one attempt at a training: where it begins, its documents, its shim's order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from daemon.core.commands import Command, RecordDataset, RecordModels, RecordTrainer
from daemon.core.ids import is_rehearsal
from daemon.core.jobs import ModelFacts, TrainSpec
from daemon.core.policy import Policy
from daemon.core.stages import PROBE, REGULARIZATION
from daemon.core.tools import TrainerUse
from daemon.craft.preflight import faults, unfit
from daemon.errors import WorldError
from daemon.ports import Disk, GpuLock, Trainer, TrainerFacts, TrainingOrder, Weights
from daemon.shell.dataset import images_in
from daemon.shell.epochs import resume_point
from daemon.shell.outbox import DATASET_COPY, job_folder
from daemon.shell.training_folder import OUT, Attempt, kept_folder
from daemon.wire import sd_scripts
from daemon.wire.places import Places, portable_args, portable_text


@dataclass(frozen=True, slots=True)
class Workshop:
    """The part of the world that trainings touch. ``rehearsal``: its trainer only rehearses;
    ``gpu_expected``: a CPU is no place to train here.
    """

    disk: Disk
    weights: Weights
    trainer: Trainer
    gpu: GpuLock
    places: Places
    rehearsal: bool
    gpu_expected: bool
    policy: Policy


async def prepare(
    shop: Workshop, attempt: Attempt, ask: Callable[[Command], Awaitable[None]]
) -> TrainingOrder:
    """Write an attempt's documents, record what it is started with; what its shim is to do.

    Raises ``WorldError``: ENGINE_MISSING, DATASET_CHANGED, what ``Trainer.describe`` and preflight
    find, or what models and disk raise.
    """
    if is_rehearsal(attempt.job.id) != shop.rehearsal:
        raise WorldError("ENGINE_MISSING", "The trainer it was started on is not there.")
    await _check_dataset(shop.disk, attempt, ask)
    facts = await shop.trainer.describe()
    spec = attempt.spec
    models = (
        await shop.weights.facts(role="checkpoint", name=spec.checkpoint),
        await shop.weights.facts(role="vae", name=spec.vae),
    )
    await ask(RecordModels(models))
    documents = await _documents(shop, attempt, tokenizer=facts.tokenizer or "")
    _check_trainer(spec, facts, documents)
    studio = shop.places["$STUDIO"]
    order = TrainingOrder(
        folder=attempt.folder,
        nonce=attempt.nonce,
        arguments=(
            *("--config_file", f"{studio}/{attempt.path(sd_scripts.CONFIG)}"),
            *("--dataset_config", f"{studio}/{attempt.path(sd_scripts.DATASET)}"),
        ),
        environment=sd_scripts.environment(spec, shop.policy),
        grace_s=shop.policy.training_grace_s,
        log_limit_bytes=shop.policy.training_log_bytes,
    )
    for name, data in documents.items():
        await shop.disk.write(attempt.path(name), data, synced=True)
    use = _use(shop, order, facts, models, documents)
    await ask(RecordTrainer(attempt.job.id, attempt.number, use))
    return order


def _use(
    shop: Workshop,
    order: TrainingOrder,
    facts: TrainerFacts,
    models: tuple[ModelFacts, ...],
    documents: Mapping[str, bytes],
) -> TrainerUse:
    return TrainerUse(
        trainer=facts.name,
        commit=facts.commit,
        python=facts.python,
        packages=facts.packages,
        arguments=portable_args(order.arguments, shop.places),
        environment=order.environment,
        models=models,
        config=portable_text(documents[sd_scripts.CONFIG].decode(), shop.places),
        dataset=portable_text(documents[sd_scripts.DATASET].decode(), shop.places),
    )


def _check_trainer(spec: TrainSpec, facts: TrainerFacts, documents: Mapping[str, bytes]) -> None:
    """The last look before it begins: what was seen in the evening may have changed since."""
    config, dataset = documents[sd_scripts.CONFIG], documents[sd_scripts.DATASET]
    if text := unfit(facts, config=config, dataset=dataset):
        raise WorldError("TRAINER_UNFIT", text)
    for fault in faults(spec, facts):
        raise WorldError(fault.code, fault.text)


async def _documents(shop: Workshop, attempt: Attempt, *, tokenizer: str) -> Mapping[str, bytes]:
    spec, job, studio = attempt.spec, attempt.job, shop.places["$STUDIO"]
    probes = job.stage == PROBE
    seal = await resume_point(shop.disk, job) if spec.resume and not probes else None
    at = sd_scripts.Whereabouts(
        checkpoint=shop.weights.path(role="checkpoint", name=spec.checkpoint),
        vae=shop.weights.path(role="vae", name=spec.vae),
        dataset=f"{studio}/{job_folder(job.id)}/{DATASET_COPY}",
        regularization=f"{studio}/{kept_folder(job.id, REGULARIZATION)}",
        output=f"{studio}/{attempt.path(OUT)}",
        tokenizer=tokenizer,
        state=f"{studio}/{seal.folder}" if seal else "",
    )
    config = sd_scripts.config_document(
        spec,
        at,
        name=job.id,
        attempt=attempt.number,
        done_epochs=seal.epoch if seal else 0,
        probe_steps=min(shop.policy.probe_steps, spec.steps) if probes else 0,
    )
    dataset = sd_scripts.dataset_document(spec, at, shop.policy)
    return {sd_scripts.CONFIG: config, sd_scripts.DATASET: dataset}


async def _check_dataset(
    disk: Disk, attempt: Attempt, ask: Callable[[Command], Awaitable[None]]
) -> None:
    """Whether the copy still is what was accepted: the lock will say that it was learnt from."""
    job = attempt.job
    folder = f"{job_folder(job.id)}/{DATASET_COPY}"
    images = [image for image in job.dataset if image.source != REGULARIZATION]
    if len(images) < attempt.spec.images:
        # A power cut between the lines of one acceptance has left the first of them alone.
        images = list(await images_in(disk, folder))
        await ask(RecordDataset(job.id, tuple(images)))
    wanted: dict[str, str] = {}
    for image in images:
        caption = f"{image.name.rpartition('.')[0]}{sd_scripts.CAPTION_ENDING}"
        wanted |= {image.name: image.sha256, caption: image.caption_sha256}
    await _check_folder(disk, folder, wanted)
    if attempt.spec.regularization is not None:
        beside = [image for image in job.dataset if image.source == REGULARIZATION]
        drawn = {image.name: image.sha256 for image in beside}
        await _check_folder(disk, kept_folder(job.id, REGULARIZATION), drawn)


async def _check_folder(disk: Disk, folder: str, wanted: Mapping[str, str]) -> None:
    # The trainer sees no hidden files, and a power cut may leave some of ours.
    there = {item.name for item in await disk.list(folder) if not item.name.startswith(".")}
    if not there:
        raise _changed(f"{folder}/ is gone")
    for name in sorted(there - wanted.keys()):
        raise _changed(f"{name} was put into {folder}/ after the job was accepted")
    for name, sha256 in wanted.items():
        if name not in there or await disk.digest(f"{folder}/{name}") != sha256:
            raise _changed(f"{name} in {folder}/ is not what was copied for the job")


def _changed(what: str) -> WorldError:
    return WorldError(
        "DATASET_CHANGED",
        f"{what}, so nobody could say what the LoRA has learnt from. Drop the job's file again "
        "(with rerun = true) to train from the dataset as it is now.",
    )
