"""Spells what a panel may ask for: every limit with its reason and with what to write instead.

Law: each rule looks at its own keys only and yields every fault that it finds, so that all the
mistakes of a file are told at once. Sizes are in pixels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from daemon.core.policy import Policy
from daemon.craft.samplers import SAMPLERS, SCHEDULERS, noise_of
from daemon.wire.complaints import nearest
from daemon.wire.given import Fault, Given
from daemon.wire.job_models import CHECKPOINT, VAE
from daemon.wire.name_rules import (
    embedding_faults,
    lora_fault,
    model_fault,
    name_fault,
    path_fault,
    proper_name,
    text_fault,
)
from daemon.wire.range_rules import Range, range_faults
from daemon.wire.size_rules import size_faults
from daemon.wire.text import excerpt

BATCH = (
    "A job draws one picture at a time: two at once need up to 4 GB more, which a 16 GB Mac has "
    "not. Remove the line, and write variations = 4 for several pictures."
)

UNKNOWN = {
    "batch_size": BATCH,
    "batch": BATCH,
    "train_batch_size": BATCH,
    "strength": "`strength` belongs to a [[lora]] or to [controlnet]: move it below one of them.",
    "model": f'The model is named by two keys: checkpoint = "{CHECKPOINT}" and vae = "{VAE}"',
    "image": "A hint image belongs to [controlnet]: move the line below it.",
    "name": "The job's name is `panel`; a LoRA's name stands below [[lora]].",
    "loras": "LoRAs are written as blocks: [[lora]], below it name and strength, one for each.",
    "cfg_scale": "There is no key `cfg_scale`; it is `cfg` here. Write: cfg = 7.0",
    "guidance_scale": "There is no key `guidance_scale`; it is `cfg` here. Write: cfg = 7.0",
    "sampler_name": 'There is no key `sampler_name`. Write: sampler = "euler"',
    "ckpt_name": f'There is no key `ckpt_name`. Write: checkpoint = "{CHECKPOINT}"',
    "positive": "There is no key `positive`; it is `prompt` here.",
    "trigger": 'A trigger belongs to a training (kind = "train"); in a panel it is part of prompt.',
    "missing vae": (
        "`vae` is missing, and it is never guessed: the one inside a checkpoint often gives grey, "
        f'washed-out pictures. Write: vae = "{VAE}"'
    ),
    "missing checkpoint": (
        "`checkpoint` is missing: a picture says which model drew it. Write its file in "
        f'models/checkpoints: checkpoint = "{CHECKPOINT}"'
    ),
    "missing prompt": (
        "`prompt` is missing: say what to draw. Write for example: "
        'prompt = "spyke_plasma_v1, white cloak, leaping, rain"'
    ),
}


def panel_faults(given: Given, *, stem: str, policy: Policy) -> Iterator[Fault]:
    """Everything about a panel that its shape alone does not tell."""
    name = given.text("panel")
    if (given.has("panel") and name is not None) or not given.has("panel"):
        own = stem if name is None else name
        if fault := name_fault(own, key="panel", of_file=name is None):
            yield Fault(given.at("panel"), fault)
    yield from _prompt_faults(given)
    yield from size_faults(given, policy)
    yield from _seed_faults(given, policy)
    yield from range_faults(given, _ranges(policy))
    yield from _choice_faults(given)
    for key, folder in (("checkpoint", "models/checkpoints"), ("vae", "models/vae")):
        if (model := given.text(key)) is not None and (fault := model_fault(model, folder=folder)):
            yield Fault(given.at(key), fault)
    yield from _lora_faults(given, policy)
    yield from _controlnet_faults(given, policy)


def _ranges(policy: Policy) -> Sequence[Range]:
    return (
        Range("priority", -policy.max_priority, policy.max_priority, "higher goes first", "0"),
        Range(
            "steps",
            policy.min_steps,
            policy.max_steps,
            "more cost time and change nothing that can be seen",
            f"{min(20, policy.max_steps)}",
        ),
        Range("cfg", policy.min_cfg, policy.max_cfg, "beyond it pictures burn out", "7.0"),
        Range("denoise", 0.0, 1.0, "1.0 draws from noise alone", "1.0"),
        Range(
            "clip_skip",
            policy.min_clip_skip,
            policy.max_clip_skip,
            "anime checkpoints want 1 or 2",
            "2",
        ),
    )


def _prompt_faults(given: Given) -> Iterator[Fault]:
    for key in ("prompt", "negative"):
        if fault := text_fault(given.text(key) or ""):
            yield Fault(given.at(key), fault)
        yield from embedding_faults(given, key)
    prompt = given.text("prompt")
    if prompt is not None and not prompt.strip():
        yield Fault(given.at("prompt"), "`prompt` is empty: say what to draw.")


def _seed_faults(given: Given, policy: Policy) -> Iterator[Fault]:
    ways = [key for key in ("seed", "seeds", "variations") if given.has(key)]
    if len(ways) > 1:
        yield Fault(
            given.at(ways[-1]),
            f"{' and '.join(f'`{way}`' for way in ways)} say the same thing in two ways. Keep one: "
            "seed = 421 for one picture, seeds = [1, 2] for these, variations = 4 for any four.",
        )
    limit = policy.max_pictures
    seeds = given.wholes("seeds")
    asked = given.whole("seed")
    for seed in (*seeds, *([] if asked is None else [asked])):
        if not 0 <= seed <= policy.max_seed:
            yield Fault(
                given.at("seeds" if asked is None else "seed"),
                f"A seed is 0 to {policy.max_seed} (2^53-1, the last whole number that JavaScript "
                f"keeps exact), not {excerpt(str(seed), limit=24)}. Write for example: seed = 421",
            )
    if given.is_list("seeds") and not given.items("seeds"):
        yield Fault(
            given.at("seeds"), "`seeds` is empty. Write seeds = [1, 2], or remove the line."
        )
    if len(seeds) > limit:
        yield Fault(
            given.at("seeds"),
            f"{len(seeds)} seeds are more than the {limit} pictures of one job. Make several jobs.",
        )
    if len(set(seeds)) < len(seeds):
        twice = Counter(seeds).most_common(1)[0][0]
        yield Fault(given.at("seeds"), f"Seed {twice} is there twice; it draws the same picture.")
    variations = Range("variations", 1, limit, "one job is one folder to look through", "4")
    yield from range_faults(given, [variations])


def _choice_faults(given: Given) -> Iterator[Fault]:
    for key, known in (("sampler", SAMPLERS), ("scheduler", SCHEDULERS)):
        value = given.text(key)
        if value is not None and value not in known:
            usual = "euler" if key == "sampler" else "normal"
            meant = nearest(_as_in_comfyui(value), known) or usual
            yield Fault(
                given.at(key),
                f'ComfyUI has no {key} "{excerpt(value)}". Write for example: {key} = "{meant}"',
            )
    workflow = given.text("workflow")
    if workflow is not None and name_fault(workflow, key="workflow", of_file=False):
        bare = proper_name(workflow.rpartition("/")[2].removesuffix(".json"))
        yield Fault(
            given.at("workflow"),
            f'"{excerpt(workflow)}" is no template name: it is the bare name of a file in '
            f'workflows/, without folder and ending. Write workflow = "{bare}"',
        )


def _as_in_comfyui(name: str) -> str:
    """Other programs' spelling of a sampler: "Euler a", "DPM++ 2M"."""
    spelled = name[:64].lower().replace("++", "pp").replace(" ", "_")
    return f"{spelled}ncestral" if spelled.endswith("_a") else spelled


def _lora_faults(given: Given, policy: Policy) -> Iterator[Fault]:
    loras = given.inners("lora")
    if len(loras) > policy.max_loras:
        yield Fault(
            loras[policy.max_loras].path,
            f"This is LoRA {policy.max_loras + 1} of {len(loras)}, and a job has at most "
            f"{policy.max_loras}: more of them blur each other and the memory. Remove some.",
        )
    seen: set[str] = set()
    for lora in loras:
        name = lora.text("name")
        if name is not None and (fault := lora_fault(name)):
            yield Fault(lora.at("name"), fault)
        if name is not None and name in seen:
            yield Fault(
                lora.at("name"), f'LoRA "{excerpt(name)}" is there twice. Keep one of them.'
            )
        seen.add(name or "")
        edge = policy.max_lora_strength
        span = Range("strength", -edge, edge, "beyond it the picture breaks", "0.7")
        yield from range_faults(lora, [span])


def _controlnet_faults(given: Given, policy: Policy) -> Iterator[Fault]:
    net = given.inner("controlnet")
    if net is None:
        return
    model, image = net.text("model"), net.text("image")
    if model is not None and (fault := model_fault(model, folder="models/controlnet")):
        yield Fault(net.at("model"), fault)
    if image is not None and (fault := _hint_fault(image)):
        yield Fault(net.at("image"), fault)
    most = policy.max_controlnet_strength
    spans = (
        Range("strength", 0.0, most, "the pose is held firmly at 0.75 already", "0.65"),
        Range("start", 0.0, 1.0, "a share of the steps", "0.0"),
        Range("end", 0.0, 1.0, "a share of the steps", "1.0"),
    )
    yield from range_faults(net, spans)
    start, end = net.number("start") or 0.0, net.number("end")
    if end is not None and 0.0 <= end <= start:
        yield Fault(
            net.at("end"),
            f"The ControlNet would end (at {end:g}) before it starts (at {start:g}). Write "
            "start = 0.0 and end = 1.0 for the whole time.",
        )


def _hint_fault(image: str) -> str:
    if fault := path_fault(image, folder="the studio"):
        return fault
    if image.lower().endswith(".png"):
        return ""
    return f'"{excerpt(image)}" is no PNG. Save the hint image as PNG and name that file.'


def panel_warnings(given: Given, policy: Policy) -> Iterator[str]:
    """What is allowed and will probably disappoint; for a panel without faults."""
    for lora in given.inners("lora"):
        strength = lora.number("strength")
        if strength is not None and strength > policy.lora_warn_above:
            yield (
                f"LoRA {excerpt(lora.text('name') or '')} at {strength:g}: above "
                f"{policy.lora_warn_above:g} faces harden and poses freeze; "
                f"{policy.lora_strength:g} is a good start."
            )
    net = given.inner("controlnet")
    if net is not None:
        yield from _controlnet_warnings(net.number("strength"), policy)
    sampler = given.text("sampler") or ""
    if noise_of(sampler) == "device":
        yield (
            f"Sampler {sampler} draws noise on the device: the same seed gives another picture on "
            "another machine. euler and dpmpp_2m repeat."
        )


def _controlnet_warnings(strength: float | None, policy: Policy) -> Iterator[str]:
    if strength is None:
        return
    low, high = policy.controlnet_recommended_low, policy.controlnet_recommended_high
    good = f"{low:g} to {high:g} is recommended."
    if strength < policy.controlnet_ignored_below:
        yield f"ControlNet at {strength:g}: the pose will mostly be ignored; {good}"
    elif strength > policy.controlnet_strong_above:
        yield f"ControlNet at {strength:g} is far too strong: pictures get stiff or break; {good}"
    elif strength > policy.controlnet_warn_above:
        yield f"ControlNet at {strength:g} is strong: figures stiffen; {good}"
