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


_PLAIN = "Save it as plain text (TextEdit: Format > Make Plain Text, UTF-8) and drop it again."

_DISGUISES: Mapping[bytes, str] = {
    b"{\\rtf": f"This is a rich-text file (RTF), not plain text. {_PLAIN}",
    b"\xef\xbb\xbf": "TOML allows no byte order mark (BOM). Save it as UTF-8 without BOM.",
    **dict.fromkeys((b"\xff\xfe", b"\xfe\xff"), f"This is UTF-16; jobs are UTF-8. {_PLAIN}"),
    b"book\0\0\0\0mark": "This is an alias that Finder made, not the file. Drop the file itself.",
    b"\x89PNG": "This is a picture (PNG), not a job. A hint image goes into poses/.",
    b"```": "The file begins with a Markdown fence. Remove the lines with ``` at both ends.",
    b"{": "This is JSON, not TOML. A job has no outer braces, and lines like: steps = 20",
}

_CURLY = frozenset("“”„‟‘’‚‛«»″′")
_BLANK = frozenset("\u00a0\u2002\u2003\u2009\u200b\u202f\u3000\ufeff")


def read_toml(data: bytes, *, max_bytes: int) -> Document | Unreadable:
    """The file as a table. Lines end in ``\\n`` or ``\\r\\n``; a lone ``\\r`` is no end in TOML."""
    if len(data) > max_bytes:
        return _whole_file(
            f"The file has {len(data)} bytes, and at most {max_bytes} are read. Shorten it."
        )
    if sentence := _disguise_of(data):
        return _whole_file(sentence)
    try:
        text = data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as mistake:
        line = data.count(b"\n", 0, mistake.start) + 1
        return _whole_file(f"This line has bytes that are not UTF-8. {_PLAIN}", line)
    tokens = tokens_of(text)
    if marks := _foreign_marks(tokens):
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


def _whole_file(text: str, line: int = 0) -> Unreadable:
    return Unreadable([Complaint(line, "", text)])


def _disguise_of(data: bytes) -> str:
    """What the bytes are instead of a TOML text, as a sentence; '' when nothing shows."""
    bare = data.strip()
    if not bare:
        return "The file is empty. A program writes it under a dot-name and renames it when whole."
    if b"\0" in data and not bare.startswith(tuple(_DISGUISES)):
        return f"This is UTF-16 or no text at all (it holds NUL bytes). {_PLAIN}"
    if b"\r" in bare and b"\n" not in data:
        return (
            "Its lines end in CR alone, which TOML does not know. Save it with Unix line ends (LF)."
        )
    return next((said for start, said in _DISGUISES.items() if bare.startswith(start)), "")


def _foreign_marks(tokens: Sequence[Token]) -> Sequence[Complaint]:
    """Curly quotes and special blanks that stand where TOML wants plain ones; one a line."""
    found: dict[int, str] = {}
    for token in tokens:
        if token.text in _CURLY:
            said = (
                f'The quote {token.text} is curly, and TOML knows straight ones only: type " '
                "instead. (TextEdit: Edit > Substitutions > Smart Quotes turns them off.)"
            )
            found.setdefault(token.line, said)
        elif token.text in _BLANK:
            code = f"U+{ord(token.text):04X}"
            said = f"There is a special blank ({code}) here. Delete it and type a plain space."
            found.setdefault(token.line, said)
    return [Complaint(line, "", said) for line, said in found.items()]


_PLACE = re.compile(r" \(at (?:line (?P<line>\d+), column \d+|end of document)\)$")

_TWICE = ("Cannot overwrite", "Cannot declare", "Duplicate", "Cannot mutate", "Cannot redefine")

# What tomllib says, by its beginning. What is not here is told of the value after the =.
_SENTENCES: Mapping[str, str] = {
    "Expected ']": "A table's name is closed by as many ] as it has [.",
    "Unescaped '\\'": "A \\ in a text begins an escape. Write / in paths, and \\\\ for a real \\.",
    "Illegal character": "There is a control character in this line. Delete it.",
    "Expected '=' after": "A line is `key = value`; the = is missing (a colon does not do).",
    "Invalid initial character": "No key can begin like this. A line is `key = value`.",
    "Invalid statement": "No line of TOML begins like this. A line is `key = value`.",
}

# What a value looks like, and the sentence with it in place of {}.
_VALUES: Sequence[tuple[str, str]] = (
    ("(?i:true|yes)", "{} is written true in TOML, without capitals and without quotes."),
    ("(?i:false|no)", "{} is written false in TOML, without capitals and without quotes."),
    (r"-?\d+,\d+", "{} has a decimal comma. Write a point, like 7.5"),
    (r"0+\d+", "A number does not begin with 0 in TOML. Write {better}"),
    (r"-?\.\d+|-?\d+\.", "{} needs a digit on both sides of the point, like 0.7 or 7.0."),
    ('".*".+', "A \" inside a text ends it. Write \\\" for it, or put the text in ''' and '''."),
    ("", "There is no value after the =. Write one, or remove the line."),
)


def _explained(message: str, text: str, tokens: Sequence[Token], outline: Outline) -> Complaint:
    place = _PLACE.search(message)
    reason = message[: place.start()] if place else message
    lost = unclosed(tokens)
    if lost is not None and reason.startswith(
        ("Unterminated", "Unclosed", "Illegal character '\\n'")
    ):
        closing = {"[": "]", "{": "}"}.get(lost.text, lost.text)
        said = f"The {lost.text} in this line is never closed. Write {closing} where it ends."
        return Complaint(lost.line, dotted(outline.path_at(lost.line)), said)
    line = int(place["line"]) if place and place["line"] else text.count("\n") + 1
    path = outline.path_at(line)
    if reason.startswith(_TWICE):
        return Complaint(line, dotted(path), _twice(dotted(path), outline.line_of(path)))
    source = text.split("\n")[line - 1] if line <= text.count("\n") + 1 else ""
    told = (told for start, told in _SENTENCES.items() if reason.startswith(start))
    return Complaint(line, dotted(path), next(told, "") or _of_value(source))


def _of_value(source: str) -> str:
    key, _, value = (part.strip() for part in source.partition("#")[0].partition("="))
    for pattern, sentence in _VALUES:
        if re.fullmatch(pattern, value):
            better = value.lstrip("0") or "0"
            return sentence.replace("{}", excerpt(value)).replace("{better}", excerpt(better))
    said = "A text stands in double quotes, numbers and true or false in none, one key to a line."
    if re.search(r"[\"'\[\]{}=]", value):
        return f"The value {excerpt(value, limit=40)} is not TOML. {said}"
    return f'{said} Write: {excerpt(key, limit=64)} = "{excerpt(value)}"'


def _twice(key: str, first: int) -> str:
    special = {
        "controlnet": "A job has at most one [controlnet]: a second does not fit in 16 GB.",
        "lora": "Several LoRAs are written with double brackets: [[lora]] above each of them.",
    }
    return (
        f"`{key}` is given twice, first in line {first}. {special.get(key, 'Remove one of them.')}"
    )
