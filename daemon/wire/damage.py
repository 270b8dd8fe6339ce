"""Spells out what is wrong with a ledger: the kind of damage, what is lost, and how much around it
is sound.

Law: it explains what ``read_lines`` found, by comparing only; nothing here makes a ledger good.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from daemon.errors import LedgerDamaged, LedgerNewer
from daemon.wire.ledger_line import Head, read_lines
from daemon.wire.text import excerpt

Code = Literal[
    "CHANGED",  # Its words do not give its chain value, or it has none.
    "CHAIN",  # Its words are good, as the next line shows; its chain value is not.
    "MISSING",  # Lines before it are not there.
    "EXTRA",  # It does not belong there; a later line goes on.
    "MOVED",  # It belongs further down.
    "CONFLICT",  # Marks of a merge.
    "NEWLINES",  # CR LF where LF was written.
    "CUT",  # It has no end, yet a later segment exists.
    "NEWER",  # It is as it was written, in words that this version does not have.
    "UNREADABLE",  # It is as it was written, but says what this version cannot believe.
    "SHORT",  # An anchor remembers more lines.
    "REWRITTEN",  # An anchor remembers another line.
]

_TAIL = re.compile(rb',"chain":"([0-9a-f]{32})"\}')
_TAIL_BYTES = 44
_SEQ = re.compile(rb'\{"seq":([0-9]{1,15}),')
_CONFLICT = (b"<<<<<<< ", b"=======", b">>>>>>> ")
_SHOWN = 80

_PUT_BACK = (
    "Look for the bytes as they were written (git log -p, another clone, a backup) and put them "
    "back; nightpress never does that by itself."
)
_REMEDIES: dict[str, str] = {
    "EXTRA": "Keep a copy, and take out what does not belong there, byte for byte.",
    "MOVED": "Keep a copy, and put the line back to its place, byte for byte.",
    "CONFLICT": "Take one side of the merge whole (git checkout --ours or --theirs); the ledger "
    "of a host has one writer, so the longer one is right.",
    "NEWLINES": "Write `ledger/** -text` into .gitattributes and take the file from git again.",
    "NEWER": "Its bytes are as they were written: nothing is damaged. Install the newest "
    "nightpress; `nightpress --version` says which this is.",
    "UNREADABLE": "Its bytes are as they were written. If a newer nightpress wrote it, install "
    "that; if not, please report it.",
}


@dataclass(frozen=True, slots=True)
class Place:
    """What a line says of itself, or should; ``seq`` 0 and ``chain`` '' where that is nothing."""

    seq: int
    chain: str


@dataclass(frozen=True, slots=True)
class After:
    """The ``lines`` behind a damage: how many have the form of one, how many fit the one before."""

    lines: int = 0
    readable: int = 0
    chained: int = 0


@dataclass(frozen=True, slots=True)
class Damage:
    """One damage of ``segment`` (its path). ``line`` counts from 1; 0 = the file as a whole.

    ``text`` says what is wrong and ``remedy`` what to do, both in sentences; ``shown`` is the
    line's beginning in visible characters; ``expected`` has the seq that is due and the chain
    value that the line's own words give there; ``lost`` is the first and last seq that cannot be
    told from this file alone, None = nothing is lost.
    """

    segment: str
    line: int
    code: Code
    text: str
    shown: str
    expected: Place
    found: Place
    lost: tuple[int, int] | None
    after: After

    @property
    def remedy(self) -> str:
        return _REMEDIES.get(self.code, _PUT_BACK)


@dataclass(frozen=True, slots=True)
class Anchor:
    """What somewhere outside the ledger is remembered of it: at ``seq`` it had this ``chain``."""

    told_by: str
    seq: int
    chain: str


@dataclass(frozen=True, slots=True)
class Mend:
    """How a good copy of a damaged segment helps: its first ``lines`` are good, and the damaged
    file goes on after them from its line ``onward`` (0 = nothing there goes on).
    """

    lines: int
    onward: int


@dataclass(frozen=True, slots=True)
class _Line:
    body: bytes
    seq: int
    chain: str
    readable: bool

    def follows(self, chains: Collection[str]) -> bool:
        return any(self.chain == _chain(each, self.body) for each in chains)


def explain(
    error: LedgerDamaged, lines: Sequence[bytes], *, head: Head, cut: bool = False
) -> Damage:
    """What ``error`` is about. ``lines``: the bad one and all behind it, later segments too;
    ``head``: of the last good line; ``cut``: the bad line has no end.
    """
    bad, rest = _seen(lines[0]), [_seen(line) for line in lines[1:]]
    own = _chain(head.chain, bad.body) if bad.chain else ""
    code, text, lost = _kind(error, lines[0], rest, head=head, cut=cut)
    return Damage(
        error.segment,
        error.line,
        code,
        text,
        excerpt(lines[0].decode("utf-8", errors="replace"), limit=_SHOWN),
        Place(head.seq + 1, own),
        Place(bad.seq, bad.chain),
        lost,
        _after(rest, {bad.chain, own} if bad.chain else set(), head.chain),
    )


def _kind(
    error: LedgerDamaged, raw: bytes, rest: Sequence[_Line], *, head: Head, cut: bool
) -> tuple[Code, str, tuple[int, int] | None]:
    """Its code, its sentence, and the seqs that are lost."""
    bad, due = _seen(raw), head.seq + 1
    own = _chain(head.chain, bad.body)
    next_seq = next((line.seq for line in rest if line.seq > due), 0)
    lost = (due, max(due, next_seq - 1))
    if cut:
        return "CUT", "This line is cut off, yet a later segment exists.", lost
    if raw.startswith(_CONFLICT):
        return "CONFLICT", "A merge left its conflict marks here.", None
    if raw.endswith(b"\r"):
        return "NEWLINES", "Something changed the line ends (CR LF where LF was written).", None
    if isinstance(error, LedgerNewer):
        return "NEWER", f"This line was written by a newer nightpress: {error.why}.", None
    if bad.follows([head.chain]):
        return "UNREADABLE", f"This line is as it was written, but {error.why}.", None
    if rest and rest[0].follows([own]):
        return "CHAIN", "Only this line's chain value was changed: its words are good.", None
    for place, line in enumerate(rest, start=1):
        if line.follows([head.chain]):
            return _stranger(bad, rest, error.line, place)
    if bad.seq > due and rest and rest[0].seq == bad.seq + 1 and rest[0].follows([bad.chain]):
        gone = (due, bad.seq - 1)
        where = " (or at the end of the segment before)" if error.line == 1 and head.seq else ""
        return "MISSING", f"Missing before this line{where}: {span(gone)}.", gone
    if bad.seq > due and not rest:
        text = f"It says seq {bad.seq} where {due} is due: it was changed, or lines are missing."
        return "CHANGED", text, lost
    return "CHANGED", _changed(raw, bad, error), lost


def _stranger(
    bad: _Line, rest: Sequence[_Line], number: int, place: int
) -> tuple[Code, str, tuple[int, int] | None]:
    """Lines stand where another one goes on: the line ``place`` behind them."""
    for behind, line in enumerate(rest, start=1):
        if bad.follows([line.chain]):
            return "MOVED", f"This line belongs behind line {number + behind}.", None
    last = number + place - 1
    which = "This line does" if place == 1 else f"This line and those to line {last} do"
    return "EXTRA", f"{which} not belong here: line {last + 1} is the one that follows.", None


def _changed(raw: bytes, bad: _Line, error: LedgerDamaged) -> str:
    zeros = raw.count(0)
    if zeros:
        return f"This line was overwritten: {zeros} of its {len(raw)} bytes are zero."
    if not bad.chain:
        return f"This is no line of a ledger: {error.why}."
    return "This line was changed after it was written: its words do not give its chain value."


def span(lost: tuple[int, int]) -> str:
    """``seq 12``, ``seq 12 to 15``."""
    first, last = lost
    return f"seq {first}" if first == last else f"seq {first} to {last}"


def _after(rest: Sequence[_Line], known: set[str], head: str) -> After:
    """``known``: the chain values that the first of them may follow, empty = it cannot be told."""
    readable = chained = 0
    for line in rest:
        readable += line.readable
        chained += bool(line.chain) and (not known or line.follows({*known, head}))
        known = {line.chain} if line.chain else set()
    return After(len(rest), readable, chained)


def missed(anchor: Anchor, *, segment: str, head: Head, chain: str) -> Damage | None:
    """Whether a ledger that reads well to ``head`` is not the one that ``anchor`` remembers.

    ``segment`` is the path of its last file, ``chain`` its own at the anchor's seq ('': none).
    """
    expected = Place(anchor.seq, anchor.chain)
    if head.seq < anchor.seq:
        lost = (head.seq + 1, anchor.seq)
        text = f"The file ends too early: {anchor.told_by} remembers seq {anchor.seq}."
        found = Place(head.seq, head.chain)
        return Damage(segment, 0, "SHORT", text, "", expected, found, lost, After())
    if chain == anchor.chain:
        return None
    text = f"Its lines fit each other, but {anchor.told_by} remembers another seq {anchor.seq}."
    found = Place(anchor.seq, chain)
    return Damage(segment, 0, "REWRITTEN", text, "", expected, found, None, After())


def mend(
    lines: Sequence[bytes], copy: Sequence[bytes], *, head: Head, segment: str, good: int
) -> Mend | None:
    """How ``copy``'s lines help a segment that follows ``head`` and is good to line ``good`` only.

    None when the copy is good no further.
    """
    count, end = 0, head
    with suppress(LedgerDamaged):  # What came before the damage is good.
        for entry in read_lines(copy, head=head, segment=segment):
            count, end = count + 1, Head(entry.seq, entry.chain, entry.segment)
    if count <= good:
        return None
    behind = enumerate(lines[good:], start=good + 1)
    onward = (number for number, line in behind if _seen(line).follows([end.chain]))
    return Mend(count, next(onward, 0))


def _seen(line: bytes) -> _Line:
    """What a line says of itself, believed or not."""
    tail, seq = _TAIL.fullmatch(line[-_TAIL_BYTES:]), _SEQ.match(line)
    return _Line(
        line[:-_TAIL_BYTES] if tail else line,
        int(seq[1]) if seq else 0,
        tail[1].decode() if tail else "",
        tail is not None and _is_table(line),
    )


def _is_table(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _chain(previous: str, body: bytes) -> str:
    return hashlib.sha256(previous.encode() + body).hexdigest()[:32]
