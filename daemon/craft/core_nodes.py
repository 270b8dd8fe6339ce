"""Knows ComfyUI's own drawing nodes: which may run unattended, what each takes and what it gives.

Not among them: whatever runs code, fetches, makes batches, scales by a factor, or encodes a picture
of any size, for then no limit on memory could be read off the graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CoreNode:
    """Kinds of inputs by name, the names that may be absent, and the types of the outputs.

    A kind in capitals is the type of a link. Others are values: int, float, text, choice (a name
    that the engine offers), prefix (where a picture is saved), hint (a file that was uploaded), or
    the role of a model's file.
    """

    inputs: Mapping[str, str]
    optional: frozenset[str]
    outputs: tuple[str, ...]


def _node(spelled: str) -> CoreNode:
    """``name:kind … -> TYPE …``, with ``?`` behind the name of an input that may be absent."""
    inputs, _, outputs = spelled.partition("->")
    pairs = [pair.split(":") for pair in inputs.split()]
    kinds = {name.rstrip("?"): kind for name, kind in pairs}
    absent = frozenset(name.rstrip("?") for name, _ in pairs if name.endswith("?"))
    return CoreNode(kinds, absent, tuple(outputs.split()))


_SIZE = "width:int height:int"
_SCALED = f"upscale_method:choice {_SIZE} crop:choice"
_SAMPLED = (
    "model:MODEL steps:int cfg:float sampler_name:choice scheduler:choice positive:CONDITIONING"
    " negative:CONDITIONING latent_image:LATENT"
)

CORE: Mapping[str, CoreNode] = {
    "CheckpointLoaderSimple": _node("ckpt_name:checkpoint -> MODEL CLIP VAE"),
    "VAELoader": _node("vae_name:vae -> VAE"),
    "LoraLoader": _node(
        "model:MODEL clip:CLIP lora_name:lora strength_model:float strength_clip:float"
        " -> MODEL CLIP"
    ),
    "LoraLoaderModelOnly": _node("model:MODEL lora_name:lora strength_model:float -> MODEL"),
    "ControlNetLoader": _node("control_net_name:controlnet -> CONTROL_NET"),
    "ControlNetApplyAdvanced": _node(
        "positive:CONDITIONING negative:CONDITIONING control_net:CONTROL_NET image:IMAGE"
        " strength:float start_percent:float end_percent:float vae?:VAE"
        " -> CONDITIONING CONDITIONING"
    ),
    "CLIPSetLastLayer": _node("clip:CLIP stop_at_clip_layer:int -> CLIP"),
    "CLIPTextEncode": _node("clip:CLIP text:text -> CONDITIONING"),
    "ConditioningCombine": _node(
        "conditioning_1:CONDITIONING conditioning_2:CONDITIONING -> CONDITIONING"
    ),
    "ConditioningConcat": _node(
        "conditioning_to:CONDITIONING conditioning_from:CONDITIONING -> CONDITIONING"
    ),
    "ConditioningAverage": _node(
        "conditioning_to:CONDITIONING conditioning_from:CONDITIONING"
        " conditioning_to_strength:float -> CONDITIONING"
    ),
    "ConditioningZeroOut": _node("conditioning:CONDITIONING -> CONDITIONING"),
    "EmptyLatentImage": _node(f"{_SIZE} batch_size:int -> LATENT"),
    "KSampler": _node(f"{_SAMPLED} seed:int denoise:float -> LATENT"),
    "KSamplerAdvanced": _node(
        f"{_SAMPLED} noise_seed:int add_noise:choice start_at_step:int end_at_step:int"
        " return_with_leftover_noise:choice -> LATENT"
    ),
    "LatentUpscale": _node(f"samples:LATENT {_SCALED} -> LATENT"),
    "VAEDecode": _node("samples:LATENT vae:VAE -> IMAGE"),
    "VAEDecodeTiled": _node(  # Exports of older versions have its tile size alone.
        "samples:LATENT vae:VAE tile_size:int overlap?:int temporal_size?:int"
        " temporal_overlap?:int -> IMAGE"
    ),
    "LoadImage": _node("image:hint -> IMAGE MASK"),
    "EmptyImage": _node(f"{_SIZE} batch_size:int color:int -> IMAGE"),
    "ImageScale": _node(f"image:IMAGE {_SCALED} -> IMAGE"),
    "ImageInvert": _node("image:IMAGE -> IMAGE"),
    "Canny": _node("image:IMAGE low_threshold:float high_threshold:float -> IMAGE"),
    "SaveImage": _node("images:IMAGE filename_prefix?:prefix"),
}
"""The node classes that may be used, all of ComfyUI's core."""

RANGES: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(("seed", "noise_seed"), (0, 2**64 - 1)),
    "cfg": (0, 100),
    "strength": (0, 10),
    **dict.fromkeys(("denoise", "start_percent", "end_percent"), (0, 1)),
    "conditioning_to_strength": (0, 1),
    **dict.fromkeys(("strength_model", "strength_clip"), (-100, 100)),
    "stop_at_clip_layer": (-24, -1),
    **dict.fromkeys(("low_threshold", "high_threshold"), (0.01, 0.99)),
    "tile_size": (64, 4096),
    **dict.fromkeys(("overlap", "temporal_size", "temporal_overlap"), (0, 4096)),
    **dict.fromkeys(("start_at_step", "end_at_step"), (0, 10_000)),
    "color": (0, 0xFFFFFF),
}
"""The numbers that the engine itself accepts, by the name of the input."""

ROLES = frozenset({"checkpoint", "vae", "lora", "controlnet"})

MODEL_INPUTS: Mapping[str, tuple[str, str]] = {
    name: (kind, key)
    for name, node in CORE.items()
    for key, kind in node.inputs.items()
    if kind in ROLES
}
"""Every core class that loads a model: the role, and the input that names the file."""
