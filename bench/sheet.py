"""Measures what a state change costs the review sheet when a studio has drawn 10,000 panels.

One panel has changed: the index and the one page that it is on are written. And how long a start
takes to find its pages. All of it in this process, on the disk's real folder, without a flush.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

from bench._ledger import write_ledger
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
from daemon.wire.status import DaemonFacts, Document, status_document

EVENTS, ROUNDS = 86_000, 15
CHANGE_LIMIT_S = 0.05


def main() -> int:
    """Prints the table; 1 when a limit is not kept."""
    with tempfile.TemporaryDirectory() as folder:
        studio = Path(folder)
        ledger = studio / "ledger" / "mac"
        ledger.mkdir(parents=True)
        (studio / "outbox").mkdir()
        (studio / ".nightpress").mkdir()
        write_ledger(ledger, events=EVENTS)
        return asyncio.run(_measure(studio))


async def _measure(studio: Path) -> int:
    disk = StudioDisk(studio)
    loaded = await Ledger(disk, host="mac").load()
    state = loaded.state
    began = perf_counter()
    sheet = _sheet(disk, state)
    start_s = perf_counter() - began
    await sheet.catch_up()
    began = perf_counter()
    await sheet.finish()
    whole_s = perf_counter() - began
    *_, last = (job for job in state.jobs.values() if job.phase is Phase.PUBLISHED)
    spent = []
    for _ in range(ROUNDS):
        entry = Entry(state.seq, last.changed_at, JobApproved(last.id, 1, 0), "2027-12", "0" * 32)
        sheet.believe(Believed((entry,), world_changed=False))
        began = process_time()
        await sheet.finish()
        spent.append(process_time() - began)
    panels = sum(job.kind == "panel" for job in state.jobs.values())
    print(f"{panels:,} panels, {len(list((studio / 'outbox/sheet').iterdir()))} pages")
    print(f"  a start finds its pages   {1000 * start_s:7.0f} ms")
    print(f"  all of them are written   {1000 * whole_s:7.0f} ms")
    print(f"  a state change, median    {1000 * median(spent):7.1f} ms CPU", end="")
    print(f"  (limit {1000 * CHANGE_LIMIT_S:g}; slowest {1000 * max(spent):.1f})")
    return int(median(spent) > CHANGE_LIMIT_S)


def _sheet(disk: StudioDisk, state: State) -> Sheet:
    facts = DaemonFacts("1.0.0", 1, "s", 0)

    def document() -> Document:
        return status_document(
            state,
            at=1_830_000_000_000,
            daemon=facts,
            world=replace(World("comfyui"), engine_code="", engine_text=""),
            engine=None,
            reasons={},
            progress=None,
            policy=Policy(),
        )

    return Sheet(
        disk=disk,
        state=lambda: state,
        policy=Policy(),
        host="mac",
        document=document,
        head=Head,
    )
