"""What we know of ComfyUI's nodes is what ComfyUI says of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from daemon.craft.core_nodes import CORE, MODEL_INPUTS, ROLES, CoreNode
from daemon.rehearsal.nodes import CLASSES
from tests import needs

RECORDINGS = Path(__file__).resolve().parents[3] / "shared" / "recordings" / "comfyui"
VALUES: Mapping[str, set[str]] = {
    "INT": {"int"},
    "FLOAT": {"float"},
    "STRING": {"text", "prefix"},
    "CHOICE": {"choice", "hint", *ROLES},
}


def is_as_told(node: CoreNode, told: Mapping[str, Any]) -> None:
    """Inputs with their kinds, and outputs, are those of an entry of /object_info."""
    assert list(node.outputs) == told["output"]
    inputs = {**told["input"].get("required", {}), **told["input"].get("optional", {})}
    assert node.inputs.keys() == inputs.keys()
    for name, (kind, *_) in inputs.items():
        type_name = kind if isinstance(kind, str) else "CHOICE"
        assert node.inputs[name] in VALUES.get(type_name, {type_name}), name


@pytest.mark.parametrize("name", sorted(CORE.keys() & CLASSES.keys()))
def test_the_rehearsal_has_the_same_nodes(name: str) -> None:
    is_as_told(CORE[name], CLASSES[name])


def recorded() -> Iterator[tuple[str, Mapping[str, Any]]]:
    file = needs.file(next(iter(RECORDINGS.glob("k_*.jsonl")), RECORDINGS / "k_object_info.jsonl"))
    for line in file.read_text(encoding="utf-8").splitlines():
        body = json.loads(line).get("body")
        if isinstance(body, dict) and len(body) == 1:
            yield from ((name, told) for name, told in body.items() if name in CORE)


def test_the_real_one_described_them_so() -> None:
    """A4.2, N3.2"""
    seen = set()
    for name, told in recorded():
        is_as_told(CORE[name], told)
        seen.add(name)
    assert {"KSamplerAdvanced", "ImageScale"} <= seen


def test_every_loader_of_models_is_one_whose_file_is_checked() -> None:
    """M4.1"""
    loaders = {name for name in CORE if "Loader" in name}
    assert loaders == MODEL_INPUTS.keys()
