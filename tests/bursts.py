"""Many files at once in a real inbox, with a watcher that is off, late, or has stopped telling."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Literal

from daemon.adapters.disk import StudioDisk
from daemon.adapters.folder_watch import FolderWatch
from daemon.core.commands import Command, TakeControl
from daemon.core.jobs import Control, FileFacts
from daemon.core.state import Drop, drop_of
from daemon.shell.inbox import Inbox

Watcher = Literal["off", "paused", "overflowing"]
WATCHERS: tuple[Watcher, ...] = ("off", "paused", "overflowing")
_TOLD = 100
"""What a queue that overflows still tells of; the rest is dropped without a word."""


@dataclass
class Burst:
    """How often each file was answered, and how long it all took."""

    answered: dict[Drop, str] = field(default_factory=dict)
    names: Counter[str] = field(default_factory=Counter)
    took_s: float = 0.0

    async def examine(self, file: FileFacts, data: bytes | None) -> Command:
        return TakeControl(file, Control("pause"))

    async def ask(self, command: Command) -> None:
        if isinstance(command, TakeControl):
            self.names[command.file.name] += 1
            self.answered[drop_of(command.file)] = "control"


def dropped_at_once(root: Path, *, count: int, watcher: Watcher) -> Burst:
    """Half of the files come by the protocol (dot-name, renamed), half are written in place."""
    for name in ("inbox", ".nightpress"):
        (root / name).mkdir(parents=True, exist_ok=True)
    return asyncio.run(_dropped(root, count, watcher))


async def _dropped(root: Path, count: int, watcher: Watcher) -> Burst:
    burst = Burst()
    inbox = Inbox(
        StudioDisk(root),
        settle_s=0.1,
        limit_bytes=16_384,
        examine=burst.examine,
        answered=lambda: burst.answered,
        ask=burst.ask,
    )
    watch = FolderWatch(root / "inbox", _told(inbox, watcher), renamed=lambda _: None)
    if watcher != "off":
        assert watch.start()
    began_s = monotonic()
    task = asyncio.ensure_future(inbox.run(rescan_s=0.5))
    if watcher == "paused":
        _write(root / "inbox", count)  # The loop stands still meanwhile, as in a lid's sleep.
    else:
        await asyncio.to_thread(_write, root / "inbox", count)
    folders = (root / "inbox", root / ".nightpress" / "taken")
    while len(burst.names) < count or any(any(each.iterdir()) for each in folders if each.is_dir()):
        await asyncio.sleep(0.05)
        assert monotonic() < began_s + 30 + count / 20, f"{len(burst.names)} of {count} were taken"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    if watcher != "off":
        await watch.stop()
    burst.took_s = monotonic() - began_s
    return burst


def _told(inbox: Inbox, watcher: Watcher) -> Callable[[], None]:
    left = [_TOLD if watcher == "overflowing" else 10**9]

    def wake() -> None:
        left[0] -= 1
        if left[0] > 0:
            inbox.wake()

    return wake


def _write(inbox: Path, count: int) -> None:
    for number in range(count):
        data = f'kind = "pause"\nref = "{number}"\n'.encode()
        if number % 2:
            (inbox / f"j{number:05}.toml").write_bytes(data)
        else:
            hidden = inbox / f".j{number:05}.tmp"
            hidden.write_bytes(data)
            hidden.rename(inbox / f"j{number:05}.toml")
