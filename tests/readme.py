"""The README's two tables as the source would have them; ``python -m tests.readme`` writes them.

The map repeats what modules say of themselves. An event's fields are the source's; what it means
is told by hand, and kept.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import get_args

from daemon.core.events import Event

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"


def module_rows() -> Mapping[str, str]:
    """Every module under daemon/ as the map names it, with the first sentence of its docstring."""
    paths = (path for path in sorted((ROOT / "daemon").rglob("*.py")))
    return {_as_named(path): _first_sentence(path) for path in paths}


def event_rows() -> Mapping[str, str]:
    """Every event's type, with the names of its fields."""
    return {
        event.type: ", ".join(field.name for field in fields(event)) for event in get_args(Event)
    }


def table(markdown: str, name: str) -> Sequence[Sequence[str]]:
    """The rows between ``<!-- name -->`` and ``<!-- /name -->`` as cells, first ones bare."""
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", markdown, re.DOTALL)
    assert found, f"README.md has lost its <!-- {name} --> marks"
    lines = [line for line in found[1].splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]
    return [[first.strip("`"), *others] for first, *others in rows]


def rewritten(markdown: str) -> str:
    """The README with both tables told anew."""
    modules = [(f"`{name}`", sentence) for name, sentence in module_rows().items()]
    meanings = {row[0]: row[-1] for row in table(markdown, "events")}
    events = [(f"`{kind}`", keys, meanings.get(kind, "")) for kind, keys in event_rows().items()]
    markdown = _with_table(markdown, "map", ("module", "its room"), modules)
    return _with_table(markdown, "events", ("type", "fields", "what has happened"), events)


def _with_table(
    markdown: str, name: str, head: Sequence[str], rows: Iterable[Sequence[str]]
) -> str:
    written = [head, ["---"] * len(head), *rows]
    lines = "".join(f"| {' | '.join(cells)} |\n" for cells in written)
    between = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", re.DOTALL)
    return between.sub(lambda _: lines, markdown)


def _as_named(path: Path) -> str:
    """``daemon/core/`` for a package's own module, ``daemon/core/events.py`` for any other."""
    relative = path.relative_to(ROOT).as_posix()
    return relative.removesuffix("__init__.py")


def _first_sentence(path: Path) -> str:
    """Its docstring up to the first full stop, as a cell of a table."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    text = " ".join(docstring.split("\n\n")[0].split())
    sentence = re.split(r"(?<=[.?!])\s+(?=[A-Z`])", text)[0].rstrip(".")
    return sentence.replace("|", "\\|").replace("``", "`")


if __name__ == "__main__":
    README.write_text(rewritten(README.read_text(encoding="utf-8")), encoding="utf-8")
