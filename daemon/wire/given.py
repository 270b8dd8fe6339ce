"""Spells access to a table whose values may be anything: each key by the type that it should have.

Law: a value of another type counts as absent here. The models have complained of it already, and a
rule about its meaning would only tell the same mistake twice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from daemon.wire.toml_lines import Path


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that a rule found: where it stands, and the sentence."""

    path: Path
    text: str


@dataclass(frozen=True, slots=True)
class Given:
    """A table as the file gives it, and where in the file it is."""

    table: Mapping[str, object]
    path: Path = ()

    def has(self, key: str) -> bool:
        return key in self.table

    def at(self, *keys: str | int) -> Path:
        return (*self.path, *keys)

    def text(self, key: str) -> str | None:
        value = self.table.get(key)
        return value if isinstance(value, str) else None

    def whole(self, key: str) -> int | None:
        return as_whole(self.table.get(key))

    def number(self, key: str) -> float | None:
        value = self.table.get(key)
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        return as_whole(value)

    def yes(self, key: str) -> bool:
        return self.table.get(key) is True

    def texts(self, key: str) -> Sequence[str]:
        return [item for item in self.items(key) if isinstance(item, str)]

    def wholes(self, key: str) -> Sequence[int]:
        found = [as_whole(item) for item in self.items(key)]
        return [item for item in found if item is not None]

    def is_list(self, key: str) -> bool:
        return isinstance(self.table.get(key), list)

    def items(self, key: str) -> Sequence[object]:
        value = self.table.get(key)
        return value if isinstance(value, list) else []

    def inner(self, key: str) -> Given | None:
        """The table at this key."""
        value = self.table.get(key)
        return Given(value, self.at(key)) if isinstance(value, dict) else None

    def inners(self, key: str) -> Sequence[Given]:
        """The tables of the array at this key."""
        return [
            Given(item, self.at(key, index))
            for index, item in enumerate(self.items(key))
            if isinstance(item, dict)
        ]


def as_whole(value: object) -> int | None:
    """The value when it is a whole number; true and false are none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None
