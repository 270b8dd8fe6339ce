"""Rehearsal room: the node classes, their inputs with limits, and how /object_info tells them.

Names, limits, defaults and key order are those of ComfyUI 0.3.64; the texts are our own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from daemon.rehearsal.folders import Layout

# fmt: off
SAMPLERS: Sequence[str] = (
    "euler", "euler_cfg_pp", "euler_ancestral", "euler_ancestral_cfg_pp", "heun", "heunpp2",
    "dpm_2", "dpm_2_ancestral", "lms", "dpm_fast", "dpm_adaptive", "dpmpp_2s_ancestral",
    "dpmpp_2s_ancestral_cfg_pp", "dpmpp_sde", "dpmpp_sde_gpu", "dpmpp_2m",
    "dpmpp_2m_cfg_pp", "dpmpp_2m_sde", "dpmpp_2m_sde_gpu", "dpmpp_2m_sde_heun",
    "dpmpp_2m_sde_heun_gpu", "dpmpp_3m_sde", "dpmpp_3m_sde_gpu", "ddpm", "lcm", "ipndm",
    "ipndm_v", "deis", "res_multistep", "res_multistep_cfg_pp", "res_multistep_ancestral",
    "res_multistep_ancestral_cfg_pp", "gradient_estimation", "gradient_estimation_cfg_pp",
    "er_sde", "seeds_2", "seeds_3", "sa_solver", "sa_solver_pece", "ddim", "uni_pc",
    "uni_pc_bh2",
)
SCHEDULERS: Sequence[str] = (
    "simple", "sgm_uniform", "karras", "exponential", "ddim_uniform", "beta", "normal",
    "linear_quadratic", "kl_optimal",
)
# fmt: on
Choices = Callable[[Layout], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Input:
    """One input: a type name, or the choices of a combo, with the options that go with it."""

    kind: str | Choices
    options: Mapping[str, Any] = field(default_factory=dict)

    def config(self, layout: Layout) -> tuple[str | list[str], dict[str, Any]]:
        """Type or list of values, and options, as error bodies name them."""
        kind = self.kind if isinstance(self.kind, str) else list(self.kind(layout))
        return kind, dict(self.options)

    def as_json(self, layout: Layout) -> list[Any]:
        """The same as /object_info has it: without options the list is one long."""
        kind, options = self.config(layout)
        return [kind, options] if options else [kind]


@dataclass(frozen=True, slots=True)
class NodeClass:
    """A node class: its inputs in declared order and the types of its outputs."""

    display: str
    category: str
    required: Mapping[str, Input]
    outputs: Sequence[str] = ()
    optional: Mapping[str, Input] = field(default_factory=dict)
    output_names: Sequence[str] = ()
    description: str = ""
    output_tooltips: Sequence[str] = ()
    saves: bool = False

    def as_json(self, name: str, layout: Layout) -> dict[str, Any]:
        """The entry of /object_info."""
        groups = {"required": self.required} | (
            {"optional": self.optional} if self.optional else {}
        )
        inputs: dict[str, Any] = {
            group: {key: spec.as_json(layout) for key, spec in specs.items()}
            for group, specs in groups.items()
        }
        if self.saves:
            inputs["hidden"] = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}
        entry: dict[str, Any] = {
            "input": inputs,
            "input_order": {group: list(specs) for group, specs in inputs.items()},
            "output": list(self.outputs),
            "output_is_list": [False] * len(self.outputs),
            "output_name": list(self.output_names or self.outputs),
            "name": name,
            "display_name": self.display,
            "description": self.description,
            "python_module": "nodes",
            "category": self.category,
            "output_node": self.saves,
        }
        return entry | (
            {"output_tooltips": list(self.output_tooltips)} if self.output_tooltips else {}
        )


def _link(kind: str, tooltip: str = "") -> Input:
    return Input(kind, {"tooltip": tooltip} if tooltip else {})


def _int(low: int, high: int, default: int, **more: Any) -> Input:
    return Input("INT", {"default": default, "min": low, "max": high, **more})


def _float(low: float, high: float, default: float, step: float, **more: Any) -> Input:
    return Input("FLOAT", {"default": default, "min": low, "max": high, "step": step, **more})


def _models(folder: str, **options: Any) -> Input:
    return Input(lambda layout: layout.model_names(folder), options)


def _fixed(values: Sequence[str], tooltip: str) -> Input:
    return Input(lambda _: values, {"tooltip": tooltip})


_SEED = _int(0, 2**64 - 1, 0, control_after_generate=True, tooltip="Chooses the noise.")
_SIDE = {"step": 8, "tooltip": "Pixels; the picture has the multiple of eight below."}
_IMAGES = _link("IMAGE", "The pictures to save.")

CLASSES: Mapping[str, NodeClass] = {
    "KSampler": NodeClass(
        "KSampler",
        "sampling",
        {
            "model": _link("MODEL", "The net that denoises."),
            "seed": _SEED,
            "steps": _int(1, 10000, 20, tooltip="Sampler steps."),
            "cfg": _float(0.0, 100.0, 8.0, 0.1, round=0.01, tooltip="Weight of the prompt."),
            "sampler_name": _fixed(SAMPLERS, "The sampling method."),
            "scheduler": _fixed(SCHEDULERS, "How noise levels are spread over the steps."),
            "positive": _link("CONDITIONING", "What to show."),
            "negative": _link("CONDITIONING", "What to leave out."),
            "latent_image": _link("LATENT", "Where to start."),
            "denoise": _float(0.0, 1.0, 1.0, 0.01, tooltip="Share of noise at the start."),
        },
        ("LATENT",),
        description="Denoises a latent picture.",
        output_tooltips=("The denoised latent.",),
    ),
    "CheckpointLoaderSimple": NodeClass(
        "Load Checkpoint",
        "loaders",
        {"ckpt_name": _models("checkpoints", tooltip="The checkpoint file.")},
        ("MODEL", "CLIP", "VAE"),
        description="Loads net, text encoder and VAE from one file.",
        output_tooltips=("The net.", "The text encoder.", "The VAE."),
    ),
    "CLIPTextEncode": NodeClass(
        "CLIP Text Encode (Prompt)",
        "conditioning",
        {
            "text": Input(
                "STRING", {"multiline": True, "dynamicPrompts": True, "tooltip": "The text."}
            ),
            "clip": _link("CLIP", "The text encoder."),
        },
        ("CONDITIONING",),
        description="Encodes a text.",
        output_tooltips=("The encoded text.",),
    ),
    "CLIPSetLastLayer": NodeClass(
        "CLIP Set Last Layer",
        "conditioning",
        {"clip": _link("CLIP"), "stop_at_clip_layer": _int(-24, -1, -1, step=1)},
        ("CLIP",),
    ),
    "VAELoader": NodeClass(
        "Load VAE", "loaders", {"vae_name": Input(lambda layout: layout.vae_names())}, ("VAE",)
    ),
    "VAEDecode": NodeClass(
        "VAE Decode",
        "latent",
        {"samples": _link("LATENT", "The latent."), "vae": _link("VAE", "The VAE.")},
        ("IMAGE",),
        description="Turns a latent into pixels.",
        output_tooltips=("The picture.",),
    ),
    "VAEDecodeTiled": NodeClass(
        "VAE Decode (Tiled)",
        "_for_testing",
        {
            "samples": _link("LATENT"),
            "vae": _link("VAE"),
            "tile_size": _int(64, 4096, 512, step=32),
            "overlap": _int(0, 4096, 64, step=32),
            "temporal_size": _int(8, 4096, 64, step=4, tooltip="For video only."),
            "temporal_overlap": _int(4, 4096, 8, step=4, tooltip="For video only."),
        },
        ("IMAGE",),
    ),
    "LoraLoader": NodeClass(
        "Load LoRA",
        "loaders",
        {
            "model": _link("MODEL", "The net."),
            "clip": _link("CLIP", "The text encoder."),
            "lora_name": _models("loras", tooltip="The LoRA file."),
            "strength_model": _float(-100.0, 100.0, 1.0, 0.01, tooltip="On the net."),
            "strength_clip": _float(-100.0, 100.0, 1.0, 0.01, tooltip="On the text encoder."),
        },
        ("MODEL", "CLIP"),
        description="Changes net and text encoder by a LoRA.",
        output_tooltips=("The changed net.", "The changed text encoder."),
    ),
    "ControlNetLoader": NodeClass(
        "Load ControlNet Model",
        "loaders",
        {"control_net_name": _models("controlnet")},
        ("CONTROL_NET",),
    ),
    "ControlNetApplyAdvanced": NodeClass(
        "Apply ControlNet",
        "conditioning/controlnet",
        {
            "positive": _link("CONDITIONING"),
            "negative": _link("CONDITIONING"),
            "control_net": _link("CONTROL_NET"),
            "image": _link("IMAGE"),
            "strength": _float(0.0, 10.0, 1.0, 0.01),
            "start_percent": _float(0.0, 1.0, 0.0, 0.001),
            "end_percent": _float(0.0, 1.0, 1.0, 0.001),
        },
        ("CONDITIONING", "CONDITIONING"),
        optional={"vae": _link("VAE")},
        output_names=("positive", "negative"),
    ),
    "EmptyLatentImage": NodeClass(
        "Empty Latent Image",
        "latent",
        {
            "width": _int(16, 16384, 512, **_SIDE),
            "height": _int(16, 16384, 512, **_SIDE),
            "batch_size": _int(1, 4096, 1, tooltip="Pictures at once."),
        },
        ("LATENT",),
        description="An empty latent to start from.",
        output_tooltips=("The empty latent.",),
    ),
    "EmptyImage": NodeClass(
        "EmptyImage",
        "image",
        {
            "width": _int(1, 16384, 512, step=1),
            "height": _int(1, 16384, 512, step=1),
            "batch_size": _int(1, 4096, 1),
            "color": _int(0, 0xFFFFFF, 0, step=1, display="color"),
        },
        ("IMAGE",),
    ),
    "LoadImage": NodeClass(
        "Load Image",
        "image",
        {"image": Input(lambda layout: layout.input_names(), {"image_upload": True})},
        ("IMAGE", "MASK"),
    ),
    "SaveImage": NodeClass(
        "Save Image",
        "image",
        {
            "images": _IMAGES,
            "filename_prefix": Input(
                "STRING", {"default": "ComfyUI", "tooltip": "Start of the file name."}
            ),
        },
        description="Saves pictures to the output folder.",
        saves=True,
    ),
    "PreviewImage": NodeClass(
        "Preview Image",
        "image",
        {"images": _link("IMAGE")},
        description="Saves pictures to the temporary folder.",
        saves=True,
    ),
}
