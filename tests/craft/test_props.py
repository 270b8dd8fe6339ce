"""Stage props are known for what they are."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest

from daemon.core.jobs import ModelFacts
from daemon.craft.props import is_prop, prop


@pytest.mark.parametrize("role", ["checkpoint", "vae", "lora", "controlnet", "embedding"])
def test_a_prop_is_told_from_a_model_by_its_hash(role: str) -> None:
    data = prop(role, "a.safetensors")
    facts = ModelFacts(role, "a.safetensors", sha256(data).hexdigest(), len(data), "F16")
    assert is_prop(facts)
    assert not is_prop(replace(facts, name="b.safetensors"))
    assert not is_prop(replace(facts, sha256="0" * 64))
