"""Whatever goes wrong with the engine, each fault has one outcome, and no cell waits for ever.

``python -m tests matrix`` prints the table as it was lived.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.sim.cells import CELLS
from tests.sim.matrix import Cell, live


@pytest.mark.parametrize("cell", CELLS, ids=[cell.name for cell in CELLS])
def test_a_fault_ends_as_it_is_written_down(cell: Cell) -> None:
    """A2.9, N1.3, N1.4, N1.5, N6.1, N6.2, N6.3: and no promise of the contract is broken, at most
    one prompt of ours is with the engine, nothing is drawn twice that nobody had to.
    """
    seen = live(cell)
    assert seen.broken == []
    assert seen.outcome == cell.outcome
    assert seen.rested_s <= cell.within_s


def test_no_two_rows_are_the_same_and_there_are_enough_of_them() -> None:
    assert max(Counter(cell.name for cell in CELLS).values()) == 1
    assert len(CELLS) >= 60
