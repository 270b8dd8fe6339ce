"""Measures how long a ledger takes to load, verified and folded, and in how much memory.

Ours is what a start of the daemon does: ``Ledger.load`` reads the segments in chunks, checks every
chain and folds. The baseline reads the same files line by line, calls ``json.loads`` on each, and
then builds the same events and folds them alike; it checks no chain. Both are fresh processes, run
in turns; time is the processor's in user mode, so that what else the machine does matters less, and
memory is the whole process at its peak.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench._ledger import write_ledger
from bench._measure import Curve, Figure, Limit, Measured
from daemon.adapters.disk import StudioDisk
from daemon.core.state import State, apply
from daemon.shell.ledger import Ledger
from daemon.wire.ledger_line import _entry

TRIED = """
Of a line of the ledger, msgspec reads in 0.9 µs what takes json 4 µs, and checks the types besides.
A job is a tuple, copied in 1.3 µs where `dataclasses.replace` took 8. Jobs that ended long ago are
kept packed, 64 together, in 0.6 kB each instead of 5: without that the million takes 770 MB.
"""
HOST = "mac"
YEAR_LIMIT_S = 1.0
RATIO_LIMIT = 1.0
PEAK_LIMIT_MB = 250


@dataclass(frozen=True, slots=True)
class _Case:
    name: str
    events: int
    rounds: int


_SMALL = _Case("two months", 10_000, 3)
_YEAR = _Case("a busy year: 60,000 events of 421 bytes", 60_000, 7)
_MILLION = _Case("a million: 122,000 jobs, 422 MB", 1_000_000, 3)


@dataclass(frozen=True, slots=True)
class _Run:
    user_s: float
    peak_mb: float


def measure() -> Measured:
    """A busy year and a million events; and what a tenth and a hundredth of them cost."""
    year, million = _runs(_YEAR), _runs(_MILLION)
    small = _runs(_SMALL)
    # The fastest, since what else the machine does only ever adds.
    fastest = min(run.user_s for run in year.ours)
    return Measured(
        figures=(
            _figure(_YEAR, year, None),
            Figure(
                "a busy year, fastest",
                "s",
                (fastest,),
                limit=Limit("ours", "at most", YEAR_LIMIT_S),
            ),
            _figure(_MILLION, million, Limit("ratio", "at most", RATIO_LIMIT)),
            Figure(
                "a million, peak of the process",
                "MB",
                [run.peak_mb for run in million.ours],
                limit=Limit("ours", "at most", PEAK_LIMIT_MB),
            ),
        ),
        curves=(
            Curve(
                "load",
                "events",
                "s",
                [case.events for case in (_SMALL, _YEAR, _MILLION)],
                [median(run.user_s for run in runs.ours) for runs in (small, year, million)],
            ),
        ),
    )


@dataclass(frozen=True, slots=True)
class _Runs:
    ours: Sequence[_Run]
    baseline: Sequence[_Run]


def _runs(case: _Case) -> _Runs:
    with tempfile.TemporaryDirectory() as folder:
        ledger = Path(folder) / "ledger" / HOST
        ledger.mkdir(parents=True)
        write_ledger(ledger, events=case.events)
        ours, baseline = [], []
        for _ in range(case.rounds):
            baseline.append(_run("baseline", folder))
            ours.append(_run("ours", folder))
    return _Runs(ours, baseline)


def _figure(case: _Case, runs: _Runs, limit: Limit | None) -> Figure:
    ours, baseline = ([run.user_s for run in each] for each in (runs.ours, runs.baseline))
    return Figure(case.name, "s", ours, baseline, "json.loads + fold", limit)


def _run(what: str, folder: str) -> _Run:
    command = [sys.executable, "-m", "bench.replay", what, folder]
    done = subprocess.run(command, capture_output=True, check=True)
    return _Run(**json.loads(done.stdout))


def _load(what: str, studio: Path) -> None:
    """One load in a process of its own, which tells what it took and ends at once: to take the
    state apart again is measured by nobody.
    """
    gc.set_threshold(50_000)  # As every verb of nightpress does.
    since = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    if what == "ours":
        asyncio.run(_ours(studio, since))
    else:
        _tell(_baseline(studio), since)


async def _ours(studio: Path, since: float) -> None:
    _tell((await Ledger(StudioDisk(studio), host=HOST).load()).state, since)


def _baseline(studio: Path) -> State:
    state = State()
    for file in sorted((studio / "ledger" / HOST).glob("*.jsonl")):
        with file.open("rb") as lines:
            for line in lines:
                told = json.loads(line)
                apply(state, _entry(told, file.stem, told["chain"]))
    return state


def _tell(state: State, since: float) -> None:
    assert state.jobs, "nothing was loaded"
    spent = resource.getrusage(resource.RUSAGE_SELF)
    # In kilobytes, on a Mac in bytes.
    scale = 2**20 if sys.platform == "darwin" else 2**10
    told = {"user_s": spent.ru_utime - since, "peak_mb": spent.ru_maxrss / scale}
    print(json.dumps(told), flush=True)
    os._exit(0)


if __name__ == "__main__":
    _load(sys.argv[1], Path(sys.argv[2]))
