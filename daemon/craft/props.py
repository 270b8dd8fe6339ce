"""Knows stage props, the files that stand for models where pictures are only rehearsed."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from hashlib import sha256

from daemon.core.jobs import ModelFacts

_VAE = ("decoder.conv_in.weight", "post_quant_conv.weight")
_LORA_LAYER = "lora_unet_down_blocks_0_attentions_0_proj_in"
# The tensors by which a loader tells a role.
_PROPS: Mapping[str, Sequence[str]] = {
    "checkpoint": (
        "model.diffusion_model.input_blocks.0.0.weight",
        "cond_stage_model.transformer.text_model.embeddings.position_embedding.weight",
        *(f"first_stage_model.{tensor}" for tensor in _VAE),
    ),
    "vae": _VAE,
    "lora": tuple(f"{_LORA_LAYER}.{part}" for part in ("lora_down.weight", "lora_up.weight")),
    "controlnet": (
        "control_model.zero_convs.0.0.weight",
        "control_model.input_hint_block.0.weight",
    ),
    "embedding": ("emb_params",),
}


def prop(role: str, name: str) -> bytes:
    """A stage prop: a tiny valid file that says what it is; the same name gives the same bytes."""
    shape = [1, 768] if role == "embedding" else [4]
    size = 2 * math.prod(shape)
    header: dict[str, object] = {
        "__metadata__": {"rehearsal": "prop", "role": role, "name": name},
        **{
            tensor: {"dtype": "F16", "shape": shape, "data_offsets": [at * size, (at + 1) * size]}
            for at, tensor in enumerate(_PROPS[role])
        },
    }
    raw = json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + bytes(size * len(_PROPS[role]))


def is_prop(model: ModelFacts) -> bool:
    """Whether a model is only a stage prop."""
    return model.sha256 == sha256(prop(model.role, model.name)).hexdigest()
