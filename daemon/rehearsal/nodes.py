"""Rehearsal room: the node classes, as validation weighs them and as its errors tell them.

They stand in nodes.json as ComfyUI 0.3.64 has them: limits, defaults and key order. Tooltips are
left empty, and ``{"files": FOLDER}`` takes the place of a list of what lies in a folder.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daemon.rehearsal.folders import Layout

CLASSES: Mapping[str, Any] = json.loads(Path(__file__).with_name("nodes.json").read_bytes())


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
