"""``python -m tests crash [-n N] [-k NAME] [--seeds N]``: every scenario cut before each of its
steps, some of them twice; a table says what was seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from tests.sim.scenarios import SCENARIOS, STAGES, Scenario
from tests.sim.sweep import Found, double_cuts, single_cuts

TWICE = ("panel ok", "train ok", "cancel", "month change", "sync fails")
EVERY: Mapping[str, Scenario] = {**SCENARIOS, **STAGES}
CHUNKS = 8
TWICE_CHUNKS = 32
"""More of them, since a worker that is left with the last one is waited for."""

Record = Callable[[str, object], None]

mode = pytest.mark.parametrize("kill_only", [False, True], ids=["power", "kill"])


@pytest.mark.parametrize("chunk", range(TWICE_CHUNKS))
@pytest.mark.parametrize("modes", ["power, power", "kill, kill", "kill, power"])
@pytest.mark.parametrize("name", TWICE)
def test_no_two_cuts_break_a_promise(
    name: str, modes: str, chunk: int, record_property: Record
) -> None:
    """After a kill, what recovery reads may never have been on the platter: then the power goes."""
    found = double_cuts(
        SCENARIOS[name],
        kill_only=modes.startswith("kill"),
        again_kills=modes.endswith("kill"),
        chunk=chunk,
        chunks=TWICE_CHUNKS,
    )
    _tell(record_property, f"{name}, {modes}", found)


@pytest.mark.parametrize("chunk", range(CHUNKS))
@mode
@pytest.mark.parametrize("name", EVERY)
def test_no_cut_breaks_a_promise(
    name: str, kill_only: bool, chunk: int, record_property: Record, seeds: int
) -> None:
    for seed in range(seeds):
        found = single_cuts(
            EVERY[name],
            kill_only=kill_only,
            chunk=chunk,
            chunks=CHUNKS,
            seed=1000 * seed,
        )
        _tell(record_property, f"{name}, {'kill' if kill_only else 'power'}", found)


def _tell(record_property: Record, row: str, found: Found) -> None:
    """Put what was seen into the report, for the table, and fail if anything was broken."""
    counts = (found.indices, found.histories, found.lives, len(found.broken))
    record_property("crash", (row, *counts))
    assert found.broken == {}
