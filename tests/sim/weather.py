"""What goes wrong between the daemon and a simulated engine, and when: answers that are not given
as they should be, and blows at moments of a prompt's life.

A moment is a request that was begun (``send``, ``history`` …) or what the engine came to
(``posted``, ``running``, ``step``, ``saved``, ``ended``), with its count where it is not the first:
``step 2``.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

Says = Literal["", "refused", "silent", "bad", "lost", "late", "hangs", "400"]
"""Nothing is wrong; no connection; no answer in time; an answer out of form; it took effect and the
answer was lost; it comes after 3 s; never; the prompt is refused.
"""


@dataclass(frozen=True)
class Answer:
    """How requests ``call`` ('' = all) are answered since the moment ``since`` ('' = the start):
    ``times`` of them, or for ``for_s``.
    """

    says: Says
    call: str = ""
    since: str = ""
    times: float = math.inf
    for_s: float = math.inf


@dataclass
class Weather:
    """What is in store; ``blows`` are what is done ``after_s`` seconds after a moment."""

    answers: Sequence[Answer] = ()
    blows: Sequence[tuple[str, float, Callable[[], None]]] = ()
    reached: dict[str, float] = field(default_factory=lambda: {"": 0.0})
    counts: Counter[str] = field(default_factory=Counter)
    spent: Counter[Answer] = field(default_factory=Counter)

    def reach(self, what: str) -> None:
        """A moment has come."""
        self.counts[what] += 1
        loop, count = asyncio.get_running_loop(), self.counts[what]
        moment = what if count == 1 else f"{what} {count}"
        self.reached[moment] = loop.time()
        for at, after_s, blow in self.blows:
            if at == moment and after_s:
                loop.call_later(after_s, blow)
            elif at == moment:
                blow()

    def says(self, call: str) -> Says:
        """How this request is answered."""
        now = asyncio.get_running_loop().time()
        for answer in self.answers:
            since = self.reached.get(answer.since, math.inf)
            due = since <= now < since + answer.for_s and self.spent[answer] < answer.times
            if answer.call in ("", call) and due:
                self.spent[answer] += 1
                return answer.says
        return ""
