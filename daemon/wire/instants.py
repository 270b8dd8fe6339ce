"""Spells instants: milliseconds since 1970 <-> ``2026-11-22T17:50:00.123Z``, the one way times are
written.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def instant_text(ms: int) -> str:
    """UTC, milliseconds, ``Z``."""
    return (_EPOCH + ms * _MILLISECOND).strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"


def instant_ms(text: str) -> int:
    """The inverse; raises ``ValueError`` for any other form."""
    if len(text) != 24 or text[23] != "Z":
        raise ValueError(f"not an instant like 2026-11-22T17:50:00.123Z: {text!r}")
    return (datetime.fromisoformat(text) - _EPOCH) // _MILLISECOND
