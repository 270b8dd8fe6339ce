"""The schema of slots files, made from the tables that the reader goes by; run to write it anew."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from daemon.craft import packs
from daemon.craft.nodes import ID
from daemon.craft.slots import FIELDS, KEYS, ROLES, TOP_KEYS

PATH = Path(__file__).parents[2] / "workflows" / "slots.schema.json"

_NODE = {"type": "string", "pattern": f"^{ID}$", "description": "the node's id in the graph"}
_OUTPUT = {
    "type": "array",
    "prefixItems": [_NODE, {"type": "integer", "minimum": 0}],
    "minItems": 2,
    "maxItems": 2,
    "description": 'an output of a node, such as ["1", 0]',
}
_WHOLE = {"type": "integer", "minimum": -(2**32), "maximum": 2**32}
_VALUES: Mapping[str, Mapping[str, object]] = {
    "node": _NODE,
    "input": {"type": "string", "description": "an input of the node that is a value, not a link"},
    "times": {**_WHOLE, "default": 1, "description": "what the number is multiplied by"},
    "below": {**_WHOLE, "default": 0, "description": "the seed modulo this; 0: the seed itself"},
    **dict.fromkeys(("model", "clip", "positive", "negative"), _OUTPUT),
}
_TOP: Mapping[str, Mapping[str, object]] = {
    "ignores": {"type": "array", "items": {"enum": list(FIELDS)}},
    "packs": {
        "type": "object",
        "additionalProperties": {"type": "string", "pattern": f"^{packs.FOLDER_NAME}$"},
        "description": "the pack of each node class that is not ComfyUI's own",
    },
    "needs": {
        "type": "array",
        "items": {"type": "string", "minLength": 1, "maxLength": 255},
        "maxItems": packs.MAX_NEEDS,
        "description": "files below the engine's base path without which the graph does nothing",
    },
    "pose_map": {
        "type": "object",
        "properties": {"node": _NODE},
        "required": ["node"],
        "additionalProperties": False,
        "description": "the SaveImage of the hint that the graph makes for itself",
    },
}


def schema() -> Mapping[str, object]:
    """JSON Schema 2020-12."""
    slots = [_slot(field, kind) for field, kind in FIELDS.items()]
    top = {"slot": {"type": "array", "items": {"oneOf": slots}}, **_TOP}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Slots of a workflow template",
        "type": "object",
        "properties": {key: top[key] for key in TOP_KEYS},
        "additionalProperties": False,
    }


def _slot(field: str, kind: str) -> Mapping[str, object]:
    needed, may = KEYS[kind]
    role = {"role": {"const": ROLES[field]}} if field in ROLES else {}
    values = {key: value for key, value in {**_VALUES, **role}.items() if key in needed | may}
    return {
        "title": field,
        "type": "object",
        "properties": {"field": {"const": field}, "kind": {"const": kind}, **values},
        "required": ["field", "kind", *sorted(needed)],
        "additionalProperties": False,
    }


def text() -> str:
    """The schema as the file has it."""
    return json.dumps(schema(), indent=2) + "\n"


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
