"""Spells a TOML file of unknown origin: bytes in, a table with its outline out, or complaints.

Law: any bytes lead to a value, never to an exception, in well under half a second (the proof is in
``toml_lines``). What is wrong is told with its line and with what to write instead.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from daemon.core.jobs import Complaint
from daemon.wire.disguise import disguise_of, foreign_marks
from daemon.wire.text import excerpt
from daemon.wire.toml_lines import Outline, Token, dotted, excess, outline_of, tokens_of, unclosed


@dataclass(frozen=True, slots=True)
class Document:
    """A TOML file that could be read: its table and where its keys stand."""

    table: Mapping[str, object]
    outline: Outline


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that is no TOML: its decoded text, and its outline as far as the mistake."""

    complaints: Sequence[Complaint]
    text: str = ""
    outline: Outline | None = None


def read_toml(data: bytes, *, max_bytes: int) -> Document | Unreadable:
    """The file as a table. Lines end in ``\\n`` or ``\\r\\n``; a lone ``\\r`` is no end in TOML."""
    if len(data) > max_bytes:
        return _whole_file(
            f"The file has {len(data)} bytes, and at most {max_bytes} are read: it names pictures "
            "and models, it does not hold them. Shorten it, or make several jobs."
        )
    if sentence := disguise_of(data):
        return _whole_file(sentence)
    try:
        text = data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as mistake:
        line = data.count(b"\n", 0, mistake.start) + 1
        return Unreadable([Complaint(line, "", _NOT_UTF8)])
    tokens = tokens_of(text)
    if marks := foreign_marks(tokens):
        return Unreadable(marks, text)
    if beyond := excess(tokens):
        return Unreadable([beyond], text)
    outline = outline_of(tokens)
    try:
        return Document(tomllib.loads(text), outline)
    except tomllib.TOMLDecodeError as mistake:
        complaint = _explained(str(mistake), text, tokens, outline)
        return Unreadable([complaint], text, outline)
    except (RecursionError, ValueError, MemoryError, OverflowError):
        return _whole_file("The file is nested or numbered beyond what a TOML reader can take.")


_NOT_UTF8 = (
    "This line has bytes that are not UTF-8, so its letters are unknown. Save the file as UTF-8 "
    "(TextEdit: Save As, Plain Text Encoding: Unicode (UTF-8)) and drop it again."
)

_PLACE = re.compile(r" \(at (?:line (?P<line>\d+), column \d+|end of document)\)$")

_TWICE = ("Cannot overwrite", "Cannot declare", "Duplicate", "Cannot mutate", "Cannot redefine")

_SENTENCES: Sequence[tuple[str, str]] = (
    ("Expected '=' after", "A line is `key = value`; the = is missing here."),
    ("Expected ']", "A table's name is closed by as many ] as it has [."),
    (
        "Unescaped '\\'",
        "A \\ in a text begins an escape. Write / in paths, and \\\\ for a real \\.",
    ),
    ("Escaped character", "This \\u escape names no character. Type the character itself."),
    ("Invalid hex value", "A \\u escape has four hex digits. Type the character itself."),
    (
        "Illegal character '\\n'",
        "A text is not closed before the line's end: its quote is missing.",
    ),
    ("Illegal character", "There is a control character in this line. Delete it and type it anew."),
    ("Invalid date", "This is read as a date, and no key of a job is one. Put texts in quotes."),
    ("Invalid initial character", "No key can begin like this. A line is `key = value`."),
    ("Invalid statement", "No line of TOML begins like this. A line is `key = value`."),
    ("Found invalid character", "There is a character here that TOML does not allow. Delete it."),
)


def _explained(message: str, text: str, tokens: Sequence[Token], outline: Outline) -> Complaint:
    place = _PLACE.search(message)
    reason = message[: place.start()] if place else message
    lost = unclosed(tokens)
    if lost is not None and reason.startswith(
        ("Unterminated", "Unclosed", "Illegal character '\\n'")
    ):
        return Complaint(lost.line, dotted(outline.path_at(lost.line)), _unclosed(lost.text))
    line = int(place["line"]) if place and place["line"] else text.count("\n") + 1
    path = outline.path_at(line)
    source = text.split("\n")[line - 1] if line <= text.count("\n") + 1 else ""
    if reason.startswith(_TWICE):
        return Complaint(line, dotted(path), _twice(path, line, outline))
    return Complaint(line, dotted(path), _sentence(reason, source))


def _sentence(reason: str, source: str) -> str:
    for beginning, sentence in _SENTENCES:
        if reason.startswith(beginning):
            colon = re.match(r"\s*[\w-]+\s*:", source) if "=" in beginning else None
            return f"{sentence} Write = where the colon is." if colon else sentence
    value = source.partition("=")[2].partition("#")[0].strip()
    if value in {"True", "False", "TRUE", "FALSE", "yes", "no", "Yes", "No"}:
        right = "true" if value.lower() in {"true", "yes"} else "false"
        return f"{value} is written {right} in TOML, without capitals and without quotes."
    if re.fullmatch(r"-?\d+,\d+", value):
        return f"{value} has a decimal comma. Write {value.replace(',', '.')}."
    if re.fullmatch(r"0\d+", value):
        return f"A number does not begin with 0 in TOML. Write {value.lstrip('0') or '0'}."
    if re.fullmatch(r"-?\.\d+|-?\d+\.", value):
        return f"{value} needs a digit on both sides of the point, like 0.7 or 7.0."
    if value.startswith('"') and value.count('"') > 2:
        return "A \" inside a text ends it. Write \\\" for it, or put the text between ''' and '''."
    if not value:
        return "There is no value after the =. Write one, or remove the line."
    if re.fullmatch(r"[^\W\d][^\"'\[\]{}=]*", value):
        key = excerpt(source.partition("=")[0].strip(), limit=64)
        return f'A text stands in double quotes. Write: {key} = "{excerpt(value)}"'
    return (
        f"The value {excerpt(value, limit=40)} is not TOML. Texts need double quotes around them, "
        "numbers and true or false need none, and there is one key to a line."
    )


def _twice(path: tuple[str | int, ...], line: int, outline: Outline) -> str:
    first = outline.line_of(path)
    if path[:1] == ("controlnet",) and len(path) == 1:
        return (
            "There are two [controlnet] tables, and a job has at most one: a second ControlNet "
            "does not fit beside the model in 16 GB. Keep one of them."
        )
    if path[:1] == ("lora",) and len(path) == 1:
        return "Several LoRAs are written with double brackets: [[lora]] above each of them."
    where = f" The first is in line {first}." if 0 < first < line else ""
    return f"`{dotted(path)}` is given twice.{where} Remove one of them."


def _unclosed(opened: str) -> str:
    if opened in {"[", "{"}:
        closing = "]" if opened == "[" else "}"
        return f"The {opened} that opens in this line is never closed. Write {closing} at its end."
    return f"The text that begins in this line is never closed. Write {opened} at its end."


def _whole_file(text: str) -> Unreadable:
    return Unreadable([Complaint(0, "", text)])
