"""Measures what a state change costs the review sheet when a studio has drawn 10,000 panels.

One panel has changed: the index and the one page that it is on are written. And how long a start
takes to find its pages. All of it in this process, on the disk's real folder, without a flush.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

from bench._ledger import write_ledger
from bench._measure import Curve, Figure, Limit, Measured
from daemon.adapters.disk import StudioDisk
from daemon.core.events import Entry, JobApproved
from daemon.core.jobs import Phase
from daemon.core.policy import Policy
from daemon.core.state import State
from daemon.core.world import World
from daemon.shell.ledger import Ledger
from daemon.shell.loop import Believed
from daemon.shell.sheet import Sheet
from daemon.wire.ledger_line import Head
from daemon.wire.status import DaemonFacts, Document, status_document, status_json

EVENTS, ROUNDS = 86_000, 15
CHANGE_LIMIT_MS = 50


@dataclass(frozen=True, slots=True)
class _Cost:
    panels: int
    start_s: float
    whole_s: float
    change_ms: Sequence[float]
    status_ms: Sequence[float]


def measure() -> Measured:
    """A studio of about 10,000 panels, and smaller ones for the curve."""
    costs = [_measure(events) for events in (EVENTS // 100, EVENTS // 10, EVENTS)]
    large = costs[-1]
    limit = Limit("ours", "at most", CHANGE_LIMIT_MS)
    panels = [cost.panels for cost in costs]
    return Measured(
        figures=(
            Figure("sheet: a state change", "ms CPU", large.change_ms, limit=limit),
            Figure("status.json: a state change", "ms CPU", large.status_ms, limit=limit),
        ),
        curves=(
            Curve("sheet", "panels", "ms", panels, [median(cost.change_ms) for cost in costs]),
            Curve("status.json", "panels", "ms", panels, [median(c.status_ms) for c in costs]),
            Curve("every page", "panels", "ms", panels, [1000 * cost.whole_s for cost in costs]),
        ),
        facts=(
            f"{large.panels:,} panels: a start finds their pages in {large.start_s:.2f} s",
            f"all of them are written in {large.whole_s:.1f} s",
        ),
    )


def _measure(events: int) -> _Cost:
    with tempfile.TemporaryDirectory() as folder:
        studio = Path(folder)
        ledger = studio / "ledger" / "mac"
        ledger.mkdir(parents=True)
        (studio / "outbox").mkdir()
        (studio / ".nightpress").mkdir()
        write_ledger(ledger, events=events)
        return asyncio.run(_cost(studio))


async def _cost(studio: Path) -> _Cost:
    disk = StudioDisk(studio)
    state = (await Ledger(disk, host="mac").load()).state
    began = perf_counter()
    sheet = _sheet(disk, state)
    start_s = perf_counter() - began
    await sheet.catch_up()
    began = perf_counter()
    await sheet.finish()
    whole_s = perf_counter() - began
    *_, last = (job for job in state.jobs.values() if job.phase is Phase.PUBLISHED)
    change_ms, status_ms = [], []
    for _ in range(ROUNDS):
        entry = Entry(state.seq, last.changed_at, JobApproved(last.id, 1, 0), "2027-12", "0" * 32)
        sheet.believe(Believed((entry,), world_changed=False))
        began = process_time()
        await sheet.finish()
        change_ms.append(1000 * (process_time() - began))
        began = process_time()
        status_json(_document(state))
        status_ms.append(1000 * (process_time() - began))
    panels = sum(job.kind == "panel" for job in state.jobs.values())
    return _Cost(panels, start_s, whole_s, change_ms, status_ms)


def _document(state: State) -> Document:
    return status_document(
        state,
        at=1_830_000_000_000,
        daemon=DaemonFacts("1.0.0", 1, "s", 0),
        world=replace(World("comfyui"), engine_code="", engine_text=""),
        engine=None,
        reasons={},
        progress=None,
        policy=Policy(),
    )


def _sheet(disk: StudioDisk, state: State) -> Sheet:
    return Sheet(
        disk=disk,
        state=lambda: state,
        policy=Policy(),
        host="mac",
        document=lambda: _document(state),
        head=Head,
    )
