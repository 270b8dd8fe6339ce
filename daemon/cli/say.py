"""The face: how things are printed. Text from outside is visible, colour on terminals only."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from datetime import datetime

from daemon.wire.text import visible

_COLOURS: Mapping[str, str] = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "cyan": "36",
}
_PHASES: Mapping[str, str] = {
    "published": "green",
    "running": "cyan",
    "publishing": "cyan",
    "held": "yellow",
    "quarantined": "red",
    "failed": "red",
    "rejected": "red",
}


def say(text: str = "") -> None:
    """A line of ours, at once: whoever reads a pipe sees it when it happens."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """A line of ours on stderr."""
    sys.stderr.write(f"{text}\n")


def document(value: object) -> None:
    """A value as one JSON document; ASCII, so that nothing in it can move a cursor."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def paint(text: str, colour: str) -> str:
    """The text in a colour, where there are colours."""
    if not text or not has_colours():
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def phase(name: str, *, width: int = 0) -> str:
    """A phase in its colour, padded to ``width`` columns."""
    shown = visible(name)
    colour = _PHASES.get(name)
    return (paint(shown, colour) if colour else shown) + " " * (width - len(shown))


def has_colours() -> bool:
    """Whether stdout is a terminal that wants colours (no NO_COLOR, not dumb)."""
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return wanted and sys.stdout.isatty()


def local(instant: str) -> str:
    """A ledger instant as local time: ``2026-11-22 18:04:12``; as it is when it is none."""
    try:
        when = datetime.fromisoformat(instant)
    except ValueError:
        return visible(instant)
    return when.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def clock(instant: str, *, beside: str) -> str:
    """Local time, short: without the day when ``beside`` is of the same day."""
    long, other = local(instant), local(beside)
    return long[11:] if long[:10] == other[:10] else long[:16]


def counted(number: int, one: str, many: str = "") -> str:
    """``1 picture``, ``2 pictures``."""
    return f"{number} {one if number == 1 else many or one + 's'}"
