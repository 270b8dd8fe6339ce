"""Takes looks that may fail or never return, each in a thread of its own.

Law: a look has a deadline. One that has missed it is not begun again before it has ended, so that
what hangs takes one thread and no more.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Look(Generic[T]):
    """One thing that is looked at, by a function that blocks; whatever goes wrong is None."""

    def __init__(self, see: Callable[[], T | None], *, limit_s: float) -> None:
        self._see, self._limit_s = see, limit_s
        self._pending: asyncio.Future[T | None] | None = None
        self._late = False

    @property
    def hangs(self) -> bool:
        """Whether it has missed its deadline, and not ended since."""
        return self._late and self._pending is not None and not self._pending.done()

    async def take(self) -> T | None:
        """What is seen now; None when it cannot be seen, or not in time. Whoever asks while it is
        taken shares it."""
        if self.hangs:
            return None
        pending = self._pending
        if pending is None or pending.done():
            pending = self._pending = self._begun()
        done, _ = await asyncio.wait([pending], timeout=self._limit_s)
        self._late = not done
        return pending.result() if done else None

    def _begun(self) -> asyncio.Future[T | None]:
        loop = asyncio.get_running_loop()
        pending: asyncio.Future[T | None] = loop.create_future()

        def end(seen: T | None) -> None:
            if not pending.done():
                pending.set_result(seen)

        def work() -> None:
            seen = None
            with suppress(Exception):
                seen = self._see()
            with suppress(RuntimeError):  # The loop is closed: nobody waits any more.
                loop.call_soon_threadsafe(end, seen)

        try:
            # A daemon thread: one that hangs must not keep the program from ending.
            threading.Thread(target=work, daemon=True, name="look").start()
        except RuntimeError:  # There is no room for another thread just now.
            end(None)
        return pending
