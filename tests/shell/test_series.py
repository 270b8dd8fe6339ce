"""What is drawn for a training, in whole presses in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from daemon.craft.picture import PictureStats
from tests.sim.checker import parse
from tests.sim.engine import SimPixels
from tests.sim.scenarios import PANEL, STAGES, TRAIN, Drop, Scenario
from tests.sim.story import Fate, History, tell

GRID = b'grid = { prompts = ["spyke, running"], seeds = [1] }'
SHORT = TRAIN.replace(b"steps = 20", b"steps = 10")
SHOWN = SHORT.replace(b"grid = { prompts = [] }", GRID)


def beside(count: int, name: bytes = b"spyke") -> bytes:
    """A training with so many regularization pictures."""
    table = b'regularization = { count = %d, prompt = "a man", class = "man" }\nend = true' % count
    return SHORT.replace(b"end = true", table).replace(b'lora = "spyke"', b'lora = "%s"' % name)


def told(scenario: Scenario) -> tuple[History, Sequence[dict[str, Any]]]:
    history = tell(scenario, Fate(seed=1))
    assert history.broken == []
    return history, parse(history.ledger())


def stages_of(lines: Sequence[dict[str, Any]], job: str = "spyke_v1") -> list[str]:
    return [x["stage"] for x in lines if x["type"] == "attempt.started" and x["job"] == job]


def test_a_training_is_published_with_what_its_trigger_and_its_checkpoints_draw() -> None:
    """K6.2, D2.3: the trigger before it; the trigger, a caption, the poses and something unrelated
    after it, without the LoRA and with each checkpoint.
    """
    history, lines = told(STAGES["drawn before and after"])
    [published] = [x["files"] for x in lines if x["type"] == "result.published"]
    assert {"trigger.png", "grid.png", "loss.svg"} <= published.keys()
    judged = [x["attempt"] for x in lines if x["type"] == "image.judged"]
    assert (judged.count(1), judged.count(3)) == (2, 8)
    loras = [x["name"] for x in lines if x["type"] == "model.recorded" and x["role"] == "lora"]
    assert loras == ["nightpress-grid/spyke_v1-000010.safetensors"]
    # What was lent for the grid is taken back: nothing was approved.
    assert history.installed == {}


def test_regularization_pictures_are_learnt_beside_the_others_and_recorded() -> None:
    """D3.1, D3.2: an epoch is twice as long, and the lock names each picture."""
    _, lines = told(Scenario((Drop("spyke.toml", beside(10)),)))
    rows = [row for x in lines if x["type"] == "dataset.recorded" for row in x["images"]]
    drawn = {row[0]: row[1] for row in rows if row[3] == "regularization"}
    assert list(drawn) == [f"{number:03}.png" for number in range(1, 11)]
    [accepted] = [x["spec"] for x in lines if x["type"] == "job.accepted"]
    assert accepted["epoch_steps"] == 2 * accepted["images"] * accepted["repeats"]
    [document] = [x["dataset"] for x in lines if x["type"] == "trainer.recorded"]
    assert "is_reg = true" in document
    assert 'class_tokens = "man"' in document


def test_the_same_regularization_is_drawn_once() -> None:
    """D3.1: by checkpoint, VAE, prompt and settings."""
    drops = (
        Drop("spyke.toml", beside(10)),
        Drop("kirby.toml", beside(10, b"kirby"), after=b"job.ended"),
    )
    _, lines = told(Scenario(drops))
    judged = [x["job"] for x in lines if x["type"] == "image.judged"]
    assert (judged.count("spyke_v1"), judged.count("kirby_v1")) == (10, 0)
    recorded = [x for x in lines if x["type"] == "dataset.recorded" and x["job"] == "kirby_v1"]
    assert len(recorded[-1]["images"]) == 10


def test_panels_need_not_wait_for_a_whole_series() -> None:
    """D3.1: a picture that somebody waits for is drawn between two dozens."""
    drops = (Drop("spyke.toml", beside(30)), Drop("p.toml", PANEL, after=b"prompt.sent"))
    _, lines = told(Scenario(drops))
    starts = [x["job"] for x in lines if x["type"] == "attempt.started"]
    assert starts.index("p_v1") == 1
    assert stages_of(lines) == ["regularization", "regularization", ""]
    [ended] = [x for x in lines if x["type"] == "attempt.ended" and x["code"] == "IN_TURNS"]
    assert ended["outcome"] == "stopped"


@pytest.fixture
def blacken(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Makes the pictures black whose graph has these bytes."""
    good = SimPixels.measure

    def begin(word: bytes) -> None:
        async def measure(self: SimPixels, png: bytes) -> PictureStats:
            stats = await good(self, png)
            return replace(stats, mean=0, std=0, high=0) if word in png else stats

        monkeypatch.setattr(SimPixels, "measure", measure)

    return begin


def test_a_spoilt_regularization_picture_is_not_learnt(blacken: Callable[[bytes], None]) -> None:
    blacken(b'"seed": 3,')
    _, lines = told(Scenario((Drop("spyke.toml", beside(10)),)))
    rows = [row for x in lines if x["type"] == "dataset.recorded" for row in x["images"]]
    names = [row[0] for row in rows if row[3] == "regularization"]
    assert names == [f"{number:03}.png" for number in range(1, 11) if number != 3]


def test_where_most_are_spoilt_nothing_is_trained(blacken: Callable[[bytes], None]) -> None:
    """Before the night, with what to look at first."""
    blacken(b'"seed"')
    _, lines = told(Scenario((Drop("spyke.toml", beside(10)),), ends=frozenset({"failed"})))
    [ended] = [x for x in lines if x["type"] == "job.ended"]
    assert ended["code"] == "REGULARIZATION_SPOILT"
    assert stages_of(lines) == ["regularization"]


@pytest.mark.parametrize("engine", ["error", "black"])
def test_no_grid_costs_a_training_anything(engine: Any) -> None:
    """A black picture on a grid says something of its checkpoint; an engine that draws none, that
    the maker has to choose without.
    """
    _, lines = told(Scenario((Drop("spyke.toml", SHOWN),), engine=engine))
    [published] = [x["files"] for x in lines if x["type"] == "result.published"]
    assert ("grid.png" in published) == (engine == "black")
    assert "checkpoints/spyke_v1-000010.safetensors" in published
