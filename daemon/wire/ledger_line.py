"""Spells the ledger: an event and its place <-> one JSON line that is chained to the line before
it.

Law: ``read_lines(b"".join(write_line(...)))`` gives the entries back, and a changed, missing or
moved line is
found at its number.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, get_args

from daemon.core.events import Entry, Event
from daemon.core.jobs import (
    Complaint,
    ControlNetUse,
    FileFacts,
    Grid,
    LoraUse,
    Outcome,
    PanelSpec,
    Phase,
    Spec,
    TrainSpec,
)
from daemon.errors import LedgerDamaged, LedgerNewer
from daemon.wire.instants import instant_ms, instant_text
from daemon.wire.text import visible

MAX_LINE_BYTES = 128 * 1024
GENESIS = "0" * 32
_TYPES: Mapping[str, type[Event]] = {kind.type: kind for kind in get_args(Event)}
_TAIL = re.compile(rb',"chain":"([0-9a-f]{32})"}')
_TAIL_BYTES = len(',"chain":"') + 32 + len('"}')


@dataclass(frozen=True, slots=True)
class Head:
    """Where a host's ledger stands: the last ``seq`` (0 = empty), its chain, the segment's
    month.
    """

    seq: int = 0
    chain: str = GENESIS
    segment: str = ""


class _UnknownType(ValueError):
    """A line of a type that this version does not have."""


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
    line in it. Raises ``LedgerDamaged`` with
    segment and line number at the first line that cannot be believed.
    """
    seq, previous = head.seq, head.chain
    month = segment.rpartition("/")[2].removesuffix(".jsonl")
    for number, line in enumerate(lines, start=first):
        tail = _TAIL.fullmatch(line[-_TAIL_BYTES:])
        if tail is None:
            raise _damaged(segment, number, "it does not end in a chain value")
        body = line[:-_TAIL_BYTES]
        chain = _chain(previous, body)
        if chain != tail[1].decode():
            raise _damaged(
                segment,
                number,
                "its chain value does not fit: this line or one before it was changed",
            )
        seq, previous = seq + 1, chain
        try:
            entry = _entry(json.loads(line), month, chain)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise _unread(segment, number, error) from error
        if entry.seq != seq:
            raise _damaged(segment, number, f"it says seq {entry.seq} where {seq} is due")
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


def _unread(segment: str, number: int, error: Exception) -> LedgerDamaged:
    """Why a line cannot be understood whose chain value vouches for its bytes."""
    if isinstance(error, _UnknownType):
        return LedgerNewer.at(segment, number, f"its type {visible(str(error))} is not known here")
    if "unexpected keyword" in str(error):
        word = visible(str(error).rpartition("argument ")[2])
        return LedgerNewer.at(segment, number, f"its key {word} is not known here")
    return _damaged(segment, number, f"its content cannot be read ({error})")


def _chain(previous: str, body: bytes) -> str:
    return hashlib.sha256(previous.encode() + body).hexdigest()[:32]


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


def _entry(line: dict[str, Any], segment: str, chain: str) -> Entry:
    seq, at, name = line.pop("seq"), line.pop("at"), line.pop("type")
    del line["chain"]
    kind = _TYPES.get(name)
    if kind is None:
        raise _UnknownType(name)
    reader = _READERS.get(name)
    if reader is not None:
        reader(line)
    return Entry(seq, instant_ms(at), kind(**line), segment, chain)


def _read_accepted(line: dict[str, Any]) -> None:
    line["file"] = FileFacts(**line["file"])
    line["spec"] = _spec(line["kind"], line["spec"])
    line["warnings"] = tuple(line["warnings"])


def _read_file(line: dict[str, Any]) -> None:
    line["file"] = FileFacts(**line["file"])


def _read_control(line: dict[str, Any]) -> None:
    _read_file(line)
    line.setdefault("job", "")


def _read_rejected(line: dict[str, Any]) -> None:
    line["errors"] = tuple(Complaint(**error) for error in line["errors"])


def _read_attempt_ended(line: dict[str, Any]) -> None:
    line["outcome"] = Outcome(line["outcome"])


def _read_job_ended(line: dict[str, Any]) -> None:
    line["phase"] = Phase(line["phase"])


def _read_dataset(line: dict[str, Any]) -> None:
    line["images"] = tuple((name, sha256, caption) for name, sha256, caption in line["images"])


def _tuple(*keys: str) -> Callable[[dict[str, Any]], None]:
    def read(line: dict[str, Any]) -> None:
        for key in keys:
            line[key] = tuple(line.get(key, ()))

    return read


_READERS: Mapping[str, Callable[[dict[str, Any]], None]] = {
    "job.accepted": _read_accepted,
    "job.duplicate": _read_file,
    "job.rejected": _read_rejected,
    "control.taken": _read_control,
    "attempt.ended": _read_attempt_ended,
    "job.ended": _read_job_ended,
    "dataset.recorded": _read_dataset,
    "image.judged": _tuple("models"),
    "engine.recorded": _tuple("args", "custom_nodes"),
    "trainer.recorded": _tuple("arguments", "models"),
    "calibration.measured": _tuple("times"),
    "picture.reproduced": _tuple("differences"),
}


def _spec(kind: str, values: dict[str, Any]) -> Spec:
    if kind == "panel":
        control = values.get("controlnet")
        return PanelSpec(
            **{
                "negative": "",
                **values,
                "seeds": tuple(values["seeds"]),
                "loras": tuple(LoraUse(**lora) for lora in values.get("loras", ())),
                "controlnet": ControlNetUse(**control) if control else None,
            }
        )
    grid = values.get("grid")
    return TrainSpec(
        **{
            **values,
            "features": tuple(values.get("features", ())),
            "grid": Grid(tuple(grid["prompts"]), tuple(grid["seeds"]), grid["strength"])
            if grid
            else None,
        }
    )
