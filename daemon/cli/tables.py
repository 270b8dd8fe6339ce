"""The face: access to documents that files hold, where a value may be anything.

Law: a value of another type counts as absent, and a text comes out visible.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from daemon.wire.text import visible

Table = Mapping[str, object]


def as_table(value: object) -> Table:
    """The table, empty when it is none."""
    return value if isinstance(value, dict) else {}


def inner(table: Table, key: str) -> Table:
    """The table at this key."""
    return as_table(table.get(key))


def rows(table: Table, key: str) -> Sequence[Table]:
    """The tables in the list at this key."""
    value = table.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(table: Table, key: str) -> str:
    """The text at this key in one printable line; '' when it is none."""
    return visible(raw(table, key))


def raw(table: Table, key: str) -> str:
    """The text at this key as it is: for comparing, never for printing."""
    value = table.get(key)
    return value if isinstance(value, str) else ""


def whole(table: Table, key: str) -> int:
    """The whole number at this key; 0 when it is none."""
    value = table.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
