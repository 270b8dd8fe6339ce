"""Spells a dataset's ``sources.toml``: where the maker has each picture from (K4.3, K5.5).

Law: it is written by people and by ``dataset``'s verbs, so it is read leniently: a line that means
nothing costs a sentence, never the other lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import tomli_w

from daemon.core.stages import REGULARIZATION
from daemon.wire.text import excerpt
from daemon.wire.toml_file import Unreadable, read_toml

SOURCES = "sources.toml"
MAX_BYTES = 64 * 1024
AUTO = "auto"
"""The mark of a caption that a program wrote."""
_EXAMPLE = '"face1.png" = "crop"'
_NAME_CHARS = 32


@dataclass(frozen=True, slots=True)
class Source:
    """Of one picture: where it is from (crop, panel, gemini, drawn, …; '' = not told), and whether
    a program wrote its caption that nobody has ``reviewed``.
    """

    source: str = ""
    auto: bool = False
    reviewed: bool = False

    @property
    def tag(self) -> str:
        """As a ledger and a lock say it."""
        return self.source or (AUTO if self.auto else "")


def read_sources(data: bytes) -> tuple[Mapping[str, Source], Sequence[str]]:
    """By file name, and what could not be understood, in sentences."""
    read = read_toml(data, max_bytes=MAX_BYTES)
    if isinstance(read, Unreadable):
        told = [
            f"{SOURCES}{f', line {c.line}' if c.line else ''}: {c.text}" for c in read.complaints
        ]
        return {}, told
    found: dict[str, Source] = {}
    wrong = []
    for name, value in read.table.items():
        source = _source(value)
        if source is None:
            wrong.append(
                f"{SOURCES}, {excerpt(name)}: this says of no picture where it is from. A line "
                f'there is like {_EXAMPLE}, or {{ source = "crop", caption = "auto", reviewed '
                "= false }."
            )
        else:
            found[name] = source
    return found, wrong


def sources_toml(sources: Mapping[str, Source]) -> bytes:
    """The file, one picture a line, in order of names."""
    head = (
        f"# Where each picture is from: {_EXAMPLE}. After you have read a caption that a program\n"
    )
    lines = [head, "# wrote, set its reviewed = true.\n", *_lines(sources)]
    return "".join(lines).encode()


def _lines(sources: Mapping[str, Source]) -> Iterator[str]:
    for name, each in sorted(sources.items()):
        key = tomli_w.dumps({name: 0}).removesuffix(" = 0\n")
        source = tomli_w.dumps({"_": each.source}).removeprefix("_ = ").rstrip("\n")
        if not each.auto:
            yield f"{key} = {source}\n"
            continue
        told = f"source = {source}, " if each.source else ""
        yield f'{key} = {{ {told}caption = "{AUTO}", reviewed = {str(each.reviewed).lower()} }}\n'


def _source(value: object) -> Source | None:
    match value:
        case str() if _plain(value):
            # "auto" alone is what people write who mean the caption.
            return Source(auto=True) if value == AUTO else Source(value)
        case dict():
            source, caption = value.get("source", ""), value.get("caption", "")
            reviewed = value.get("reviewed", False)
            known = value.keys() <= {"source", "caption", "reviewed"}
            if known and isinstance(source, str) and _plain(source) and isinstance(reviewed, bool):
                return Source(source, caption == AUTO, reviewed)
    return None


def _plain(source: str) -> bool:
    # What a ledger calls regularization was drawn by nightpress for a training.
    return len(source) <= _NAME_CHARS and source.isprintable() and source != REGULARIZATION
