"""Measures a cold `nightpress status` against the interpreter's own start, `python -c pass`.

Both are fresh processes, run in turns, so that whatever else the machine does meets both alike.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from daemon.adapters.guard import Guard
from daemon.bootstrap import make_studio

ROUNDS = 15
LIMIT = 4.0
"""`status` may take so many times as long as the interpreter alone."""

# What a status.json of a busy night holds: 200 jobs that wait and 200 that have ended.
_JOB = (
    '{"job":"ch01_p%03d_v1","phase":"%s","priority":0,"ref":"run-7/ch01/%d","code":"IN_LINE",'
    '"reason":"3 ahead of it.","not_before":null,"sentence":"Done.",'
    '"changed_at":"2026-11-22T17:50:00.123Z","files":{}}'
)


def main() -> int:
    """Prints the table; 1 when the limit is not kept."""
    with tempfile.TemporaryDirectory() as folder:
        studio = Path(folder) / "studio"
        make_studio(studio, os.environ)
        (studio / "outbox" / "status.json").write_text(_busy(), encoding="ascii")
        guard = Guard(studio / ".nightpress" / "guard")
        guard.take(since="now")
        ours, baseline = _measure(studio)
        guard.give_back()
    ratio = median(ours) / median(baseline)
    print(f"cold start, median of {ROUNDS}, in ms (fastest..slowest)")
    print(f"  nightpress status   {_row(ours)}")
    print(f"  python -c pass      {_row(baseline)}")
    print(f"  ratio               {ratio:7.2f}   (limit {LIMIT:g})")
    return 0 if ratio <= LIMIT else 1


def _measure(studio: Path) -> tuple[Sequence[float], Sequence[float]]:
    command = Path(sys.executable).with_name("nightpress")
    status = [str(command), "--studio", str(studio), "status"]
    nothing = [sys.executable, "-c", "pass"]
    # Where bytecode is not written, every start compiles; that would measure the compiler.
    environment = {
        key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"
    }
    _took_ms(status, environment)
    ours, baseline = [], []
    for _ in range(ROUNDS):
        baseline.append(_took_ms(nothing, environment))
        ours.append(_took_ms(status, environment))
    return ours, baseline


def _took_ms(command: Sequence[str], environment: Mapping[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    return 1000 * (time.perf_counter() - began)


def _row(times: Sequence[float]) -> str:
    return f"{median(times):7.1f}   ({min(times):.1f}..{max(times):.1f})"


def _busy() -> str:
    waiting = ",".join(_JOB % (number, "waiting", number) for number in range(1, 201))
    ended = ",".join(_JOB % (number, "published", number) for number in range(201, 401))
    return (
        '{"schema":1,"at":"2026-11-22T17:50:00.123Z",'
        '"daemon":{"version":"0.1.0","pid":1,"started_at":"2026-11-22T17:00:00.000Z"},'
        '"engine":{"name":"comfyui","ready":true,"version":"0.3.64","device":"mps"},'
        f'"queue":[{waiting}],"queue_count":200,"recent":[{ended}],"rejected_count":0}}'
    )


if __name__ == "__main__":
    sys.exit(main())
