"""Spells TOML for people: sections in the order given, every list of tables written out.

Law: the form depends on the keys alone, never on how long a value happens to be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import tomli_w

Table = Mapping[str, object]
Section = tuple[str, Table | Sequence[Table]]


def toml_bytes(top: Table, sections: Iterable[Section], *, multiline: bool = False) -> bytes:
    """The plain keys of ``top``, then ``[name]`` for a table and ``[[name]]`` for each of a list.

    ``multiline``: a text of several lines is written as such. Lone surrogates, which no UTF-8 file
    can hold, become ``?``.
    """
    parts = [tomli_w.dumps(top)]
    for name, body in sections:
        head = f"[{name}]" if isinstance(body, Mapping) else f"[[{name}]]"
        rows = [body] if isinstance(body, Mapping) else body
        parts.extend(f"{head}\n{tomli_w.dumps(row, multiline_strings=multiline)}" for row in rows)
    return "\n".join(parts).encode("utf-8", errors="replace")
