"""Spells where things stand in a TOML file: which key is on which line, before anyone parses it.

Law: a file in which ``excess`` finds nothing is read by ``tomllib`` in time linear in its size. Its
slow inputs are long dotted keys (quadratic), deep brackets (RecursionError) and endless numbers.
Both readers go from left to right and agree on where strings and comments begin and end, up to
the first mistake; there ``tomllib`` stops, so what comes after it costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import dropwhile, takewhile

from daemon.core.jobs import Complaint
from daemon.wire.text import excerpt

Path = tuple[str | int, ...]
"""Keys, and indices from 0 into arrays of tables: ``("lora", 1, "strength")``."""

MAX_DOTS = 32
MAX_DEPTH = 16
MAX_WORD = 64

_TOKEN = re.compile(
    r"""
      (?P<newline> \n)
    | (?P<space>   [ \t]++)
    | (?P<comment> \#[^\n]*+)
    | (?P<string>  \"{3} (?: [^"\\] | \\. | "(?!"") )*+ "{3,5}
                 | '{3} (?: [^'] | '(?!'') )*+ '{3,5}
                 | (?! \"{3} | '{3} ) (?: " (?: [^"\\\n] | \\[^\n] )*+ " | ' [^'\n]*+ ' ) )
    | (?P<open>    \"{3} | '{3} | ["'])
    | (?P<word>    [A-Za-z0-9_+-]++)
    | (?P<mark>    .)
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the file; ``line`` from 1. ``open`` is a quote that is never closed."""

    kind: str
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Outline:
    """``starts``: each statement's line and what it names, in the order of the file."""

    starts: Sequence[tuple[int, Path]]
    lines: Mapping[Path, int]

    def line_of(self, path: Path) -> int:
        """The line of a key, else that of the table it would stand in; 0 = the file as a whole."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return 0

    def path_at(self, line: int) -> Path:
        """What the statement on this line names; empty when there is none."""
        return next((path for start, path in reversed(self.starts) if start <= line), ())


def tokens_of(text: str) -> Sequence[Token]:
    """The file's pieces without white space and comments, up to a quote that is never closed."""
    found: list[Token] = []
    line = 1
    for match in _TOKEN.finditer(text):
        kind, piece = match.lastgroup or "", match[0]
        if kind not in {"space", "comment"}:
            found.append(Token(kind, piece, line))
        if kind == "open":
            break
        line += piece.count("\n")
    return found


def excess(tokens: Sequence[Token]) -> Complaint | None:
    """The first place where the file goes beyond anything that a job needs; see the law above."""
    dots = 0
    for token, depth in _with_depth(tokens):
        dots = 0 if token.kind == "newline" else dots + (token.text == ".")
        if token.kind == "word" and len(token.text) > MAX_WORD:
            text = (
                f"{excerpt(token.text, limit=24)} is {len(token.text)} characters long, and no "
                f"number or key is longer than {MAX_WORD}. A text stands between double quotes."
            )
        elif dots > MAX_DOTS or depth > MAX_DEPTH:
            deep = (
                f"{MAX_DEPTH} brackets open"
                if depth > MAX_DEPTH
                else f"{MAX_DOTS} dots in one line"
            )
            text = f"More than {deep}: no job needs that. Is a quote missing around a text?"
        else:
            continue
        return Complaint(token.line, "", text)
    return None


def outline_of(tokens: Sequence[Token]) -> Outline:
    """Which line names which key. Total: a file that is no TOML has an outline up to its mistake.

    Keys inside inline tables are not listed: they stand on the line of their table.
    """
    starts: list[tuple[int, Path]] = []
    lines: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    for statement in _statements(tokens):
        names = _names(statement)
        if statement[0].text == "[":
            table = _entered(names, counts, element=[t.text for t in statement[:2]] == ["[", "["])
            path = table
        else:
            spelled = any(token.text == "=" for token in statement)
            path = table + (names if spelled else names[:1])
        starts.append((statement[0].line, path))
        for known in (path[:-1], path):
            lines.setdefault(known, statement[0].line)
    lines.pop((), None)
    return Outline(starts, lines)


def unclosed(tokens: Sequence[Token]) -> Token | None:
    """The quote, or else the last bracket, that is opened and never closed."""
    if tokens and tokens[-1].kind == "open":
        return tokens[-1]
    stack: list[Token] = []
    for token in tokens:
        if token.text in {"[", "{"}:
            stack.append(token)
        elif token.text in {"]", "}"} and stack:
            stack.pop()
    return stack[-1] if stack else None


def dotted(path: Path) -> str:
    """A path as people read it: ``lora[2].strength``, counted from 1 as people count."""
    shown = ""
    for part in path:
        step = f"[{part + 1}]" if isinstance(part, int) else excerpt(part, limit=64)
        shown += step if isinstance(part, int) or not shown else f".{step}"
    return shown


def _with_depth(tokens: Sequence[Token]) -> Iterator[tuple[Token, int]]:
    """Each token with the number of brackets that are open behind it."""
    depth = 0
    for token in tokens:
        if token.text in {"[", "{"}:
            depth += 1
        elif token.text in {"]", "}"}:
            depth = max(0, depth - 1)
        yield token, depth


def _statements(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """Runs of tokens between newlines that stand outside every bracket."""
    statement: list[Token] = []
    for token, depth in _with_depth(tokens):
        if token.kind != "newline":
            statement.append(token)
        elif depth == 0 and statement:
            yield statement
            statement = []
    if statement:
        yield statement


def _names(statement: Sequence[Token]) -> tuple[str, ...]:
    """The parts of a statement's dotted key or table name."""
    body = dropwhile(lambda token: token.text in {"[", "\n"}, statement)
    named = takewhile(lambda token: token.text not in {"=", "]"}, body)
    return tuple(
        token.text.strip("\"'") if token.kind == "string" else token.text
        for token in named
        if token.kind in {"word", "string"}
    )


def _entered(names: Sequence[str], counts: dict[Path, int], *, element: bool) -> Path:
    """The table that a header opens; ``counts`` has the last index of each array of tables."""
    path: Path = ()
    for position, name in enumerate(names, start=1):
        path = (*path, name)
        last = position == len(names)
        if last and element:
            counts[path] = counts.get(path, -1) + 1
        if path in counts and (element or not last):
            path = (*path, counts[path])
    return path
