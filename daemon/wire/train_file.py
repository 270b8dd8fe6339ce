"""Spells files with ``kind = "train"``: what a 16 GB Mac trains is batch 1, 512, no CUDA-only part.

Law: a hardware cap is refused with its reason, never clamped in silence (K1.2, K2.1, K2.2).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, ValidationInfo

from daemon.core.jobs import Asked, Regularization, TrainSpec
from daemon.core.policy import Policy
from daemon.wire import name_rules as names
from daemon.wire.complaints import STRICT, between, fault, policy_of, rule
from daemon.wire.text import excerpt

_BATCH = (
    "A training's batch is always 1: a second picture needs 1-2 GB more, and a 16 GB Mac then "
    "swaps or is killed. Remove the line; gradient_accumulation = 4 averages over four instead."
)
_RESOLUTION = (
    "A training's resolution is 512: at 768 a 16 GB Mac runs out of memory, and below 512 faces "
    "are lost. Remove the line."
)
_CUDA = "This is CUDA-only and does not exist on a Mac. Remove the line."
_RESOLUTION_KEYS = ("resolution", "train_resolution", "max_resolution", "width", "height")

UNKNOWN = {
    **dict.fromkeys(("batch_size", "batch", "train_batch_size"), _BATCH),
    **dict.fromkeys(_RESOLUTION_KEYS, _RESOLUTION),
    **dict.fromkeys(("xformers", "mem_eff_attn"), _CUDA),
    "use_8bit_adam": f'{_CUDA} The optimizer is named by optimizer = "AdamW"',
    **dict.fromkeys(("name", "panel"), 'The name of what is trained is `lora`: lora = "spyke"'),
}

_MISSION = Policy()


def without_resolution(table: Mapping[str, object]) -> Mapping[str, object]:
    """The table without a resolution that is the right one: K2.2 lets nothing else be written."""
    side = _MISSION.training_resolution
    right = (side, f"{side}", f"{side},{side}", f"{side}x{side}", [side, side])
    return {k: v for k, v in table.items() if k not in _RESOLUTION_KEYS or v not in right}


def _trigger_fault(trigger: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", trigger):
        return ""
    return (
        f'"{excerpt(trigger)}" is no trigger: it is one word of letters, digits, _ and -. '
        'Write for example: trigger = "spyke_plasma_v1"'
    )


def _not_by_heart(steps: int | None, info: ValidationInfo) -> int | None:
    learnt = steps is not None and steps >= policy_of(info).overfit_training_steps
    if learnt and not info.data.get("allow_overfit"):
        raise fault(
            f"{steps} steps with the few pictures of one character learn the pictures by heart. "
            "Write steps = 1000, or allow_overfit = true beside it if you mean it."
        )
    return steps


Steps = Annotated[int, between(1, "max_training_steps", "800 to 1200 are usual")]
Accumulation = Annotated[int, between(1, "max_gradient_accumulation", "each makes a step longer")]
Curve = Literal["constant", "linear", "cosine", "cosine_with_restarts", "polynomial", "adafactor"]


_POSES = ("full body, running, side view", "upper body, sitting, night")
"""What a grid shows where none is asked for: poses that hardly a dataset has (D2.3)."""
_MOST_IN_A_GRID = 6


def _few(values: list[object], *, what: str) -> str:
    if len(values) <= _MOST_IN_A_GRID:
        return ""
    return f"{len(values)} {what} are more than a grid shows. Choose up to {_MOST_IN_A_GRID}."


class GridTable(BaseModel):
    """``[grid]``"""

    model_config = STRICT
    prompts: Annotated[list[names.SpokenText], rule(partial(_few, what="prompts"))] = Field(
        examples=[["spyke_plasma_v1, running, side view"]]
    )
    seeds: Annotated[list[names.Seed], rule(partial(_few, what="seeds"))] = [1, 2]
    strength: names.LoraStrength = _MISSION.lora_strength


class RegularizationTable(BaseModel):
    """``[regularization]``"""

    model_config = STRICT
    count: Annotated[int, between(10, "most_regularization", "100 to 200 are usual")] = 150
    prompt: names.SpokenText = Field(examples=["anime character, male, full body"])
    class_: names.SpokenText = Field(alias="class", examples=["anime character"])


class TrainFile(BaseModel):
    """A file with ``kind = "train"``. Validated in the context of a Policy."""

    model_config = STRICT
    kind: Literal["train"]
    lora: Annotated[str, rule(partial(names.name_fault, key="lora"))] = Field(examples=["spyke"])
    ref: names.Ref = Field(default="", examples=["run-7/spyke"])
    priority: names.Priority = 0
    rerun: bool = Field(default=False, examples=[True])
    trigger: Annotated[str, rule(_trigger_fault)] = Field(examples=["spyke_plasma_v1"])
    dataset: Annotated[str, rule(partial(names.path_fault, folder="the studio"))] = Field(
        examples=["datasets/spyke"]
    )
    checkpoint: names.Checkpoint = Field(examples=[names.CHECKPOINT])
    vae: names.Vae = Field(examples=[names.VAE], description="never guessed")
    allow_overfit: bool = Field(default=False, examples=[True])  # The rule of steps asks for it.
    steps: Annotated[Steps | None, AfterValidator(_not_by_heart)] = Field(None, examples=[1000])
    network_dim: Annotated[int, between(1, 128, "16 is plenty for one character")] = 16
    network_alpha: Annotated[float, between(0.01, 128, "half of network_dim is usual")] = 8.0
    learning_rate: Annotated[float, between(1e-7, 2.0, "1e-4 is usual; 1.0 with Prodigy")] = 1e-4
    optimizer: Literal["AdamW", "AdaFactor", "Lion", "Prodigy"] = Field(
        default="AdamW", description="8-bit and paged kinds are bitsandbytes, which is CUDA-only"
    )
    lr_scheduler: Curve = "cosine"
    gradient_accumulation: Accumulation = 1
    gradient_checkpointing: bool = True
    unet_only: bool = False
    mixed_precision: Literal["no", "bf16"] = Field("no", description="fp16 needs a CUDA card")
    save_every: Annotated[int, between(10, 5000, "a crash costs one")] = _MISSION.save_every_steps
    seed: Annotated[int, between(0, 2**32 - 1, "the trainer takes 32 bits")] = 1
    clip_skip: names.ClipSkip = 1
    features: list[names.SpokenText] = Field(default=[], examples=[["white cloak", "red bandana"]])
    when: Literal["night", "now"] = "night"
    resume: bool = True
    force: bool = False
    waive_trigger_probe: bool = False
    regularization: RegularizationTable | None = None
    grid: GridTable | None = None

    def asked(self) -> Asked:
        """The training that this file asks for; ``steps`` 0 = by the policy."""
        grid = self.grid or GridTable(prompts=[f"{self.trigger}, {pose}" for pose in _POSES])
        beside = self.regularization
        resolved = {
            "steps": self.steps or 0,
            "probe": self.when == "night",
            "grid": grid.model_dump() if grid.prompts and grid.seeds else None,
            "regularization": beside and Regularization(beside.count, beside.prompt, beside.class_),
        }
        spec = _SPEC.validate_python({**self.model_dump(), **resolved})
        return Asked("train", self.lora, self.ref, self.priority, self.rerun, spec)


_SPEC = TypeAdapter(TrainSpec)
