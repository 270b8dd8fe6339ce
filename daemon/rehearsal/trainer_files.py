"""Rehearsal room: the files that the trainer reads and leaves, in sd-scripts' order and names.

Law: a file grows in place under its final name. A LoRA has few and narrow tensors, so that a
training costs no disk; their values follow from the seed and the optimizer steps taken.
"""

import argparse
import errno
import hashlib
import json
import os
import shutil
import signal
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.rehearsal import weights
from daemon.rehearsal.trainer_options import Play
from daemon.rehearsal.trainer_output import tell

_WIDTH = 4
_MODULES = [f"lora_unet_down_blocks_{i}_attentions_{k}_proj_in" for i in range(3) for k in range(2)]


@dataclass(frozen=True, slots=True)
class Lora:
    """What the LoRA would hold after so many optimizer steps; ``nan``: nothing but NaN."""

    rank: int
    alpha: float
    seed: int
    steps: int
    nan: bool

    def file(self, metadata: Mapping[str, str]) -> bytes:
        """A whole safetensors file in half precision, with the sum of its data."""
        shapes = {"alpha": [], "lora_down.weight": [self.rank, _WIDTH]}
        shapes["lora_up.weight"] = [_WIDTH, self.rank]
        data = b"".join(self._module(name) for name in _MODULES)
        summed = {**metadata, "sshs_model_hash": hashlib.sha256(data).hexdigest()}
        header: dict[str, Any] = {"__metadata__": summed}
        end = 0
        for name in _MODULES:
            for part, shape in shapes.items():
                begin, end = end, end + 2 * (self.rank * _WIDTH if shape else 1)
                entry = {"dtype": "F16", "shape": shape, "data_offsets": [begin, end]}
                header[f"{name}.{part}"] = entry
        raw = json.dumps(header, separators=(",", ":")).encode()
        raw += b" " * (-len(raw) % 8)
        return struct.pack("<Q", len(raw)) + raw + data

    def _module(self, name: str) -> bytes:
        count = 2 * self.rank * _WIDTH
        drawn = hashlib.shake_256(f"{self.seed}:{self.steps}:{name}".encode()).digest(count)
        values = [float("nan") if self.nan else (byte - 127.5) / 4096 for byte in drawn]
        return struct.pack(f"<{1 + count}e", self.alpha, *values)


class Folder:
    """The output folder. It appears with its first file, and may fail only then."""

    def __init__(self, options: argparse.Namespace, play: Play) -> None:
        self._options = options
        self._faults = play.faults
        self._pause_s = play.step_s / 4

    def save(self, stem: str, lora: Lora, metadata: Mapping[str, str]) -> None:
        """Writes a checkpoint; stdout hears of it before.

        Raises SafetensorError, in the words of version 0.4.5, where the disk is full.
        """
        path = self._path(f"{stem}.safetensors")
        path.parent.mkdir(parents=True, exist_ok=True)
        print(f"\nsaving checkpoint: {path}")
        content = lora.file(metadata)
        if stem == self._options.output_name and "truncated_final" in self._faults:
            content = content[: len(content) // 2]
        try:
            self._write(path, content, self._faults)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            reason = f'IoError(Os {{ code: 28, kind: StorageFull, message: "{error.strerror}" }})'
            raise weights.SafetensorError(reason, doing="serializing") from None

    def save_state(self, stem: str, lora: Lora, *, epoch: int, step: int) -> None:
        """Writes a state folder; ``step`` is the run's own, ``lora.steps`` those of all runs."""
        folder = self._path(f"{stem}-state")
        tell(f"Saving current state to {folder}")
        folder.mkdir(parents=True, exist_ok=True)
        progress = {"current_epoch": epoch, "current_step": step}
        taken = json.dumps({"steps": lora.steps}).encode()
        for name, content in (
            ("train_state.json", json.dumps(progress).encode()),
            ("model.safetensors", lora.file({"format": "pt"})),
            ("optimizer.bin", taken),
            ("scheduler.bin", taken),
            ("random_states_0.pkl", taken),
        ):
            self._write(folder / name, content, {})

    def remove_state(self, stem: str) -> None:
        """Removes a state that is too old now, where there is one."""
        shutil.rmtree(self._path(f"{stem}-state"), ignore_errors=True)

    def _path(self, name: str) -> Path:
        return Path(self._options.output_dir) / name

    def _write(self, path: Path, content: bytes, faults: Mapping[str, float]) -> None:
        half = len(content) // 2
        with path.open("wb", buffering=0) as file:
            time.sleep(self._pause_s)
            file.write(content[:half])
            if "killed_in_save" in faults:
                os.kill(os.getpid(), signal.SIGKILL)
            if "disk_full_at_save" in faults:
                raise OSError(errno.ENOSPC, "No space left on device")
            time.sleep(self._pause_s)
            file.write(content[half:])


def load_state(folder: Path) -> tuple[int, int]:
    """What a state holds: the step that its run had counted to, and the steps of all runs.

    Raises ValueError where there is no folder, RuntimeError for a short ``optimizer.bin``.
    """
    if not folder.is_dir():
        raise ValueError(f"Tried to find {folder} but folder does not exist")
    progress = json.loads((folder / "train_state.json").read_bytes())
    tell(f"load train state from {folder / 'train_state.json'}: {progress}")
    weights.read_header(folder / "model.safetensors")
    try:
        taken = json.loads((folder / "optimizer.bin").read_bytes())
    except ValueError:
        reason = "failed reading zip archive: failed finding central directory"
        raise RuntimeError(f"PytorchStreamReader {reason}") from None
    return progress["current_step"], taken["steps"]
