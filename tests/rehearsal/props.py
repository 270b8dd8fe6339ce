"""Stage props: model files with real names, layouts and shapes but no weights."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BYTES_PER = {"F16": 2, "F32": 4}
Tensors = Mapping[str, tuple[str, tuple[int, ...]]]

_UNET = "model.diffusion_model.input_blocks"
_VAE: Tensors = {
    "decoder.conv_in.weight": ("F16", (512, 4, 3, 3)),
    "post_quant_conv.weight": ("F16", (4, 4, 1, 1)),
}
_CHECKPOINT: Tensors = {
    f"{_UNET}.0.0.weight": ("F16", (320, 4, 3, 3)),
    f"{_UNET}.1.1.transformer_blocks.0.attn2.to_k.weight": ("F16", (320, 768)),
    "cond_stage_model.transformer.text_model.embeddings.position_embedding.weight": (
        "F16",
        (77, 768),
    ),
}
_LORA: Tensors = {
    "lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": ("F16", (4, 320, 1, 1)),
    "lora_unet_down_blocks_0_attentions_0_proj_in.lora_up.weight": ("F16", (320, 4, 1, 1)),
    "lora_unet_down_blocks_0_attentions_0_proj_in.alpha": ("F16", ()),
}
_CONTROLNET: Tensors = {
    "control_model.zero_convs.0.0.weight": ("F16", (320, 320, 1, 1)),
    "control_model.input_hint_block.0.weight": ("F16", (16, 3, 3, 3)),
}
FOLDERS: Mapping[str, Tensors] = {
    "checkpoints": _CHECKPOINT,
    "vae": _VAE,
    "loras": _LORA,
    "controlnet": _CONTROLNET,
}


def write(models: Path, name: str) -> None:
    """Lays out one prop below the models folder. ``name``: ``FOLDER/NAME.safetensors``."""
    write_zeros(models / name, FOLDERS[name.partition("/")[0]])


def write_zeros(path: Path, tensors: Tensors) -> None:
    """Writes a valid file whose tensors are all zero.

    ``tensors``: name to (dtype, shape). The zeros are a hole in the file where the file system
    can keep one, so that realistic shapes cost no disk.
    """
    header: dict[str, Any] = {}
    end = 0
    for name, (dtype, shape) in tensors.items():
        begin, end = end, end + math.prod(shape) * BYTES_PER[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
    raw = json.dumps(header, separators=(",", ":")).encode()
    raw += b" " * (-len(raw) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        file.truncate(8 + len(raw) + end)
