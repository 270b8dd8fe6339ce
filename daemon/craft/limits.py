"""Knows what a finished graph may be: which nodes, how large, and what must be plain to see in it.

Law: the graph that is sent is judged, not the request for it, so that no template and no slot is a
way around a limit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from daemon.core.policy import Policy
from daemon.craft.core_nodes import CORE, MODEL_INPUTS, RANGES
from daemon.craft.embeddings import misspelled
from daemon.craft.graph import BoundGraph
from daemon.craft.nodes import Link, Node, as_link, class_of, inputs_of, is_tame, links_of
from daemon.craft.packs import how_to_allow

MAX_NODES = 100
MAX_TEXT = 16 * 1024

_SIZED = frozenset({"EmptyLatentImage", "EmptyImage", "LatentUpscale", "ImageScale"})
_DECODES = frozenset({"VAEDecode", "VAEDecodeTiled"})
_BAKED_VAE = 2
"""The output of CheckpointLoaderSimple that is its own VAE."""
_PACK_OUTPUTS = 16
"""More than any node has; of a pack's node nobody here knows how many."""
_GROUP = re.compile(r"workflow[/>].*|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def complaints(bound: BoundGraph, policy: Policy, packs: Collection[str] = ()) -> Sequence[str]:
    """What forbids this graph, one sentence each; empty when it may be sent.

    Covers the request's and the template's nodes alike (A2.1, A2.2, A2.5, M1.1). ``packs``: the
    custom nodes that the settings allow (A4.2).
    """
    graph = bound.graph
    if len(graph) > MAX_NODES:
        return [f"The graph has {len(graph)} nodes; the limit is {MAX_NODES}."]
    strangers = list(_unknown_classes(bound, packs))
    if strangers:
        return strangers  # What is said of links and sizes below holds for known classes only.
    found = [
        *_broken_links(graph),
        *_circles(graph),
        *_inputs(graph),
        *_sizes(graph, policy),
        *_batches(graph, policy),
        *_steps(graph, policy),
        *_controlnets(graph, policy),
        *_vaes(graph),
        *_names(graph),
    ]
    saves = {node for node, body in graph.items() if class_of(body) == "SaveImage"}
    if saves != {bound.save_node, bound.map_node} - {""}:
        found.append(
            f"The graph has {len(saves)} SaveImage nodes; exactly one is needed, and one more for a"
            " pose map that the slots file names."
        )
    return found


def _unknown_classes(bound: BoundGraph, packs: Collection[str]) -> Iterable[str]:
    for node, body in bound.graph.items():
        name = class_of(body)
        pack = bound.packs.get(name, "")
        if name in CORE or pack in packs:
            continue
        if pack:
            why = f"it comes from the pack {pack!r}. {how_to_allow(pack)}"
        elif _GROUP.fullmatch(name):
            why = "it is a group or a subgraph. Unpack it in ComfyUI, and export again."
        elif "load" in name.lower():
            why = "it loads files in a way that nightpress cannot check and record."
        else:
            why = (
                "only ComfyUI's own drawing nodes of known cost may run unattended. One of a pack"
                " that you trust is named under [packs] in the template's slots file."
            )
        yield f"Node {node} is a {name[:80]!r}, which is not allowed: {why}"


def _broken_links(graph: Mapping[str, Node]) -> Iterable[str]:
    for node, body in graph.items():
        for name, value in inputs_of(body).items():
            link = as_link(value)
            if link is None and isinstance(value, list | dict):
                yield f"Input {name!r} of node {node} is neither a value nor a link."
            elif link is not None and link[0] not in graph:
                yield f"Input {name!r} of node {node} leads to {link[0]!r}, which is not there."
            elif link is not None and not 0 <= link[1] < _outputs(graph[link[0]]):
                yield f"Input {name!r} of node {node} takes an output that {link[0]!r} has not got."


def _outputs(body: Node) -> int:
    core = CORE.get(class_of(body))
    return _PACK_OUTPUTS if core is None else len(core.outputs)


def _circles(graph: Mapping[str, Node]) -> Iterable[str]:
    """Nodes are taken off from the ends; what cannot be taken off stands in a circle."""
    left = {node: {link[0] for link in links_of(body)} & set(graph) for node, body in graph.items()}
    while ready := {node for node, needs in left.items() if not needs}:
        left = {node: needs - ready for node, needs in left.items() if node not in ready}
    if left:
        yield f"The links go round in a circle through {', '.join(sorted(left)[:5])}."


def _inputs(graph: Mapping[str, Node]) -> Iterable[str]:
    """Every input of a node of ComfyUI's own is there and of its kind, and nothing else is wired.

    What the judges of sizes, steps and names look at is then plain to see.
    """
    for node, body in graph.items():
        core = CORE.get(class_of(body))
        if core is None:
            continue
        inputs = inputs_of(body)
        for name in sorted(core.inputs.keys() - core.optional - inputs.keys()):
            yield f"Node {node}, a {class_of(body)}, lacks its input {name!r}."
        for name, value in inputs.items():
            fault = _unfit(core.inputs.get(name, ""), name, value, graph)
            if fault:
                yield f"Input {name!r} of node {node} {fault}."


def _unfit(kind: str, name: str, value: object, graph: Mapping[str, Node]) -> str:
    """Why this is no input of the kind (CoreNode's, '' = unknown): the end of a sentence."""
    link = as_link(value)
    low, high = RANGES.get(name, (-math.inf, math.inf))
    if kind.isupper():
        if link is None:
            return f"is {_shown(value)}, and it takes a link to a {kind}"
        given = _type_of(graph, link) or kind
        return f"takes a {kind}, and node {link[0]} gives a {given}" if given != kind else ""
    if link is not None:
        return f"is a link, and {'a value belongs there' if kind else 'no such input is known'}"
    match kind, value:
        case "int", _ if not _whole(value):
            return f"is {_shown(value)}, which is no whole number"
        case (("int" | "float"), int() | float()) if not isinstance(value, bool):
            return "" if low <= value <= high else f"is {value}; it is from {low:g} to {high:g}"
        case "float", _:
            return f"is {_shown(value)}, which is no number"
        case (("text" | "choice" | "prefix"), _) if not isinstance(value, str):
            return f"is {_shown(value)}, which is no text"
        case _:
            return ""


def _type_of(graph: Mapping[str, Node], link: Link) -> str:
    """The type that a link carries; '' where that is not known, or is told as a broken link."""
    core = CORE.get(class_of(graph[link[0]])) if link[0] in graph else None
    return core.outputs[link[1]] if core and 0 <= link[1] < len(core.outputs) else ""


def _sizes(graph: Mapping[str, Node], policy: Policy) -> Iterable[str]:
    for node, body in graph.items():
        width, height = inputs_of(body).get("width"), inputs_of(body).get("height")
        judged = class_of(body) in _SIZED or class_of(body) not in CORE
        if judged and isinstance(width, int) and isinstance(height, int):
            yield from _size_faults(node, width, height, policy)


def _size_faults(node: str, width: int, height: int, policy: Policy) -> Iterable[str]:
    if not all(policy.min_side <= side <= policy.max_side for side in (width, height)):
        yield (
            f"Node {node} is {width} x {height}; each side is {policy.min_side} to"
            f" {policy.max_side} pixels."
        )
    if width * height > policy.max_area:
        yield (
            f"Node {node} is {width} x {height} = {width * height} pixels; more than"
            f" {policy.max_area} (512 x 768) makes a 16 GB machine swap."
        )
    if width % policy.side_multiple or height % policy.side_multiple:
        step = policy.side_multiple
        yield f"Node {node} is {width} x {height}; sides are multiples of {step}."


def _batches(graph: Mapping[str, Node], policy: Policy) -> Iterable[str]:
    for node, body in graph.items():
        size = inputs_of(body).get("batch_size", policy.latent_batch)
        if not _whole(size) or size != policy.latent_batch:
            yield (
                f"Node {node} has batch_size {_shown(size)}; it is {policy.latent_batch}, since"
                " every further picture of a batch needs 1 to 4 GB at once. Ask for seeds instead."
            )


def _steps(graph: Mapping[str, Node], policy: Policy) -> Iterable[str]:
    total = 0
    for node, body in graph.items():
        steps = inputs_of(body).get("steps", 1)
        if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
            yield f"Node {node} has {_shown(steps)} steps; they are a whole number from 1."
        elif "steps" in inputs_of(body):
            total += steps
    if total > policy.max_steps:
        yield f"The samplers take {total} steps together; the limit is {policy.max_steps}."


def _controlnets(graph: Mapping[str, Node], policy: Policy) -> Iterable[str]:
    """A pack's nodes are counted by what they are called."""
    names = [class_of(body).lower() for body in graph.values()]
    for part in ("Loader", "Apply"):
        count = sum("controlnet" in name and part.lower() in name for name in names)
        if count > policy.max_controlnets:
            yield (
                f"The graph has {count} ControlNet{part} nodes; {policy.max_controlnets} ControlNet"
                " fits into 16 GB beside the checkpoint."
            )


def _vaes(graph: Mapping[str, Node]) -> Iterable[str]:
    """Nothing takes the VAE inside a checkpoint, and what decodes takes a file's (M1.1)."""
    for node, body in graph.items():
        for name, value in inputs_of(body).items():
            link = as_link(value)
            known = link is not None and link[0] in graph
            source = class_of(graph[link[0]]) if link is not None and known else "nothing"
            baked = source == "CheckpointLoaderSimple" and link and link[1] == _BAKED_VAE
            decodes = class_of(body) in _DECODES and name == "vae"
            if baked or (decodes and source != "VAELoader"):
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
            if not is_tame(file) or not str(file).endswith(".safetensors"):
                yield (
                    f"Node {node} loads {_shown(file)}; models are .safetensors files named"
                    " relative to the engine's model folder."
                )
        if class_of(body) == "LoadImage" and not is_tame(inputs.get("image")):
            yield f"Node {node} loads {_shown(inputs.get('image'))}, which is no plain file name."
        if class_of(body) == "CLIPTextEncode":
            for fault in misspelled(str(inputs.get("text", ""))):
                yield f"The text of node {node} names an embedding: {fault}"


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _shown(value: object) -> str:
    return repr(value)[:120]
