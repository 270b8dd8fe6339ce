"""Spells JSON Schema 2020-12 of what others write and read: job files, locks, status, the ledger.

Law: made from the very models by which files are read and lines are written. What people write is
closed; what programs read may have more keys in a later version.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter

from daemon.core.events import Event
from daemon.wire.calibrate_file import CalibrateFile
from daemon.wire.document_types import Status, TrainingLock
from daemon.wire.job_file import ControlFile
from daemon.wire.lock_file import LockFacts
from daemon.wire.panel_file import PanelFile
from daemon.wire.train_file import TrainFile

Schema = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_FILES: Mapping[str, type[BaseModel]] = {
    "panel": PanelFile,
    "train": TrainFile,
    "control": ControlFile,
    "calibrate": CalibrateFile,
}
_NAMED_BY_FILE = {"PanelFile": "panel", "TrainFile": "lora"}
"""The key that may be left out: a job is called like its file."""
_READ: Mapping[str, tuple[str, Any]] = {
    "lock": ("Lock", LockFacts),
    "training-lock": ("TrainingLock", TrainingLock),
    "status": ("Status", Status),
}
NAMES = ("job", *_FILES, *_READ, "ledger")
"""What there are schemas of."""

_LEFT_OUT = {"Engine": ("commit",), "Model": ("strength", "job"), "LockFacts": ("model", "input")}
"""Keys of locks that are left out where there is nothing to say."""
_RECORDS = ("PanelSpec", "TrainSpec", "FileFacts")
"""Of these a line leaves out what is empty."""


def schema_of(name: str) -> Schema:
    """The schema of one of ``NAMES``; its own parts are in ``$defs``."""
    everything = definitions()
    root = _root(name)
    needed = _reached(root, everything)
    return {
        "$schema": _DIALECT,
        "$id": f"urn:nightpress:{name}",
        "$ref": f"#/$defs/{root}",
        "$defs": {key: everything[key] for key in sorted(needed)},
    }


def whole_schema() -> Schema:
    """All of them in one document, by their names in ``$defs``."""
    return {"$schema": _DIALECT, "$id": "urn:nightpress:all", "$defs": definitions()}


def definitions() -> Schema:
    """Every type by its name: ``PanelFile``, ``Lock``, ``Status``, ``LedgerLine``."""
    files = [(kind, "validation", TypeAdapter(model)) for kind, model in _FILES.items()]
    reads = [(name, "serialization", TypeAdapter(kind)) for name, (_, kind) in _READ.items()]
    events = [(kind.type, "serialization", TypeAdapter(kind)) for kind in get_args(Event)]
    _, found = TypeAdapter.json_schemas(
        [*files, *reads, *events],  # type: ignore[list-item]
        ref_template="#/$defs/{model}",
    )
    defs: Schema = found["$defs"]
    for part in defs.values():
        _tidied(part)
    for model in _FILES.values():
        for name in _reached(model.__name__, defs):
            defs[name]["properties"] = {
                key: _written(body) for key, body in defs[name]["properties"].items()
            }
        _as_file(defs[model.__name__])
    for name, key in _NAMED_BY_FILE.items():
        defs[name]["required"].remove(key)
    for name, keys in _LEFT_OUT.items():
        _optional(defs[name], keys)
    for name in _RECORDS:
        _optional(defs[name], defs[name]["properties"])
    for kind in get_args(Event):
        defs[kind.__name__] = _as_line(kind.type, defs[kind.__name__])
    defs["Lock"] = defs.pop("LockFacts")
    lines = [kind.__name__ for kind in get_args(Event)]
    files_of = [model.__name__ for model in _FILES.values()]
    defs["LedgerLine"] = _either("A line of ledger/<host>/<yyyy-mm>.jsonl.", lines)
    defs["JobFile"] = _either("A file for inbox/.", files_of)
    return dict(sorted(defs.items()))


def _root(name: str) -> str:
    if name in _FILES:
        return _FILES[name].__name__
    return {"job": "JobFile", "ledger": "LedgerLine"}.get(name) or _READ[name][0]


def _either(about: str, names: Iterable[str]) -> Schema:
    return {"description": about, "anyOf": [{"$ref": f"#/$defs/{name}"} for name in names]}


def _written(body: Schema) -> Schema:
    """A key as it can be written: TOML has no null."""
    others = [each for each in body.get("anyOf", ()) if each != {"type": "null"}]
    if len(others) != 1:
        return body
    kept = {key: value for key, value in body.items() if key not in ("anyOf", "default")}
    return {**others[0], **kept}


def _as_file(part: Schema) -> None:
    """A program may say that its file is whole."""
    part["properties"]["end"] = {
        "const": True,
        "description": "the last line of a file that a program has written whole",
    }


def _as_line(kind: str, part: Schema) -> Schema:
    """An event in its place."""
    own, required = dict(part["properties"]), list(part.get("required", ()))
    if kind == "control.taken":
        required.remove("job")
    first = {
        "seq": {"type": "integer", "minimum": 1, "description": "from 1 per host"},
        "at": {"type": "string", "description": "UTC: 2026-11-22T17:50:00.123Z"},
        "type": {"const": kind},
    }
    last = {"chain": {"type": "string", "pattern": "^[0-9a-f]{32}$"}}
    return {
        "type": "object",
        **({"description": part["description"]} if "description" in part else {}),
        "properties": {**first, **own, **last},
        "required": [*first, *required, *last],
    }


def _optional(part: Schema, keys: Iterable[str]) -> None:
    required = [key for key in part.get("required", ()) if key not in set(keys)]
    part["required"] = required


def _tidied(part: object) -> None:
    """Without titles, which repeat the keys; and with one line of each description."""
    if isinstance(part, list):
        for each in part:
            _tidied(each)
    if not isinstance(part, dict):
        return
    if isinstance(part.get("title"), str):
        del part["title"]
    if isinstance(part.get("description"), str):
        part["description"] = " ".join(part["description"].replace("``", "`").split())
    for each in list(part.values()):
        _tidied(each)


def _reached(root: str, everything: Schema) -> set[str]:
    """The types that a type needs, itself included."""
    found, waiting = set[str](), [root]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(_references(everything[name]))
    return found


def _references(part: object) -> Iterable[str]:
    if isinstance(part, list):
        for each in part:
            yield from _references(each)
    elif isinstance(part, dict):
        if isinstance(ref := part.get("$ref"), str):
            yield ref.rpartition("/")[2]
        for each in part.values():
            yield from _references(each)
