"""Holds how far the running attempt is: shown in status, never in the ledger, gone with the
process.
"""

from __future__ import annotations

from collections.abc import Callable

from daemon.core.jobs import JobId
from daemon.wire.status import Drawing


class Progress:
    """The latest step, and who wants to know of a change."""

    def __init__(self) -> None:
        self.drawing: Drawing | None = None
        self._changed: Callable[[], None] = _nobody

    def on_change(self, changed: Callable[[], None]) -> None:
        """Call ``changed`` at each step; it must not wait."""
        self._changed = changed

    def report(self, drawing: Drawing | None) -> None:
        """The attempt is here now; None: none runs."""
        if drawing != self.drawing:
            self.drawing = drawing
            self._changed()

    def forget(self, job: JobId) -> None:
        """This job's attempt is over; another may be drawn already."""
        if self.drawing is not None and self.drawing.job == job:
            self.report(None)


def _nobody() -> None:
    return None
