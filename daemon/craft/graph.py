"""Knows binding: a template and a panel's specification become the graph that an engine executes.

Law: the bound graph differs from the template only in its slots, and it is a pure function of what
was asked: the same request gives the same bytes, so its hash can name a prompt before it is sent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from daemon.core.jobs import ControlNetUse, LoraUse, PanelSpec
from daemon.craft.core_nodes import MODEL_INPUTS
from daemon.craft.embeddings import named
from daemon.craft.nodes import Node, class_of, inputs_of
from daemon.craft.slots import FIELDS, ValueSlot
from daemon.craft.splice import Draft, splice_controlnet, splice_loras
from daemon.craft.template import Template
from daemon.errors import AskerError


@dataclass(frozen=True, slots=True)
class ModelUse:
    """A model file that the graph really loads; ``name`` relative to the folder of its role.

    An embedding is named as in the prompt, mostly without its extension.
    """

    role: str
    name: str


@dataclass(frozen=True, slots=True)
class BoundGraph:
    """A graph complete but for its file prefix, which contains the prompt id, which needs the hash.

    ``graph_sha256`` is of the canonical JSON (sorted keys, no spaces, ASCII) of ``graph``.
    ``map_node`` saves the hint that the graph made for itself ('' = none); ``packs`` are the packs
    of those node classes that are not ComfyUI's own, as the template says.
    """

    graph: Mapping[str, Node]
    graph_sha256: str
    models: tuple[ModelUse, ...]
    save_node: str
    map_node: str = ""
    packs: Mapping[str, str] = field(default_factory=dict)


def misfits(template: Template, spec: PanelSpec) -> Sequence[str]:
    """What this template cannot do for this panel, in sentences."""
    slots = template.slots
    found = []
    if spec.loras and slots.loras is None:
        found.append("This template has no slot for LoRAs; leave [[lora]] out or add a lora_chain.")
    own_hint = any(slot.field.startswith("controlnet.") for slot in slots.values)
    if spec.controlnet is not None and slots.controlnet is None and not own_hint:
        found.append("This template has no slot for a ControlNet; leave [controlnet] out.")
    if spec.controlnet is None and own_hint:
        found.append("This template is built around a ControlNet: the job needs [controlnet].")
    return found


def bind(
    template: Template,
    spec: PanelSpec,
    *,
    seed: int,
    loras: Sequence[str] = (),
    hint: str | None = None,
) -> BoundGraph:
    """The graph of one picture of this panel.

    ``loras`` are the files that ``spec.loras`` resolved to, in their order (empty: the names as
    they are); ``hint`` is the name under which the engine knows the hint image. Raises
    ``AskerError`` where the template cannot do what is asked. Limits are judged apart, on the
    finished graph, by ``craft.limits.complaints``.
    """
    wrong = misfits(template, spec)
    if wrong:
        raise AskerError(" ".join(wrong))
    draft = Draft(template.nodes)
    for slot in template.slots.values:
        draft.fill(slot.node, slot.input, _value(slot, spec, seed=seed, hint=hint))
    if template.slots.loras is not None:
        splice_loras(draft, template.slots.loras, _resolved(spec.loras, loras))
    if template.slots.controlnet is not None and spec.controlnet is not None:
        splice_controlnet(draft, template.slots.controlnet, spec.controlnet, _hint_name(hint))
    for node in (template.save_node, template.slots.map_node):
        draft.clear(node, "filename_prefix")
    nodes = draft.nodes()
    return BoundGraph(
        graph=nodes,
        graph_sha256=graph_sha256(nodes),
        models=models_of(nodes),
        save_node=template.save_node,
        map_node=template.slots.map_node,
        packs=template.slots.packs,
    )


def with_prefix(bound: BoundGraph, prefix: str) -> Mapping[str, Node]:
    """The graph as it is sent: its picture is saved under this ``filename_prefix``, and the hint
    that it made for itself, if it does, under ``PREFIX-map``.
    """
    sent = dict(bound.graph)
    for node, name in ((bound.save_node, prefix), (bound.map_node, f"{prefix}-map")):
        if node:
            inputs = {**inputs_of(sent[node]), "filename_prefix": name}
            sent[node] = {**sent[node], "inputs": inputs}
    return sent


def graph_sha256(graph: Mapping[str, object]) -> str:
    """Hexadecimal SHA-256 of a graph's canonical JSON."""
    text = json.dumps(graph, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def same_graph(ours: Mapping[str, object], found: Mapping[str, object]) -> bool:
    """Whether a graph found on a server is ours: nodes, classes and inputs, numbers by value.

    Titles and what a server notes in a node for itself are not looked at.
    """
    return _substance(ours) == _substance(found)


def models_of(nodes: Mapping[str, Node]) -> tuple[ModelUse, ...]:
    """The models that a graph names, each once, in the order of the graph."""
    found = [use for body in nodes.values() for use in _models_in(body)]
    return tuple(dict.fromkeys(found))


def _value(slot: ValueSlot, spec: PanelSpec, *, seed: int, hint: str | None) -> object:
    if slot.field == "seed":
        return seed % slot.below if slot.below > 0 else seed
    if slot.field.startswith("controlnet."):
        assert spec.controlnet is not None, "misfits() lets no such job through"
        return _hint_value(slot.field, spec.controlnet, hint)
    return _typed(getattr(spec, slot.field), slot)


def _typed(value: object, slot: ValueSlot) -> object:
    match FIELDS[slot.field], value:
        case "int", int(number):
            return number * slot.times
        case "float", int() | float():
            return float(value)
        case _:
            return value


def _hint_value(field: str, use: ControlNetUse, hint: str | None) -> object:
    match field.removeprefix("controlnet."):
        case "image":
            return _hint_name(hint)
        case "strength" | "start" | "end" as part:
            # A whole number and its float are one value to people, but not to a hash.
            return float(getattr(use, part))
        case part:
            return getattr(use, part)


def _hint_name(hint: str | None) -> str:
    if hint is None:
        raise AskerError("The hint image has not been given to the engine.")
    return hint


def _resolved(uses: Sequence[LoraUse], names: Sequence[str]) -> Sequence[tuple[str, float]]:
    if names and len(names) != len(uses):
        raise AskerError(f"{len(uses)} LoRAs were asked for and {len(names)} were found.")
    chosen = names or [use.name for use in uses]
    return [(name, float(use.strength)) for name, use in zip(chosen, uses, strict=True)]


def _substance(graph: Mapping[str, object]) -> Mapping[str, tuple[object, object]]:
    return {
        node: (body.get("class_type"), body.get("inputs"))
        for node, body in graph.items()
        if isinstance(body, Mapping)
    }


def _models_in(body: Node) -> Iterable[ModelUse]:
    inputs = inputs_of(body)
    if class_of(body) == "CLIPTextEncode":
        for name in named(str(inputs.get("text", ""))):
            yield ModelUse("embedding", name)
    if class_of(body) in MODEL_INPUTS:
        role, key = MODEL_INPUTS[class_of(body)]
        yield ModelUse(role, str(inputs.get(key, "")))
