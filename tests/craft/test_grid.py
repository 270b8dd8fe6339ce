"""What grid.png shows."""

from __future__ import annotations

import pytest

from daemon.craft.grid import GridColumn, sheet
from daemon.craft.memorising import Drawn

HASH = "0123456789abcdef"
NOVEL, CAPTION = "spyke, running", "spyke, standing"


def test_every_checkpoint_is_a_row_and_every_prompt_and_seed_a_column() -> None:
    """D2.3: what could not be drawn has its place too."""
    drawn = [
        Drawn(step, prompt, seed, HASH, f"{step} {prompt} {seed}".encode())
        for step in (990, 198)
        for prompt in (NOVEL, CAPTION)
        for seed in (1, 2)
        if (step, prompt, seed) != (198, CAPTION, 2)
    ]
    drawn.append(Drawn(0, NOVEL, 1))
    found = sheet(
        "spyke_v1", drawn, training={"a.png": HASH}, captions=[CAPTION], told={990: "epoch 5"}
    )
    assert found.columns == (
        GridColumn(f"NOVEL PROMPT: {NOVEL}", "seed 1"),
        GridColumn(f"NOVEL PROMPT: {NOVEL}", "seed 2"),
        GridColumn(f"TRAINING PROMPT: {CAPTION}", "seed 1"),
        GridColumn(f"TRAINING PROMPT: {CAPTION}", "seed 2"),
    )
    assert [row.label for row in found.rows] == ["without the LoRA", "step 198", "step 990"]
    assert [cell.png for cell in found.rows[1].cells] == [
        f"198 {NOVEL} 1".encode(),
        f"198 {NOVEL} 2".encode(),
        f"198 {CAPTION} 1".encode(),
        b"",
    ]
    assert [cell.label for cell in found.rows[1].cells[2:]] == ["0 of 64 from a.png", "not drawn"]
    assert [cell.mark for cell in found.rows[2].cells] == ["same"] * 4
    assert found.rows[2].lines[0] == "epoch 5"
    assert found.rows[2].lines[-1] == "It draws training images again: overfit."


@pytest.mark.parametrize(
    ("step", "title", "advice"),
    [
        (198, "spyke_v1: choose a checkpoint", "nightpress approve spyke_v1 --checkpoint STEP"),
        (0, "spyke_v1: what its trigger draws before it is trained", "cancel spyke_v1 and drop"),
    ],
)
def test_it_tells_the_maker_what_to_look_for(step: int, title: str, advice: str) -> None:
    """D2.3, K6.2"""
    found = sheet("spyke_v1", [Drawn(step, NOVEL, 1)], training={}, captions=[], told={})
    assert found.title == title
    assert advice in " ".join(found.notes)
