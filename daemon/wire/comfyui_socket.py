"""Spells ComfyUI's WebSocket: one text message in, one value out.

Law: no message is an error. The socket only wakes a poller, so what cannot be read is ``Other``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from daemon.wire.comfyui import (
    ENDINGS,
    Ended,
    Executing,
    Message,
    Other,
    Progress,
    Status,
    text,
)


def read_message(raw: str) -> Message:
    """``{"type": ..., "data": {...}}`` as a value."""
    try:
        message = json.loads(raw)
    except (ValueError, RecursionError):
        return Other()
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        return Other()
    data = message.get("data")
    return _read(message["type"], data) if isinstance(data, dict) else Other()


def _read(kind: str, data: Mapping[str, object]) -> Message:
    if kind in ENDINGS:
        return Ended(text(data.get("prompt_id")))
    match kind:
        case "status":
            return _status(data.get("status"))
        case "executing":
            return Executing(_text_or_none(data.get("node")), _text_or_none(data.get("prompt_id")))
        case "progress":
            return Progress(
                value=_count(data.get("value")),
                max=_count(data.get("max")),
                prompt_id=text(data.get("prompt_id")),
            )
        case _:
            return Other()


def _status(status: object) -> Message:
    info = status.get("exec_info") if isinstance(status, Mapping) else None
    return Status(_count(info.get("queue_remaining"))) if isinstance(info, Mapping) else Other()


def _text_or_none(value: object) -> str | None:
    return None if value is None else text(value)


def _count(value: object) -> int:
    """Steps and queue lengths; some nodes count in floats."""
    if not isinstance(value, int | float) or not 0 <= value < 2**53:
        return 0
    return int(value)
