"""Keeps the review sheet up to date with the state: its index, and the months' pages.

Law: a projection, never read back. A page is written again when a job on it has changed; which page
a job is on, never changes.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice

from daemon.core.events import JobAccepted
from daemon.core.job import Job
from daemon.core.jobs import JobId, Kind
from daemon.core.policy import Policy
from daemon.core.state import State
from daemon.errors import WorldError
from daemon.ports import Disk
from daemon.shell.loop import Believed
from daemon.wire.ledger_line import Head
from daemon.wire.sheet import (
    INDEX,
    PAGES,
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
_PAGE_JOBS = 100
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
        state: Callable[[], State],
        policy: Policy,
        host: str,
        document: Callable[[], Document],
        head: Callable[[], Head],
    ) -> None:
        self._disk, self._state, self._policy = disk, state, policy
        self._host, self._document, self._head = host, document, head
        self._pages: dict[Month, list[JobId]] = {}
        self._page_of: dict[JobId, Month] = {}
        self._filed: Counter[str] = Counter()
        self._trainings: list[JobId] = []
        self._changed: dict[Month, int] = {}
        self._stale: set[Month] = set()
        self._due = asyncio.Event()
        for job in state().jobs.values():
            page = self._file(job.id, job.kind, job.accepted_at)
            self._changed[page] = max(self._changed.get(page, 0), job.changed_seq)

    async def run(self) -> None:
        """Write whatever is out of date until cancelled."""
        await self.catch_up()
        while True:
            await self._due.wait()
            # What happens together is written together.
            await asyncio.sleep(_TOGETHER_S)
            self._due.clear()
            await self.finish()

    async def catch_up(self, *, everything: bool = False) -> None:
        """Find the pages that are older than their jobs, or are not there."""
        shown = 0 if everything else await self._shown()
        there = {file.name for file in await self._disk.list(PAGES)}
        self._stale.update(
            page for page, seq in self._changed.items() if seq > shown or page.file not in there
        )
        self._due.set()

    async def finish(self, *, alive: bool = True) -> None:
        """Write everything that is out of date now; ``alive``: a daemon goes on after this."""
        seq = self._state().seq
        try:
            await self._write_index(alive=alive)
            while self._stale:
                await self._write_month(next(iter(self._stale)))
            await self._disk.write(_SHOWN, f"{_FORM} {seq}\n".encode(), synced=False)
        except WorldError as error:
            log.warning("the review sheet was not written: %s", error.text)

    def believe(self, believed: Believed) -> None:
        """What has happened makes pages out of date."""
        for entry in believed.entries:
            event = entry.event
            if isinstance(event, JobAccepted):
                # Should it begin a page, the one before leads to it from now on.
                self._stale.update(islice(reversed(self._pages), 1))
                self._file(event.job, event.kind, entry.at)
            if page := self._page_of.get(JobId(getattr(event, "job", ""))):
                self._stale.add(page)
        if believed.entries or believed.world_changed:
            self._due.set()

    async def _write_index(self, *, alive: bool) -> None:
        head, state = self._head(), self._state()
        ended = map(state.jobs.__getitem__, reversed(state.ended))
        values = index_values(
            state,
            self._document(),
            policy=self._policy,
            panels=islice(filter(_is_picture, ended), PANELS_SHOWN),
            trainings=self._jobs(islice(reversed(self._trainings), TRAININGS_SHOWN)),
            months=[*reversed(self._pages)],
            told=Told(self._host, head.segment, head.chain),
            alive=alive,
        )
        await self._disk.write(INDEX, index_html(values), synced=False)

    async def _write_month(self, page: Month) -> None:
        pages = [*self._pages]
        place = pages.index(page)
        values = month_values(
            page,
            self._jobs(reversed(self._pages[page])),
            self._state(),
            policy=self._policy,
            older=pages[place - 1] if place else None,
            newer=pages[place + 1] if place + 1 < len(pages) else None,
        )
        self._stale.discard(page)
        try:
            await self._disk.write(f"{PAGES}/{page.file}", month_html(values), synced=False)
        except WorldError:
            self._stale.add(page)
            raise

    def _jobs(self, names: Iterable[JobId]) -> Sequence[Job]:
        return [self._state().jobs[name] for name in names]

    def _file(self, job: JobId, kind: Kind, at: int) -> Month:
        """Give a job that was accepted its place."""
        zone = self._policy.training_windows.zone
        month = f"{datetime.fromtimestamp(at / 1000, UTC).astimezone(zone):%Y-%m}"
        page = Month(month, 1 + self._filed[month] // _PAGE_JOBS)
        self._filed[month] += 1
        self._pages.setdefault(page, []).append(job)
        self._page_of[job] = page
        if kind == "train":
            self._trainings.append(job)
        return page

    async def _shown(self) -> int:
        """Up to which line of the ledger the pages tell."""
        try:
            blob = await self._disk.read(_SHOWN, limit_bytes=64)
            form, seq = map(int, blob.data.split())
        except (WorldError, ValueError):
            return 0
        return seq if form == _FORM else 0


def _is_picture(job: Job) -> bool:
    return job.kind == "panel" and bool(job.files)
