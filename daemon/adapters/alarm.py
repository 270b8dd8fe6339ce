"""Adapters room: rings now and then (apscheduler).

Law: interval jobs in UTC only. A ring that comes late is one ring, never none and never many; what
a ring means is decided by who hears it, from the wall clock.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC
from typing import Any

from apscheduler.schedulers.asyncio import AsyncIOScheduler


class SchedulerAlarm:
    """Implements ``ports.Alarm``. Rings begin at ``start`` and end at ``stop``."""

    def __init__(self) -> None:
        # It tells of every ring at INFO, which would be all that a log held.
        logging.getLogger("apscheduler").setLevel(logging.WARNING)
        self._scheduler: Any = AsyncIOScheduler(timezone=UTC)

    def every(self, seconds: float, ring: Callable[[], None]) -> None:
        """Call ``ring`` on the event loop about every ``seconds``."""

        # The library would run a plain function in a thread.
        async def ring_here() -> None:
            ring()

        late = {"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        self._scheduler.add_job(ring_here, "interval", seconds=seconds, **late)

    def start(self) -> None:
        """Begin to ring, in a running event loop."""
        self._scheduler.start()

    async def stop(self) -> None:
        """No ring comes after this; nothing when it was not started."""
        if self._scheduler.running:
            # A ring that is cut off here is no error that anybody should read of.
            logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
            self._scheduler.shutdown(wait=False)
            await asyncio.sleep(0)  # It ends itself in the next turn of the loop.
