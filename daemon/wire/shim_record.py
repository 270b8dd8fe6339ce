"""Spells what the shim leaves in an attempt's folder, and the marker by which it is told to stop.

Law: a record is believed only with the attempt's own nonce; anything else is as good as nothing.
One that a newer release wrote is not judged: its training is left alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from daemon.craft.killing import killed
from daemon.errors import WorldError
from daemon.wire.text import excerpt

KNOWN_VERSION = 1
START, EXIT, MARKER = "shim.json", "exit.json", "cancelled"


@dataclass(frozen=True, slots=True)
class StartRecord:
    """The shim was there. ``boot`` is the machine's boot it was in. Release 0.1.0 wrote no
    ``version``.
    """

    nonce: str
    boot: str
    version: int = 1


@dataclass(frozen=True, slots=True)
class ExitRecord:
    """The trainer is gone. ``code`` None: ended by ``signal``, or not started for ``error``.

    ``stopped`` '' = by itself; ``started`` and ``ended`` in ms since 1970; ``disk_full``: the
    record itself had to wait for room, so the end of the logs may be missing. ``child`` is its pid;
    ``oom_kills``: how often the kernel killed in its control group meanwhile, for want of memory.
    """

    nonce: str
    code: int | None
    signal: int
    stopped: str
    started: int
    ended: int
    error: str = ""
    disk_full: bool = False
    child: int = 0
    oom_kills: int = 0
    version: int = 1

    @property
    def killed(self) -> bool:
        """By signal 9, and not by its shim."""
        return self.signal == 9 and not self.stopped


@dataclass(frozen=True, slots=True)
class StopOrder:
    """Why we told it to stop: the code and the sentence of the end that is meant."""

    code: str
    text: str


_R = TypeVar("_R", StartRecord, ExitRecord)
_START = TypeAdapter(StartRecord)
_EXIT = TypeAdapter(ExitRecord)
_ORDER = TypeAdapter(StopOrder)


def read_start(data: bytes | None, *, nonce: str) -> StartRecord | None:
    """The start record of this attempt, None where there is none. Raises ``WorldError``
    RECORD_NEWER.
    """
    try:
        record = _START.validate_json(data or b"")
    except ValidationError:
        return None
    return _understood(record) if record.nonce == nonce else None


def read_exit(data: bytes | None, *, nonce: str) -> ExitRecord | None:
    """The exit record of this attempt, None where there is none. Raises as ``read_start``."""
    try:
        record = _EXIT.validate_json(data or b"")
    except ValidationError:
        return None
    return _understood(record) if record.nonce == nonce else None


def ending_text(record: ExitRecord | None, evidence: str = "") -> str:
    """How the shim's child ended, as a sentence; None = there is no record. ``evidence`` speaks for
    memory as the cause of a kill.
    """
    match record:
        case None:
            return "How it ended is not known: its shim was killed too, or the machine stopped."
        case ExitRecord(error=str(error)) if error:
            return excerpt(error, limit=300)
        case ExitRecord(stopped=str(why)) if why:
            return f"Its shim ended it ({excerpt(why)})."
        case ExitRecord(signal=9):
            return f"{killed('The engine', evidence)}."
        case ExitRecord(code=None):
            return f"It was ended by signal {record.signal}."
        case _:
            return f"It ended by itself with exit status {record.code}."


def _understood(record: _R) -> _R:
    if record.version > KNOWN_VERSION:
        raise WorldError(
            "RECORD_NEWER",
            f"The training was begun by a newer nightpress (its record has version "
            f"{record.version}, this one knows {KNOWN_VERSION}). It is left alone: install that "
            "nightpress again, or wait for the trainer's end and cancel the job.",
        )
    return record


def stop_marker(order: StopOrder) -> bytes:
    """The marker's bytes. That it is there is what the shim looks at."""
    return json.dumps({"code": order.code, "text": order.text}).encode()


def read_marker(data: bytes | None) -> StopOrder | None:
    """What the marker says, None where there is none."""
    try:
        return _ORDER.validate_json(data or b"")
    except ValidationError:
        return None
