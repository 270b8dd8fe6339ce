"""Spells what a training may ask for on a Mac with 16 GB: batch 1, 512, no CUDA-only parts.

Law: as in ``panel_rules``; a hardware cap is refused with its reason, never clamped in silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from daemon.core.policy import Policy
from daemon.wire.complaints import described, nearest
from daemon.wire.given import Fault, Given
from daemon.wire.job_models import CHECKPOINT, VAE
from daemon.wire.name_rules import model_fault, name_fault, path_fault, text_fault
from daemon.wire.range_rules import Range, range_faults
from daemon.wire.text import excerpt

OPTIMIZERS = ("AdamW", "AdaFactor", "Lion", "Prodigy")
LR_SCHEDULERS = (
    "constant",
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "constant_with_warmup",
    "adafactor",
)

_BATCH = (
    "A training's batch is always 1: a second picture needs 1-2 GB more, and a 16 GB Mac then "
    "swaps or is killed. Remove the line; gradient_accumulation = 4 averages over four "
    "pictures instead."
)
_CUDA = "is CUDA-only and does not exist on a Mac. Remove the line; attention is chosen for you."

RESOLUTION_KEYS = ("resolution", "train_resolution", "max_resolution", "width", "height")

UNKNOWN: Mapping[str, str] = {
    "batch_size": _BATCH,
    "batch": _BATCH,
    "train_batch_size": _BATCH,
    "xformers": f"`xformers` {_CUDA}",
    "mem_eff_attn": f"`mem_eff_attn` {_CUDA}",
    "use_8bit_adam": '8-bit optimizers are CUDA-only (bitsandbytes). Write: optimizer = "AdamW"',
    "optimizer_type": 'There is no key `optimizer_type`. Write: optimizer = "AdamW"',
    "lr": "There is no key `lr`. Write: learning_rate = 1e-4",
    "max_train_steps": "There is no key `max_train_steps`. Write: steps = 1000",
    "max_train_epochs": "A training is counted in steps, not epochs. Write: steps = 1000",
    "epochs": "A training is counted in steps, not epochs. Write: steps = 1000",
    "rank": "There is no key `rank`. Write: network_dim = 16",
    "dim": "There is no key `dim`. Write: network_dim = 16",
    "alpha": "There is no key `alpha`. Write: network_alpha = 8",
    "name": 'The LoRA\'s name is `lora`. Write for example: lora = "spyke"',
    "panel": 'This is a training (kind = "train"), and its name is `lora`, not `panel`.',
    "prompt": "A training has captions beside its pictures; `prompt` belongs to [regularization].",
    "missing trigger": (
        "`trigger` is missing: the word that will call the character. Write for example: "
        'trigger = "spyke_plasma_v1"'
    ),
    "missing dataset": (
        "`dataset` is missing: the folder with pictures and .txt captions. Write for example: "
        'dataset = "datasets/spyke"'
    ),
    "missing vae": f'`vae` is missing, and it is never guessed. Write: vae = "{VAE}"',
    "missing checkpoint": (
        "`checkpoint` is missing: a LoRA belongs to the model it was trained on. Write its file in "
        f'models/checkpoints: checkpoint = "{CHECKPOINT}"'
    ),
}


def resolution_faults(given: Given, policy: Policy) -> Iterator[Fault]:
    """K2.2: a resolution may be written when it is 512; nothing else fits."""
    side = policy.training_resolution
    right = (side, f"{side}", f"{side},{side}", f"{side}x{side}", [side, side])
    for key in RESOLUTION_KEYS:
        value = given.table.get(key)
        if given.has(key) and (isinstance(value, bool) or value not in right):
            yield Fault(
                given.at(key),
                f"A training's resolution is {side}, not {described(value)}: a 16 GB Mac runs out "
                "of memory above it, and below it faces are lost. Remove the line.",
            )


def train_faults(given: Given, *, stem: str, policy: Policy) -> Iterator[Fault]:
    """Everything about a training that its shape alone does not tell."""
    name = given.text("lora")
    if name is not None or not given.has("lora"):
        own = stem if name is None else name
        if fault := name_fault(own, key="lora", of_file=name is None):
            yield Fault(given.at("lora"), fault)
    yield from _word_faults(given)
    yield from _file_faults(given)
    yield from range_faults(given, _ranges(policy))
    yield from _step_faults(given, policy)
    yield from _optimizer_faults(given)
    yield from _precision_faults(given)
    yield from _regularization_faults(given)
    yield from _grid_faults(given, policy)


def _ranges(policy: Policy) -> Sequence[Range]:
    accumulation = policy.max_gradient_accumulation
    return (
        Range("priority", -policy.max_priority, policy.max_priority, "higher goes first", "0"),
        Range("steps", 1, policy.max_training_steps, "800 to 1200 are usual", "1000"),
        Range("network_dim", 1, 128, "16 is plenty for one character", "16"),
        Range("network_alpha", 0.01, 128, "half of network_dim is usual", "8"),
        Range("learning_rate", 1e-7, 1e-2, "above it the training diverges", "1e-4"),
        Range("gradient_accumulation", 1, accumulation, "each makes a step longer", "1"),
        Range("save_every", 10, 5000, "each state needs disk, and a crash costs one", "200"),
        Range("seed", 0, policy.max_seed, "the last number JavaScript keeps exact", "1"),
        Range("clip_skip", policy.min_clip_skip, policy.max_clip_skip, "as in the panels", "1"),
    )


def _word_faults(given: Given) -> Iterator[Fault]:
    trigger = given.text("trigger")
    if trigger is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", trigger):
        yield Fault(
            given.at("trigger"),
            f'"{excerpt(trigger)}" is no trigger: it is one word of letters, digits, _ and -. '
            'Write for example: trigger = "spyke_plasma_v1"',
        )
    features = given.texts("features")
    if len(features) > 32:
        yield Fault(
            given.at("features"), f"{len(features)} features are more than 32. Keep the few."
        )
    for index, feature in enumerate(features):
        if not feature.strip() or len(feature) > 64 or not feature.isprintable():
            yield Fault(
                given.at("features", index),
                f'"{excerpt(feature)}" is no feature: a few words as they stand in captions, like '
                '"white cloak".',
            )


def _file_faults(given: Given) -> Iterator[Fault]:
    for key, folder in (("checkpoint", "models/checkpoints"), ("vae", "models/vae")):
        if (model := given.text(key)) is not None and (fault := model_fault(model, folder=folder)):
            yield Fault(given.at(key), fault)
    dataset = given.text("dataset")
    if dataset is not None and (fault := path_fault(dataset, folder="the studio")):
        yield Fault(given.at("dataset"), fault)


def _step_faults(given: Given, policy: Policy) -> Iterator[Fault]:
    steps = given.whole("steps")
    limit = policy.overfit_training_steps
    if steps is not None and limit <= steps and not given.yes("allow_overfit"):
        yield Fault(
            given.at("steps"),
            f"{steps} steps with the few pictures of one character learn the pictures by heart. "
            f"Write steps = 1000, or allow_overfit = true beside it if you mean it.",
        )


def _optimizer_faults(given: Given) -> Iterator[Fault]:
    optimizer = given.text("optimizer")
    if optimizer is not None and canonical(optimizer) is None:
        flat = re.sub(r"[^a-z0-9]", "", optimizer.lower())
        if "8bit" in flat or "4bit" in flat or "paged" in flat or "bnb" in flat:
            text = (
                f'"{excerpt(optimizer)}" comes from bitsandbytes, which is CUDA-only and does not '
                "run on a Mac; a LoRA's optimizer is small anyway."
            )
        else:
            text = f'"{excerpt(optimizer)}" is none of {", ".join(OPTIMIZERS)}.'
        meant = "AdamW" if "bit" in flat else nearest(optimizer, OPTIMIZERS) or "AdamW"
        yield Fault(given.at("optimizer"), f'{text} Write: optimizer = "{meant}"')
    scheduler = given.text("lr_scheduler")
    if scheduler is not None and scheduler not in LR_SCHEDULERS:
        meant = nearest(scheduler, LR_SCHEDULERS) or "cosine"
        yield Fault(
            given.at("lr_scheduler"),
            f'"{excerpt(scheduler)}" is none of {", ".join(LR_SCHEDULERS)}. '
            f'Write: lr_scheduler = "{meant}"',
        )


def canonical(optimizer: str) -> str | None:
    """The optimizer as the trainer spells it, capitals aside; None when it is not offered."""
    return {name.lower(): name for name in OPTIMIZERS}.get(optimizer.lower())


def _precision_faults(given: Given) -> Iterator[Fault]:
    precision = given.text("mixed_precision")
    if precision is None or precision in {"no", "bf16"}:
        return
    why = (
        "fp16 training needs a CUDA card (accelerate refuses it on a Mac)"
        if precision == "fp16"
        else f'"{excerpt(precision)}" is no precision'
    )
    yield Fault(
        given.at("mixed_precision"),
        f'{why}. Write mixed_precision = "no", or "bf16" if this Mac\'s torch can.',
    )


def _regularization_faults(given: Given) -> Iterator[Fault]:
    table = given.inner("regularization")
    if table is None:
        return
    count = Range("count", 1, 500, "100 to 200 are usual", "150")
    yield from range_faults(table, [count])
    for key in ("prompt", "class"):
        text = table.text(key)
        if text is not None and (fault := text_fault(text) or _empty(key, text)):
            yield Fault(table.at(key), fault)


def _grid_faults(given: Given, policy: Policy) -> Iterator[Fault]:
    table = given.inner("grid")
    if table is None:
        return
    prompts, seeds = table.texts("prompts"), table.wholes("seeds")
    for index, prompt in enumerate(prompts):
        if fault := text_fault(prompt) or _empty("prompts", prompt):
            yield Fault(table.at("prompts", index), fault)
    for key, found in (("prompts", prompts), ("seeds", seeds)):
        if table.is_list(key) and not 1 <= len(found) <= 12:
            yield Fault(
                table.at(key),
                f"`{key}` has {len(found)} entries; a grid that can be read has 1-12.",
            )
    if any(not 0 <= seed <= policy.max_seed for seed in seeds):
        yield Fault(table.at("seeds"), f"A seed is 0 to {policy.max_seed}. Write: seeds = [1, 2]")
    edge = policy.max_lora_strength
    yield from range_faults(table, [Range("strength", -edge, edge, "as in the panels", "0.7")])


def _empty(key: str, text: str) -> str:
    return "" if text.strip() else f"`{key}` is empty. Write what it should be, or remove the line."


def train_warnings(given: Given, policy: Policy) -> Iterator[str]:
    """What is allowed and will probably disappoint; for a training without faults."""
    steps = given.whole("steps")
    low, high = policy.min_default_training_steps, policy.max_default_training_steps
    if steps is not None and steps > high:
        yield f"{steps} steps: above {high} a LoRA tends to learn the pictures by heart."
    if steps is not None and steps < low:
        yield f"{steps} steps: below {low} a character is rarely recognisable."
    trigger = given.text("trigger") or ""
    if trigger.isalpha():
        yield (
            f'Trigger "{trigger}" is one bare word, which the text encoder may know already (spyke '
            "is read like spike). A compound like spyke_plasma_v1 is safer."
        )
    table = given.inner("regularization")
    if table is None:
        yield "There is no [regularization]: the class may drift towards the character."
    few, many = policy.fewest_regularization, policy.most_regularization
    count = few if table is None else table.whole("count")
    if count is not None and not few <= count <= many:
        yield f"{count} regularization pictures: {few} to {many} are usual."
    grid = given.inner("grid")
    strength = None if grid is None else grid.number("strength")
    if strength is not None and strength > policy.lora_warn_above:
        yield f"Grid strength {strength:g}: above {policy.lora_warn_above:g} poses freeze."
