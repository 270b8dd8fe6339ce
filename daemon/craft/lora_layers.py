"""Knows the layers of Stable Diffusion 1.5 by the names under which ComfyUI finds a LoRA's.

Law: a layer that is wider than SD 1.5's cannot fit; a narrower one is a toy model's, and passes.
Source: the keys that ComfyUI looks for, and how kohya's and diffusers' trainers name layers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_CONTEXT = 768
_TEXT_INNER = 3072

_PART = re.compile(
    r"(?P<down>\.lora_down\.weight|[._]lora\.down\.weight|\.lora_A(?:\.default)?(?:\.weight)?"
    r"|\.lora_linear_layer\.down\.weight)"
    r"|(?P<up>\.lora_up\.weight|[._]lora\.up\.weight|\.lora_B(?:\.default)?(?:\.weight)?"
    r"|\.lora_linear_layer\.up\.weight)"
    r"|(?P<other>\.lora_mid\.weight|\.dora_scale|\.(?:hada|lokr)_\w+|\.oft_blocks)"
    r"|\.alpha|\.diff(?:_b)?|\.[wb]_norm|\.set_weight|\.reshape_weight|\.rescale|\.[ab][12]\.weight"
)
"""The end of a tensor's name: which part of its layer it is."""
_AXES: Mapping[str, int] = {"up": 0, "down": 1}
"""Where a part tells the width of its layer: "up" what it gives, "down" what it takes."""

_TEXT = re.compile(
    r"(?:lora_te1?_|text_encoder_|text_encoders_clip_l_transformer_)"
    r"text_model_encoder_layers_(?:\d|1[01])_"
    r"(?:self_attn_[qkv]_proj|self_attn_out_proj|mlp_(?P<fc>fc[12])|layer_norm[12])"
)
_ATTENTION = (
    r"(?P<attention>proj_in|proj_out|norm|transformer_blocks_0_"
    r"(?:attn[12]_to_[qkv]|attn[12]_to_out_0|ff_net_0_proj|ff_net_2|norm[123]))"
)
_RESNET = r"(?:conv[12]|conv_shortcut|time_emb_proj|norm[12])"
_RES_BLOCK = r"(?:in_layers_[02]|emb_layers_1|out_layers_[03]|skip_connection)"
_WIDTHS: Mapping[str, tuple[int, ...]] = {
    "down_blocks": (320, 640, 1280, 1280),
    "up_blocks": (1280, 1280, 640, 320),
    "mid_block": (1280,),
    "input_blocks": (320,) * 4 + (640,) * 3 + (1280,) * 5,
    "output_blocks": (1280,) * 6 + (640,) * 3 + (320,) * 3,
    "middle_block": (1280,) * 3,
}
"""The channels of each block of the U-Net, as diffusers and as the original program count them."""

_PLACES = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?P<block>down_blocks)_(?P<at>[0-2])_attentions_[01]_{_ATTENTION}",
        rf"(?P<block>up_blocks)_(?P<at>[1-3])_attentions_[0-2]_{_ATTENTION}",
        rf"(?P<block>mid_block)_attentions_0_{_ATTENTION}",
        rf"down_blocks_[0-3]_resnets_[01]_{_RESNET}|down_blocks_[0-2]_downsamplers_0_conv",
        rf"up_blocks_[0-3]_resnets_[0-2]_{_RESNET}|up_blocks_[0-2]_upsamplers_0_conv",
        rf"mid_block_resnets_[01]_{_RESNET}|conv_in|conv_out|conv_norm_out",
        r"time_embedding_linear_[12]",
        rf"(?P<block>input_blocks)_(?P<at>[124578])_1_{_ATTENTION}",
        rf"(?P<block>output_blocks)_(?P<at>[3-9]|1[01])_1_{_ATTENTION}",
        rf"(?P<block>middle_block)_(?P<at>1)_{_ATTENTION}",
        rf"input_blocks_(?:\d|1[01])_0_(?:{_RES_BLOCK}|op)|input_blocks_0_0",
        rf"output_blocks_(?:\d|1[01])_(?:0_{_RES_BLOCK}|[12]_conv)",
        rf"middle_block_[02]_{_RES_BLOCK}|time_embed_[02]|out_[02]",
    )
)


@dataclass(frozen=True, slots=True)
class Fit:
    """How a LoRA fits SD 1.5: its layers, those without a place there, and the first that is too
    wide as (layer, width, width there).
    """

    layers: int
    unplaced: tuple[str, ...]
    wide: tuple[str, int, int] | None = None


def is_lora(names: Iterable[str]) -> bool:
    """Whether these are the tensors of a LoRA of any family."""
    return any(
        name.startswith(("lora_unet_", "lora_te", "lycoris_")) or _part(name)[1] for name in names
    )


def fit(shapes: Mapping[str, tuple[int, ...]]) -> Fit:
    """How the tensors of a LoRA, name -> shape, fit SD 1.5."""
    layers: dict[str, tuple[int, int] | None] = {}
    wide = None
    for name, shape in shapes.items():
        layer, part = _part(name)
        if layer not in layers:
            layers[layer] = _place(layer)
        place = layers[layer]
        if place and part in _AXES and len(shape) > 1 and wide is None:
            width, there = shape[_AXES[part]], place[_AXES[part]]
            wide = (layer, width, there) if there and width > there else None
    return Fit(len(layers), tuple(layer for layer, place in layers.items() if not place), wide)


def _part(name: str) -> tuple[str, str]:
    """The layer that a tensor belongs to, and which part it is where only LoRAs have it."""
    for found in _PART.finditer(name):
        if found.end() == len(name):
            return name[: found.start()], found.lastgroup or ""
    return name, ""


def _place(layer: str) -> tuple[int, int] | None:
    """How much the layer of this name gives and takes, 0 = not looked at; None: there is none."""
    plain = layer.replace(".", "_")
    if found := _TEXT.fullmatch(plain):
        inner = found["fc"]
        return (
            _TEXT_INNER if inner == "fc1" else _CONTEXT,
            _TEXT_INNER if inner == "fc2" else _CONTEXT,
        )
    name = _in_the_unet(layer)
    found = next((match for each in _PLACES if (match := each.fullmatch(name))), None)
    if found is None:
        return None
    groups = found.groupdict()
    if "attention" not in groups:
        return 0, 0
    width = _WIDTHS[groups["block"]][int(groups.get("at") or 0)]
    return _sizes(groups["attention"].removeprefix("transformer_blocks_0_"), width)


def _in_the_unet(layer: str) -> str:
    """A layer's name with _ for ., without what a trainer puts before it; '' for no such name."""
    for prefix in ("lora_unet_", "lycoris_"):
        if layer.startswith(prefix):
            return layer.removeprefix(prefix)
    if layer.startswith("diffusion_model."):
        return layer.removeprefix("diffusion_model.").replace(".", "_")
    # ComfyUI knows diffusers' attention by its old name only, with `processor` in it.
    if re.search(r"(?<!processor)\.to_", layer):
        return ""
    name = layer.removeprefix("unet.").replace(".processor.to_", ".to_")
    name = f"{name}.0" if name.endswith(".to_out") else name
    return name.replace(".", "_")


def _sizes(part: str, width: int) -> tuple[int, int]:
    """How much a part of an attention block of this width gives and takes."""
    match part:
        case "attn2_to_k" | "attn2_to_v":
            return width, _CONTEXT
        case "ff_net_0_proj":
            return 8 * width, width
        case "ff_net_2":
            return width, 4 * width
        case _:
            return width, width
