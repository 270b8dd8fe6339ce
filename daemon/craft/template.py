"""Knows templates: a maker's ComfyUI export together with the slots that a job may fill.

Law: a template is read whole and checked at once, so that a mistake in it is a sentence for its
maker and never a surprise in the night.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from daemon.craft.nodes import Node, class_of, inputs_of, is_tame, read_nodes
from daemon.craft.slots import Slots, read_slots
from daemon.errors import AskerError


@dataclass(frozen=True, slots=True)
class Template:
    """A checked template: its nodes by id, its slots, and the one node that saves the picture."""

    nodes: Mapping[str, Node]
    slots: Slots
    save_node: str


def read_template(graph_json: str, slots_toml: str) -> Template:
    """A template of the texts of its two files. Raises ``AskerError`` with every mistake found."""
    nodes = read_nodes(graph_json)
    slots = read_slots(slots_toml, nodes)
    saves = [node for node, body in nodes.items() if class_of(body) == "SaveImage"]
    for node in saves:
        prefix = inputs_of(nodes[node]).get("filename_prefix", "panel")
        if not is_tame(prefix) or "%" in str(prefix):
            raise AskerError(
                f"Node {node} saves under {repr(prefix)[:80]}. The name is nightpress's to give;"
                ' leave a plain one there, such as "panel".'
            )
    results = [node for node in saves if node != slots.map_node]
    if len(results) != 1:
        raise AskerError(
            f"The graph has {len(results)} SaveImage nodes"
            f"{' beside that of the pose map' if slots.map_node else ''}; exactly one is needed, so"
            " that it is clear which picture is the result."
        )
    return Template(nodes=nodes, slots=slots, save_node=results[0])
