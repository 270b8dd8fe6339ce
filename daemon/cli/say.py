"""The face: how things are printed. Text from outside is visible, colour on terminals only.

Law: whatever a caller forgets, nothing is printed that a terminal obeys but new lines and colours.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from textwrap import fill

from daemon.cli.tables import Table, decimal, raw, whole
from daemon.wire.text import tame, visible

_COLOURS = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33, "cyan": 36}
_PHASES = {"published": "green", "running": "cyan", "publishing": "cyan", "held": "yellow"}
_BAD_PHASES = ("quarantined", "failed", "rejected")
_OUTER_CODES = ("NO_DAEMON", "NO_STATUS")
_PAINT = re.compile(r"(\x1b\[[0-9]*m)")
_WIDEST = 44
_NARROWEST_COLUMNS, _WIDEST_COLUMNS = 36, 120
_WIDEST_BAR = 48


def say(text: str = "") -> None:
    """A line of ours, at once: whoever reads a pipe sees it when it happens."""
    sys.stdout.write(f"{_painted(text)}\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """A line of ours on stderr."""
    sys.stderr.write(f"{_painted(text)}\n")


def document(value: object) -> None:
    """A value as one JSON document; ASCII, so that nothing in it can move a cursor."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def aligned(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Rows of as many cells each as indented lines with columns, the last one of any width."""
    rows = list(rows)
    widths = [min(_WIDEST, max(map(_width, cells))) for cells in zip(*rows, strict=True)]
    for row in rows:
        padded = [
            cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)
        ]
        yield f"  {'  '.join(padded)}".rstrip()


def columns() -> int:
    """How wide the terminal is, within what reads well; 80 where stdout is none."""
    try:
        return min(_WIDEST_COLUMNS, max(_NARROWEST_COLUMNS, os.get_terminal_size().columns))
    except OSError:
        return 80


def fitted(text: str) -> str:
    """The text with its lines parted between words where the terminal ends; elsewhere as it is."""
    if not sys.stdout.isatty():
        return text
    return "\n".join(
        fill(
            line,
            columns(),
            subsequent_indent=" " * (len(line) - len(line.lstrip()) + 2),
            replace_whitespace=False,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in text.splitlines()
    )


def paint(text: str, colour: str) -> str:
    """The text in a colour, where stdout is a terminal that wants colours."""
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    if not text or not wanted or not sys.stdout.isatty():
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def bar(done: float, whole: float) -> str:
    """How much of it is done, as wide as the terminal bears; '' where stdout is none."""
    if not sys.stdout.isatty() or whole <= 0:
        return ""
    # A line with a colour in it is parted earlier than it seems.
    width = min(_WIDEST_BAR, columns() - 20)
    share = min(max(done / whole, 0.0), 1.0)
    filled = round(share * width)
    return f"{'█' * filled}{'░' * (width - filled)} {share * 100:3.0f} %"


def phase(name: str) -> str:
    """A phase in its colour."""
    colour = "red" if name in _BAD_PHASES else _PHASES.get(name)
    return paint(visible(name), colour) if colour else visible(name)


def first_check(phase: str, code: str) -> str:
    """What to look at first, where a job has a trouble of its own; else ''."""
    if phase not in ("held", *_BAD_PHASES) or code in _OUTER_CODES:
        return ""
    from daemon.craft import diagnosis  # Few verbs come this far.

    return diagnosis.first_check(code)


def local(instant: str) -> str:
    """A ledger instant as local time: ``2026-11-22 18:04:12``; as it is when it is none."""
    try:
        when = datetime.fromisoformat(instant)
        return when.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError):
        return visible(instant)


def instant_of(day: str) -> str:
    """The ledger's instant of a local day or time (``2026-11-20``, ``2026-11-20 22:00``); '' when
    it is none.
    """
    try:
        when = datetime.fromisoformat(day).astimezone(UTC)
    except (ValueError, OverflowError):
        return ""
    return when.strftime("%Y-%m-%dT%H:%M:%S")


def clock(instant: str, *, beside: str) -> str:
    """Local time, short: without the day when ``beside`` is of the same day."""
    long, other = local(instant), local(beside)
    return long[11:] if long[:10] == other[:10] else long[:16]


def day_clock(instant: str) -> str:
    """Local time by the day of the week: ``Fri 22:00``; as it is when it is none."""
    try:
        return datetime.fromisoformat(instant).astimezone().strftime("%a %H:%M")
    except (ValueError, OverflowError):
        return visible(instant)


def trains(lease: Table) -> bool:
    """Whether the attempt that has the GPU trains, by status.json; else it draws."""
    return raw(lease, "kind") == "train" and raw(lease, "stage") in ("", "probe")


def how_far(lease: Table) -> str:
    """How far the attempt that has the GPU is, by status.json."""
    stage = visible(raw(lease, "stage"))
    step = ", ".join(
        filter(None, (stage, f"step {whole(lease, 'step')} of {whole(lease, 'steps')}"))
    )
    if trains(lease):
        epoch, loss = whole(lease, "epoch"), decimal(lease, "loss")
        in_epoch = f"epoch {epoch} of {whole(lease, 'epochs')}" if epoch else ""
        return ", ".join(filter(None, (step, in_epoch, loss and f"loss {loss}")))
    image, images = max(1, whole(lease, "image")), whole(lease, "images")
    return f"picture {image} of {images}, {step}" if images > 1 else step


def _painted(text: str) -> str:
    parts = _PAINT.split(text)
    parts[::2] = map(tame, parts[::2])
    return "".join(parts)


def _width(cell: str) -> int:
    return len(_PAINT.sub("", cell))
