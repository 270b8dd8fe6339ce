"""Knows graphs in ComfyUI's API format: nodes by id, inputs that are values or links.

Law: a graph that was read has nodes of a known form, so that nothing further on asks again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from daemon.errors import AskerError

GRAPH_LIMIT_BYTES = 1024 * 1024

Link = tuple[str, int]
"""An output of a node: its id and the output's index."""

Node = Mapping[str, object]
"""``class_type``, ``inputs`` and perhaps ``_meta``."""


def read_nodes(graph_json: str) -> Mapping[str, Node]:
    """The nodes of an exported graph. Raises ``AskerError`` with what to do instead."""
    if len(graph_json) > GRAPH_LIMIT_BYTES:
        raise AskerError(f"The graph is larger than {GRAPH_LIMIT_BYTES} bytes.")
    try:
        graph = json.loads(graph_json, parse_constant=_no_constant)
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


def _read_node(node: str, body: object) -> Node:
    match body:
        case {"class_type": str(name), "inputs": dict(inputs), **rest}:
            title = {"_meta": rest["_meta"]} if "_meta" in rest else {}
            return {"class_type": name, "inputs": inputs, **title}
        case _:
            raise AskerError(f"Node {node!r} of the graph lacks class_type or inputs.")


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no number that every program can read")
