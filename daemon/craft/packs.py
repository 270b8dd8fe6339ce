"""Knows packs of custom nodes: what a slots file says of them, and which of them may draw.

Law: a class is what its module says it is; a name alone proves nothing, for a pack may bring a node
under the name of ComfyUI's own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

from daemon.craft.core_nodes import CORE
from daemon.craft.nodes import Node, class_of, is_tame

MAX_NEEDS = 20
FOLDER_NAME = r"[A-Za-z0-9_][A-Za-z0-9_. -]{0,99}"
"""What a pack may be called: the name of its folder in custom_nodes/."""


def declared_packs(
    document: Mapping[str, object], nodes: Mapping[str, Node], mistakes: list[str]
) -> Mapping[str, str]:
    """The pack of each node class that is not ComfyUI's own, by the slots file (A4.2)."""
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


def forbidden_nodes(
    classes: Iterable[str],
    modules: Mapping[str, str],
    packs: Collection[str],
    declared: Mapping[str, str] = MappingProxyType({}),
) -> Sequence[tuple[str, str]]:
    """Code and sentence for each node class that the engine lacks or that others have brought.

    ``modules``: the Python module of each class, as the engine tells; ``packs``: the custom nodes
    that are allowed (A4.2); ``declared``: the packs from which the template says that classes come.
    """
    judged = (
        (name, _module_fault(modules.get(name), packs, declared.get(name, "")))
        for name in sorted(classes)
    )
    return [(code, f"The node class {name[:80]!r} {why}") for name, (code, why) in judged if code]


def _module_fault(module: str | None, packs: Collection[str], declared: str) -> tuple[str, str]:
    kind, _, rest = (module or "").partition(".")
    if module is None:
        return "NODE_MISSING", (
            "is not in this ComfyUI. Install a newer one, or use a template without it."
        )
    if declared and module != f"custom_nodes.{declared}":
        return "NODE_FORBIDDEN", (
            f"comes from {module[:80]!r}, and the template's slots file says that it comes from the"
            f" pack {declared!r}. Look which of the two is meant, and correct [packs] there."
        )
    if kind in ("nodes", "comfy_extras") or (kind == "custom_nodes" and rest in packs):
        return "", ""
    if kind != "custom_nodes":
        return "NODE_FORBIDDEN", (
            f"comes from {module[:80]!r}, which is no part of ComfyUI's own drawing. Use a template"
            " without it."
        )
    return "NODE_FORBIDDEN", (
        f"comes from the pack {rest[:80]!r}, which is not allowed here. {how_to_allow(rest[:80])}"
    )


def how_to_allow(pack: str) -> str:
    """What to do about a node of a pack that the settings do not name."""
    return (
        "Use a template without it; or find where the pack is said to work on MPS, and write into"
        f' nightpress.toml, under [comfyui]: custom_nodes = {{ "{pack}" = "where that is said" }}'
    )
