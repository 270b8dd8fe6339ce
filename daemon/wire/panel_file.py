"""Spells files with ``kind = "panel"``: their keys, defaults and limits, as in the contract.

Law: every key's rule is beside the key, and each sees only the keys above it, so that one wrong key
does not hide what is wrong with the others. Sizes are in pixels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, ValidationInfo

from daemon.core.ids import split_job
from daemon.core.jobs import Asked, ControlNetUse, LoraUse, PanelSpec
from daemon.core.policy import Policy
from daemon.craft.samplers import SAMPLERS, SCHEDULERS, noise_of
from daemon.wire import name_rules as names
from daemon.wire.complaints import STRICT, between, fault, nearest, policy_of, rule
from daemon.wire.text import excerpt

_BATCH = (
    "A job draws one picture at a time: two at once need up to 4 GB more, which a 16 GB Mac has "
    "not. Remove the line, and write variations = 4 for several pictures."
)

_BELOW = "This belongs to a [[lora]] or to [controlnet]: move the line below one of them."

UNKNOWN = {
    **dict.fromkeys(("batch_size", "batch", "train_batch_size"), _BATCH),
    **dict.fromkeys(("strength", "image"), _BELOW),
    "model": f'The model has two keys: checkpoint = "{names.CHECKPOINT}", vae = "{names.VAE}"',
    "name": "The job's name is `panel`; a LoRA's name stands below [[lora]].",
    "trigger": 'A trigger belongs to a training (kind = "train"); in a panel it is part of prompt.',
}

_MISSION = Policy()
_Value = TypeVar("_Value")


def _on_grid(side: int, info: ValidationInfo) -> int:
    """A2.1: one latent pixel is a square of picture pixels."""
    policy, key = policy_of(info), info.field_name
    below = side // policy.side_multiple * policy.side_multiple
    if side == below:
        return side
    sides = [near for near in (below, below + policy.side_multiple) if near <= policy.max_side]
    words = " or ".join(f"{key} = {near}" for near in sides)
    raise fault(f"`{key}` is {side}; sides are multiples of {policy.side_multiple}. Write {words}")


def _fits(width: int, info: ValidationInfo) -> int:
    """A2.1: both sides together. Each alone has been weighed; a wrong height is told already."""
    policy, height = policy_of(info), info.data.get("height")
    if height is None or width * height <= policy.max_area:
        return width
    raise fault(
        f"{width} x {height} (512 wide and 768 high where not given) is {width * height} pixels, "
        f"and a picture has at most {policy.max_area}: beyond it a 16 GB Mac swaps for minutes or "
        f"fails. Write {_sizes_near(width, height, policy)}"
    )


def _sizes_near(width: int, height: int, policy: Policy) -> str:
    """The sizes to propose: one of the same shape, one as high, one as wide as asked for."""
    grid = policy.side_multiple
    shrink = (policy.max_area / (width * height)) ** 0.5
    shape = (int(width * shrink) // grid * grid, int(height * shrink) // grid * grid)
    narrower = (policy.max_area // height // grid * grid, height)
    lower = (width, policy.max_area // width // grid * grid)
    return ", or ".join(
        f"width = {wide} and height = {high}"
        for wide, high in dict.fromkeys((shape, narrower, lower))
        if min(wide, high) >= policy.min_side
    )


def _only_way(value: _Value, info: ValidationInfo) -> _Value:
    """One of seed, seeds and variations."""
    ways = [key for key in ("seed", "seeds", "variations") if info.data.get(key) is not None]
    if value is not None and ways:
        raise fault(
            f"`{ways[0]}` and `{info.field_name}` say the same in two ways. Keep one: seed = 421 "
            "for one picture, seeds = [1, 2] for these, variations = 4 for any four."
        )
    return value


def _several(seeds: list[int], info: ValidationInfo) -> list[int]:
    limit = policy_of(info).max_pictures
    if not seeds:
        raise fault("`seeds` is empty. Write seeds = [1, 2], or remove the line.")
    if len(seeds) > limit:
        raise fault(f"{len(seeds)} seeds are more than {limit} pictures. Make several jobs.")
    seed, times = Counter(seeds).most_common(1)[0]
    if times > 1:
        raise fault(f"Seed {seed} is there twice; it draws the same picture. Remove one.")
    return seeds


def _known_as(key: str, known: Collection[str], usual: str) -> Callable[[str], str]:
    def fault_of(name: str) -> str:
        if name in known:
            return ""
        # As other programs spell them: "Euler a", "DPM++ 2M".
        spelled = name[:64].lower().replace("++", "pp").replace(" ", "_")
        spelled = f"{spelled}ncestral" if spelled.endswith("_a") else spelled
        line = f'{key} = "{nearest(spelled, known) or usual}"'
        return f'ComfyUI has no {key} "{excerpt(name)}". Write for example: {line}'

    return fault_of


def _template_fault(name: str) -> str:
    if names.is_name(name):
        return ""
    bare = names.proper_name(name.rpartition("/")[2].removesuffix(".json"))
    return (
        f'"{excerpt(name)}" is no template: it is the bare name of a file in workflows/, without '
        f'folder and ending. Write workflow = "{bare}"'
    )


def _hint_fault(image: str) -> str:
    if (text := names.path_fault(image, folder="the studio")) or image.lower().endswith(".png"):
        return text
    return f'"{excerpt(image)}" is no PNG. Save the hint image as PNG and name that file.'


def _after_start(end: float, info: ValidationInfo) -> float:
    start = info.data.get("start", 0.0)
    if end <= start:
        raise fault(f"It would end before it starts, at {start:g}. Write start = 0.0, end = 1.0")
    return end


def _few(loras: list[LoraTable], info: ValidationInfo) -> list[LoraTable]:
    limit = policy_of(info).max_loras
    if len(loras) > limit:
        raise fault(f"A job has at most {limit} LoRAs: more blur each other. Remove some.", limit)
    found = [lora.name for lora in loras]
    for place, name in enumerate(found):
        if name in found[:place]:
            raise fault(f'LoRA "{excerpt(name)}" is there twice. Keep one of them.', place, "name")
    return loras


Side = Annotated[
    int,
    between("min_side", "max_side", "a 16 GB Mac draws no more, and SD1.5 doubles figures beyond"),
    AfterValidator(_on_grid),
]
Share = Annotated[float, between(0.0, 1.0, "0 is nothing, 1 is all of it")]
Steps = Annotated[int, between("min_steps", "max_steps", "more cost time and change nothing seen")]
Variations = Annotated[int, between(1, "max_pictures", "one job is one folder to look through")]
NetStrength = Annotated[float, between(0.0, "max_controlnet_strength", "0.75 is firm already")]


class LoraTable(BaseModel):
    """``[[lora]]``"""

    model_config = STRICT
    name: Annotated[str, rule(names.lora_fault)] = Field(examples=["spyke_v1"])
    strength: names.LoraStrength = _MISSION.lora_strength  # K6.3


class ControlNetTable(BaseModel):
    """``[controlnet]``"""

    model_config = STRICT
    model: Annotated[str, rule(partial(names.model_fault, folder="models/controlnet"))] = Field(
        examples=["control_v11p_sd15_openpose.safetensors"]
    )
    image: Annotated[str, rule(_hint_fault)] = Field(examples=["poses/ch01_p003.png"])
    strength: NetStrength = _MISSION.controlnet_strength  # C3.1
    start: Share = 0.0
    end: Annotated[Share, AfterValidator(_after_start)] = 1.0


class PanelFile(BaseModel):
    """A file with ``kind = "panel"``. Validated in the context of a Policy."""

    model_config = STRICT
    kind: Literal["panel"]
    panel: Annotated[str, rule(partial(names.name_fault, key="panel"))] = Field(examples=["ch01"])
    ref: names.Ref = Field(default="", examples=["run-7/ch01/3"])
    priority: names.Priority = 0
    rerun: bool = Field(default=False, examples=[True])
    prompt: names.SpokenText = Field(examples=["spyke_plasma_v1, white cloak, leaping, rain"])
    negative: names.Text = Field(default="", examples=["blurry"])
    height: Side = 768  # Before the width, whose rule weighs both sides.
    width: Annotated[Side, AfterValidator(_fits)] = 512
    seed: names.Seed | None = Field(default=None, examples=[421])
    seeds: Annotated[
        Annotated[list[names.Seed], AfterValidator(_several)] | None, AfterValidator(_only_way)
    ] = Field(default=None, examples=[[1, 2]])
    variations: Annotated[Variations | None, AfterValidator(_only_way)] = Field(None, examples=[4])
    steps: Steps = 20
    cfg: Annotated[float, between("min_cfg", "max_cfg", "beyond it pictures burn out")] = 7.0
    sampler: Annotated[str, rule(_known_as("sampler", SAMPLERS, "euler"))] = "euler"
    scheduler: Annotated[str, rule(_known_as("scheduler", SCHEDULERS, "normal"))] = "normal"
    denoise: Share = 1.0
    clip_skip: names.ClipSkip = 1
    checkpoint: names.Checkpoint = Field(examples=[names.CHECKPOINT])
    vae: names.Vae = Field(
        examples=[names.VAE],
        description="never guessed: the one in a checkpoint often gives grey, washed-out pictures",
    )
    workflow: Annotated[str, rule(_template_fault)] = "panel"
    quality: Literal["on", "off"] = "on"
    lora: Annotated[list[LoraTable], AfterValidator(_few)] = Field(
        [], description="[[lora]] in double brackets, below it name and strength, a block for each"
    )
    controlnet: ControlNetTable | None = Field(
        None, description="[controlnet] in single brackets, at most one: 16 GB bear no second"
    )

    def asked(self, policy: Policy) -> Asked:
        """The job that this file asks for.

        A LoRA that names a training's job carries the job's id in ``job`` too; which file that
        means is resolved at acceptance.
        """
        seeds = (self.seeds or []) if self.seed is None else [self.seed]
        asked = self.model_dump() | {
            "seeds": seeds,
            "variations": len(seeds) or self.variations or 1,
            "quality": self.quality == "on",
            "loras": [
                LoraUse(lora.name, lora.strength, lora.name if split_job(lora.name) else "")
                for lora in self.lora
            ],
        }
        spec = _SPEC.validate_python(asked)
        warnings = tuple(_warnings(spec, policy))
        return Asked("panel", self.panel, self.ref, self.priority, self.rerun, spec, warnings)


_SPEC = TypeAdapter(PanelSpec)


def _warnings(spec: PanelSpec, policy: Policy) -> Iterator[str]:
    """What is allowed and will probably disappoint."""
    for lora in spec.loras:
        if lora.strength > policy.lora_warn_above:
            yield (
                f"LoRA {excerpt(lora.name)} at {lora.strength:g}: above "
                f"{policy.lora_warn_above:g} faces harden and poses freeze; "
                f"{policy.lora_strength:g} is a good start."
            )
    if spec.controlnet is not None:
        yield from _controlnet_warnings(spec.controlnet, policy)
    if noise_of(spec.sampler) == "device":
        yield (
            f"Sampler {spec.sampler} draws noise on the device: the same seed gives another "
            "picture on another machine. euler and dpmpp_2m repeat."
        )


def _controlnet_warnings(net: ControlNetUse, policy: Policy) -> Iterator[str]:
    low, high = policy.controlnet_recommended_low, policy.controlnet_recommended_high
    if net.strength < policy.controlnet_ignored_below:
        what = "the pose will mostly be ignored"
    elif net.strength > policy.controlnet_strong_above:
        what = "far too strong, pictures get stiff or break"
    elif net.strength > policy.controlnet_warn_above:
        what = "strong, figures stiffen"
    else:
        return
    yield f"ControlNet at {net.strength:g}: {what}; {low:g} to {high:g} is recommended."
