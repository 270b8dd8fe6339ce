"""Spells TOML for people: sections in the order given, every list of tables written out.

Law: the form depends on the keys alone, never on how long a value happens to be; what a terminal
would obey stands there as TOML's own escape, so that a file can be shown and still says the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import tomli_w

Table = Mapping[str, object]
Section = tuple[str, Table | Sequence[Table]]

# C1 controls and what turns a line's direction or ends it; the other controls TOML escapes itself.
_OBEYED = re.compile("[\x80-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


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
    shown = _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", "\n".join(parts))
    return shown.encode("utf-8", errors="replace")
