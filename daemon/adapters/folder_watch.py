"""Adapters room: a hint that something happened in a folder (watchdog).

Law: it only wakes. Systems drop and merge events without a word, so the listing is the truth, and a
watch that cannot start costs some seconds and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

from watchdog.events import (
    FileClosedEvent,
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
)
from watchdog.observers import Observer

if TYPE_CHECKING:
    from watchdog.events import FileSystemEventHandler
    from watchdog.observers.api import BaseObserver

_log = logging.getLogger(__name__)

_STOP_S = 5.0
# Of more renames than that at once, some files are taken only when they have been quiet.
_DOT_NAMES = 1_000
# Not the events of reading: the listing that we wake would wake us again.
_EVENTS: list[type[FileSystemEvent]]
_EVENTS = [FileCreatedEvent, FileModifiedEvent, FileMovedEvent, FileClosedEvent]


class FolderWatch:
    """Calls ``wake`` on the running event loop some time after files in ``path`` came or changed.

    Many events before it runs are one call. ``renamed`` is called before it with each dot-name that
    a file has lost: it was written under that name, and is whole now.
    """

    def __init__(
        self, path: Path, wake: Callable[[], None], *, renamed: Callable[[str], None]
    ) -> None:
        self._path = path
        self._wake = wake
        self._renamed = renamed
        self._dot_names: deque[str] = deque(maxlen=_DOT_NAMES)
        self._loop = asyncio.get_running_loop()
        self._observer: BaseObserver | None = None
        self._called = threading.Event()

    def start(self) -> bool:
        """Begin. False, and a line in the log, when it cannot."""
        observer = Observer()
        try:
            # The library asks for a subclass, but calls nothing but `dispatch`.
            handler = cast("FileSystemEventHandler", self)
            observer.schedule(handler, str(self._path), event_filter=_EVENTS)
            observer.start()
        except OSError as error:
            _log.info("The inbox is not watched (%s), only listed now and then.", error.strerror)
            return False
        self._observer = observer
        return True

    async def stop(self) -> None:
        """End it; nothing when it did not start."""
        observer, self._observer = self._observer, None
        if observer is not None:
            observer.stop()
            await asyncio.to_thread(observer.join, _STOP_S)

    def dispatch(self, event: FileSystemEvent) -> None:
        """Called by the library in a thread of its own. Nothing escapes into it."""
        # All else that happened is for the listing to find out.
        if isinstance(event, FileMovedEvent):
            name = Path(os.fsdecode(event.src_path)).name
            if name.startswith("."):
                self._dot_names.append(name)
        if not self._called.is_set():
            self._called.set()
            with suppress(RuntimeError):  # The loop was closed a moment ago.
                self._loop.call_soon_threadsafe(self._ring)

    def _ring(self) -> None:
        self._called.clear()
        while self._dot_names:
            self._renamed(self._dot_names.popleft())
        self._wake()
