"""Rehearsal room: what the trainer is asked: its play, its options, and the pictures it finds."""

import argparse
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Each fault of REHEARSAL_TRAINER, and whether it takes a number after a colon.
FAULTS: Mapping[str, bool] = {
    "disk_full_at_save": False,
    "exception": True,
    "killed_in_save": False,
    "nan": True,
    "no_data": False,
    "truncated_final": False,
    "workers": False,
}
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
# The options that are acted upon, with sd-scripts' defaults; a type stands for none.
_OPTIONS: Mapping[str, Any] = {
    "cache_latents": False,
    "config_file": str,
    "dataset_config": str,
    "gradient_accumulation_steps": 1,
    "initial_epoch": int,
    "max_train_epochs": int,
    "max_train_steps": 1600,
    "mixed_precision": "no",
    "network_alpha": 1.0,
    "network_dim": 4,
    "network_module": str,
    "optimizer_type": "AdamW",
    "output_dir": str,
    "output_name": "last",
    "pretrained_model_name_or_path": str,
    "resume": str,
    "save_every_n_epochs": int,
    "save_every_n_steps": int,
    "save_last_n_epochs_state": int,
    "save_state": False,
    "seed": 0,
    "training_comment": str,
    "vae": str,
}


@dataclass(frozen=True, slots=True)
class Play:
    """How fast and with which faults it is played.

    ``step_s`` and ``start_s``: seconds an optimizer step and of silence before the first line.
    ``faults``: name to number (0 where it takes none); a step counts over all runs of a training.
    """

    step_s: float
    start_s: float
    faults: Mapping[str, float]


def read_play(text: str) -> Play:
    """``step_s=0.01,start_s=0.2,fault=NAME[:NUMBER],…`` as values.

    Raises ValueError, in a sentence, for what it does not know.
    """
    times_s, faults = {"step_s": 0.05, "start_s": 0.2}, {}
    for part in filter(None, text.split(",")):
        key, _, value = part.partition("=")
        fault, colon, number = value.partition(":")
        try:
            if key in times_s:
                times_s[key] = float(value)
            elif key == "fault" and FAULTS[fault] == bool(colon):
                faults[fault] = float(number or 0)
            else:
                raise KeyError(key)
        except (KeyError, ValueError):
            known = ", ".join(name + ":NUMBER" * takes for name, takes in FAULTS.items())
            raise ValueError(
                f"REHEARSAL_TRAINER: {part!r} is not known; write step_s=SECONDS, start_s=SECONDS"
                f" or fault=NAME with one of: {known}"
            ) from None
    return Play(times_s["step_s"], times_s["start_s"], faults)


def read_options(argv: Sequence[str]) -> argparse.Namespace:
    """Every option: the command line over the keys of all tables of ``--config_file``.

    As in sd-scripts a value from that file keeps its type, right or wrong, and an unknown key is
    not mentioned. Exits with 2 for what is no option, with 1 where the file is missing.
    """
    parser = argparse.ArgumentParser(prog="train_network.py", allow_abbrev=False)
    for name, kind in _OPTIONS.items():
        if kind is False:
            parser.add_argument(f"--{name}", action="store_true")
        elif isinstance(kind, type):
            parser.add_argument(f"--{name}", type=kind)
        else:
            parser.add_argument(f"--{name}", type=type(kind), default=kind)
    options = parser.parse_args(argv)
    if options.config_file is None:
        return options
    path = Path(options.config_file)
    if not path.exists():
        print(f"{path} not found.", file=sys.stderr)
        raise SystemExit(1)
    merged: dict[str, Any] = {}
    for key, value in tomllib.loads(path.read_text("utf-8")).items():
        merged |= value if isinstance(value, dict) else {key: value}
    return parser.parse_args(argv, argparse.Namespace(**merged))


@dataclass(frozen=True, slots=True)
class Dataset:
    """The pictures, each as often as it is repeated, and how many of them a batch takes."""

    pictures: Sequence[Path]
    batch_size: int


def read_dataset(path: Path) -> Dataset:
    """The dataset of a ``--dataset_config``; a missing or empty folder leaves it empty."""
    [table] = tomllib.loads(path.read_text("utf-8"))["datasets"]
    pictures = [
        picture
        for subset in table["subsets"]
        for picture in sorted(Path(subset["image_dir"]).glob("*"))
        if picture.suffix.lower() in _SUFFIXES
        for _ in range(subset.get("num_repeats", 1))
    ]
    return Dataset(pictures, table.get("batch_size", 1))
