"""``python -m tests git``: every operation of git's, fifty interleavings with the writer each."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import pytest

from tests.git_operations import OPERATIONS, interleave
from tests.gitting import template

TIMES = 50
COLUMNS = ("lines", "put back", "refused", "stops", "lost")


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return template(tmp_path_factory.mktemp("git"))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_interleaving_costs_a_line(
    operation: str, origin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line of the table: lines acknowledged, lines put back, commands that git refused, times
    the ledger refused to go on until a person had looked, interleavings that lost a line.
    """
    sums: Counter[str] = Counter()
    lost = []
    for number in range(TIMES):
        try:
            tale = interleave(origin, tmp_path / str(number), operation, Random(f"{number}"))
        except AssertionError as error:
            lost.append(f"interleaving {number}: {error}")
            continue
        counts = (tale.lines, tale.restored, tale.refused, len(tale.stops), 0)
        sums.update(dict(zip(COLUMNS, counts, strict=True)))
    sums["lost"] = len(lost)
    with capsys.disabled():
        numbers = "  ".join(f"{name} {sums[name]:>4}" for name in COLUMNS)
        print(f"\n{operation:<28} x {TIMES}  {numbers}", end="  ")
    assert lost == []
