"""A model file that was replaced under its old name is told once."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from daemon.core.commands import RecordModels
from daemon.core.jobs import ModelFacts
from daemon.craft.props import prop
from daemon.shell.replaced import replaced
from tests.desk import Desk

INK = ModelFacts("lora", "ink.safetensors", "a" * 64, 9, "F16")
OTHER = replace(INK, sha256="b" * 64)
PROP = replace(INK, sha256=sha256(prop("lora", "ink.safetensors")).hexdigest())


def test_other_bytes_under_a_known_name_are_told_until_they_are_the_known_ones() -> None:
    desk = Desk()
    assert replaced(desk.state, [INK]) == []
    desk.do(RecordModels((INK,)))
    assert replaced(desk.state, [INK, replace(OTHER, role="vae")]) == []
    [told] = replaced(desk.state, [OTHER])
    assert (told.code, "bbbbbbbbbbbb, and aaaaaaaaaaaa until now" in told.text) == (
        "MODEL_CHANGED",
        True,
    )
    desk.do(RecordModels((OTHER,)))
    assert replaced(desk.state, [OTHER]) == []


def test_who_rehearsed_first_has_replaced_nothing() -> None:
    desk = Desk()
    desk.do(RecordModels((PROP,)))
    assert replaced(desk.state, [INK]) == []
    desk.do(RecordModels((INK,)))
    assert replaced(desk.state, [PROP]) == []
