"""Conducts by the clock: how long one picture may take, and what to call it when it took longer.

Law: only what was seen counts. A silent socket shortens no deadline, and a prompt that waits behind
somebody else's is not slow.
"""

from __future__ import annotations

from daemon.core.jobs import Outcome
from daemon.core.policy import Policy

QUEUE_S = 3_600.0  # Somebody else's prompts may be before ours on a server that is shared.


class Deadline:
    """The deadline of one picture. Times are the event loop's seconds; it stands still in sleep.

    Until the first sampler step is heard, start and first load have their own allowance on top.
    When none is ever heard (a rejoined prompt has nobody to tell), both together are the deadline.
    """

    def __init__(self, policy: Policy, *, draw_s: float, now: float) -> None:
        self._silence_s = policy.socket_silence_s
        self._cold_s = policy.start_allowance_s + policy.first_load_allowance_s
        self._draw_s = draw_s
        self._asked = now
        self._turn = now
        self._waiting = False
        self._first_step: float | None = None
        self._last_step = now
        self._steps = 0

    def waits(self, now: float) -> None:
        """Others' prompts are before ours: the clock has not started."""
        self._turn = now
        self._waiting = True

    def runs(self) -> None:
        """It is our prompt's turn."""
        self._waiting = False

    def stepped(self, now: float) -> None:
        """A sampler's step is done."""
        self._first_step = now if self._first_step is None else self._first_step
        self._last_step = now
        self._steps += 1

    def loading_s(self) -> float:
        """How long it took from its turn to its first sampler step; 0 = none was heard."""
        return 0.0 if self._first_step is None else self._first_step - self._turn

    def overdue(self, now: float) -> bool:
        """Whether the deadline has passed."""
        if self._waiting:
            return now - self._asked >= QUEUE_S
        if self._first_step is None:
            return now - self._turn >= self._cold_s + self._draw_s
        return now - self._first_step >= self._draw_s

    def silent(self, now: float) -> bool:
        """Whether nothing was heard of a prompt that runs for so long that it deserves a code."""
        return not self._waiting and now - max(self._turn, self._last_step) >= self._silence_s

    def verdict(self, now: float) -> tuple[Outcome, str, str]:
        """Outcome, code and sentence for a deadline that has passed.

        What stood still is the engine's fault and worth another attempt; what was slow would be so
        again.
        """
        if self._waiting:
            text = (
                f"The prompt waited {QUEUE_S:.0f} s behind others. Look at the engine's queue: a"
                " prompt that never ends there needs a restart of the engine."
            )
            return Outcome.STOPPED, "QUEUE_BLOCKED", text
        if self._first_step is None:
            text = (
                f"No sampler step was seen in {now - self._turn:.0f} s. The engine's worker may be"
                " dead while it still answers; restart it."
            )
            return Outcome.LOST, "STALLED", text
        took = now - self._first_step
        each = (self._last_step - self._first_step) / max(1, self._steps - 1)
        if now - self._last_step > max(self._silence_s, 3 * each):
            text = (
                f"The picture stood still after {self._steps} steps; it was given up {took:.0f} s"
                " after the first."
            )
            return Outcome.LOST, "STALLED", text
        text = (
            f"The steps went on, but at {each:.1f} s each the picture missed its {self._draw_s:.0f}"
            " s. Mostly some operation has fallen back to the CPU; see the engine's log."
        )
        return Outcome.FAILED, "SLOW_CPU_FALLBACK", text
