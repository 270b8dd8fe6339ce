"""Spells what the shim leaves in an attempt's folder, and the marker by which it is told to stop.

Law: a record is believed only with the attempt's own nonce; anything else is as good as nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

START, EXIT, MARKER = "shim.json", "exit.json", "cancelled"


@dataclass(frozen=True, slots=True)
class StartRecord:
    """The shim was there. ``boot`` is the machine's boot it was in."""

    nonce: str
    boot: str


@dataclass(frozen=True, slots=True)
class ExitRecord:
    """The trainer is gone. ``code`` None: ended by ``signal``, or not started for ``error``.

    ``stopped`` '' = by itself; ``started`` and ``ended`` in ms since 1970; ``disk_full``: the
    record itself had to wait for room, so the end of the logs may be missing.
    """

    nonce: str
    code: int | None
    signal: int
    stopped: str
    started: int
    ended: int
    error: str = ""
    disk_full: bool = False


@dataclass(frozen=True, slots=True)
class StopOrder:
    """Why we told it to stop: the code and the sentence of the end that is meant."""

    code: str
    text: str


_START = TypeAdapter(StartRecord)
_EXIT = TypeAdapter(ExitRecord)
_ORDER = TypeAdapter(StopOrder)


def read_start(data: bytes | None, *, nonce: str) -> StartRecord | None:
    """The start record of this attempt, None where there is none."""
    try:
        record = _START.validate_json(data or b"")
    except ValidationError:
        return None
    return record if record.nonce == nonce else None


def read_exit(data: bytes | None, *, nonce: str) -> ExitRecord | None:
    """The exit record of this attempt, None where there is none."""
    try:
        record = _EXIT.validate_json(data or b"")
    except ValidationError:
        return None
    return record if record.nonce == nonce else None


def stop_marker(order: StopOrder) -> bytes:
    """The marker's bytes. That it is there is what the shim looks at."""
    return json.dumps({"code": order.code, "text": order.text}).encode()


def read_marker(data: bytes | None) -> StopOrder | None:
    """What the marker says, None where there is none."""
    try:
        return _ORDER.validate_json(data or b"")
    except ValidationError:
        return None
