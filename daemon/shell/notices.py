"""Tells a person what she asked to be told of: together, not in her quiet hours, and once.

Law: nobody waits for it. What happened before this life of the daemon was told then, or is on the
sheet; what happens in quiet hours is told in one when they are over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from daemon.core.state import State
from daemon.core.windows import is_open
from daemon.errors import WorldError
from daemon.ports import Notifier
from daemon.shell.loop import Believed
from daemon.wire.notices import Happening, Telling, happening, message

log = logging.getLogger(__name__)

_TOGETHER_S = 5.0
_APART_S = 60.0
_MOST = 500


class Notices:
    """Gathers what is believed; ``run`` shows it. ``now`` in ms since 1970."""

    def __init__(
        self,
        notifier: Notifier,
        telling: Telling,
        *,
        state: Callable[[], State],
        now: Callable[[], int],
    ) -> None:
        self._notifier, self._telling = notifier, telling
        self._state, self._now = state, now
        self._waiting: list[Happening] = []
        self._news = asyncio.Event()
        self._complained = False

    def believe(self, believed: Believed) -> None:
        """Keep what is to be told."""
        for entry in believed.entries:
            found = happening(entry.event, self._state())
            if found and found.kind in self._telling.on and len(self._waiting) < _MOST:
                self._waiting.append(found)
                self._news.set()

    async def run(self) -> None:
        """Tell it until cancelled."""
        while True:
            await self._news.wait()
            await asyncio.sleep(_TOGETHER_S)
            while is_open(self._telling.quiet, self._now()):  # noqa: ASYNC110  # Only the clock tells.
                await asyncio.sleep(_APART_S)
            self._news.clear()
            told, self._waiting = self._waiting, []
            try:
                await self._notifier.show(message(told))
                self._complained = False
            except WorldError as error:
                if not self._complained:
                    log.warning("nobody could be told: %s", error.text)
                self._complained = True
            await asyncio.sleep(_APART_S)
