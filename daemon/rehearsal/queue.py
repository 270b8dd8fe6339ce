"""Rehearsal room: the prompt queue and the history, in memory only, as the real server has them.

Its law: an item moves from pending to running to history under one lock, so whoever asks history,
queue and history again cannot miss it.
"""

import heapq
import threading
from collections.abc import Callable
from typing import Any

HISTORY_LIMIT = 10_000

# (number, prompt id, prompt, extra data, ids of the output nodes). A plain tuple on purpose: two
# with one number and one id are compared by their prompts, which fails after the item was put on
# the heap. That is how the real server answers 500 for a prompt that it then runs.
Item = tuple[float, str, dict[str, Any], Any, list[str]]


class PromptQueue:
    """Pending heap, running item and history. ``changed`` is called at each change of the count."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._lock = threading.RLock()
        self._wake = threading.Condition(self._lock)
        self._pending: list[Item] = []
        self._running: Item | None = None
        self._history: dict[str, dict[str, Any]] = {}
        self._closed = False

    def put(self, item: Item) -> None:
        """Queues an item. Raises TypeError, after queueing it, for a twin that still waits."""
        with self._lock:
            heapq.heappush(self._pending, item)
            self._changed()
            self._wake.notify()

    def take(self) -> Item | None:
        """Waits for work. None: there will be none any more."""
        with self._lock:
            while not (self._pending or self._closed):
                self._wake.wait()
            if self._closed:
                return None
            self._running = heapq.heappop(self._pending)
            self._changed()
            return self._running

    def finish(self, prompt_id: str, entry: dict[str, Any] | None) -> None:
        """Moves the running item to the history; without an entry it leaves no trace."""
        with self._lock:
            self._running = None
            if entry is not None:
                if len(self._history) > HISTORY_LIMIT:
                    del self._history[next(iter(self._history))]
                # A second run under one id replaces the entry and becomes the newest.
                self._history.pop(prompt_id, None)
                self._history[prompt_id] = entry
            self._changed()

    def close(self) -> None:
        """Lets ``take`` return None from now on."""
        with self._lock:
            self._closed = True
            self._wake.notify()

    @property
    def running_id(self) -> str | None:
        """The id of the prompt that runs."""
        with self._lock:
            return self._running[1] if self._running else None

    def remaining(self) -> int:
        """Pending plus running."""
        with self._lock:
            return len(self._pending) + (self._running is not None)

    def as_json(self) -> dict[str, Any]:
        """The answer of GET /queue; pending items in heap order, not sorted."""
        with self._lock:
            running = [self._running] if self._running else []
            return {"queue_running": running, "queue_pending": list(self._pending)}

    def clear(self) -> None:
        """Drops what is pending."""
        with self._lock:
            self._pending.clear()
            self._changed()

    def delete(self, prompt_id: Any) -> None:
        """Drops one pending item, if there is one of that id."""
        with self._lock:
            for index, item in enumerate(self._pending):
                if item[1] == prompt_id:
                    del self._pending[index]
                    heapq.heapify(self._pending)
                    self._changed()
                    return

    def history(self) -> dict[str, dict[str, Any]]:
        """All entries, oldest first."""
        with self._lock:
            return dict(self._history)
