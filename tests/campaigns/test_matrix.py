"""``python -m tests matrix``: every cell of the fault matrix as it was lived, one line each."""

from __future__ import annotations

import pytest

from tests.sim.cells import CELLS
from tests.sim.matrix import live


def test_the_matrix(capsys: pytest.CaptureFixture[str]) -> None:
    others = []
    with capsys.disabled():
        print(f"\n{'fault, stage':<68} {'virtual s':>9}  outcome")
        for cell in CELLS:
            seen = live(cell)
            good = (seen.outcome, seen.broken) == (cell.outcome, [])
            others += [] if good else [cell.name]
            wrong = "" if good else f" BUT {cell.outcome} {seen.broken}"
            print(f"{cell.name:<68} {seen.rested_s:>9.1f}  {seen.outcome}{wrong}", flush=True)
    assert others == []
