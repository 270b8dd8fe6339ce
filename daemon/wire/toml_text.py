"""Spells TOML for people: sections in the order given, every list of tables written out.

Law: the form depends on the keys alone, never on how long a value happens to be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import tomli_w

Table = Mapping[str, object]
Section = tuple[str, Table | Sequence[Table]]


def toml_bytes(top: Table, sections: Iterable[Section]) -> bytes:
    """The plain keys of ``top``, then ``[name]`` for a table and ``[[name]]`` for each of a list.

    Lone surrogates, which no UTF-8 file can hold, become ``?``.
    """
    parts = [tomli_w.dumps(top)]
    for name, body in sections:
        if isinstance(body, Mapping):
            parts.append(f"[{name}]\n{tomli_w.dumps(body)}")
        else:
            parts.extend(f"[[{name}]]\n{tomli_w.dumps(row)}" for row in body)
    return "\n".join(parts).encode("utf-8", errors="replace")
