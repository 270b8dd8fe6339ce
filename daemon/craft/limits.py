"""Knows what a finished graph may be: which nodes, how large, and what must be plain to see in it.

Law: the graph that is sent is judged, not the request for it, so that no template and no slot is a
way around a limit.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from daemon.core.policy import Policy
from daemon.craft.graph import MODEL_INPUTS, models_of
from daemon.craft.nodes import Node, as_link, class_of, inputs_of, links_of

MAX_NODES = 100
MAX_TEXT = 16 * 1024

OUTPUTS: Mapping[str, int] = {
    "CheckpointLoaderSimple": 3,
    "VAELoader": 1,
    "LoraLoader": 2,
    "LoraLoaderModelOnly": 1,
    "ControlNetLoader": 1,
    "ControlNetApplyAdvanced": 2,
    "CLIPSetLastLayer": 1,
    "CLIPTextEncode": 1,
    "ConditioningCombine": 1,
    "ConditioningConcat": 1,
    "ConditioningAverage": 1,
    "ConditioningZeroOut": 1,
    "EmptyLatentImage": 1,
    "KSampler": 1,
    "KSamplerAdvanced": 1,
    "LatentUpscale": 1,
    "VAEDecode": 1,
    "VAEDecodeTiled": 1,
    "LoadImage": 2,
    "EmptyImage": 1,
    "ImageScale": 1,
    "ImageInvert": 1,
    "SaveImage": 0,
}
"""The node classes that may be used, all of ComfyUI's core, with the number of their outputs.

Not among them: whatever runs code, fetches, makes batches, scales by a factor, or encodes a picture
of any size, for then no limit on memory could be read off the graph.
"""

_SIZED = frozenset({"EmptyLatentImage", "EmptyImage", "LatentUpscale", "ImageScale"})
_DECODES = frozenset({"VAEDecode", "VAEDecodeTiled"})
_DRIVE = re.compile(r"[A-Za-z]:")


def complaints(graph: Mapping[str, Node], policy: Policy) -> Sequence[str]:
    """What forbids this graph, one sentence each; empty when it may be sent.

    Covers the request's and the template's nodes alike (A2.1, A2.2, A2.5, M1.1).
    """
    if len(graph) > MAX_NODES:
        return [f"The graph has {len(graph)} nodes; the limit is {MAX_NODES}."]
    strangers = list(_unknown_classes(graph))
    if strangers:
        return strangers  # What is said of links and sizes below holds for known classes only.
    found = [
        *_broken_links(graph),
        *_circles(graph),
        *_sizes(graph, policy),
        *_batches(graph, policy),
        *_steps(graph, policy),
        *_controlnets(graph, policy),
        *_vaes(graph),
        *_names(graph),
    ]
    saves = sum(class_of(body) == "SaveImage" for body in graph.values())
    if saves != 1:
        found.append(f"The graph has {saves} SaveImage nodes; exactly one is needed.")
    return found


def forbidden_nodes(
    classes: Iterable[str], modules: Mapping[str, str], packs: Collection[str]
) -> Sequence[tuple[str, str]]:
    """Code and sentence for each node class that the engine lacks or that others have brought.

    ``modules``: the Python module of each class, as the engine tells; ``packs``: the custom nodes
    that are allowed (A4.2).
    """
    judged = ((name, _module_fault(modules.get(name), packs)) for name in sorted(classes))
    return [(code, f"The node class {name[:80]!r} {why}") for name, (code, why) in judged if code]


def _module_fault(module: str | None, packs: Collection[str]) -> tuple[str, str]:
    kind, _, rest = (module or "").partition(".")
    if module is None:
        return "NODE_MISSING", (
            "is not in this ComfyUI. Install a newer one, or use a template without it."
        )
    if kind in ("nodes", "comfy_extras") or (kind == "custom_nodes" and rest in packs):
        return "", ""
    if kind != "custom_nodes":
        return "NODE_FORBIDDEN", (
            f"comes from {module[:80]!r}, which is no part of ComfyUI's own drawing. Use a template"
            " without it."
        )
    return "NODE_FORBIDDEN", (
        f"comes from the pack {rest[:80]!r}, which is not allowed here. Use a template without it;"
        " or find where the pack is said to work on MPS, and write into nightpress.toml, under"
        f' [comfyui]: custom_nodes = {{ "{rest[:80]}" = "where that is said" }}'
    )


def _unknown_classes(graph: Mapping[str, Node]) -> Iterable[str]:
    for node, body in graph.items():
        name = class_of(body)
        if name in OUTPUTS:
            continue
        if "load" in name.lower():
            why = "it loads files in a way that nightpress cannot check and record"
        else:
            why = "only ComfyUI's own drawing nodes of known cost may run unattended"
        yield f"Node {node} is a {name[:80]!r}, which is not allowed: {why}."


def _broken_links(graph: Mapping[str, Node]) -> Iterable[str]:
    for node, body in graph.items():
        for name, value in inputs_of(body).items():
            link = as_link(value)
            if link is None and isinstance(value, list | dict):
                yield f"Input {name!r} of node {node} is neither a value nor a link."
            elif link is not None and link[0] not in graph:
                yield f"Input {name!r} of node {node} leads to {link[0]!r}, which is not there."
            elif link is not None and not 0 <= link[1] < OUTPUTS[class_of(graph[link[0]])]:
                yield f"Input {name!r} of node {node} takes an output that {link[0]!r} has not got."


def _circles(graph: Mapping[str, Node]) -> Iterable[str]:
    """Nodes are taken off from the ends; what cannot be taken off stands in a circle."""
    left = {node: {link[0] for link in links_of(body)} & set(graph) for node, body in graph.items()}
    while ready := {node for node, needs in left.items() if not needs}:
        left = {node: needs - ready for node, needs in left.items() if node not in ready}
    if left:
        yield f"The links go round in a circle through {', '.join(sorted(left)[:5])}."


def _sizes(graph: Mapping[str, Node], policy: Policy) -> Iterable[str]:
    for node, body in graph.items():
        if class_of(body) not in _SIZED:
            continue
        width, height = inputs_of(body).get("width"), inputs_of(body).get("height")
        if not _whole(width) or not _whole(height):
            yield f"Node {node} has a width or height that is no whole number."
            continue
        sides = (int(str(width)), int(str(height)))
        if not all(policy.min_side <= side <= policy.max_side for side in sides):
            yield (
                f"Node {node} is {width} x {height}; each side is {policy.min_side} to"
                f" {policy.max_side} pixels."
            )
        if sides[0] * sides[1] > policy.max_area:
            yield (
                f"Node {node} is {width} x {height} = {sides[0] * sides[1]} pixels; more than"
                f" {policy.max_area} (512 x 768) makes a 16 GB machine swap."
            )
        if any(side % policy.side_multiple for side in sides):
            step = policy.side_multiple
            yield f"Node {node} is {width} x {height}; sides are multiples of {step}."


def _batches(graph: Mapping[str, Node], policy: Policy) -> Iterable[str]:
    for node, body in graph.items():
        size = inputs_of(body).get("batch_size", policy.latent_batch)
        if size != policy.latent_batch:
            yield (
                f"Node {node} has batch_size {size!r}; it is {policy.latent_batch}, since every"
                " further picture of a batch needs 1 to 4 GB at once. Ask for seeds instead."
            )


def _steps(graph: Mapping[str, Node], policy: Policy) -> Iterable[str]:
    total = 0
    for node, body in graph.items():
        steps = inputs_of(body).get("steps", 0)
        if not _whole(steps):
            yield f"Node {node} has steps that are no whole number."
            continue
        total += int(str(steps))
    if total > policy.max_steps:
        yield f"The samplers take {total} steps together; the limit is {policy.max_steps}."


def _controlnets(graph: Mapping[str, Node], policy: Policy) -> Iterable[str]:
    for name in ("ControlNetLoader", "ControlNetApplyAdvanced"):
        count = sum(class_of(body) == name for body in graph.values())
        if count > policy.max_controlnets:
            yield (
                f"The graph has {count} {name} nodes; {policy.max_controlnets} ControlNet fits into"
                " 16 GB beside the checkpoint."
            )


def _vaes(graph: Mapping[str, Node]) -> Iterable[str]:
    for node, body in graph.items():
        if class_of(body) not in _DECODES:
            continue
        link = as_link(inputs_of(body).get("vae"))
        source = class_of(graph[link[0]]) if link is not None and link[0] in graph else "nothing"
        if source != "VAELoader":
            yield (
                f"Node {node} decodes with the VAE of {source}; it must be a VAELoader's, for a"
                " checkpoint's baked VAE is how pictures come out washed out."
            )


def _names(graph: Mapping[str, Node]) -> Iterable[str]:
    for node, body in graph.items():
        inputs = inputs_of(body)
        for name, value in inputs.items():
            if isinstance(value, str) and len(value) > MAX_TEXT:
                yield f"Input {name!r} of node {node} is longer than {MAX_TEXT} characters."
        if class_of(body) in MODEL_INPUTS:
            file = inputs.get(MODEL_INPUTS[class_of(body)][1])
            if not _tame(file) or not str(file).endswith(".safetensors"):
                yield (
                    f"Node {node} loads {_shown(file)}; models are .safetensors files named"
                    " relative to the engine's model folder."
                )
        if class_of(body) == "LoadImage" and not _tame(inputs.get("image")):
            yield f"Node {node} loads {_shown(inputs.get('image'))}, which is no plain file name."
    for use in models_of(graph):
        if use.role == "embedding" and not _tame(use.name):
            yield f"The prompt names the embedding {_shown(use.name)}, which is no plain name."


def _tame(name: object) -> bool:
    """A relative name with ``/`` that stays inside its folder, and no ``[output]`` behind it."""
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= 255:
        return False
    if "\\" in name or "[" in name or _DRIVE.match(name):
        return False
    return all(part not in ("", ".", "..", "~") for part in name.split("/"))


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _shown(value: object) -> str:
    return repr(value)[:120]
