"""Knows graphs in ComfyUI's API format: nodes by id, inputs that are values or links.

Law: a graph that was read has nodes of a known form, so that nothing further on asks again.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence

from daemon.errors import AskerError

GRAPH_LIMIT_BYTES = 1024 * 1024

ID = r"[A-Za-z0-9_.:'-]{1,64}"
"""What an id of a node may look like."""
_DRIVE = re.compile(r"[A-Za-z]:")

Link = tuple[str, int]
"""An output of a node: its id and the output's index."""

Node = Mapping[str, object]
"""``class_type``, ``inputs`` and perhaps ``_meta``."""


def read_nodes(graph_json: str) -> Mapping[str, Node]:
    """The nodes of an exported graph. Raises ``AskerError`` with what to do instead."""
    if len(graph_json) > GRAPH_LIMIT_BYTES:
        raise AskerError(f"The graph is larger than {GRAPH_LIMIT_BYTES} bytes.")
    try:
        graph = json.loads(
            graph_json,
            object_pairs_hook=_no_key_twice,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
    except (ValueError, RecursionError) as error:
        raise AskerError(f"The graph is no JSON: {error}.") from None
    if isinstance(graph, dict) and "nodes" in graph and "links" in graph:
        raise AskerError(
            "The graph is in the editor's own format; in ComfyUI choose Workflow > Export (API)."
        )
    if not isinstance(graph, dict) or not graph:
        raise AskerError("The graph is no JSON object with nodes by id.")
    return {node: _read_node(node, body) for node, body in graph.items()}


def class_of(body: Node) -> str:
    """The node's class."""
    return str(body["class_type"])


def inputs_of(body: Node) -> Mapping[str, object]:
    """The node's inputs by name."""
    inputs = body["inputs"]
    assert isinstance(inputs, dict)
    return inputs


def as_link(value: object) -> Link | None:
    """A graph's ``["3", 0]`` as a pair; None for anything that is no link."""
    match value:
        case [str(node), int(index)] if not isinstance(index, bool):
            return node, index
        case _:
            return None


def links_of(body: Node) -> Sequence[Link]:
    """Every link among a node's inputs."""
    found = (as_link(value) for value in inputs_of(body).values())
    return [link for link in found if link is not None]


def is_tame(name: object) -> bool:
    """A relative name with ``/`` that stays inside its folder, and no ``[output]`` behind it."""
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= 255:
        return False
    if "\\" in name or "[" in name or _DRIVE.match(name):
        return False
    return all(part not in ("", ".", "..", "~") for part in name.split("/"))


def _read_node(node: str, body: object) -> Node:
    if not re.fullmatch(ID, node):
        raise AskerError(
            f"The graph has a node {_shown(node)}; ids are up to 64 letters, digits, . : _ ' and -."
        )
    match body:
        case {"class_type": str(name), "inputs": dict(inputs), **rest}:
            for key, value in inputs.items():
                _check_input(node, key, value)
            return {"class_type": name, "inputs": inputs, **_title(node, rest)}
        case _:
            raise AskerError(f"Node {node!r} of the graph lacks class_type or inputs.")


def _check_input(node: str, key: str, value: object) -> None:
    where = f"Input {_shown(key)} of node {node}"
    if not key.isprintable() or not 0 < len(key) <= 100:
        raise AskerError(f"{where} has no name that could be read.")
    if value is None or (isinstance(value, list | dict) and as_link(value) is None):
        raise AskerError(f"{where} is neither a value nor a link.")
    if isinstance(value, int) and abs(value) >= 2**64:
        raise AskerError(f"{where} is a number of more than 64 bits.")


def _title(node: str, rest: Mapping[object, object]) -> Node:
    """What is kept of ``_meta``, which is for people."""
    match rest.get("_meta", {}):
        case {"title": str(title)}:
            return {"_meta": {"title": title[:200]}}
        case dict(meta) if "title" not in meta:
            return {}
        case _:
            raise AskerError(
                f"Node {node} of the graph has a _meta that is no object with a title."
            )


def _no_key_twice(pairs: Sequence[tuple[str, object]]) -> Mapping[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {_shown(twice)} is there twice in one object")
    return found


def _finite(text: str) -> float:
    if math.isfinite(number := float(text)):
        return number
    raise ValueError(f"{text[:40]} is too large a number")


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no number that every program can read")


def _shown(text: str) -> str:
    return repr(text)[:120]
