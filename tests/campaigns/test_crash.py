"""``python -m tests crash``: power cuts and kills before every step of the disk, twenty seeds
each.
"""

from __future__ import annotations

import pytest

from tests.sim.story import (
    CONTROL_STORY,
    PANEL_STORY,
    TRAIN_CONTROL_STORY,
    TRAIN_STORY,
    Drop,
    Fate,
    tell,
)

SEEDS = 20
STORIES = {
    "panel": PANEL_STORY,
    "control": CONTROL_STORY,
    "train": TRAIN_STORY,
    "train-control": TRAIN_CONTROL_STORY,
}


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
@pytest.mark.parametrize("kill_only", [False, True], ids=["power", "kill"])
@pytest.mark.parametrize("seed", range(SEEDS))
def test_no_cut_before_any_step_breaks_a_promise(
    seed: int, kill_only: bool, story: tuple[Drop, ...]
) -> None:
    steps = tell(story, Fate(seed)).disk.steps
    broken = {
        cut_at: history.broken
        for cut_at in range(1, steps + 1)
        if (history := tell(story, Fate(seed * 1000 + cut_at, cut_at, kill_only))).broken
    }
    print(f"seed {seed}: {steps} steps cut, {len(broken)} with violations")
    assert broken == {}
