"""Conducts whose turn at the engine it is, when one picture is drawn and the next is made ready.

Law: at most one prompt of ours is with the engine. An attempt's turn comes when all attempts before
it have left the engine, which is before their ends are in the ledger; ends are told in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from daemon.core.job import Job
from daemon.core.jobs import JobId
from daemon.core.state import State
from daemon.shell.patience import now

_CLEAR_S = 0.25
"""For how long an engine that was seen empty may be believed to be so still."""


class Turns:
    """Of the attempts in ``state.running``, in that order. What has left is known to this life
    only: after a restart each looks for its prompts again."""

    def __init__(self, state: Callable[[], State]) -> None:
        self._state = state
        self._left: set[tuple[JobId, int]] = set()
        self._clear_until = 0.0
        self._news = asyncio.Event()

    def wake(self) -> None:
        """The state has changed."""
        self._news.set()

    def leave(self, job: Job) -> None:
        """Nothing of this attempt is or will be with the engine."""
        running = self._state().running
        self._left = {left for left in self._left if left[0] in running}
        self._left.add((job.id, job.attempt))
        self._news.set()

    def saw(self, *, clear: bool) -> None:
        """Whether the engine's queue was empty just now, as far as is known."""
        self._clear_until = now() + _CLEAR_S if clear else 0.0

    def clear(self) -> bool:
        """Whether the queue was seen empty a moment ago."""
        return now() < self._clear_until

    async def mine(self, job: Job) -> bool:
        """Return when it is this attempt's turn; whether it had to wait for it."""
        waited = False
        while not self._is_next(job):
            waited = True
            await self._wait()
        return waited

    async def first(self, job: Job) -> None:
        """Return when every attempt before this one has ended in the ledger."""
        while (running := self._state().running) and job.id in running[1:]:
            await self._wait()

    async def _wait(self) -> None:
        self._news.clear()
        await self._news.wait()

    def _is_next(self, job: Job) -> bool:
        state = self._state()
        before = state.running[: state.running.index(job.id)] if job.id in state.running else ()
        return all((other, state.jobs[other].attempt) in self._left for other in before)
