"""Spells what an ended prompt's messages tell beside its outcome: what was cached, how long.

Law: a message of another form is passed over, for nothing of this decides whether it was drawn.
"""

from __future__ import annotations

from collections.abc import Sequence


def cached_nodes(status: object) -> frozenset[str] | None:
    """The nodes whose results the server took from its cache; None where it does not say."""
    told = [body.get("nodes") for kind, body in _messages(status) if kind == "execution_cached"]
    if not told or not isinstance(told[-1], list):
        return None
    return frozenset(str(node) for node in told[-1])


def seconds_of(status: object) -> float:
    """Seconds from the first message to the last, 0 = unknown."""
    stamps = [body.get("timestamp") for _, body in _messages(status)]
    times = [stamp for stamp in stamps if isinstance(stamp, int) and stamp > 0]
    return (max(times) - min(times)) / 1000 if times else 0.0


def _messages(status: object) -> Sequence[tuple[str, dict[str, object]]]:
    """Kind and body of each message."""
    messages = status.get("messages") if isinstance(status, dict) else None
    return [
        (str(message[0]), message[1])
        for message in (messages if isinstance(messages, list) else [])
        if isinstance(message, list) and len(message) >= 2 and isinstance(message[1], dict)
    ]
