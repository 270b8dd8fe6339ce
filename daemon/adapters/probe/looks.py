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

    async def take(self) -> T | None:
        """What is seen now; None when it cannot be seen, or not in time."""
        if self._pending is not None and not self._pending.done():
            return None
        loop = asyncio.get_running_loop()
        pending = self._pending = loop.create_future()

        def end(seen: T | None) -> None:
            if not pending.done():
                pending.set_result(seen)

        def work() -> None:
            seen = None
            with suppress(Exception):
                seen = self._see()
            with suppress(RuntimeError):  # The loop is closed: nobody waits any more.
                loop.call_soon_threadsafe(end, seen)

        # A daemon thread: one that hangs must not keep the program from ending.
        threading.Thread(target=work, daemon=True, name="look").start()
        done, _ = await asyncio.wait([pending], timeout=self._limit_s)
        return pending.result() if done else None
