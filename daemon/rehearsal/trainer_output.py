"""Rehearsal room: what the trainer writes to stderr, log lines as rich prints them and tqdm's bar.

Law: whatever is drawn is flushed at once.
"""

import sys
import time

_BAR_CELLS = 10


def tell(message: str, level: str = "INFO") -> None:
    """A log line: time, level, message."""
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S'):20}{level:9}{message}", file=sys.stderr, flush=True)


class Bar:
    """The bar of the steps, redrawn after a carriage return, ten cells wide (tqdm, no terminal)."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._count = 0
        self._postfix = ""
        self._longest = 0
        self._began_s = time.monotonic()
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

    def close(self) -> None:
        """Draws the bar once more and ends its line."""
        self._draw(end="\n")

    def _draw(self, end: str = "") -> None:
        share = self._count / self._total
        drawn = "█" * int(share * _BAR_CELLS)
        head = f"steps: {share * 100:3.0f}%|{drawn:{_BAR_CELLS}}| {self._count}/{self._total}"
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
