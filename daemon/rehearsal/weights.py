"""Rehearsal room: safetensors headers, read and refused as the real loaders do.

Only headers are ever read; no tensor data is loaded. Format: 8 bytes little-endian header length,
a JSON object of tensors, then the data (huggingface/safetensors, "Format").
"""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HEADER_LIMIT_BYTES = 100_000_000


class SafetensorError(Exception):
    """A file that the real safetensors library refuses, with its wording."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Error while deserializing header: {reason}")


class UnpicklingError(Exception):
    """A pickled file (.ckpt, .pt): the rehearsal never unpickles anything."""


def read_header(path: Path) -> dict[str, Any]:
    """The header of a safetensors file: tensor name to dtype, shape and offsets.

    Raises SafetensorError with the library's wording for a broken file, UnpicklingError for a
    pickled one, FileNotFoundError where there is none.
    """
    if path.suffix not in (".safetensors", ".sft"):
        raise UnpicklingError(f"the rehearsal reads only safetensors files: {path.name}")
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        if len(prefix) < 8:
            raise SafetensorError("header too small")
        (length,) = struct.unpack("<Q", prefix)
        if length > HEADER_LIMIT_BYTES:
            raise SafetensorError("header too large")
        if length > size - 8:
            raise SafetensorError("invalid header length")
        header = _parse(file.read(length))
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    if max(ends, default=0) != size - 8 - length:
        raise SafetensorError("incomplete metadata, file not fully covered")
    return header


def _parse(raw: bytes) -> dict[str, Any]:
    try:
        header = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise SafetensorError(f"invalid UTF-8 in header: {error.reason}") from None
    except ValueError:
        raise SafetensorError("invalid JSON in header: expected ident at line 1 column 2") from None
    if not isinstance(header, dict):
        raise SafetensorError("invalid JSON in header: expected a map at line 1 column 1")
    return header


def is_checkpoint(header: Mapping[str, Any]) -> bool:
    """Whether a file holds a denoising net in the checkpoint layout."""
    return any(name.startswith("model.diffusion_model.") for name in header)


def has_text_encoder(header: Mapping[str, Any]) -> bool:
    """Whether a checkpoint brings its text encoder."""
    return any(name.startswith("cond_stage_model.transformer.") for name in header)


def has_vae(header: Mapping[str, Any]) -> bool:
    """Whether a checkpoint brings its VAE."""
    return any(name.startswith("first_stage_model.") for name in header)


def is_vae(header: Mapping[str, Any]) -> bool:
    """Whether a file is a VAE of its own, in one of the three known layouts."""
    return "decoder.conv_in.weight" in header or any(n.startswith("taesd_decoder.") for n in header)


def is_controlnet(header: Mapping[str, Any]) -> bool:
    """Whether a file is a ControlNet, in the original or the diffusers layout."""
    marks = ("zero_convs.0.0.weight", "controlnet_cond_embedding.conv_in.weight")
    return any(name.removeprefix("control_model.") in marks for name in header)


def unmatched_lora_keys(header: Mapping[str, Any]) -> list[str]:
    """The keys of a LoRA file that no layer of this family answers to."""
    known = ("lora_unet_", "lora_te_", "lora_te1_", "unet.", "text_encoder.", "__metadata__")
    return [name for name in header if not name.startswith(known)]
