"""Runs coroutines in virtual time: the clock jumps to the next timer, and a night takes a moment.

Law: nothing sleeps, and the same coroutine runs in the same order every time.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import TypeVar

import pytest

T = TypeVar("T")


class _Jump(selectors.SelectSelector):
    """Never waits: what would be slept is added to the clock instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout == 0:
            return []  # Something can go on already, and asking the system costs more than that.
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("everything waits and nothing will ever happen")
        if not ready and timeout:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose ``time()`` is the virtual clock, in seconds from 0."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now


def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do without threads, for which virtual time would not wait: their work is done in turn."""

    async def call(function: Callable[..., T], /, *args: object, **kwargs: object) -> T:
        return function(*args, **kwargs)

    monkeypatch.setattr(asyncio, "to_thread", call)


def run(main: Coroutine[object, object, T]) -> T:
    """Run to the end; virtual time starts at 0."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        # Not `runner.run`: its signal handlers cost more than many a history.
        return runner.get_loop().run_until_complete(main)
