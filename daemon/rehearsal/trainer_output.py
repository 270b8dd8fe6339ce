"""Rehearsal room: what the trainer writes to stderr, log lines as rich prints them and tqdm's bars.

Law: whatever is drawn is flushed at once; stdout is flushed only when a bar appears, as tqdm does.
"""

import os
import re
import sys
import time
from unicodedata import east_asian_width

_TIME_COLUMNS, _LEVEL_COLUMNS = 20, 9
_BLOCKS = " ▏▎▍▌▋▊▉█"
_BAR_CELLS = 10


class Console:
    """Lines in columns: time (blank within a second), level, wrapped message, place in the source.

    They are 80 columns wide, or as wide as COLUMNS says, and padded with spaces to that width.
    """

    def __init__(self) -> None:
        columns = os.environ.get("COLUMNS", "")
        self._columns = int(columns) if columns.isdigit() else 80
        self._second = ""

    def info(self, message: str, place: str) -> None:
        self._line("INFO", message, place)

    def warning(self, message: str, place: str) -> None:
        self._line("WARNING", message, place)

    def error(self, message: str, place: str) -> None:
        self._line("ERROR", message, place)

    def _line(self, level: str, message: str, place: str) -> None:
        second = time.strftime("%Y-%m-%d %H:%M:%S ")
        shown = "" if second == self._second else second
        self._second = second
        width = self._columns - _TIME_COLUMNS - _LEVEL_COLUMNS - 1 - len(place)
        lead = f"{shown:{_TIME_COLUMNS}}{level:{_LEVEL_COLUMNS}}"
        for text in message.split("\n"):
            for part in wrapped(text, max(width, 2)):
                line = lead + part + " " * (width - cells(part) + 1) + place
                print(line + " " * (self._columns - cells(line)), file=sys.stderr)
                lead, place = " " * len(lead), ""


def wrapped(text: str, width: int) -> list[str]:
    """The lines of a text, at most so many cells wide; a word that is longer is cut (rich)."""
    lines, line = [], ""
    for found in re.findall(r"\s*\S+\s*", text):
        word = found
        if cells(line) + cells(word.rstrip()) <= width:
            line += word
            continue
        if line:
            lines.append(line.rstrip())
        while cells(word.rstrip()) > width:
            cut = len(word)
            while cells(word[:cut]) > width:
                cut -= 1
            lines.append(word[:cut])
            word = word[cut:]
        line = word
    return [*lines, line.rstrip()]


def cells(text: str) -> int:
    """How many columns of a terminal a text takes; Japanese characters take two."""
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)


class Bar:
    """A bar on stderr, redrawn after a carriage return, ten cells wide (tqdm, no terminal)."""

    def __init__(self, total: int, label: str = "") -> None:
        self._total = total
        self._label = f"{label}: " if label else ""
        self._count = 0
        self._postfix = ""
        self._longest = 0
        self._began_s = time.monotonic()
        sys.stdout.flush()
        self._draw()

    def update(self) -> None:
        """Counts one on; what stands behind the bar is still the previous step's."""
        self._count += 1
        self._draw()

    def show(self, *, avr_loss: float) -> None:
        """Draws the bar again with the running mean of the loss."""
        shown = f"{avr_loss:.3g}".replace("e-0", "e-").replace("e+0", "e+")
        self._postfix = f", avr_loss={shown}"
        self._draw()

    def close(self, count: int = 0) -> None:
        """Counts on, draws the bar once more and ends its line."""
        self._count += count
        self._draw(end="\n")

    def _draw(self, end: str = "") -> None:
        share = self._count / self._total
        full, eighths = divmod(int(share * _BAR_CELLS * 8), 8)
        drawn = "█" * full + (_BLOCKS[eighths] if full < _BAR_CELLS else "")
        head = f"{self._label}{share * 100:3.0f}%|{drawn:{_BAR_CELLS}}| {self._count}/{self._total}"
        text = f"{head} [{self._pace()}{self._postfix}]"
        # A shorter text is padded, or the end of the longer one before it would stay.
        sys.stderr.write(f"\r{text}{' ' * (self._longest - len(text))}{end}")
        sys.stderr.flush()
        self._longest = len(text)

    def _pace(self) -> str:
        elapsed_s = time.monotonic() - self._began_s
        if not self._count:
            return f"{_clock(elapsed_s)}<?, ?it/s"
        rate = self._count / max(elapsed_s, 1e-6)
        speed = f"{rate:5.2f}it/s" if rate >= 1 else f"{1 / rate:5.2f}s/it"
        return f"{_clock(elapsed_s)}<{_clock((self._total - self._count) / rate)}, {speed}"


def _clock(seconds: float) -> str:
    minutes, second = divmod(int(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute:02}:{second:02}"
