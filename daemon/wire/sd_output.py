"""Spells the two output streams of sd-scripts' ``train_network.py`` as a ``Reading``, sans-I/O.

Law: however the bytes of a stream are cut, and however the two are interleaved, the same is read;
and no bytes raise. For that each stream tells of its own facts, and of ``saved``, which stays.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from daemon.craft.training_end import Reading
from daemon.wire.text import excerpt

PIECE_LIMIT = 4096
"""Characters kept of a line; what follows up to its end is dropped."""
STEPS_LIMIT = 100_000
"""Losses of later steps are not kept."""
_ERROR_LIMIT = 300

_ENDS = re.compile(r"[\r\n]")
# A nested bar ends so, and what comes next is printed where it ended.
_UP = "\x1b[A"
# Colours and links, which a terminal is told, or who sets FORCE_COLOR.
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|\][^\x1b]*\x1b\\)")
# Anchored, for "bucket_reso_steps: 64" and "validation steps:" have the word too.
_BAR = re.compile(
    r"steps:\s+\d+%\|[^|]*\|\s+(\d{1,9})/(\d{1,9})\s+"
    r"\[(?:\d+:)?\d+:\d\d<(?:(?:\d+:)?\d+:\d\d|\?),\s+(?:\?|[\d.]+)(?:it/s|s/it)(?:, (.*?))?\]"
)
_LOSS = re.compile(r"(?:^|, )avr_loss=(nan|-?inf|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)(?:,|$)")
# Rich's layout; a wrapped line goes on 29 columns to the right, and is none.
_LOG = re.compile(r" {0,24}(?:[\d-]{10} [\d:]{8} )?(INFO|WARNING|ERROR|CRITICAL) +(\S.*)")
_FAILURE = re.compile(
    r"[\w.]+(?:Error|Exception|Invalid|Interrupt)(?::.*)?$"
    r"|\S+\.py: error: |\S+: can't open file "
)
_FALLBACK = "will fall back to run on the CPU"
_EPOCH = re.compile(r"epoch (\d{1,9})/(\d{1,9})$")
_BATCHES = re.compile(r"\s+num batches per epoch .*: (\d{1,9})$")
_DEVICE = re.compile(r"accelerator device: (\S+)")


class TrainerOutput:
    """Feed it what the two streams said, in any pieces; ``reading`` is what that means so far."""

    def __init__(self) -> None:
        self._out = _Pieces()
        self._err = _Pieces()
        self._reading = Reading()
        self._losses: dict[int, float] = {}

    def feed_stdout(self, data: bytes) -> None:
        for line in self._out.feed(data):
            self._reading = _told(self._reading, line)

    def feed_stderr(self, data: bytes) -> None:
        for piece in self._err.feed(data):
            if bar := _BAR.match(piece):
                for step, loss in _noted(self._reading, bar):
                    self._losses.setdefault(step, loss)
                self._reading = _drawn(self._reading, bar)
            # Log lines and tracebacks begin where a bar ends.
            _, _, text = (piece[bar.end() :] if bar else piece).rpartition(_UP)
            self._reading = _said(self._reading, _ESCAPES.sub("", text))

    @property
    def reading(self) -> Reading:
        """The bar that still stands counts, for its line ends only when the next one is drawn."""
        bar = _BAR.match(self._err.pending)
        return _drawn(self._reading, bar) if bar else self._reading

    @property
    def losses(self) -> Mapping[int, float]:
        """The running mean of the loss by optimizer step of this run, NaN included.

        A step's bar is drawn first with the loss of the step before, then with its own; with
        gradient accumulation again at each micro-batch of the next step. Of a run that failed
        while it saved, the last may be that of the step before.
        """
        bar = _BAR.match(self._err.pending)
        return {**dict(_noted(self._reading, bar) if bar else ()), **self._losses}

    @property
    def settled_step(self) -> int:
        """The largest step that is over with everything that is saved at its end; 0 at first.

        The bar's second drawing comes after the save of a step and *before* that of an epoch:
        only the next step, or the last word of the run, shows that either is written.
        """
        reading = self.reading
        return reading.step if reading.saved else max(reading.step - 1, 0)


def loss_csv(rows: Iterable[tuple[int, int, float]]) -> bytes:
    """``loss.csv`` from (true step, epoch, average loss): a header and a line each."""
    lines = [f"{step},{epoch},{loss!r}\n" for step, epoch, loss in rows]
    return "".join(["step,epoch,average_loss\n", *lines]).encode("ascii")


class _Pieces:
    """Bytes -> the pieces between line ends, of which a carriage return is one."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.pending = ""

    def feed(self, data: bytes) -> Sequence[str]:
        *whole, rest = _ENDS.split(self.pending + self._decoder.decode(data))
        self.pending = rest[:PIECE_LIMIT]
        return [piece[:PIECE_LIMIT] for piece in whole]


def _told(reading: Reading, line: str) -> Reading:
    """What a line of stdout adds."""
    if found := _EPOCH.match(line):
        return replace(reading, epoch=int(found[1]), epochs=int(found[2]))
    if found := _BATCHES.match(line):
        return replace(reading, epoch_batches=int(found[1]))
    if found := _DEVICE.match(line):
        return replace(reading, device=excerpt(found[1]))
    if line.startswith("prepare optimizer"):
        return replace(reading, loaded=True)
    if line.startswith("running training"):
        return replace(reading, trained=True)
    if line.startswith("NaN found in latents"):
        return replace(reading, nan_latents=True)
    # With --console_log_simple the log is on stdout, without times and levels.
    return replace(reading, saved=True) if line.startswith("model saved.") else reading


def _drawn(reading: Reading, bar: re.Match[str]) -> Reading:
    loss = _loss(bar)
    kept = reading.loss if loss is None else loss
    return replace(reading, step=int(bar[1]), steps=int(bar[2]), loss=kept)


def _noted(before: Reading, bar: re.Match[str]) -> Iterator[tuple[int, float]]:
    """The steps of which a bar tells the loss, when no bar has told it yet."""
    step, loss = int(bar[1]), _loss(bar)
    if loss is None or not 0 < step <= STEPS_LIMIT:
        return
    moved = step != before.step
    if moved and before.step and before.loss is not None:
        # The refresh of a step whose loss reads like the one before cannot be told apart.
        yield before.step, before.loss
    if not moved or repr(loss) != repr(before.loss):
        yield step, loss


def _loss(bar: re.Match[str]) -> float | None:
    found = _LOSS.search(bar[3] or "")
    return float(found[1]) if found else None


def _said(reading: Reading, text: str) -> Reading:
    """What a line of stderr adds that is no bar: a log line, a warning, or the last line of a
    traceback.
    """
    if _FALLBACK in text:
        return replace(reading, fallbacks=reading.fallbacks + 1)
    if found := _LOG.match(text):
        level, message = found[1], found[2]
        if message.startswith("model saved."):
            return replace(reading, saved=True)
        if level in ("ERROR", "CRITICAL"):
            # English before the slash; the source file stands at the right margin.
            message = message.partition(" / ")[0].partition("  ")[0]
            return replace(reading, error=excerpt(message, limit=_ERROR_LIMIT))
    elif _FAILURE.match(text):
        return replace(reading, error=excerpt(text, limit=_ERROR_LIMIT))
    return reading
