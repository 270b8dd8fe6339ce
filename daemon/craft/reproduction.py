"""Knows what it means to draw a picture again: its graph, the proof of drawing, the verdict.

Law: "reproducible" is same character, same pose, visually indistinguishable; bit-identical files
are never promised. A picture from the server's cache proves nothing and gets no verdict (S1.1).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields

from daemon.core.jobs import Engine
from daemon.craft.core_nodes import MODEL_INPUTS
from daemon.craft.graph import BoundGraph, graph_sha256, models_of
from daemon.craft.nodes import Node, class_of, inputs_of
from daemon.craft.picture import PictureDistance
from daemon.errors import AskerError

IDENTICAL = "identical pixels"
EQUAL = "perceptually equal"
DRIFTED = "drifted"
FAILED = "failed"
REPRODUCED = frozenset({IDENTICAL, EQUAL})
"""The verdicts by which a picture was reproduced."""

# Levels of 0..255, on the mean over all pixels and channels: what a person does not see side by
# side. Where one seed drawn three times is known to differ by less, so much less is allowed. A
# quarter is for rounding: a VAE in bf16 instead of fp32 was measured at 0.4, and is a drift.
_DEFAULT_LEVELS = 2.0
_ROUNDING_LEVELS = 0.25
_TIMES_CALIBRATED = 3.0
_HASH_PLACES = 4

_DRAWS = frozenset({"KSampler", "KSamplerAdvanced", "VAEDecode", "VAEDecodeTiled"})
_MAP_SUFFIX = "-map"


def redrawn(
    executed: Mapping[str, Node], *, loras: Mapping[str, str], hint: str | None
) -> BoundGraph:
    """The graph that was executed, to be executed again under another file prefix.

    ``loras`` gives a LoRA's present name by the one in the graph, ``hint`` is the present name of
    the hint image. Raises ``AskerError`` for a graph that saves no picture.
    """
    saves = {
        node: str(inputs_of(body).get("filename_prefix", ""))
        for node, body in executed.items()
        if class_of(body) == "SaveImage"
    }
    maps = [node for node, prefix in saves.items() if prefix.endswith(_MAP_SUFFIX)]
    ours = [node for node in saves if node not in maps]
    if len(ours) != 1:
        raise AskerError(f"The executed graph saves {len(ours)} pictures; exactly one is needed.")
    graph = {
        node: {**body, "inputs": _inputs(body, loras, hint)} for node, body in executed.items()
    }
    return BoundGraph(
        graph=graph,
        graph_sha256=graph_sha256(graph),
        models=models_of(graph),
        save_node=ours[0],
        map_node=maps[0] if maps else "",
    )


def alias_of(name: str, *, sha256: str) -> str:
    """The name of a LoRA that tells its bytes: what the engine was given where others had had its
    own name.
    """
    stem = name.rpartition("/")[2].removesuffix(".safetensors")
    return f"{stem}-{sha256[:12]}.safetensors"


def was_drawn(graph: Mapping[str, Node], cached: Collection[str] | None) -> bool:
    """Whether a picture was sampled and decoded for this prompt, and not taken from the cache.

    ``cached`` None: the server did not say.
    """
    if cached is None:
        return False
    return not any(class_of(graph[node]) in _DRAWS for node in cached if node in graph)


def verdict_of(distance: PictureDistance, *, calibrated: float | None) -> str:
    """The verdict on a picture that was drawn again. ``calibrated``: by how much one seed drawn
    several times differs on this machine (mean, 0..255); None: not measured.
    """
    if distance.identical:
        return IDENTICAL
    close = distance.mean_difference <= threshold(calibrated)
    return EQUAL if close and distance.hash_distance <= _HASH_PLACES else DRIFTED


def threshold(calibrated: float | None) -> float:
    """The mean difference (0..255) up to which two pictures are perceptually equal."""
    if calibrated is None:
        return _DEFAULT_LEVELS
    return _TIMES_CALIBRATED * calibrated + _ROUNDING_LEVELS


def differences(then: Engine, now: Engine) -> Sequence[str]:
    """What of the environment is another, ``torch: 2.4.1 -> 2.6.0``; options one by one."""
    told = []
    for field in fields(Engine):
        before, after = _said(then, field.name), _said(now, field.name)
        if before == after:
            continue
        if isinstance(before, tuple) and isinstance(after, tuple):
            lost = [f"without {word}" for word in before if word not in after]
            told += [f"{field.name}: {word}" for word in lost]
            told += [f"{field.name}: with {word}" for word in after if word not in before]
        else:
            told.append(f"{field.name}: {before or 'unknown'} -> {after or 'unknown'}")
    return told


def _said(engine: Engine, name: str) -> object:
    """What a field says, but for the port, which is another one each time."""
    value = getattr(engine, name)
    if name != "args" or "--port" not in value:
        return value
    at = value.index("--port")
    return (*value[:at], *value[at + 2 :])


def _inputs(body: Node, loras: Mapping[str, str], hint: str | None) -> Mapping[str, object]:
    inputs = dict(inputs_of(body))
    kind = class_of(body)
    if kind == "SaveImage":
        inputs.pop("filename_prefix", None)
    elif kind == "LoadImage" and hint is not None:
        inputs["image"] = hint
    elif MODEL_INPUTS.get(kind, ("", ""))[0] == "lora":
        name = str(inputs.get("lora_name"))
        inputs["lora_name"] = loras.get(name, name)
    return inputs
