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
from daemon.adapters.disk import StudioDisk
from daemon.core.state import State, apply
from daemon.shell.ledger import Ledger
from daemon.wire.ledger_line import _entry

HOST = "mac"
YEAR_LIMIT_S = 1.0
RATIO_LIMIT = 1.0
PEAK_LIMIT_MB = 250


@dataclass(frozen=True, slots=True)
class _Case:
    name: str
    events: int
    rounds: int


_YEAR = _Case("a busy year", 60_000, 7)
_MILLION = _Case("a million", 1_000_000, 3)


@dataclass(frozen=True, slots=True)
class _Run:
    user_s: float
    peak_mb: float


def main() -> int:
    """Prints the table; 1 when a limit is not kept."""
    print("load of a ledger, user CPU, median (fastest..slowest); peak of the process")
    year, _ = _measure(_YEAR)
    million, ratio = _measure(_MILLION)
    # The fastest, since what else the machine does only ever adds.
    seconds = min(run.user_s for run in year)
    peak = max(run.peak_mb for run in million)
    kept = (
        seconds <= YEAR_LIMIT_S,
        ratio <= RATIO_LIMIT,
        peak <= PEAK_LIMIT_MB,
    )
    print("limits")
    print(f"  a busy year, fastest {seconds:6.2f} s    (limit {YEAR_LIMIT_S:g})")
    print(f"  a million, ratio     {ratio:6.2f}      (limit {RATIO_LIMIT:g})")
    print(f"  a million, peak      {peak:6.0f} MB   (limit {PEAK_LIMIT_MB})")
    return 0 if all(kept) else 1


def _measure(case: _Case) -> tuple[Sequence[_Run], float]:
    """Our runs, and the median of ours against the baseline's in the same round."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = Path(folder) / "ledger" / HOST
        ledger.mkdir(parents=True)
        size = write_ledger(ledger, events=case.events)
        ours, baseline = [], []
        for _ in range(case.rounds):
            baseline.append(_run("baseline", folder))
            ours.append(_run("ours", folder))
    ratios = [one.user_s / other.user_s for one, other in zip(ours, baseline, strict=True)]
    print(f"{case.name}: {case.events:,} events of {size / case.events:.0f} bytes")
    print(f"  ours             {_row(ours)}")
    print(f"  baseline         {_row(baseline)}")
    print(f"  ratio            {median(ratios):7.2f}      ({min(ratios):.2f}..{max(ratios):.2f})")
    return ours, median(ratios)


def _run(what: str, folder: str) -> _Run:
    command = [sys.executable, "-m", "bench.replay", what, folder]
    done = subprocess.run(command, capture_output=True, check=True)
    return _Run(**json.loads(done.stdout))


def _row(runs: Sequence[_Run]) -> str:
    times = [run.user_s for run in runs]
    peak = max(run.peak_mb for run in runs)
    return f"{median(times):7.2f} s    ({min(times):.2f}..{max(times):.2f})   {peak:4.0f} MB"


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
    if sys.argv[1:]:
        _load(sys.argv[1], Path(sys.argv[2]))
    sys.exit(main())
