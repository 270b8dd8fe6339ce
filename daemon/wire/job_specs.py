"""Spells checked job files as specifications: from here on nothing is optional, nothing TOML."""

from __future__ import annotations

from daemon.core.ids import split_job
from daemon.core.jobs import (
    Asked,
    ControlNetUse,
    Grid,
    LoraUse,
    PanelSpec,
    Regularization,
    TrainSpec,
)
from daemon.wire.job_models import (
    ControlNetTable,
    GridTable,
    PanelFile,
    RegularizationTable,
    TrainFile,
)
from daemon.wire.train_rules import canonical


def panel_asked(file: PanelFile, *, stem: str, warnings: tuple[str, ...]) -> Asked:
    """The panel that a file without faults asks for.

    A LoRA that names a training's job carries the job's id in ``job`` too; which file that means
    is resolved at acceptance.
    """
    seeds = (file.seed,) if file.seed is not None else tuple(file.seeds or ())
    spec = PanelSpec(
        prompt=file.prompt,
        negative=file.negative,
        width=file.width,
        height=file.height,
        seeds=seeds,
        variations=len(seeds) or file.variations or 1,
        steps=file.steps,
        cfg=file.cfg,
        sampler=file.sampler,
        scheduler=file.scheduler,
        denoise=file.denoise,
        clip_skip=file.clip_skip,
        checkpoint=file.checkpoint,
        vae=file.vae,
        workflow=file.workflow,
        quality=file.quality == "on",
        loras=tuple(_lora(table.name, table.strength) for table in file.lora),
        controlnet=_controlnet(file.controlnet),
    )
    name = stem if file.panel is None else file.panel
    return Asked("panel", name, file.ref, file.priority, file.rerun, spec, warnings)


def train_asked(file: TrainFile, *, stem: str, warnings: tuple[str, ...]) -> Asked:
    """The training that a file without faults asks for; ``steps`` 0 = by the policy."""
    spec = TrainSpec(
        trigger=file.trigger,
        dataset=file.dataset,
        checkpoint=file.checkpoint,
        vae=file.vae,
        steps=file.steps or 0,
        network_dim=file.network_dim,
        network_alpha=file.network_alpha,
        learning_rate=file.learning_rate,
        optimizer=canonical(file.optimizer) or file.optimizer,
        lr_scheduler=file.lr_scheduler,
        gradient_accumulation=file.gradient_accumulation,
        gradient_checkpointing=file.gradient_checkpointing,
        unet_only=file.unet_only,
        mixed_precision=file.mixed_precision,
        save_every=file.save_every,
        seed=file.seed,
        clip_skip=file.clip_skip,
        features=tuple(file.features),
        when=file.when,
        resume=file.resume,
        force=file.force,
        allow_overfit=file.allow_overfit,
        waive_trigger_probe=file.waive_trigger_probe,
        regularization=_regularization(file.regularization),
        grid=_grid(file.grid),
    )
    name = stem if file.lora is None else file.lora
    return Asked("train", name, file.ref, file.priority, file.rerun, spec, warnings)


def _lora(name: str, strength: float) -> LoraUse:
    return LoraUse(name, strength, job=name if split_job(name) is not None else "")


def _controlnet(table: ControlNetTable | None) -> ControlNetUse | None:
    if table is None:
        return None
    return ControlNetUse(table.model, table.image, table.strength, table.start, table.end)


def _regularization(table: RegularizationTable | None) -> Regularization | None:
    return None if table is None else Regularization(table.count, table.prompt, table.class_name)


def _grid(table: GridTable | None) -> Grid | None:
    if table is None:
        return None
    return Grid(tuple(table.prompts), tuple(table.seeds), table.strength)
