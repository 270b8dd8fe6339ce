"""Keeps the daemon up under launchd: what would end it is told, and looked at again.

Law: launchd starts again whatever ends, so a fault that only a person can mend would be met again
every half minute, unseen. The process stays up idle instead, and says why in outbox/status.json.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from daemon import __version__
from daemon.adapters import new_studio
from daemon.adapters.clock import SystemClock
from daemon.adapters.disk import StudioDisk
from daemon.adapters.guard import Guard
from daemon.adapters.notifier import CommandNotifier
from daemon.core.state import State
from daemon.core.world import World
from daemon.errors import AskerError, LedgerDamaged, NightpressError, StudioBusy, WorldError
from daemon.wire.instants import instant_text
from daemon.wire.notices import Happening, message
from daemon.wire.status import DaemonFacts, Document, status_document, status_json
from daemon.wire.text import visible

_AGAIN_S = 60.0
_LOG_BYTES = 2**20
_STATUS = "outbox/status.json"


def keep(live: Callable[[], int], folder: Path, *, again_s: float = _AGAIN_S) -> int:
    """Be the daemon of the studio in ``folder`` by ``live`` until it ends by SIGTERM; its exit
    status. Whatever it raises is told, and ``live`` is tried again after ``again_s``.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _shorten_stderr()
    started_at, told = SystemClock().now(), ""
    while True:
        try:
            return live()
        except (NightpressError, OSError) as error:
            code, text = _code(error), visible(str(error).replace("\n", " "))
            if text != told:
                _notify(code, text)
                sys.stderr.write(f"{instant_text(SystemClock().now())} idle, {code}: {text}\n")
            told = text
        facts = DaemonFacts(__version__, os.getpid(), "", started_at, code, text)
        _idle(folder, facts, again_s)


def _notify(code: str, text: str) -> None:
    """As the system does: the maker's own command may be what cannot be read."""
    happened = Happening("needs_you", "", code, f"It stays idle. {code}: {text}")
    with suppress(WorldError):
        asyncio.run(CommandNotifier((), environment=os.environ).show(message([happened])))


def _code(error: Exception) -> str:
    match error:
        case StudioBusy():
            return "STUDIO_BUSY"
        case LedgerDamaged():
            return "LEDGER_DAMAGED"
        case AskerError():
            return "SETTINGS_WRONG"
        case WorldError(code=code):
            return code
        case _:
            return "PERSON_NEEDED"


def _idle(folder: Path, facts: DaemonFacts, again_s: float) -> None:
    """Hold the studio and say why, for so long or until SIGTERM."""
    signal.signal(signal.SIGTERM, _leave)
    guard = Guard(folder / ".nightpress" / "guard")
    try:
        # Whose guard it is not, has no say in the status file; and where nothing can be written,
        # the reason is in launchd's log.
        with suppress(NightpressError, OSError):
            if not (folder / ".nightpress").is_symlink():
                guard.take(since=instant_text(facts.started_at))
                asyncio.run(_tell(folder, facts))
        time.sleep(again_s)
    finally:
        guard.give_back()


async def _tell(folder: Path, facts: DaemonFacts) -> None:
    """Say it in status.json; the rest of that file stays as it was last known."""
    disk, at = StudioDisk(folder), SystemClock().now()
    studio = new_studio.read_id(folder) or ""
    daemon = {**asdict(facts), "studio": studio, "started_at": instant_text(facts.started_at)}
    empty = status_document(
        State(),
        at=at,
        daemon=facts,
        world=World("none"),
        engine=None,
        reasons={},
        progress=None,
    )
    said = {**empty, **_last(folder), "at": instant_text(at), "daemon": daemon}
    await disk.write(_STATUS, status_json(said), synced=False)


def _last(folder: Path) -> Document:
    try:
        last = json.loads((folder / _STATUS).read_bytes())
    except (OSError, ValueError):
        return {}
    return last if isinstance(last, Mapping) else {}


def _leave(_number: int, _frame: object) -> NoReturn:
    sys.exit(0)


def _shorten_stderr() -> None:
    """launchd appends what is said to a file that it never turns over."""
    with suppress(OSError):
        seen = os.fstat(2)
        if stat.S_ISREG(seen.st_mode) and seen.st_size > _LOG_BYTES:
            os.ftruncate(2, 0)
