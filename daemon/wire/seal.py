"""Spells the seal of a state: which bytes a training may be gone on with.

Law: a state is used only when every file of it still has the hash that was sealed. The trainer
writes states in place and never syncs them, so neither a name nor a length proves one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

LAST_WRITTEN = "random_states_0.pkl"
"""The file that sd-scripts writes last into a state."""


@dataclass(frozen=True, slots=True)
class Seal:
    """The state after ``epoch`` whole epochs. ``folder`` relative to the studio; name -> sha256."""

    epoch: int
    folder: str
    files: Mapping[str, str]


_READER = TypeAdapter(Seal)


def render_seal(seal: Seal) -> bytes:
    """The seal's file, JSON."""
    return _READER.dump_json(seal)


def read_seal(data: bytes | None) -> Seal | None:
    """The seal, None for what is none."""
    try:
        return _READER.validate_json(data or b"")
    except ValidationError:
        return None
