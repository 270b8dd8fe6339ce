"""Rehearsal room: stage props, tiny model files with real names, layouts and shapes but no weights.

``--prop FOLDER/NAME`` lays one out at start, so that a graph which names a model finds it.
"""

from collections.abc import Mapping
from pathlib import Path

from daemon.rehearsal import weights

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


def write(models: Path, prop: str, *, baked_vae: bool = True) -> None:
    """Lays out one prop below the models folder; a file that is there already stays.

    ``prop``: ``FOLDER/NAME.safetensors``; raises ValueError for a folder without a known layout
    or a name that leads out of it.
    """
    folder, _, name = prop.partition("/")
    path = (models / folder / name).resolve()
    inside = path.is_relative_to((models / folder).resolve())
    if folder not in FOLDERS or not inside or path.suffix != ".safetensors":
        known = ", ".join(FOLDERS)
        raise ValueError(f"a prop is FOLDER/NAME.safetensors with FOLDER one of {known}: {prop!r}")
    tensors = dict(FOLDERS[folder])
    if folder == "checkpoints" and baked_vae:
        tensors |= {f"first_stage_model.{key}": value for key, value in _VAE.items()}
    if not path.exists():
        weights.write(path, tensors, rehearsal="prop", name=name)
