"""Keeps the review sheet up to date with the state: its index, and the months' pages.

Law: a projection, never read back. A page is written again when a job on it has changed; which page
a job is on, never changes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice

from daemon.core.events import JobAccepted
from daemon.core.job import Job
from daemon.core.jobs import JobId
from daemon.core.policy import Policy
from daemon.errors import WorldError
from daemon.ports import Disk
from daemon.shell.loop import Believed, Loop
from daemon.wire.ledger_line import Head
from daemon.wire.sheet import (
    INDEX,
    PANELS_SHOWN,
    TRAININGS_SHOWN,
    Month,
    Told,
    index_html,
    index_values,
    month_html,
    month_values,
)
from daemon.wire.status import Document

log = logging.getLogger(__name__)

_TOGETHER_S = 2.0
_PAGE_PANELS = 100
_SHOWN = ".nightpress/sheet"
_FORM = 1
"""Of the pages: with another one they are all written again."""


class Sheet:
    """Writes outbox/index.html and outbox/sheet/. ``document`` gives status.json's; ``head`` where
    the ledger ends.
    """

    def __init__(
        self,
        *,
        disk: Disk,
        loop: Loop,
        policy: Policy,
        host: str,
        document: Callable[[], Document],
        head: Callable[[], Head],
    ) -> None:
        self._disk, self._loop, self._policy = disk, loop, policy
        self._host, self._document, self._head = host, document, head
        self._months: dict[str, list[JobId]] = {}
        self._page_of: dict[JobId, tuple[str, int]] = {}
        self._panels: list[JobId] = []
        self._trainings: list[JobId] = []
        self._stale: set[tuple[str, int]] = set()
        self._due = asyncio.Event()
        for job in loop.state.jobs.values():
            self._file(job.id, job.kind, job.accepted_at)
        loop.observe(self._believe)

    async def run(self) -> None:
        """Write whatever is out of date until cancelled."""
        await self._catch_up()
        while True:
            await self._due.wait()
            # What happens together is written together.
            await asyncio.sleep(_TOGETHER_S)
            self._due.clear()
            await self.finish()

    async def finish(self) -> None:
        """Write everything that is out of date now."""
        seq = self._loop.state.seq
        try:
            await self._write_index()
            while self._stale:
                await self._write_month(next(iter(self._stale)))
            await self._disk.write(_SHOWN, f"{_FORM} {seq}\n".encode(), synced=False)
        except WorldError as error:
            log.warning("the review sheet was not written: %s", error.text)

    async def _write_index(self) -> None:
        head = self._head()
        values = index_values(
            self._loop.state,
            self._document(),
            policy=self._policy,
            panels=self._jobs(islice(reversed(self._panels), PANELS_SHOWN)),
            trainings=self._jobs(islice(reversed(self._trainings), TRAININGS_SHOWN)),
            months=self._all_months(),
            told=Told(self._host, head.segment, head.chain),
        )
        await self._disk.write(INDEX, index_html(values), synced=False)

    async def _write_month(self, page: tuple[str, int]) -> None:
        month, part = page
        first = (part - 1) * _PAGE_PANELS
        jobs = self._jobs(self._months[month][first : first + _PAGE_PANELS])
        months = self._all_months()
        (here,) = (each for each in months if (each.month, each.part) == page)
        self._stale.discard(page)
        values = month_values(here, jobs, self._loop.state, policy=self._policy, months=months)
        try:
            await self._disk.write(f"outbox/{here.file}", month_html(values), synced=False)
        except WorldError:
            self._stale.add(page)
            raise

    def _jobs(self, names: Iterable[JobId]) -> Sequence[Job]:
        return [self._loop.state.jobs[name] for name in names]

    def _all_months(self) -> Sequence[Month]:
        """Every page, newest month first."""
        return [
            Month(month, part, parts)
            for month in sorted(self._months, reverse=True)
            for parts in [-(-len(self._months[month]) // _PAGE_PANELS)]
            for part in range(1, parts + 1)
        ]

    def _file(self, job: JobId, kind: str, at: int) -> None:
        """Give a job that was accepted its place."""
        if kind == "train":
            self._trainings.append(job)
            return
        zone = self._policy.training_windows.zone
        month = f"{datetime.fromtimestamp(at / 1000, UTC).astimezone(zone):%Y-%m}"
        jobs = self._months.setdefault(month, [])
        jobs.append(job)
        self._panels.append(job)
        self._page_of[job] = month, -(-len(jobs) // _PAGE_PANELS)

    def _believe(self, believed: Believed) -> None:
        for entry in believed.entries:
            event = entry.event
            if isinstance(event, JobAccepted):
                self._file(event.job, event.kind, entry.at)
            if page := self._page_of.get(JobId(getattr(event, "job", ""))):
                self._stale.add(page)
        if believed.entries or believed.world_changed:
            self._due.set()

    async def _catch_up(self) -> None:
        form, shown = await self._shown()
        for job, page in self._page_of.items():
            if form != _FORM or self._loop.state.jobs[job].changed_seq > shown:
                self._stale.add(page)
        self._due.set()

    async def _shown(self) -> tuple[int, int]:
        try:
            blob = await self._disk.read(_SHOWN, limit_bytes=64)
            form, seq = blob.data.split()
            return int(form), int(seq)
        except (WorldError, ValueError):
            return 0, 0
