"""Knows what a slots file says beside its slots: packs, the files they need, and the pose map.

Law: each mistake is added to the others as a sentence without its full stop, and none ends the
reading.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from daemon.craft.core_nodes import CORE
from daemon.craft.nodes import Node, class_of, is_tame

MAX_NEEDS = 20
FOLDER_NAME = r"[A-Za-z0-9_][A-Za-z0-9_. -]{0,99}"
"""What a pack may be called: the name of its folder in custom_nodes/."""


def map_node(document: Mapping[str, object], nodes: Mapping[str, Node], mistakes: list[str]) -> str:
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


def declared_packs(
    document: Mapping[str, object], nodes: Mapping[str, Node], mistakes: list[str]
) -> Mapping[str, str]:
    """The pack of each node class that is not ComfyUI's own (A4.2)."""
    table = document.get("packs", {})
    if not isinstance(table, dict):
        mistakes.append('[packs] is a table such as DWPreprocessor = "comfyui_controlnet_aux"')
        return {}
    used = {class_of(body) for body in nodes.values()}
    for name, pack in table.items():
        if not isinstance(pack, str) or not re.fullmatch(FOLDER_NAME, pack):
            mistakes.append(
                f"[packs] {name!r:.80}: {pack!r:.80} is no name of a folder in custom_nodes"
            )
        elif name in CORE:
            mistakes.append(f"[packs] {name!r} is ComfyUI's own and comes from no pack")
        elif name not in used:
            mistakes.append(f"[packs] {name!r:.80}: the graph has no node of this class")
    return table


def needed_files(document: Mapping[str, object], mistakes: list[str]) -> tuple[str, ...]:
    """Files below the engine's base path without which those nodes do nothing (C2.1)."""
    paths = document.get("needs", [])
    if not isinstance(paths, list) or len(paths) > MAX_NEEDS:
        mistakes.append(f"needs is a list of up to {MAX_NEEDS} paths")
        return ()
    mistakes += [
        f"needs: {path!r:.80} is no path below the engine's base path, with / and without .."
        for path in paths
        if not is_tame(path)
    ]
    return tuple(paths)
