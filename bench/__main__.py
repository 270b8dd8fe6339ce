"""Every measurement, `python -m bench`, or those named: `python -m bench status_cold`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path


def main(names: Sequence[str]) -> int:
    """Runs the measurements; 1 when one of them does not keep its limit."""
    here = Path(__file__).parent
    known = sorted(file.stem for file in here.glob("[!_]*.py"))
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.stderr.write(f"No measurement {unknown[0]!r}. There are: {', '.join(known)}.\n")
        return 2
    worst = 0
    for name in names or known:
        measure: Callable[[], int] = import_module(f"bench.{name}").main
        print(f"\n{name}")
        worst = max(worst, measure())
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
