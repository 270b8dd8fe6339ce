"""Craft room: how a training that runs is getting on, by its own words and by when they came.

Law: times are awake ones and of this run; before there is enough of them nothing is concluded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from statistics import median

from daemon.craft.probe_gates import LEAST_LOSS
from daemon.craft.training_end import Reading

STALL_TIMES, STALL_S = 5.0, 120.0
"""No step for so many times the median one, and at the least for so long, is a stall."""
SLOW_TIMES = 1.67
"""A Mac that grows hot, or begins to swap, takes so many times as long for a step."""
FLOOD = 20
"""So many operators computed on the CPU are no exception any more."""
_FIRST, _SPAN = 6, 20
"""The first steps take longer and say nothing; so many make a median."""


class StepTimes:
    """What steps take, in seconds. Fed with what step is done and when that was seen; steps that
    were seen together share the time.
    """

    def __init__(self) -> None:
        self._early: list[float] = []
        self._late: deque[float] = deque(maxlen=_SPAN)
        self._last: tuple[int, float] | None = None

    def seen(self, step: int, at_s: float) -> None:
        """So many steps are done at ``at_s``, on the clock that stands still in sleep."""
        if self._last is not None and step <= self._last[0]:
            return
        if self._last is not None and self._last[0] >= 1:
            done = step - self._last[0]
            for number in range(self._last[0] + 1, step + 1):
                took_s = (at_s - self._last[1]) / done
                self._late.append(took_s)
                if _FIRST <= number < _FIRST + _SPAN:
                    self._early.append(took_s)
        self._last = step, at_s

    def stalled_s(self, at_s: float) -> float:
        """For how long there was no step where there should have been several; 0 = all is well."""
        if self._last is None or not self._late:
            return 0.0
        since_s = at_s - self._last[1]
        return since_s if since_s > max(STALL_S, STALL_TIMES * median(self._late)) else 0.0

    def slower(self) -> float:
        """How many times as long a step takes as it did; 0 = not known."""
        if len(self._early) < _SPAN or len(self._late) < _SPAN:
            return 0.0
        return median(self._late) / max(median(self._early), 1e-9)


def concerns(reading: Reading, slower: float) -> Iterator[tuple[str, str]]:
    """What does not end a training and is to be said of it, once each: code and sentence."""
    if reading.fallbacks >= FLOOD:
        text = (
            f"The trainer computes on the CPU what MPS cannot do, {reading.fallbacks} times so far:"
            " it takes many times as long. stderr.log names the operators; another torch may have"
            " them."
        )
        yield "FALLBACK_FLOOD", text
    if reading.loss is not None and reading.loss < LEAST_LOSS and reading.step < reading.steps:
        text = (
            f"The loss is {reading.loss:.2g} at step {reading.step} of {reading.steps}: the LoRA"
            " knows its pictures by heart by now. Look at the earlier checkpoints first."
        )
        yield "LOSS_TINY", text
    if slower > SLOW_TIMES:
        text = (
            f"A step takes {slower:.1f} times as long as at the beginning: the Mac is hot or swaps,"
            " or something else uses its GPU. What is left is planned by this pace."
        )
        yield "TRAINING_SLOW", text
