"""The face: access to documents that files hold, where a value may be anything.

Law: a value of another type counts as absent, and a text comes out visible.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from daemon.wire.text import visible

Table = Mapping[str, object]


def table_in(data: str | bytes) -> Table:
    """The table that a JSON text holds, empty when it holds none."""
    try:
        return _as_table(json.loads(data))
    except ValueError:
        return {}


def status_file(studio: Path) -> Table:
    """status.json as it is now; empty when it cannot be read."""
    try:
        return table_in((studio / "outbox" / "status.json").read_bytes())
    except OSError:
        return {}


def inner(table: Table, key: str) -> Table:
    """The table at this key."""
    return _as_table(table.get(key))


def rows(table: Table, key: str) -> Sequence[Table]:
    """The tables in the list at this key."""
    value = table.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def sizes(table: Table, key: str) -> Sequence[tuple[str, int]]:
    """The pairs of a text and a whole number in the list at this key, each text printable."""
    value = table.get(key)
    items = value if isinstance(value, list) else []
    pairs = (item for item in items if isinstance(item, list) and len(item) == 2)
    return [(visible(name), size) for name, size in pairs if (type(name), type(size)) == (str, int)]


def texts(table: Table, key: str) -> Sequence[str]:
    """The texts in the list at this key, each in one printable line."""
    value = table.get(key)
    items = value if isinstance(value, list) else []
    return [visible(item) for item in items if isinstance(item, str)]


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


def decimal(table: Table, key: str) -> str:
    """The number at this key with three digits that count; '' when it is none."""
    value = table.get(key)
    good = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:.3g}" if good else ""


def _as_table(value: object) -> Table:
    return value if isinstance(value, dict) else {}
