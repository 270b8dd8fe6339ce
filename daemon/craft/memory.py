"""Knows what a job takes of the memory at its peak, and what would make a training smaller.

Law: the sum is of the numbers in the models' own files and of a few constants that were measured
with the real programs on a CPU (tests/craft/test_memory.py has the figures); how far it was off
last time scales it. It is unmeasured on a Mac. Of Metal is assumed that what is on the device lies
in the same memory, once and in the same size, and that its work takes no more than a CPU's in fp32.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import assert_never

from daemon.core.hurdles import GIB
from daemon.core.ids import is_rehearsal
from daemon.core.job import Job
from daemon.core.jobs import Engine, ModelFacts, PanelSpec, TrainSpec
from daemon.core.needs import NO_NEED, Need, configuration, kin
from daemon.core.policy import Policy
from daemon.core.stages import drawn_as
from daemon.core.state import State

_Term = tuple[str, int]
_Terms = tuple[_Term, ...]

_MB = 1_000_000
_HALF, _FULL = 2, 4
"""Bytes of a number in fp16 and in fp32."""

_ENGINE_BYTES = 510 * _MB
_SAMPLING_BYTES, _DECODING_BYTES = 1_800, 5_000
"""For a pixel, in fp32; beside the attention."""
_HEADS = 2 * 8
"""What is wanted and what is not are sampled at once, each with the eight heads of the UNet."""
_QUERIES = 4_096
"""So many are answered at once where the attention is sub-quadratic, and memory is plenty."""

_TRAINER_BYTES = 440 * _MB
_LEARNING_BYTES: Mapping[bool, int] = {True: 6_900, False: 13_500}
"""For a pixel, with gradient checkpointing and without."""
_KEPT: Mapping[str, int] = {"AdamW": 2, "Lion": 1, "Prodigy": 4, "AdaFactor": 1}
"""How much an optimizer keeps for each number that it trains; only AdamW's was measured."""

_UNET_RANK, _TEXT_RANK = 423_942, 165_890
"""Numbers in a LoRA of SD 1.5, for each of its dimensions."""
_STATES, _STATE_BYTES, _BESIDE_BYTES = 3, 15 * _MB, 500 * _MB
"""A state's random numbers; what is written beside checkpoints and states."""
_UNET_CHANGED, _TEXT_CHANGED = 267_739_712, 84_934_656
"""Numbers of SD 1.5 that LoRAs change; the engine keeps what they were."""
_SD15: Mapping[str, Mapping[str, int]] = {
    "checkpoint": {"unet": 859_520_964, "text_encoder": 123_060_480, "vae": 83_653_863},
    "vae": {"vae": 83_653_863},
    "lora": {"lora": 32 * (_UNET_RANK + _TEXT_RANK)},
    "controlnet": {"controlnet": 361_279_120},
}
"""Numbers by part of a model of which no line tells; its file is in fp16."""
_PROP_BYTES = 4_096
_WIDE, _SPLIT = "--fp32-unet", "--use-split-cross-attention"
_RUNGS: Mapping[str, str] = {"fp32-unet": _WIDE, "split-attention": _SPLIT}

_LEAN_DIM = 8
_WORTH_TELLING_BYTES = 50 * _MB
_LIMITS = (0.5, 2.0)
"""How far a measurement moves the next prediction."""


def need(job: Job, state: State, policy: Policy) -> Need:
    """The peak of the job's next attempt, in the launch profile that it has (A2.4, A2.7, K2.4).

    Nothing for what is only rehearsed.
    """
    if is_rehearsal(job.id):
        return NO_NEED
    match drawn_as(job, policy) or job.spec:
        case PanelSpec() as panel:
            found = Need(_panel(panel, _flags(job.profile, state), state))
        case TrainSpec() as training:
            leaner = "; ".join(savers(job, state, policy))
            advice = f"It would need less with {leaner}." if leaner else ""
            terms = _training(training, state, policy)
            found = Need(
                terms, advice=advice, disk=disk_bytes(training, saved=len(job.checkpoints))
            )
        case _:
            assert_never(job.spec)
    predicted, measured = state.weighed.get(configuration(job)) or state.weighed.get(
        kin(job), (1, 1)
    )
    low, high = _LIMITS
    factor = min(max(measured / predicted, low), high)
    return replace(found, correction=round(found.predicted * (factor - 1)))


def savers(job: Job, state: State, policy: Policy) -> Sequence[str]:
    """What would make a training smaller, with what it would save, as its file says it (K2.4)."""
    spec = job.spec
    if isinstance(spec, PanelSpec):
        return []
    whole = Need(_training(spec, state, policy)).total
    leaner = {
        "gradient_checkpointing = true": replace(spec, gradient_checkpointing=True),
        "unet_only = true": replace(spec, unet_only=True),
        f"network_dim = {_LEAN_DIM}": replace(spec, network_dim=min(_LEAN_DIM, spec.network_dim)),
    }
    saved = {
        said: whole - Need(_training(lean, state, policy)).total for said, lean in leaner.items()
    }
    return [
        f"{said} ({size / GIB:.1f} GB less)"
        for said, size in saved.items()
        if size >= _WORTH_TELLING_BYTES
    ]


def _panel(spec: PanelSpec, flags: Collection[str], state: State) -> _Terms:
    """One process, which keeps all that the panel names."""
    checkpoint = _facts(state, "checkpoint", spec.checkpoint)
    wide = _WIDE in flags or "--force-fp32" in flags
    size, name = (_FULL, "fp32") if wide else (_HALF, "fp16")
    weights = [
        ("Python, torch and ComfyUI", _ENGINE_BYTES),
        (f"UNet, {name}", size * checkpoint.parts["unet"]),
        ("text encoder, fp16", _HALF * checkpoint.parts["text_encoder"]),
        ("VAE, fp32", _FULL * _numbers(state, "vae", spec.vae)),
    ]
    if own := checkpoint.parts.get("vae"):
        weights.append(("the checkpoint's own VAE, fp32", _FULL * own))
    return _peak(weights, checkpoint, [*_beside(spec, size, name, state), _work(spec, flags)])


def _beside(spec: PanelSpec, size: int, name: str, state: State) -> Iterator[_Term]:
    if spec.loras:
        files = sum(_facts(state, "lora", lora.name).bytes for lora in spec.loras)
        replaced = size * _UNET_CHANGED + _HALF * _TEXT_CHANGED
        yield "LoRAs, and what they replace", files + replaced
    if spec.controlnet:
        net = _numbers(state, "controlnet", spec.controlnet.model)
        yield f"ControlNet, {name}", size * net


def _work(spec: PanelSpec, flags: Collection[str]) -> _Term:
    """Beside the weights: of sampling, or of decoding, whichever is more."""
    pixels = spec.width * spec.height
    tokens = pixels // 64
    queries = min(tokens, _QUERIES)
    if _SPLIT in flags:
        queries = tokens
    elif "--use-pytorch-cross-attention" in flags:
        queries = 0
    # The scores, and what they are made into.
    attention = 2 * _HEADS * queries * tokens * _FULL
    size = max(attention + _SAMPLING_BYTES * pixels, _DECODING_BYTES * pixels)
    return f"work at {spec.width}x{spec.height}", size


def _training(spec: TrainSpec, state: State, policy: Policy) -> _Terms:
    """A process of its own."""
    checkpoint = _facts(state, "checkpoint", spec.checkpoint)
    weights = [
        ("Python, torch and sd-scripts", _TRAINER_BYTES),
        ("UNet, fp32", _FULL * checkpoint.parts["unet"]),
        ("text encoder, fp32", _FULL * checkpoint.parts["text_encoder"]),
        ("VAE, fp32", _FULL * _numbers(state, "vae", spec.vae)),
    ]
    rank = _UNET_RANK + (0 if spec.unet_only else _TEXT_RANK)
    each = _FULL * (2 + _KEPT[spec.optimizer])
    side = policy.training_resolution
    lean = ", gradient checkpointing" if spec.gradient_checkpointing else ""
    work = _LEARNING_BYTES[spec.gradient_checkpointing] * side * side * policy.training_batch
    learning = [
        (
            f"LoRA of {spec.network_dim}, gradients, {spec.optimizer}",
            each * spec.network_dim * rank,
        ),
        (f"work at {side}x{side}{lean}", work),
    ]
    return _peak(weights, checkpoint, learning)


def disk_bytes(spec: TrainSpec, *, saved: int = 0) -> int:
    """What a training writes: a checkpoint an epoch, once by the trainer and once published, the
    states that are kept and the one being written, its logs and pictures. Latents stay in memory.
    So many checkpoints are ``saved`` already; one that begins anew writes them all again.
    """
    left = max(0, spec.epochs - saved) if spec.resume else spec.epochs
    numbers = spec.network_dim * (_UNET_RANK + (0 if spec.unet_only else _TEXT_RANK))
    state = numbers * _FULL * (1 + _KEPT[spec.optimizer]) + _STATE_BYTES
    return 2 * left * numbers * _HALF + _STATES * state + _BESIDE_BYTES


def _peak(weights: Iterable[_Term], checkpoint: ModelFacts, later: Iterable[_Term]) -> _Terms:
    """It is largest when it works, or when the checkpoint's file and all that is made of it are
    there at once.
    """
    loading = [("the checkpoint's file, while it is loaded", checkpoint.bytes)]
    return (*weights, *max(loading, [*later], key=lambda terms: sum(size for _, size in terms)))


def _facts(state: State, role: str, name: str) -> ModelFacts:
    """What the ledger knows of a model; a usual one where it does not know it by its parts."""
    known = state.recorded.get(state.latest.get((role, name), 0))
    # A stage prop weighs nothing; what it stands for does.
    if isinstance(known, ModelFacts) and known.parts and known.bytes > _PROP_BYTES:
        return known
    usual = _SD15[role]
    return ModelFacts(role, name, "", _HALF * sum(usual.values()), "F16", usual)


def _numbers(state: State, role: str, name: str) -> int:
    return sum(_facts(state, role, name).parts.values())


def _flags(profile: str, state: State) -> frozenset[str]:
    """The flags that decide what is taken: of an engine of ours by its launch profile, of somebody
    else's those that it was started with.
    """
    engine = state.recorded.get(state.latest.get(("engine", ""), 0))
    said = frozenset(engine.args) if isinstance(engine, Engine) else frozenset[str]()
    if isinstance(engine, Engine) and engine.mode == "external":
        # On a CPU it keeps them in fp32 of itself.
        itself = engine.device == "cpu" and "--fp16-unet" not in said
        return said | {_WIDE} if itself else said
    return said - {*_RUNGS.values()} | {_RUNGS.get(profile, "")}
