"""Keeps the status files up to date with the state: projections, rewritten whole, never read back.

Law: what is written was durable before. A lost status file costs nothing: after a start, what
changed since the last one that is known to be written is written again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from daemon.core.events import (
    AttemptEnded,
    AttemptStarted,
    Entry,
    Event,
    Incident,
    JobAccepted,
    JobEnded,
    JobHeld,
    JobRejected,
    LedgerRestored,
)
from daemon.core.jobs import JobId
from daemon.core.policy import Policy
from daemon.core.windows import is_open
from daemon.errors import WorldError
from daemon.ports import Clock, Disk
from daemon.shell.engine_watch import EngineWatch
from daemon.shell.loop import Believed, Loop
from daemon.shell.outbox import Outbox
from daemon.shell.progress import Progress
from daemon.wire.status import (
    INCIDENTS_SHOWN,
    DaemonFacts,
    Document,
    Hashing,
    Notice,
    notice_of,
    status_document,
)
from daemon.wire.text import visible

log = logging.getLogger(__name__)

_PROGRESS_S = 1.0
"""Progress alone rewrites status.json at most this often."""
_TOGETHER_S = 0.2
_SHOWN = ".nightpress/shown"
"""The ledger's seq up to which every status file is known to be written."""


class Board:
    """Writes outbox/status.json and each job's status.toml."""

    def __init__(
        self,
        *,
        disk: Disk,
        loop: Loop,
        outbox: Outbox,
        progress: Progress,
        watch: EngineWatch,
        clock: Clock,
        daemon: DaemonFacts,
        hashing: Callable[[], Hashing | None],
        policy: Policy,
        tick_s: float,
    ) -> None:
        self._disk = disk
        self._loop = loop
        self._outbox = outbox
        self._progress = progress
        self._watch = watch
        self._clock = clock
        self._daemon = daemon
        self._hashing = hashing
        self._hashing_shown = False
        self._policy = policy
        self._tick_ms = round(tick_s * 1000)
        self._hours: tuple[bool, ...] = ()
        self._touched: dict[JobId, None] = {}
        self._incidents: deque[Notice] = deque(maxlen=INCIDENTS_SHOWN)
        self._writing = asyncio.Lock()
        self._news = asyncio.Event()
        self._steps = asyncio.Event()
        loop.observe(self._believe)
        progress.on_change(self.refresh)

    async def run(self) -> None:
        """Write whatever is out of date until cancelled."""
        await self._catch_up()
        while True:
            await self._either()
            self._news.clear()
            self._steps.clear()
            await self.finish()
            # What happens together is written together.
            await asyncio.sleep(_TOGETHER_S)

    def refresh(self) -> None:
        """Something is different that is in no event: status.json tells of it soon."""
        self._steps.set()

    async def finish(self) -> None:
        """Write everything that is out of date now."""
        try:
            # One after the other: what one has begun to write, the next must not call shown.
            async with self._writing:
                await self._write_jobs()
                seq = self._loop.state.seq
                await self._write_status()
                await self._disk.write(_SHOWN, f"{seq}\n".encode(), synced=False)
        except WorldError as error:
            log.warning("status files were not written: %s", error.text)

    async def _write_jobs(self) -> None:
        while self._touched:
            job = next(iter(self._touched))
            del self._touched[job]
            try:
                await self._outbox.write_job_status(self._loop.state.jobs[job])
            except WorldError:
                self._touched[job] = None
                raise

    async def _write_status(self) -> None:
        hashing = self._hashing()
        await self._outbox.write_status(self.document(hashing))
        self._hashing_shown = hashing is not None

    def document(self, hashing: Hashing | None = None) -> Document:
        """Where everything stands now, as status.json has it."""
        at = self._clock.now()
        return status_document(
            self._loop.state,
            at=at,
            daemon=self._daemon,
            world=self._loop.world,
            engine=self._watch.facts,
            reasons=self._loop.reasons(),
            progress=self._progress.drawing,
            incidents=self._incidents,
            warnings=self._watch.warnings,
            hashing=hashing,
            policy=self._policy,
            next_tick=at + self._tick_ms,
        )

    async def _either(self) -> None:
        """Wait for news; or, where there is only progress, for a second."""
        try:
            async with asyncio.timeout(_PROGRESS_S):
                await self._news.wait()
        except TimeoutError:
            if not self._steps.is_set() and not self._hashing_shown:
                await self._next()

    async def _next(self) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in (self._news, self._steps)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _believe(self, believed: Believed) -> None:
        for entry in believed.entries:
            self._note(entry)
        if self._hours_turned() or believed.entries or believed.world_changed:
            self._news.set()

    def _hours_turned(self) -> bool:
        """Whether a window has opened or closed: nothing else may happen then."""
        before, at = self._hours, self._loop.world.at
        windows = (self._policy.training_windows, self._policy.panel_windows)
        self._hours = tuple(is_open(each, at) for each in windows)
        return self._hours != before

    def _note(self, entry: Entry) -> None:
        event = entry.event
        if news := _news(event):
            log.info("%s", visible(news))
        if notice := notice_of(entry):
            self._incidents.append(notice)
        job = JobId(getattr(event, "job", ""))
        if job in self._loop.state.jobs:
            self._touched[job] = None

    async def _catch_up(self) -> None:
        shown = await self._shown()
        jobs = self._loop.state.jobs
        self._touched.update((job.id, None) for job in jobs.values() if job.changed_seq > shown)
        self._news.set()

    async def _shown(self) -> int:
        try:
            blob = await self._disk.read(_SHOWN, limit_bytes=32)
            return int(blob.data)
        except (WorldError, ValueError):
            return 0


def _news(event: Event) -> str:
    """What somebody who watches the daemon's terminal wants to hear of; '' for the rest."""
    match event:
        case JobAccepted(job=job, file=file):
            return f"{job}: accepted, from {file.name}"
        case JobRejected(name=name):
            return f"{name}: refused; the answer is in outbox/rejected/"
        case JobHeld(job=job, code=code, text=text):
            return f"{job}: held, {code}: {text}"
        case AttemptStarted(job=job, attempt=attempt):
            return f"{job}: attempt {attempt}"
        case AttemptEnded(job=job, code=code, evidence=text) if code:
            return f"{job}: {event.outcome}, {code}: {text}"
        case JobEnded(job=job, phase=phase):
            return f"{job}: {phase}"
        case Incident(code=code, text=text):
            return f"{code}: {text}"
        case LedgerRestored(cause=cause):
            return f"LEDGER_RESTORED: {cause}"
        case _:
            return ""
