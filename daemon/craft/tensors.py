"""Judges a model file by its header: what it is, what it costs, and whether SD 1.5 can use it.

Law: only names, types and shapes are weighed, so it takes no time, and what ComfyUI would pass over
in silence is refused: a LoRA of another family, an embedding of another width, a file in the
folder of another kind.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from daemon.craft.lora_layers import fit, is_lora

Kind = Literal["checkpoint", "vae", "lora", "controlnet", "t2i-adapter", "embedding", "unknown"]

FOLDERS: Mapping[str, str] = {
    "checkpoint": "checkpoints",
    "vae": "vae",
    "lora": "loras",
    "controlnet": "controlnet",
    "embedding": "embeddings",
}
"""ComfyUI's own names below its models folder, by role."""

_A: Mapping[str, str] = {
    "checkpoint": "a checkpoint",
    "vae": "a VAE",
    "lora": "a LoRA",
    "controlnet": "a ControlNet",
    "t2i-adapter": "a T2I-Adapter",
    "embedding": "an embedding",
}
_UNET = "model.diffusion_model."
_TEXT_ENCODER = "cond_stage_model.transformer."
_BAKED_VAE = "first_stage_model."
_PARTS: Mapping[str, str] = {
    _UNET: "unet",
    _TEXT_ENCODER: "text_encoder",
    _BAKED_VAE: "vae",
}
_WHOLE: Mapping[str, str] = {"t2i-adapter": "controlnet", "unknown": ""}
_CONTEXT = 768
_CHANNELS = 320
_LATENT = 4
_WORTH_TELLING_MB = 10


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor as a header tells it: safetensors' name of its type, and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def numbers(self) -> int:
        """How many it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Judged:
    """What a file is; ``dtype`` of most of its numbers. ``refusal`` and the warnings go on where
    the file's name ends, and ``refusal`` is '' for what SD 1.5 can use in that role. ``parts``:
    how many numbers each of its parts has (see ``parts_of``).
    """

    kind: Kind
    dtype: str
    warnings: tuple[str, ...] = ()
    refusal: str = ""
    parts: Mapping[str, int] = field(default_factory=dict)


def judge(role: str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Judged:
    """What a file with these tensors is worth in a role; there is at least one tensor."""
    kind = kind_of(tensors)
    numbers: Counter[str] = Counter()
    for tensor in tensors.values():
        numbers[tensor.dtype] += tensor.numbers
    dtype = numbers.most_common(1)[0][0]
    refusal = _misplaced(role, kind) or _unfit(kind, tensors, _made_for(metadata))
    if refusal:
        return Judged(kind, dtype, (), refusal)
    warnings = (*_costs(kind, tensors), *_doubts(kind, tensors))
    return Judged(kind, dtype, warnings, parts=parts_of(kind, tensors))


def parts_of(kind: Kind, tensors: Mapping[str, Tensor]) -> Mapping[str, int]:
    """How many numbers each part has that an engine loads, by the part's name (A2.4, A2.7): those
    of a checkpoint, or the whole of another file. What is never loaded, such as ``model_ema.``,
    counts in none.
    """
    numbers: Counter[str] = Counter()
    for name, tensor in tensors.items():
        place = (part for prefix, part in _PARTS.items() if name.startswith(prefix))
        part = next(place, "") if kind == "checkpoint" else _WHOLE.get(kind, kind)
        numbers[part] += tensor.numbers
    return {part: count for part, count in sorted(numbers.items()) if part}


def kind_of(tensors: Collection[str]) -> Kind:
    """What a file is, by the names that ComfyUI's loaders look for."""
    if _any(tensors, _UNET):
        return "checkpoint"
    if is_lora(tensors):
        return "lora"
    plain = {name.removeprefix("control_model.") for name in tensors}
    hints = ("controlnet_cond_embedding.conv_in.weight", "controlnet_blocks.0.weight")
    if plain & {"zero_convs.0.0.weight", "input_hint_block.0.weight", "lora_controlnet", *hints}:
        return "controlnet"
    plain = {name.removeprefix("adapter.") for name in tensors}
    if plain & {f"body.0.{part}.weight" for part in ("in_conv", "block1", "resnets.0.block1")}:
        return "t2i-adapter"
    if "decoder.conv_in.weight" in tensors or _any(tensors, "taesd_decoder."):
        return "vae"
    vectors = ("emb_params", "clip_l", "clip_g", "string_to_param.*")
    if any(name in tensors for name in vectors) or len(tensors) == 1:
        return "embedding"
    return "unknown"


def _misplaced(role: str, kind: Kind) -> str:
    if kind == role or (role, kind) == ("controlnet", "t2i-adapter"):
        return ""
    if kind == "unknown":
        return (
            f"holds nothing by which ComfyUI knows {_A[role]}, and no other model that could be "
            "told. Download it again, from where its page says that it is for SD 1.5."
        )
    folder = FOLDERS["controlnet" if kind == "t2i-adapter" else kind]
    return (
        f"is {_A[kind]}, not {_A[role]}. Move it to $COMFYUI/models/{folder}, and name "
        f"{_A[role]} here."
    )


def _unfit(kind: Kind, tensors: Mapping[str, Tensor], made_for: str) -> str:
    """Why SD 1.5 has no use for it, as the rest of a sentence; '' when it has."""
    match kind:
        case "lora":
            why = _lora(tensors)
        case "embedding":
            why = _embedding(tensors)
        case "checkpoint" if not _any(tensors, _TEXT_ENCODER):
            why = "it holds no text encoder of SD 1.5"
        case "checkpoint" | "controlnet":
            why = _net(tensors)
        case "vae":
            entry = tensors.get("decoder.conv_in.weight")
            latent = _at(entry, 1) if entry else _LATENT
            why = f"its latents have {latent} channels, not {_LATENT}" if latent > _LATENT else ""
        case _:
            why = ""
    if not why:
        return ""
    return f"is {_A[kind]} of another family than SD 1.5{made_for}: {why}. Use one for SD 1.5."


def _lora(tensors: Mapping[str, Tensor]) -> str:
    found = fit({name: tensor.shape for name, tensor in tensors.items()})
    if found.wide:
        layer, width, there = found.wide
        return f"its layer {layer} is {width} wide where SD 1.5 has {there}"
    strange = len(found.unplaced)
    if 2 * strange > found.layers:
        return (
            f"{strange} of its {found.layers} layers, such as {found.unplaced[0]}, have no place "
            "there, so ComfyUI would leave them out and report success"
        )
    return ""


def _embedding(tensors: Mapping[str, Tensor]) -> str:
    # ComfyUI takes the part for CLIP-L where there are several, else whatever comes first.
    vectors = tensors.get("clip_l") or next(iter(tensors.values()))
    width = vectors.shape[-1] if vectors.shape else 0
    return "" if width == _CONTEXT else f"its vectors are {width} wide, not {_CONTEXT}"


def _net(tensors: Mapping[str, Tensor]) -> str:
    if any("label_emb." in name or "add_embedding." in name for name in tensors):
        return "it takes more than a text, as SDXL does"
    for name, tensor in tensors.items():
        if name.endswith("attn2.to_k.weight") and _at(tensor, 1) not in (0, _CONTEXT):
            return f"it takes text that is {_at(tensor, 1)} wide, not {_CONTEXT}"
        first = name.endswith(("input_blocks.0.0.weight", "control_model.conv_in.weight"))
        if first and _at(tensor, 0) > _CHANNELS:
            return f"it begins {_at(tensor, 0)} channels wide, not {_CHANNELS}"
        if name.startswith(("double_blocks.", f"{_UNET}double_blocks.", "controlnet_blocks.")):
            return "it is a transformer, not a U-Net"
    return ""


def _costs(kind: Kind, tensors: Mapping[str, Tensor]) -> Iterable[str]:
    """What fp32 costs where fp16 is enough; a VAE is right in fp32 (A2.4, M3.1)."""
    wide = sum(
        tensor.numbers
        for name, tensor in tensors.items()
        if tensor.dtype == "F32" and not name.startswith(_BAKED_VAE)
    )
    wasted_mb = wide * 2 / 1e6
    if kind in ("vae", "embedding") or wasted_mb < _WORTH_TELLING_MB:
        return
    yield (
        f"is saved in fp32, which costs {2 * wasted_mb:,.0f} MB; in fp16 it would be half, "
        f"{wasted_mb:,.0f} MB less, and draw the same."
    )


def _doubts(kind: Kind, tensors: Mapping[str, Tensor]) -> Iterable[str]:
    if kind == "lora":
        found = fit({name: tensor.shape for name, tensor in tensors.items()})
        if found.unplaced:
            yield (
                f"has {len(found.unplaced)} of {found.layers} layers, such as {found.unplaced[0]}, "
                "for which SD 1.5 has no place; ComfyUI leaves them out."
            )
    first = tensors.get(f"{_UNET}input_blocks.0.0.weight")
    if kind == "checkpoint" and first and _at(first, 1) > _LATENT:
        yield "is made for inpainting: without a mask its pictures are poor."


def _made_for(metadata: Mapping[str, str]) -> str:
    told = metadata.get("ss_base_model_version") or metadata.get("modelspec.architecture") or ""
    return f' (it says "{told[:60]}")' if told else ""


def _any(names: Iterable[str], prefix: str) -> bool:
    return any(name.startswith(prefix) for name in names)


def _at(tensor: Tensor, axis: int) -> int:
    """The length of an axis; 0 for a tensor that has not so many."""
    return tensor.shape[axis] if len(tensor.shape) > axis else 0
