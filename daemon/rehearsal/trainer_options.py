"""Rehearsal room: what the trainer is asked, on its command line, in its file and by its switches,
and where a run begins that was asked so.

Law: the same switches and values as sd-scripts' parser (commit 48d368f), and as little checking: a
value from ``--config_file`` keeps its type, right or wrong, and an unknown key is not mentioned.
"""

import argparse
import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.rehearsal.trainer_output import Console

# Names by the kind of value that they take, choices, defaults, and the keys of a dataset config.
TABLE: Mapping[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_bytes())
_KINDS: Mapping[str, type] = {"int": int, "float": float, "str": str}

# Each fault of REHEARSAL_TRAINER, and whether it takes a number after a colon.
FAULTS: Mapping[str, bool] = {
    "disk_full_at_save": False,
    "exception": True,
    "hang": True,
    "killed_in_save": False,
    "nan": True,
    "no_data": False,
    "oom": True,
    "slow_start": True,
    "truncated_final": False,
    "workers": False,
}


class TomlDecodeError(ValueError):
    """A file that is not TOML, under the name that the real trainer's parser gives it."""

    __module__ = "toml.decoder"


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """How fast and with which faults it is played.

    ``step_s`` and ``start_s``: seconds an optimizer step and of silence before the first line.
    ``faults``: name to number (0 where it takes none); a step counts over all runs of a training.
    """

    step_s: float
    start_s: float
    faults: Mapping[str, float]


def read_rehearsal(text: str) -> Rehearsal:
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
    return Rehearsal(times_s["step_s"], times_s["start_s"], faults)


def parser() -> argparse.ArgumentParser:
    """The parser; it exits with 2 and the usage for what is no option or no value of one."""
    made = argparse.ArgumentParser(prog="train_network.py", allow_abbrev=False)
    for name in TABLE["switch"]:
        made.add_argument(f"--{name}", action="store_true")
    for kind, each in _KINDS.items():
        for name in TABLE[kind]:
            made.add_argument(f"--{name}", type=each)
    for kind in ("str", "float"):
        for name in TABLE[f"{kind} list"]:
            made.add_argument(f"--{name}", type=_KINDS[kind], nargs="*")
    for name, choices in TABLE["choices"].items():
        made.add_argument(f"--{name}", choices=choices)
    made.set_defaults(**TABLE["defaults"])
    return made


def read_options(argv: Sequence[str], console: Console) -> argparse.Namespace:
    """Every option: the command line over the keys of all tables of ``--config_file``.

    Exits with 1 where that file is missing; raises TomlDecodeError where it is not TOML.
    """
    made = parser()
    options = made.parse_args(argv)
    if options.config_file is None:
        return options
    path = Path(options.config_file.removesuffix(".toml") + ".toml")
    if not path.exists():
        console.info(f"{path} not found.", "train_util.py:4741")
        raise SystemExit(1)
    console.info(f"Loading settings from {path}...", "train_util.py:4744")
    merged: dict[str, Any] = {}
    for key, value in read_toml(path).items():
        merged |= value if isinstance(value, dict) else {key: value}
    return made.parse_args(argv, argparse.Namespace(**merged))


def abilities() -> Mapping[str, Any]:
    """What a Mac's sd-scripts answers when it is asked, before any training, what it can do."""
    groups = {"switch": ("switch", ""), "choices": ("value", "str")}
    groups |= {kind: ("value", kind) for kind in _KINDS}
    groups |= {f"{kind} list": ("list", kind) for kind in ("str", "float")}
    options = {
        name: (*kind, list(map(str, TABLE["choices"].get(name, []))))
        for group, kind in groups.items()
        for name in TABLE[group]
    }
    keys = [
        key for level in ("any dataset", "any subset", "a subset") for key in TABLE[f"in {level}"]
    ]
    mac = {"device": "mps", "built": True, "bf16": False, "macos": "15.0"}
    return {**mac, "options": options, "dataset_keys": keys}


@dataclass(frozen=True, slots=True)
class Start:
    """Where a run begins: its first epoch (from 0), how many batches of it are skipped, what the
    step counter says then, and the total of the bar, which need not be the steps to come."""

    epoch: int
    skipped: int
    step: int
    total: int


def start_of(options: argparse.Namespace, batches: int, state_step: int, console: Console) -> Start:
    """The numbering of sd-scripts, traps and all.

    A resumed run counts from 0 again; only its first epoch follows from the state's step. With
    ``--skip_until_initial_step`` and accumulation it takes batches for steps and skips too much.
    Raises AssertionError where the first step is not before the last.
    """
    an_epoch = math.ceil(batches / options.gradient_accumulation_steps)
    first, last = state_step, options.max_train_steps
    if options.initial_step is not None or options.initial_epoch is not None:
        if state_step:
            message = "steps from the state is ignored because initial_step is specified"
            console.warning(message, "train_network.py:1236")
        first = options.initial_step
        if first is None:
            first = (options.initial_epoch - 1) * an_epoch
    assert last > max(first, 0), (
        f"max_train_steps should be greater than initial step: {last} vs {first}"
    )
    if not (first and options.skip_until_initial_step):
        return Start(first // an_epoch, 0, 0, last)
    console.info(f"skipping {first} steps", "train_network.py:1265")
    left = first * options.gradient_accumulation_steps
    epoch = left // an_epoch
    for skipped in range(1, epoch + 1):
        message = f"skipping epoch {skipped} because initial_step (multiplied) is {left}"
        console.info(message, "train_network.py:1342")
        left -= batches
    return Start(epoch, max(left, 0), left, last - left)


def read_toml(path: Path) -> dict[str, Any]:
    """The document of a file; raises TomlDecodeError, or OSError where there is no such file."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise TomlDecodeError(str(error)) from None


if __name__ == "__main__":
    print(json.dumps(abilities()))
