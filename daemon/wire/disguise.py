"""Spells what a file is that looks like TOML and is none: rich text, UTF-16, JSON, curly quotes.

Law: each is told in the words of the program that made it, with the way to save it right.
"""

from __future__ import annotations

from collections.abc import Sequence

from daemon.core.jobs import Complaint
from daemon.wire.toml_lines import Token

_PLAIN = "Save it as plain text (TextEdit: Format > Make Plain Text, encoding UTF-8)"

_BEGINNINGS: Sequence[tuple[bytes, str]] = (
    (b"{\\rtf", f"This is a rich-text file (RTF), not plain text. {_PLAIN} and drop it again."),
    (
        b"\xef\xbb\xbf",
        (
            "The file begins with a byte order mark (UTF-8 with BOM), which TOML does not allow. "
            'Save it as "UTF-8" without BOM and drop it again.'
        ),
    ),
    (b"\xff\xfe", f"This is UTF-16, and job files are UTF-8. {_PLAIN} and drop it again."),
    (b"\xfe\xff", f"This is UTF-16, and job files are UTF-8. {_PLAIN} and drop it again."),
    (b"\x89PNG", "This is a picture (PNG), not a job. A hint image goes into poses/."),
    (b"PK\x03\x04", "This is a zip archive, not a job. Unpack it and drop the .toml file."),
    (b"bplist", "This is a binary property list, not a job. A job is plain text in TOML."),
    (b"book\x00", "This is a Finder alias, not a job. Drop the file itself."),
    (
        b"```",
        (
            "The file begins with a Markdown fence (```). Remove the line with ``` at the "
            "beginning and the one at the end."
        ),
    ),
    (b"<", "This is HTML or XML, not TOML. A job is plain text with lines like: steps = 20"),
    (b"{", "This is JSON, not TOML. A job has no outer braces, and lines like: steps = 20"),
)

_CURLY = frozenset("“”„‟‘’‚‛«»″′")
_BLANK = frozenset("\u00a0\u2002\u2003\u2009\u200b\u202f\u3000\ufeff")


def disguise_of(data: bytes) -> str:
    """What the bytes are instead of a TOML text, as a sentence; '' when nothing shows."""
    if not data.strip():
        return (
            "The file is empty. A program that writes it should do so under a name that begins "
            "with a dot, and rename it when it is whole."
        )
    for beginning, sentence in _BEGINNINGS:
        if data.lstrip(b" \t\r\n").startswith(beginning):
            return sentence
    if b"\0" in data:
        wide = data.count(b"\0") * 3 > len(data)
        kind = "UTF-16 text" if wide else "a binary file (it holds NUL bytes)"
        return f"This is {kind}, and job files are UTF-8 text. {_PLAIN} and drop it again."
    return ""


def foreign_marks(tokens: Sequence[Token]) -> Sequence[Complaint]:
    """Curly quotes and special blanks that stand where TOML wants plain ones; one a line."""
    found: dict[int, Complaint] = {}
    for token in tokens:
        if token.text in _CURLY:
            text = (
                f'The quote {token.text} is curly, and TOML knows straight ones only: type " '
                "instead. (TextEdit: Edit > Substitutions > Smart Quotes turns them off.)"
            )
        elif token.text in _BLANK:
            text = (
                f"There is a special blank (U+{ord(token.text):04X}) here, as web pages have them. "
                "Delete it and type an ordinary space."
            )
        else:
            continue
        found.setdefault(token.line, Complaint(token.line, "", text))
    return list(found.values())
