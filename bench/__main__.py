"""Every measurement, `python -m bench`, or those named: `python -m bench cold drop`.

Each prints its table, leaves its samples in bench/results/NAME.json and its plot beside them, and
BENCHMARKS.md is written again from all that lie there.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from time import monotonic

from bench._measure import Measured
from bench._report import table, write_report, write_results

HERE = Path(__file__).parent


def main(names: Sequence[str]) -> int:
    """Runs the measurements; 1 when one of them does not keep its limit."""
    known = sorted(file.stem for file in HERE.glob("[!_]*.py"))
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.stderr.write(f"No measurement {unknown[0]!r}. There are: {', '.join(known)}.\n")
        return 2
    kept = True
    for name in names or known:
        print(f"\n{name}", flush=True)
        began = monotonic()
        measured: Measured = import_module(f"bench.{name}").measure()
        print(table(measured) + f"\n  ({monotonic() - began:.0f} s)", flush=True)
        kept = kept and measured.kept
        if not measured.skipped:
            write_results(HERE / "results", name, measured)
    write_report(HERE.parent / "BENCHMARKS.md", HERE / "results", known)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
