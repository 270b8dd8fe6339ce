"""Rehearsal room: the files that the trainer reads and leaves, in sd-scripts' order and names.

Law: a file grows in place under its final name. The tensors have the real names and narrow shapes,
so that a training costs no disk; their values follow from the seed and the optimizer steps taken.
"""

import argparse
import errno
import hashlib
import io
import json
import os
import shutil
import signal
import struct
import time
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.rehearsal import weights
from daemon.rehearsal.trainer_options import Rehearsal
from daemon.rehearsal.trainer_output import Console

_WIDTH = 4
_PT = {"format": "pt"}
# Precision -> its name in the header, its bytes, and the exponent's bits of a small number.
_PRECISIONS = {"float": ("F32", 4, 0x3C), "fp16": ("F16", 2, 0x24), "bf16": ("BF16", 2, 0x3C)}
_REASONS = {
    "header too small": "HeaderTooSmall",
    "header too large": "HeaderTooLarge",
    "invalid header length": "InvalidHeaderLength",
    "incomplete metadata, file not fully covered": "MetadataIncompleteBuffer",
}


class SafetensorError(Exception):
    """What the real library raises, under its real name."""

    __module__ = "safetensors_rust"


def modules(*, text_encoder: bool = True, unet: bool = True) -> list[str]:
    """The 72 and 192 layers of SD 1.5 that a LoRA of networks.lora touches, as kohya names them."""
    parts = [f"self_attn_{name}_proj" for name in ("k", "v", "q", "out")] + ["mlp_fc1", "mlp_fc2"]
    prefix = "lora_te_text_model_encoder_layers"
    found = [f"{prefix}_{i}_{part}" for i in range(12) for part in parts] if text_encoder else []
    blocks = [f"down_blocks_{i}_attentions_{k}" for i in range(3) for k in range(2)]
    blocks += ["mid_block_attentions_0"]
    blocks += [f"up_blocks_{i}_attentions_{k}" for i in range(1, 4) for k in range(3)]
    inner = [f"attn{i}_to_{name}" for i in (1, 2) for name in ("q", "k", "v", "out_0")]
    layers = [f"transformer_blocks_0_{name}" for name in (*inner, "ff_net_0_proj", "ff_net_2")]
    layers += ["proj_in", "proj_out"]
    return found + [f"lora_unet_{b}_{layer}" for b in blocks for layer in layers if unet]


def check(path: Path) -> Mapping[str, Any]:
    """The header of a safetensors file; raises SafetensorError in the words of version 0.4.5."""
    try:
        return weights.read_header(path)
    except weights.SafetensorError as error:
        reason = str(error).removeprefix("Error while deserializing header: ")
        word = _REASONS.get(reason, "InvalidHeaderDeserialization")
        raise SafetensorError(f"Error while deserializing header: {word}") from None


@dataclass(frozen=True, slots=True)
class Weights:
    """What the LoRA would hold after so many optimizer steps; ``nan``: nothing but NaN."""

    names: list[str]
    rank: int
    alpha: float
    seed: int
    steps: int
    nan: bool

    def data(self, precision: str) -> bytes:
        """The tensors' bytes, module by module: alpha, down, up."""
        _, size, exponent = _PRECISIONS[precision]
        alpha = struct.pack("<e" if precision == "fp16" else "<f", self.alpha)[-size:]
        drawn = hashlib.shake_256(f"{self.seed}:{self.steps}".encode())
        each = 2 * self.rank * _WIDTH * size
        values = bytearray(drawn.digest(len(self.names) * each))
        if self.nan:
            values = bytearray(b"\xff" * len(values))
        else:
            # The sign is drawn, the magnitude is that of a trained layer.
            small = bytes((byte & 0x80) | exponent for byte in range(256))
            values[size - 1 :: size] = values[size - 1 :: size].translate(small)
        return b"".join(alpha + values[at : at + each] for at in range(0, len(values), each))

    def file(self, precision: str, metadata: Mapping[str, str], data: bytes) -> bytes:
        """A whole safetensors file (huggingface/safetensors, "Format")."""
        kind, size, _ = _PRECISIONS[precision]
        shapes = {".alpha": [], ".lora_down.weight": [self.rank, _WIDTH]}
        shapes[".lora_up.weight"] = [_WIDTH, self.rank]
        header: dict[str, Any] = {"__metadata__": metadata}
        end = 0
        for name in self.names:
            for part, shape in shapes.items():
                begin, end = end, end + size * (self.rank * _WIDTH if shape else 1)
                entry = {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}
                header[name + part] = entry
        raw = json.dumps(header, separators=(",", ":")).encode()
        raw += b" " * (-len(raw) % 8)
        return struct.pack("<Q", len(raw)) + raw + data


class Folder:
    """The output folder. It appears with its first file, and may fail only then."""

    def __init__(self, options: argparse.Namespace, play: Rehearsal, console: Console) -> None:
        self._options = options
        self._faults = play.faults
        self._pause_s = play.step_s / 4
        self._console = console

    def save(self, kind: str, number: int, lora: Weights, metadata: Mapping[str, str]) -> None:
        """Writes the checkpoint of an epoch, of a step, or the last; stdout hears of it before."""
        Path(self._options.output_dir).mkdir(parents=True, exist_ok=True)
        path = self._path(kind, number, ".safetensors")
        print(f"\nsaving checkpoint: {path}")
        precision = self._options.save_precision or "float"
        data = lora.data(precision)
        sums = {"sshs_model_hash": hashlib.sha256(data).hexdigest()}
        content = lora.file(precision, {**metadata, **sums}, data)
        if kind == "last" and "truncated_final" in self._faults:
            content = content[: len(content) // 2]
        try:
            self._write(path, content, self._faults)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            reason = f'IoError(Os {{ code: 28, kind: StorageFull, message: "{error.strerror}" }})'
            raise SafetensorError(f"Error while serializing: {reason}") from None

    def save_state(self, kind: str, number: int, lora: Weights, *, epoch: int, step: int) -> None:
        """Writes a state folder; ``step`` is the run's own, ``lora.steps`` those of all runs."""
        say = self._console.info
        folder = self._path(kind, number, "-state")
        say("", "train_util.py:5963")
        at = f"saving state at {kind} {number}" if number else "saving last state."
        say(at, "train_util.py:5964")
        say(f"Saving current state to {folder}", "accelerator.py:3241")
        Path(folder).mkdir(parents=True, exist_ok=True)
        progress = json.dumps({"current_epoch": epoch, "current_step": step}).encode()
        self._write(f"{folder}/train_state.json", progress)
        told = f"save train state to {folder}/train_state.json at epoch {epoch} step {step}"
        say(told, "train_network.py:946")
        taken = _archive(steps=lora.steps)
        for name, data, what in (
            ("model.safetensors", lora.file("float", _PT, lora.data("float")), "Model weights"),
            ("optimizer.bin", taken, "Optimizer state"),
            ("scheduler.bin", taken, "Scheduler state"),
            ("random_states_0.pkl", taken, "Random states"),
        ):
            self._write(f"{folder}/{name}", data)
            say(f"{what} saved in {folder}/{name}", "checkpointing.py:108")

    def rotate(self, kind: str, number: int, every: int) -> None:
        """Removes the state and the checkpoint that are too old now."""
        kept = getattr(self._options, f"save_last_n_{kind}s")
        kept_states = getattr(self._options, f"save_last_n_{kind}s_state") or kept
        if kept_states and self._options.save_state:
            old = _old(kind, number, every, kept_states)
            shutil.rmtree(self._path(kind, old, "-state"), ignore_errors=True)
        path = kept and Path(self._path(kind, _old(kind, number, every, kept), ".safetensors"))
        if path and path.exists():
            print(f"removing old checkpoint: {path}")
            path.unlink()

    def _path(self, kind: str, number: int, suffix: str) -> str:
        name = self._options.output_name
        stems = {
            "epoch": f"{name or 'epoch'}-{number:06d}",
            "step": f"{name or 'at'}-step{number:08d}",
            "last": name or "last",
        }
        return f"{self._options.output_dir}/{stems[kind]}{suffix}"

    def _write(self, path: str, content: bytes, faults: Iterable[str] = ()) -> None:
        half = len(content) // 2
        with Path(path).open("wb", buffering=0) as file:
            time.sleep(self._pause_s)
            file.write(content[:half])
            if "killed_in_save" in faults:
                os.kill(os.getpid(), signal.SIGKILL)
            if "disk_full_at_save" in faults:
                raise OSError(errno.ENOSPC, "No space left on device")
            time.sleep(self._pause_s)
            file.write(content[half:])


def _old(kind: str, number: int, every: int, kept: int) -> int:
    """Which checkpoint goes when this one comes; one that never was has a number below 1."""
    if kind == "epoch":
        return number - every * kept
    age = number - kept - 1
    return age - age % every


def load_state(folder: Path, console: Console) -> tuple[int, int]:
    """What a state holds: the step that its run had counted to, and the steps of all runs.

    Raises ValueError where there is no folder, RuntimeError for a short ``optimizer.bin``.
    """
    console.info(f"resume training from local state: {folder}", "train_util.py:4777")
    if not folder.is_dir():
        raise ValueError(f"Tried to find {folder} but folder does not exist")
    console.info(f"Loading states from {folder}", "accelerator.py:3390")
    path = folder / "train_state.json"
    progress = json.loads(path.read_bytes())
    console.info(f"load train state from {path}: {progress}", "train_network.py:969")
    check(folder / "model.safetensors")
    console.info("All model weights loaded successfully", "checkpointing.py:232")
    try:
        with zipfile.ZipFile(folder / "optimizer.bin") as archive:
            taken = json.loads(archive.read("archive/data.json"))
    except zipfile.BadZipFile:
        reason = "failed reading zip archive: failed finding central directory"
        raise RuntimeError(f"PytorchStreamReader {reason}") from None
    console.info("All optimizer states loaded successfully", "checkpointing.py:240")
    console.info("All scheduler states loaded successfully", "checkpointing.py:248")
    console.info("Could not load random states", "checkpointing.py:297")
    return progress["current_step"], taken["steps"]


def _archive(**content: int) -> bytes:
    """A zip archive, as torch.save makes them: one that was cut short has no directory."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.json", json.dumps(content))
    return buffer.getvalue()
