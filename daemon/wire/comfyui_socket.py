"""Spells ComfyUI's WebSocket: one text message in, one value out.

Law: no message is an error. The socket only wakes a poller, so what cannot be read is ``Other``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from daemon.wire.comfyui import (
    ENDINGS,
    Ended,
    Executed,
    Executing,
    Message,
    Other,
    Progress,
    Status,
    read_outputs,
    text,
)

UNREADABLE = Other("unreadable")


def read_message(raw: str) -> Message:
    """``{"type": ..., "data": {...}}`` as a value."""
    try:
        message = json.loads(raw)
    except (ValueError, RecursionError):
        return UNREADABLE
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        return UNREADABLE
    kind, data = message["type"], message.get("data")
    if not isinstance(data, dict):
        return Other(text(kind))
    return _read(kind, data)


def _read(kind: str, data: Mapping[str, object]) -> Message:
    ending = ENDINGS.get(kind)
    if ending is not None:
        return Ended(ending=ending, prompt_id=text(data.get("prompt_id")))
    match kind:
        case "status":
            return _status(data.get("status"))
        case "executing":
            return Executing(_text_or_none(data.get("node")), _text_or_none(data.get("prompt_id")))
        case "progress":
            return Progress(
                value=_count(data.get("value")),
                max=_count(data.get("max")),
                node=text(data.get("node")),
                prompt_id=text(data.get("prompt_id")),
            )
        case "executed":
            node = text(data.get("node"))
            return Executed(
                node=node,
                prompt_id=text(data.get("prompt_id")),
                outputs=tuple(read_outputs(node, data.get("output"))),
            )
        case _:
            return Other(text(kind))


def _status(status: object) -> Message:
    info = status.get("exec_info") if isinstance(status, Mapping) else None
    return Status(_count(info.get("queue_remaining"))) if isinstance(info, Mapping) else UNREADABLE


def _text_or_none(value: object) -> str | None:
    return None if value is None else text(value)


def _count(value: object) -> int:
    """Steps and queue lengths; some nodes count in floats."""
    if not isinstance(value, int | float) or not 0 <= value < 2**53:
        return 0
    return int(value)
