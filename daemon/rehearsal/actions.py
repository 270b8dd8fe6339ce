"""Rehearsal room: what each node class does, with values that describe instead of tensors.

A model is its name and its LoRAs, a latent is a size and, once sampled, the shot to draw. Loaders
read the headers of the real files and fail as the real loaders fail.
"""

import hashlib
import logging
import secrets
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from PIL import Image, ImageChops, ImageFilter, ImageOps

from daemon.rehearsal import weights
from daemon.rehearsal.draw import Hint, Shot, draw
from daemon.rehearsal.faults import Faults
from daemon.rehearsal.folders import Layout, save_png
from daemon.rehearsal.sockets import Switchboard

_log = logging.getLogger(__name__)
_MPS_OUT_OF_MEMORY = (
    "MPS backend out of memory (MPS allocated: 17.90 GB, other allocations: 200.00 MB, max "
    "allowed: 18.13 GB). Tried to allocate 256.00 MB on private pool. Use "
    "PYTORCH_MPS_HIGH_WATERMARK_RATIO=0.0 to disable upper limit for memory allocations (may "
    "cause system failure)."
)
_FALLBACK = (
    "The operator 'aten::_linalg_svd.U' is not currently supported on the MPS backend and will "
    "fall back to run on the CPU. This may have performance implications."
)
_NO_VAE = (
    "ERROR: VAE is invalid: None\n\nIf the VAE is from a checkpoint loader node your checkpoint "
    "does not contain a valid VAE."
)
_NO_CLIP = (
    "ERROR: clip input is invalid: None\n\nIf the clip is from a checkpoint loader node your "
    "checkpoint does not contain a valid clip or text encoder model."
)
_LORA_HINT = (
    "HINT: This seems to be a Lora file and Lora files should be put in the lora folder and "
    "loaded with a lora loader node.."
)


@dataclass(frozen=True, slots=True)
class Model:
    """MODEL and CLIP: where they came from and what was laid over them."""

    checkpoint: str
    loras: tuple[tuple[str, float], ...] = ()
    clip_layer: int = -1


@dataclass(frozen=True, slots=True)
class Conditioning:
    """An encoded text and the hints that were applied to it."""

    text: str
    clip: Model
    hints: tuple[Hint, ...] = ()


@dataclass(frozen=True, slots=True)
class Latent:
    """A size in pixels, a multiple of eight, and once sampled the shot to draw."""

    width: int
    height: int
    batch: int
    shot: Shot | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """What actions may use of the server."""

    layout: Layout
    faults: Faults
    switchboard: Switchboard
    step_s: float


@dataclass(frozen=True, slots=True)
class Call:
    """One node to run: its resolved inputs, and what it may use."""

    stage: Stage
    inputs: Mapping[str, Any]
    prompt: Mapping[str, Any] = field(default_factory=dict)
    extra_pnginfo: Mapping[str, Any] | None = None
    tick: Callable[[int, int], None] = lambda _value, _total: None

    def __getitem__(self, name: str) -> Any:
        return self.inputs[name]


@dataclass(frozen=True, slots=True)
class Done:
    """What a node gave: its outputs by slot, and what it shows to the user interface."""

    outputs: tuple[Any, ...] = ()
    ui: dict[str, Any] | None = None


def perform(name: str, call: Call) -> Done:
    """Runs a node of a class. What it raises becomes the execution_error of the prompt."""
    return _ACTIONS[name](call)


def changed_mark(name: str, inputs: Mapping[str, Any], layout: Layout) -> str:
    """What belongs to a node's cache key beside its inputs: the bytes of an image it loads."""
    image = inputs.get("image")
    if name != "LoadImage" or not isinstance(image, str):
        return ""
    path = layout.input_path(image)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _load_checkpoint(call: Call) -> Done:
    path = call.stage.layout.model_path("checkpoints", call["ckpt_name"])
    header = weights.read_header(path)
    if not weights.is_checkpoint(header):
        hint = _LORA_HINT if "lora" in path.name.lower() else ""
        raise RuntimeError(f"ERROR: Could not detect model type of: {path}\n\n{hint}")
    model = Model(call["ckpt_name"])
    clip = model if weights.has_text_encoder(header) else None
    return Done((model, clip, call["ckpt_name"] if weights.has_vae(header) else None))


def _load_vae(call: Call) -> Done:
    name = call["vae_name"]
    if name != "pixel_space":
        header = weights.read_header(call.stage.layout.model_path("vae", name))
        if not weights.is_vae(header):
            raise RuntimeError(_NO_VAE)
    return Done((name,))


def _load_lora(call: Call) -> Done:
    name, strength = call["lora_name"], call["strength_model"]
    header = weights.read_header(call.stage.layout.model_path("loras", name))
    layers = (call["model"], call["clip"])
    keys = set(header) - {"__metadata__"}
    lost = keys if call.stage.faults.take("lora_unmatched") else weights.unmatched_lora_keys(header)
    for key in sorted(lost):
        _log.warning("lora key not loaded: %s", key)
    if len(lost) == len(keys):
        return Done(layers)
    return Done(tuple(m and replace(m, loras=(*m.loras, (name, strength))) for m in layers))


def _load_controlnet(call: Call) -> Done:
    name = call["control_net_name"]
    header = weights.read_header(call.stage.layout.model_path("controlnet", name))
    if not weights.is_controlnet(header):
        raise RuntimeError(
            "ERROR: controlnet file is invalid and does not contain a valid controlnet model."
        )
    return Done((name,))


def _set_last_layer(call: Call) -> Done:
    if call["clip"] is None:
        raise RuntimeError(_NO_CLIP)
    return Done((replace(call["clip"], clip_layer=call["stop_at_clip_layer"]),))


def _encode(call: Call) -> Done:
    if call["clip"] is None:
        raise RuntimeError(_NO_CLIP)
    return Done((Conditioning(call["text"], call["clip"]),))


def _apply_controlnet(call: Call) -> Done:
    acts = call["strength"], call["start_percent"], call["end_percent"]
    hint = Hint(call["image"][0], call["control_net"], *acts)
    texts = (call["positive"], call["negative"])
    return Done(tuple(replace(text, hints=(*text.hints, hint)) for text in texts))


def _empty_latent(call: Call) -> Done:
    width, height = (call[side] // 8 * 8 for side in ("width", "height"))
    return Done((Latent(width, height, call["batch_size"]),))


def _sample(call: Call) -> Done:
    stage, steps = call.stage, call["steps"]
    if stage.faults.take("oom"):
        raise RuntimeError(_MPS_OUT_OF_MEMORY)
    if stage.faults.take("cpu_fallback"):
        warnings.warn(_FALLBACK, UserWarning, stacklevel=1)
    pause_s = stage.step_s * (stage.faults.number("slow") or 1.0)
    cut_at = (steps + 1) // 2 if stage.faults.take("drop_socket") else 0
    for step in range(1, steps + 1):
        time.sleep(pause_s)
        if step == (steps + 1) // 2:
            stage.faults.die_if("sampling")
        call.tick(step, steps)
        if step == cut_at:
            stage.switchboard.call(stage.switchboard.cut)
    return Done((replace(call["latent_image"], shot=_shot(call)),))


def _shot(call: Call) -> Shot:
    model, positive = call["model"], call["positive"]
    return Shot(
        positive=positive.text,
        negative=call["negative"].text,
        checkpoint=model.checkpoint,
        loras=model.loras,
        hints=positive.hints,
        seed=call["seed"],
        steps=call["steps"],
        cfg=call["cfg"],
        sampler=call["sampler_name"],
        scheduler=call["scheduler"],
        denoise=call["denoise"],
        clip_layer=positive.clip.clip_layer,
    )


def _decode(call: Call) -> Done:
    if call["vae"] is None:
        raise RuntimeError(_NO_VAE)
    latent, faults = call["samples"], call.stage.faults
    size = (latent.width, latent.height)
    nan = faults.take("nan")
    if nan:
        # As NumPy warns: Python shows it once in a process, or as often as PYTHONWARNINGS says.
        warnings.warn("invalid value encountered in cast", RuntimeWarning, stacklevel=1)
    if nan or faults.take("black"):
        return Done(([Image.new("RGB", size)] * latent.batch,))
    if latent.shot is None:
        return Done(([Image.new("RGB", size, (127, 127, 127))] * latent.batch,))
    shots = [replace(latent.shot, index=i, vae=call["vae"]) for i in range(latent.batch)]
    return Done(([draw(shot, *size) for shot in shots],))


def _empty_image(call: Call) -> Done:
    color = call["color"]
    rgb = (color >> 16 & 255, color >> 8 & 255, color & 255)
    return Done(([Image.new("RGB", (call["width"], call["height"]), rgb)] * call["batch_size"],))


def _load_image(call: Call) -> Done:
    with Image.open(call.stage.layout.input_path(call["image"])) as image:
        return Done(([ImageOps.exif_transpose(image).convert("RGB")], None))


def _canny(call: Call) -> Done:
    return Done(([_lines(image, call["low_threshold"] * 128) for image in call["image"]],))


def _lines(image: Image.Image, limit: float) -> Image.Image:
    """White where neighbours differ by more than that: what a storyboard needs of edges."""
    grey = image.convert("L").filter(ImageFilter.GaussianBlur(1))
    high, low = (grey.filter(kind(3)) for kind in (ImageFilter.MaxFilter, ImageFilter.MinFilter))
    steps = ImageChops.subtract(high, low)
    return steps.point(lambda step: 255 if step > limit else 0).convert("RGB")


def _save(call: Call) -> Done:
    return _write(call, "output", call["filename_prefix"])


def _preview(call: Call) -> Done:
    letters = "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(5))
    return _write(call, "temp", f"ComfyUI_temp_{letters}")


def _write(call: Call, kind: str, prefix: str) -> Done:
    stage = call.stage
    texts = {"prompt": call.prompt, **(call.extra_pnginfo or {})}
    names = save_png(call["images"], stage.layout.base / kind, prefix, texts, stage.faults)
    return Done((), {"images": [{**name, "type": kind} for name in names]})


_ACTIONS: Mapping[str, Callable[[Call], Done]] = {
    "CheckpointLoaderSimple": _load_checkpoint,
    "VAELoader": _load_vae,
    "LoraLoader": _load_lora,
    "ControlNetLoader": _load_controlnet,
    "ControlNetApplyAdvanced": _apply_controlnet,
    "CLIPSetLastLayer": _set_last_layer,
    "CLIPTextEncode": _encode,
    "EmptyLatentImage": _empty_latent,
    "KSampler": _sample,
    "VAEDecode": _decode,
    "VAEDecodeTiled": _decode,
    "EmptyImage": _empty_image,
    "LoadImage": _load_image,
    "Canny": _canny,
    "SaveImage": _save,
    "PreviewImage": _preview,
}
