"""Rehearsal room: the node classes, as /object_info tells them and as validation weighs them.

They stand in nodes.json as ComfyUI 0.3.64 tells them: names, limits, defaults and key order.
Tooltips and descriptions are left empty, and ``{"files": FOLDER}`` takes the place of a list of
what lies in a folder.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daemon.rehearsal.folders import Layout

CLASSES: Mapping[str, Any] = json.loads(Path(__file__).with_name("nodes.json").read_bytes())
_GROUPS = ("required", "optional")


def filled(spec: list[Any], layout: Layout) -> list[Any]:
    """An input, a type or a list of choices and then options, with the files that there are now."""
    match spec[0]:
        case {"files": "input"}:
            return [layout.input_names(), *spec[1:]]
        case {"files": "vae"}:
            # After the files comes the pseudo-VAE that has none.
            return [[*layout.model_names("vae"), "pixel_space"], *spec[1:]]
        case {"files": folder}:
            return [layout.model_names(folder), *spec[1:]]
        case _:
            return spec


def told(name: str, layout: Layout) -> dict[str, Any]:
    """The entry of /object_info."""
    entry = CLASSES[name]
    groups = {
        group: {key: filled(spec, layout) for key, spec in specs.items()}
        if group in _GROUPS
        else specs
        for group, specs in entry["input"].items()
    }
    return {
        "python_module": "nodes",
        **entry,
        "input": groups,
        "input_order": {group: list(specs) for group, specs in groups.items()},
        "output_is_list": [False] * len(entry["output"]),
        "name": name,
        "description": "",
    }
