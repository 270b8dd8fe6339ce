"""Knows, before a night is spent on it, whether a trainer can do what it will be asked.

Law: what the machine is to blame for keeps a training waiting, what the job's file is to blame for
refuses it; what nobody could find out is said and stops nothing.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Literal

from daemon.core.jobs import TrainSpec

PACKAGE_OF: Mapping[str, str] = {"Lion": "lion-pytorch", "Prodigy": "prodigyopt"}
"""What an optimizer comes in, where it is not torch's or transformers'."""

_MOST_RATE, _PRODIGY_RATE = 1e-2, 0.1

_TYPES: Mapping[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (float, int),
    "int_or_float": (float, int, str),
}
"""What a value from a file may be for an option of this type; any other is text."""


@dataclass(frozen=True, slots=True)
class Option:
    """One of a trainer's own options; ``type`` as its parser calls it, '' for a switch."""

    kind: Literal["switch", "value", "list"]
    type: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TrainerFacts:
    """Which trainer this is, and what it can do. ``packages``: versions by name, as its interpreter
    has them installed; ``commit`` '' = unknown. ``device`` (mps, cuda, cpu) is what it would train
    on, ``built`` whether its torch knows MPS, ``bf16`` whether it takes that precision; ``macos``
    '' = none. ``dataset_keys`` are those of its dataset documents. ``unknown`` says why all of
    these are not known, '' = they are. ``tokenizer`` is the folder for it, '' = the trainer has one
    of its own, None = there is none.
    """

    name: str
    commit: str
    python: str
    packages: Mapping[str, str]
    device: str = ""
    built: bool = False
    bf16: bool = False
    macos: str = ""
    options: Mapping[str, Option] = field(default_factory=dict)
    dataset_keys: AbstractSet[str] = frozenset()
    unknown: str = ""
    tokenizer: str | None = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with what a file asks of the trainer: its code, the key, a sentence."""

    code: str
    key: str
    text: str


def unfit(facts: TrainerFacts, *, config: bytes, dataset: bytes) -> str:
    """Why no training can be done by this trainer on this machine (K1.3), '' when it can.

    ``config`` and ``dataset`` are the documents that it would be given.
    """
    return " ".join([*_untrained(facts), *_misunderstood(facts, config, dataset)])


def faults(spec: TrainSpec, facts: TrainerFacts | None) -> Sequence[Fault]:
    """What the trainer would refuse of a job late, or make nothing of; ``facts`` None: the trainer
    does not answer, and only what is true of any is told.
    """
    found = [*_own_faults(spec)]
    package = PACKAGE_OF.get(spec.optimizer, "")
    if facts and facts.packages and package and package not in facts.packages:
        text = (
            f"{spec.optimizer} comes in the package {package}, which {facts.name} does not have."
            f' Write optimizer = "AdamW", or run `pip install {package}` in its environment.'
        )
        found.append(Fault("TRAINER_PACKAGE", "optimizer", text))
    if facts and facts.device and spec.mixed_precision == "bf16" and not facts.bf16:
        text = (
            f"The trainer takes no bf16 on {facts.device} here{_versions(facts)}: it would stop at"
            ' its start. Write mixed_precision = "no".'
        )
        found.append(Fault("PRECISION", "mixed_precision", text))
    return found


def _own_faults(spec: TrainSpec) -> Iterator[Fault]:
    """By the file alone (facts: the assertion comes after all models were loaded)."""
    if spec.lr_scheduler == "adafactor" and spec.optimizer != "AdaFactor":
        text = (
            f"This curve is AdaFactor's own, and the trainer stops when {spec.optimizer} is given"
            ' it. Write lr_scheduler = "cosine", or optimizer = "AdaFactor".'
        )
        yield Fault("TRAINER_DOCUMENTS", "lr_scheduler", text)
    rate = spec.learning_rate
    if spec.optimizer == "Prodigy" and rate < _PRODIGY_RATE:
        text = (
            f"Prodigy finds the rate itself and multiplies it by this: with {rate:g} next to "
            "nothing is learnt in a night. Write learning_rate = 1.0."
        )
        yield Fault("TRAINER_DOCUMENTS", "learning_rate", text)
    elif spec.optimizer != "Prodigy" and rate > _MOST_RATE:
        text = (
            f"With {rate:g} {spec.optimizer} diverges; only Prodigy takes more than {_MOST_RATE:g}."
            " Write learning_rate = 1e-4."
        )
        yield Fault("TRAINER_DOCUMENTS", "learning_rate", text)


def _untrained(facts: TrainerFacts) -> Iterator[str]:
    if facts.device == "cpu" and facts.macos:
        why = "finds no Metal GPU" if facts.built else "was built without MPS"
        yield (
            f"The trainer would compute on the CPU, many times slower: its torch{_versions(facts)} "
            f"{why}. Make its environment anew with a Python for Apple Silicon (not one under "
            "Rosetta) on macOS 12.3 or newer, and install torch there."
        )
    if facts.tokenizer is None:
        yield (
            "CLIP's tokenizer is not on this machine, and the trainer may not fetch it at night. "
            "Name ComfyUI's folder ([comfyui] program), which has one in comfy/sd1_tokenizer; or "
            "set [trainer] tokenizer_cache_dir to a folder that holds "
            "openai_clip-vit-large-patch14/ with a model_max_length of 77. Then start the daemon "
            "again."
        )


def _misunderstood(facts: TrainerFacts, config: bytes, dataset: bytes) -> Iterator[str]:
    """Its configuration file is read without a check, so a wrong key would change the training and
    a wrong type end it late.
    """
    wrong: list[str] = []
    if facts.options:
        wrong += [f"{key} ({why})" for key, why in _wrong_options(facts.options, config)]
    if facts.dataset_keys:
        wrong += [f"{key} (no key)" for key in _keys(dataset) - facts.dataset_keys]
    if wrong:
        version = facts.commit[:12] or "this version"
        yield (
            f"{facts.name} at {version} does not take what nightpress writes for it: "
            f"{', '.join(sorted(wrong))}. Check out the version that the README names, or update "
            "nightpress."
        )


def _wrong_options(options: Mapping[str, Option], config: bytes) -> Iterator[tuple[str, str]]:
    for table in tomllib.loads(config.decode()).values():
        for key, value in table.items():
            option = options.get(key)
            if option is None:
                yield key, "no option"
            elif not _fits(value, option):
                yield key, f"not {value!r}"


def _fits(value: object, option: Option) -> bool:
    if option.kind == "switch":
        return isinstance(value, bool)
    if option.kind == "list":
        return isinstance(value, list)
    right = isinstance(value, _TYPES.get(option.type, (str,))) and not isinstance(value, bool)
    return right and (not option.choices or str(value) in option.choices)


def _keys(document: bytes) -> set[str]:
    """Every key of the tables in a dataset document, whatever is in them."""
    found: set[str] = set()
    left: list[object] = [*tomllib.loads(document.decode())["datasets"]]
    while left:
        match left.pop():
            case dict() as table:
                found |= table.keys()
                left += table.values()
            case list() as tables:
                left += tables
            case _:
                pass
    return found - {"subsets"}


def _versions(facts: TrainerFacts) -> str:
    told = [
        f"{name} {facts.packages[name]}"
        for name in ("torch", "accelerate")
        if name in facts.packages
    ]
    return f" ({', '.join(told)})" if told else ""
