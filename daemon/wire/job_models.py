"""Spells the keys of a job file: their names, types and defaults, as the contract shows them.

Law: these models know shapes only. Every limit and every word about the trade is in ``job_rules``
and ``train_rules``, so that one wrong key does not hide what is wrong with the others. The first
of a field's ``examples`` is what messages propose to write.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from daemon.core.policy import Policy

MISSION = Policy()
VAE = "vae-ft-mse-840000-ema-pruned.safetensors"  # M1.2
CHECKPOINT = "anything-v5.safetensors"

_STRICT = ConfigDict(
    strict=True, extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=False
)


class LoraTable(BaseModel):
    """``[[lora]]``"""

    model_config = _STRICT
    name: str = Field(examples=["spyke_v1"])
    strength: float = Field(default=MISSION.lora_strength, examples=[0.7])  # K6.3


class ControlNetTable(BaseModel):
    """``[controlnet]``"""

    model_config = _STRICT
    model: str = Field(examples=["control_v11p_sd15_openpose.safetensors"])
    image: str = Field(examples=["poses/ch01_p003.png"])
    strength: float = Field(default=MISSION.controlnet_strength, examples=[0.65])  # C3.1
    start: float = Field(default=0.0, examples=[0.0])
    end: float = Field(default=1.0, examples=[1.0])


class PanelFile(BaseModel):
    """A file with ``kind = "panel"``."""

    model_config = _STRICT
    kind: Literal["panel"]
    panel: str | None = Field(default=None, examples=["ch01_p003"])
    ref: str = Field(default="", examples=["run-7/ch01/3"])
    priority: int = Field(default=0, examples=[0])
    rerun: bool = Field(default=False, examples=[True])
    end: Literal[True] = Field(default=True, examples=[True])
    prompt: str = Field(examples=["spyke_plasma_v1, white cloak, leaping, rain"])
    negative: str = Field(default="", examples=["blurry"])
    width: int = Field(default=512, examples=[512])
    height: int = Field(default=768, examples=[768])
    seed: int | None = Field(default=None, examples=[421])
    seeds: list[int] | None = Field(default=None, examples=[[1, 2]])
    variations: int | None = Field(default=None, examples=[4])
    steps: int = Field(default=20, examples=[20])
    cfg: float = Field(default=7.0, examples=[7.0])
    sampler: str = Field(default="euler", examples=["euler"])
    scheduler: str = Field(default="normal", examples=["normal"])
    denoise: float = Field(default=1.0, examples=[1.0])
    clip_skip: int = Field(default=1, examples=[1])
    checkpoint: str = Field(examples=[CHECKPOINT])
    vae: str = Field(examples=[VAE])
    workflow: str = Field(default="panel", examples=["panel"])
    quality: Literal["on", "off"] = Field(default="on", examples=["on"])
    lora: list[LoraTable] = Field(default=[], examples=["[[lora]]"])
    controlnet: ControlNetTable | None = Field(default=None, examples=["[controlnet]"])


class RegularizationTable(BaseModel):
    """``[regularization]``"""

    model_config = _STRICT
    count: int = Field(default=150, examples=[150])
    prompt: str = Field(examples=["anime character, male, full body, white background"])
    class_name: str = Field(alias="class", examples=["anime character"])


class GridTable(BaseModel):
    """``[grid]``"""

    model_config = _STRICT
    prompts: list[str] = Field(examples=[["spyke_plasma_v1, running, side view"]])
    seeds: list[int] = Field(default=[1, 2], examples=[[1, 2]])
    strength: float = Field(default=MISSION.lora_strength, examples=[0.7])


class TrainFile(BaseModel):
    """A file with ``kind = "train"``."""

    model_config = _STRICT
    kind: Literal["train"]
    lora: str | None = Field(default=None, examples=["spyke"])
    ref: str = Field(default="", examples=["run-7/spyke"])
    priority: int = Field(default=0, examples=[0])
    rerun: bool = Field(default=False, examples=[True])
    end: Literal[True] = Field(default=True, examples=[True])
    trigger: str = Field(examples=["spyke_plasma_v1"])
    dataset: str = Field(examples=["datasets/spyke"])
    checkpoint: str = Field(examples=[CHECKPOINT])
    vae: str = Field(examples=[VAE])
    steps: int | None = Field(default=None, examples=[1000])
    network_dim: int = Field(default=16, examples=[16])
    network_alpha: float = Field(default=8.0, examples=[8])
    learning_rate: float = Field(default=1e-4, examples=[1e-4])
    optimizer: str = Field(default="AdamW", examples=["AdamW"])
    lr_scheduler: str = Field(default="cosine", examples=["cosine"])
    gradient_accumulation: int = Field(default=1, examples=[1])
    gradient_checkpointing: bool = Field(default=True, examples=[True])
    unet_only: bool = Field(default=False, examples=[False])
    mixed_precision: str = Field(default="no", examples=["no"])
    save_every: int = Field(default=MISSION.save_every_steps, examples=[200])
    seed: int = Field(default=1, examples=[1])
    clip_skip: int = Field(default=1, examples=[1])
    features: list[str] = Field(default=[], examples=[["white cloak", "red bandana"]])
    when: Literal["night", "now"] = Field(default="night", examples=["night"])
    resume: bool = Field(default=True, examples=[True])
    force: bool = Field(default=False, examples=[True])
    allow_overfit: bool = Field(default=False, examples=[True])
    waive_trigger_probe: bool = Field(default=False, examples=[True])
    regularization: RegularizationTable | None = Field(default=None, examples=["[regularization]"])
    grid: GridTable | None = Field(default=None, examples=["[grid]"])


class ControlFile(BaseModel):
    """A file that speaks of jobs: ``kind`` is cancel, retry, pause or resume."""

    model_config = _STRICT
    kind: Literal["cancel", "retry", "pause", "resume"]
    ref: str = Field(default="", examples=["run-7/ch01/3"])
    end: Literal[True] = Field(default=True, examples=[True])
    job: str | None = Field(default=None, examples=["ch01_p003_v1"])
