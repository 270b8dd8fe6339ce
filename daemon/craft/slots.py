"""Knows slots: which inputs of a graph a job may fill, as the maker's slots file says.

Law: what no slot names, no job can change; and a field that would silently go nowhere is a mistake,
for it would make every lock file a lie.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from daemon.craft.core_nodes import CORE
from daemon.craft.nodes import Link, Node, as_link, class_of, inputs_of, links_of
from daemon.craft.packs import declared_packs, needed_files
from daemon.errors import AskerError

SLOTS_LIMIT_BYTES = 64 * 1024

FIELDS: Mapping[str, str] = {
    "prompt": "string",
    "negative": "string",
    "width": "int",
    "height": "int",
    "seed": "seed",
    "steps": "int",
    "cfg": "float",
    "sampler": "choice",
    "scheduler": "choice",
    "denoise": "float",
    "clip_skip": "int",
    "checkpoint": "model",
    "vae": "model",
    "loras": "lora_chain",
    "controlnet": "controlnet",
    "controlnet.model": "model",
    "controlnet.image": "image",
    "controlnet.strength": "float",
    "controlnet.start": "float",
    "controlnet.end": "float",
}
"""What a job has to offer, and the kind of slot that takes it."""

ROLES: Mapping[str, str] = {
    "checkpoint": "checkpoint",
    "vae": "vae",
    "controlnet.model": "controlnet",
}

KEYS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    **dict.fromkeys(
        ("string", "float", "choice", "image"), (frozenset({"node", "input"}), frozenset())
    ),
    "int": (frozenset({"node", "input"}), frozenset({"times"})),
    "seed": (frozenset({"node", "input"}), frozenset({"below"})),
    "model": (frozenset({"node", "input", "role"}), frozenset()),
    "lora_chain": (frozenset({"model", "clip"}), frozenset()),
    "controlnet": (frozenset({"positive", "negative"}), frozenset()),
}
"""What a slot of a kind says beside ``field`` and ``kind``: what it must, and what it may."""

TOP_KEYS = ("slot", "ignores", "packs", "needs", "pose_map")

_FITS = {"string": "text", "seed": "int", "image": "hint"}
"""The input that a kind of slot fills, where it has another name among the inputs of nodes."""

OPTIONAL_FIELDS = frozenset({"loras", *(name for name in FIELDS if "controlnet" in name)})
"""Need no slot and no word under ``ignores``: a job that asks for them is refused instead."""


@dataclass(frozen=True, slots=True)
class ValueSlot:
    """One input of one node takes one field.

    ``times`` multiplies an int (-1: CLIP's layers count back). ``below`` (0 = off) folds a seed
    into a node's smaller range: the seed modulo ``below``.
    """

    field: str
    node: str
    input: str
    times: int = 1
    below: int = 0


@dataclass(frozen=True, slots=True)
class LoraChain:
    """LoRAs are spliced in behind these two outputs, one loader each, in the order asked."""

    model: Link
    clip: Link


@dataclass(frozen=True, slots=True)
class ControlNetSplice:
    """The ControlNet is spliced in behind these two conditionings."""

    positive: Link
    negative: Link


@dataclass(frozen=True, slots=True)
class Slots:
    """All slots of a template.

    ``map_node`` saves the hint that the graph makes for itself ('' = none). ``packs`` names the
    pack of each node class that is not ComfyUI's own; ``needs`` are files below the engine's base
    path without which those nodes would do nothing, and say nothing.
    """

    values: tuple[ValueSlot, ...]
    loras: LoraChain | None
    controlnet: ControlNetSplice | None
    map_node: str = ""
    packs: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()


def read_slots(slots_toml: str, nodes: Mapping[str, Node]) -> Slots:
    """The slots of a graph. Raises ``AskerError`` with every mistake, one a line."""
    document = _read_document(slots_toml)
    reader = _SlotReader(nodes)
    for number, table in enumerate(_tables(document), start=1):
        reader.read(table, number)
    mistakes = reader.mistakes
    ignores = _read_ignores(document, mistakes)
    mistakes += _unfilled(reader.filled, ignores)
    slots = Slots(
        values=tuple(reader.values),
        loras=reader.loras,
        controlnet=reader.controlnet,
        map_node=_map_node(document, nodes, mistakes),
        packs=declared_packs(document, nodes, mistakes),
        needs=needed_files(document, mistakes),
    )
    if mistakes:
        raise AskerError("\n".join(f"{m[0].upper()}{m[1:]}." for m in mistakes))
    return slots


class _SlotReader:
    """Collects slots and mistakes, so that a maker sees all of them at once."""

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self.nodes = nodes
        self.mistakes: list[str] = []
        self.values: list[ValueSlot] = []
        self.loras: LoraChain | None = None
        self.controlnet: ControlNetSplice | None = None
        self.filled: set[str] = set()
        self._taken: set[tuple[str, str]] = set()

    def read(self, table: Mapping[str, object], number: int) -> None:
        """One ``[[slot]]``."""
        field, kind = table.get("field"), table.get("kind")
        if not isinstance(field, str) or field not in FIELDS:
            known = ", ".join(FIELDS)
            self.mistakes.append(f"slot {number}: field {field!r} is unknown; known are {known}")
            return
        if kind != FIELDS[field]:
            self.mistakes.append(
                f"slot {number}: {field} is of kind {FIELDS[field]!r}, not {kind!r}"
            )
            return
        where = f"slot {number} ({field})"
        before = len(self.mistakes)
        self._keys(table, where, FIELDS[field])
        match FIELDS[field]:
            case "lora_chain":
                model, clip = self._link(table, where, "model"), self._link(table, where, "clip")
                self._once(field, where)
                self.loras = LoraChain(model, clip)
            case "controlnet":
                positive = self._link(table, where, "positive")
                negative = self._link(table, where, "negative")
                self._once(field, where)
                self.controlnet = ControlNetSplice(positive, negative)
            case _:
                self._value(table, where, field)
        if len(self.mistakes) == before:
            self.filled.add(field)

    def _value(self, table: Mapping[str, object], where: str, field: str) -> None:
        kind = FIELDS[field]
        if kind == "model" and table.get("role") != ROLES[field]:
            self.mistakes.append(f"{where}: its role is {ROLES[field]!r}")
        node, name = table.get("node"), table.get("input")
        if not isinstance(node, str) or node not in self.nodes:
            self.mistakes.append(f"{where}: the graph has no node {node!r} (ids are texts)")
            return
        inputs = inputs_of(self.nodes[node])
        if not isinstance(name, str) or name not in inputs:
            has = ", ".join(inputs) or "none"
            self.mistakes.append(f"{where}: node {node} has no input {name!r}; it has {has}")
            return
        if isinstance(inputs[name], list):
            self.mistakes.append(f"{where}: input {name!r} of node {node} is a link, not a value")
        if (node, name) in self._taken:
            self.mistakes.append(f"{where}: input {name!r} of node {node} has a slot already")
        if not _fits(ROLES.get(field, _FITS.get(kind, kind)), self.nodes[node], name):
            self.mistakes.append(
                f"{where}: input {name!r} of node {node}, a {class_of(self.nodes[node])[:80]},"
                f" takes no {ROLES.get(field, kind)}"
            )
        self._taken.add((node, name))
        times, below = self._whole(table, where, "times", 1), self._whole(table, where, "below", 0)
        self.values.append(ValueSlot(field, node, name, times, below))

    def _once(self, field: str, where: str) -> None:
        if field in self.filled:
            self.mistakes.append(f"{where}: only one such slot can be")

    def _keys(self, table: Mapping[str, object], where: str, kind: str) -> None:
        allowed = KEYS[kind][0] | KEYS[kind][1]
        unknown = sorted(set(table) - allowed - {"field", "kind"})
        if unknown:
            known = ", ".join(sorted(allowed))
            self.mistakes.append(f"{where}: unknown key {unknown[0]!r}; it takes {known}")

    def _whole(self, table: Mapping[str, object], where: str, key: str, default: int) -> int:
        value = table.get(key, default)
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= 2**32:
            return value
        self.mistakes.append(f"{where}: {key} is a whole number")
        return default

    def _link(self, table: Mapping[str, object], where: str, key: str) -> Link:
        found = as_link(table.get(key))
        if found is None:
            self.mistakes.append(f'{where}: {key} is an output such as ["1", 0]')
        elif found[0] not in self.nodes:
            self.mistakes.append(f"{where}: {key} names node {found[0]!r}, which is not there")
        else:
            if not any(link == found for body in self.nodes.values() for link in links_of(body)):
                self.mistakes.append(f"{where}: nothing in the graph takes {key} = {list(found)}")
            return found
        return ("", 0)


def _read_document(slots_toml: str) -> Mapping[str, object]:
    if len(slots_toml) > SLOTS_LIMIT_BYTES:
        raise AskerError(f"The slots file is larger than {SLOTS_LIMIT_BYTES} bytes.")
    try:
        document = tomllib.loads(slots_toml)
    except (ValueError, RecursionError) as error:
        raise AskerError(f"The slots file is no TOML: {error}.") from None
    unknown = sorted(set(document) - set(TOP_KEYS))
    if unknown:
        known = ", ".join(TOP_KEYS)
        raise AskerError(f"The slots file has an unknown key {unknown[0][:80]!r}; it has {known}.")
    return document


def _tables(document: Mapping[str, object]) -> Sequence[Mapping[str, object]]:
    tables = document.get("slot", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise AskerError("Slots are written as [[slot]], with two brackets.")
    return tables


def _read_ignores(document: Mapping[str, object], mistakes: list[str]) -> frozenset[str]:
    names = document.get("ignores", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        mistakes.append("ignores is a list of fields")
        return frozenset()
    mistakes += [f"ignores names {name!r}, no field" for name in names if name not in FIELDS]
    return frozenset(names)


def _map_node(
    document: Mapping[str, object], nodes: Mapping[str, Node], mistakes: list[str]
) -> str:
    """The node that saves the hint which the graph makes for itself; '' = it makes none."""
    match document.get("pose_map"):
        case None:
            return ""
        case {"node": str(node), **rest} if (
            not rest and node in nodes and class_of(nodes[node]) == "SaveImage"
        ):
            return node
        case found:
            mistakes.append(
                f'[pose_map] names the SaveImage of the map, as node = "12", and not {found!r:.80}'
            )
            return ""


def _unfilled(filled: set[str], ignores: frozenset[str]) -> Sequence[str]:
    both = sorted(filled & ignores)
    missing = [name for name in FIELDS if name not in filled | ignores | OPTIONAL_FIELDS]
    return [f"{name} has a slot and stands under ignores" for name in both] + [
        f"{name} has no slot; give it one, or name it under ignores" for name in missing
    ]


def _fits(kind: str, node: Node, name: str) -> bool:
    """Of a node that is not ComfyUI's own, nobody here knows what it takes."""
    core = CORE.get(class_of(node))
    return core is None or core.inputs.get(name) == kind
