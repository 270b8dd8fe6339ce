"""Spells the ledger: an event and its place <-> one JSON line that is chained to the line before
it.

Law: ``read_lines(b"".join(write_line(...)))`` gives the entries back, and a changed, missing or
moved line is found at its number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec

from daemon.core.events import ControlTaken, DaemonStarted, Entry, Event, JobAccepted
from daemon.core.jobs import (
    Complaint,
    ControlNetUse,
    FileFacts,
    Grid,
    LoraUse,
    PanelSpec,
    TrainSpec,
)
from daemon.errors import LedgerDamaged, LedgerNewer
from daemon.wire.instants import instant_ms, instant_text
from daemon.wire.text import visible
from daemon.wire.upcast import upcast

MAX_LINE_BYTES = 128 * 1024
GENESIS = "0" * 32
_TYPES: Mapping[str, type[Event]] = {kind.type: kind for kind in get_args(Event)}
_TAIL = re.compile(rb',"chain":"([0-9a-f]{32})"}')
_TAIL_BYTES = len(',"chain":"') + 32 + len('"}')

_T = TypeVar("_T")
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_PARTS = (FileFacts, Complaint, LoraUse, ControlNetUse, Grid)
_RECORDS = (*_TYPES.values(), *_PARTS, PanelSpec, TrainSpec)
_KEYS: Mapping[type, frozenset[str]] = {
    kind: frozenset(field.name for field in fields(kind)) for kind in _RECORDS
}
# Which fields hold records themselves, by their annotations: `tuple[LoraUse, ...]`.
_INNER: Mapping[type, list[tuple[str, type]]] = {
    kind: [
        (field.name, part)
        for field in fields(kind)
        for part in _PARTS
        if part.__name__ in str(field.type)
    ]
    for kind in _RECORDS
}
# An acceptance but for its spec: of two kinds of record msgspec cannot tell which is meant.
_ACCEPTED = msgspec.defstruct(
    "JobAccepted",
    [hint for hint in get_type_hints(JobAccepted).items() if hint[0] not in ("type", "spec")],
    forbid_unknown_fields=True,
)


@dataclass(frozen=True, slots=True)
class Head:
    """Where a host's ledger stands: the last ``seq`` (0 = empty), its chain, the segment's
    month.
    """

    seq: int = 0
    chain: str = GENESIS
    segment: str = ""


class _Unknown(ValueError):
    """A type or a key that this version does not have, in a sentence."""


def write_line(event: Event, *, at: int, head: Head) -> tuple[Entry, bytes]:
    """The entry that follows ``head`` and its line, newline included. ``at`` in ms since 1970.

    The segment is the month of ``at``, but never one before the head's: a clock may go back, a
    ledger not.
    """
    when = instant_text(at)
    seq = head.seq + 1
    body = _dump({"seq": seq, "at": when, "type": event.type, **_event_fields(event)})[:-1].encode()
    chain = _chain(head.chain, body)
    line = body + b',"chain":"' + chain.encode() + b'"}\n'
    assert len(line) <= MAX_LINE_BYTES, f"a {event.type} line of {len(line)} bytes"
    return Entry(seq, at, event, max(head.segment, when[:7]), chain), line


def read_lines(
    lines: Iterable[bytes], *, head: Head, segment: str, first: int = 1
) -> Iterator[Entry]:
    """The entries of one segment's lines (without their newlines) that follow ``head``.

    ``segment`` is the path of its file, whose name is the month; ``first`` the number of the first
    line in it. Raises ``LedgerDamaged`` with segment and line number at the first line that cannot
    be believed.
    """
    seq, previous, writer = head.seq, head.chain.encode(), ""
    month = segment.rpartition("/")[2].removesuffix(".jsonl")
    for number, line in enumerate(lines, start=first):
        seq += 1
        body, tail = line[:-_TAIL_BYTES], line[-_TAIL_BYTES:]
        chain = sha256(previous + body).hexdigest()[:32]
        previous = chain.encode()
        if tail != b',"chain":"%b"}' % previous:
            raise _damaged(segment, number, _misfit(tail))
        try:
            entry = _entry(_parsed(line), month, chain)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise _unread(segment, number, error, writer) from error
        if entry.seq != seq:
            raise _damaged(segment, number, f"it says seq {entry.seq} where {seq} is due")
        if type(entry.event) is DaemonStarted:
            writer = entry.event.version
        yield entry


def render_head(head: Head, *, host: str) -> bytes:
    """A note of where a host's ledger ends, JSON."""
    return _dump({"host": host, **asdict(head)}).encode() + b"\n"


def read_head(data: bytes, *, host: str) -> Head | None:
    """What ``render_head`` wrote for this host; None for anything else."""
    try:
        found = json.loads(data)
        head = Head(int(found["seq"]), str(found["chain"]), str(found["segment"]))
    except (ValueError, LookupError, TypeError):
        return None
    return head if found.get("host") == host else None


def _damaged(segment: str, number: int, why: str) -> LedgerDamaged:
    return LedgerDamaged.at(segment, number, visible(why))


def _unread(segment: str, number: int, error: Exception, writer: str) -> LedgerDamaged:
    """Why a line cannot be understood whose chain value vouches for its bytes."""
    if isinstance(error, _Unknown):
        return LedgerNewer.at(segment, number, visible(str(error)), writer=visible(writer))
    return _damaged(segment, number, f"its content cannot be read ({error})")


def _misfit(tail: bytes) -> str:
    """Why a line's end is not the chain value that is due."""
    if _TAIL.fullmatch(tail) is None:
        return "it does not end in a chain value"
    return "its chain value does not fit: this line or one before it was changed"


def _chain(previous: str, body: bytes) -> str:
    return sha256(previous.encode() + body).hexdigest()[:32]


def _dump(value: Mapping[str, object]) -> str:
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def _event_fields(event: Event) -> dict[str, object]:
    """The event's own fields, ``job`` first and left out where there is none."""
    values: dict[str, object] = {}
    for field in fields(event):
        value = getattr(event, field.name)
        if field.name == "job":
            values = {"job": value, **values} if value else values
        else:
            values[field.name] = _plain(value)
    return values


def _plain(value: object) -> object:
    match value:
        case Mapping():
            return dict(sorted(value.items()))
        case PanelSpec() | TrainSpec() | FileFacts():
            return {key: item for key, item in asdict(value).items() if item not in (None, (), "")}
        case tuple():
            return [asdict(item) if isinstance(item, Complaint) else item for item in value]
        case _:
            return value


def _parsed(line: bytes) -> dict[str, Any]:
    """A line's keys and values, by msgspec: json takes three times as long."""
    try:
        return _decode(line)
    except msgspec.DecodeError:
        # A file's name that is no UTF-8 is told with lone surrogates, which only json reads.
        values: dict[str, Any] = json.loads(line)
        return values


def _entry(line: dict[str, Any], segment: str, chain: str) -> Entry:
    seq, at, name = line.pop("seq"), line.pop("at"), line.pop("type")
    del line["chain"]
    kind = _TYPES.get(name)
    if kind is None:
        raise _Unknown(f"its type {name} is not known here")
    if kind is JobAccepted:
        return Entry(seq, instant_ms(at), _accepted(line), segment, chain)
    if kind is ControlTaken:
        line.setdefault("job", "")
    return Entry(seq, instant_ms(at), _record(kind, upcast(name, line)), segment, chain)


def _accepted(line: dict[str, Any]) -> JobAccepted:
    if not line.keys() <= _KEYS[JobAccepted]:
        raise _unknown(JobAccepted, line)
    spec = line.pop("spec")
    if line["kind"] == "panel":
        spec = _record(PanelSpec, {"negative": "", **spec})
    elif line["kind"] == "train":
        spec = _record(TrainSpec, {"features": (), "grid": None, **spec})
    else:
        raise _Unknown(f"its kind {line['kind']} is not known here")
    line["file"] = _record(FileFacts, line["file"])
    return JobAccepted(**msgspec.structs.asdict(msgspec.convert(line, _ACCEPTED)), spec=spec)


def _unknown(kind: type, values: Mapping[str, Any]) -> _Unknown:
    keys = ", ".join(sorted(values.keys() - _KEYS[kind]))
    return _Unknown(f"its key {keys} is not known here")


def _record(kind: type[_T], values: dict[str, Any]) -> _T:
    """A record of these values, each of its field's very type."""
    if not values.keys() <= _KEYS[kind]:
        raise _unknown(kind, values)
    for key, part in _INNER[kind]:
        match values.get(key):
            case None:
                pass
            case list(found):
                values[key] = [_record(part, each) for each in found]
            case found:
                values[key] = _record(part, found)
    return msgspec.convert(values, kind)
