"""No power cut, no kill and no misbehaving engine breaks a promise of the contract (A2.9, N6.2)."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys

import pytest

from tests.sim.checker import parse
from tests.sim.story import (
    CONTROL_STORY,
    PANEL_STORY,
    TRAIN_CONTROL_STORY,
    TRAIN_STORY,
    Drop,
    Fate,
    tell,
)

CHUNKS = 8
REPLAY = """
from tests.sim.story import PANEL_STORY, TRAIN_STORY, Fate, tell
import hashlib, logging
logging.disable(logging.CRITICAL)
for seed in range(6):
    story = TRAIN_STORY if seed % 3 == 2 else PANEL_STORY
    history = tell(story, Fate(seed, cut_at=40 * seed, mischief=0.3))
    print(hashlib.sha256(history.ledger()).hexdigest(), history.broken)
"""


def test_the_story_ends_with_every_picture_published_and_nothing_broken() -> None:
    history = tell(PANEL_STORY, Fate(seed=1))
    kinds = [line["type"] for line in parse(history.ledger())]
    assert history.broken == []
    assert kinds.count("result.published") == 2
    assert kinds.count("job.rejected") == kinds.count("job.duplicate") == 1
    assert len(history.engine.executed) == 3


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_power_cut_before_any_step_of_the_disk_breaks_no_promise(chunk: int) -> None:
    """A2.9: and nothing half-written is in the outbox."""
    steps = tell(PANEL_STORY, Fate(seed=1)).disk.steps
    for cut_at in range(1 + chunk, steps + 1, CHUNKS):
        history = tell(PANEL_STORY, Fate(seed=cut_at, cut_at=cut_at))
        assert history.broken == [], f"step {cut_at}: {history.disk.trace[cut_at - 1]}"
        assert history.lives == 2 or cut_at > steps - 50, "the cut never came"


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_kill_before_any_step_breaks_no_promise_and_draws_nothing_twice(chunk: int) -> None:
    """N6.2: what the engine still has is rejoined, not sent again."""
    steps = tell(PANEL_STORY, Fate(seed=1)).disk.steps
    for cut_at in range(1 + chunk, steps + 1, 2 * CHUNKS):
        history = tell(PANEL_STORY, Fate(seed=cut_at, cut_at=cut_at, kill_only=True))
        assert history.broken == [], f"step {cut_at}: {history.disk.trace[cut_at - 1]}"
        assert len(history.engine.executed) == 3


@pytest.mark.parametrize("kill_only", [False, True], ids=["power", "kill"])
def test_cancel_pause_and_retry_outlive_a_cut_at_any_time(kill_only: bool) -> None:
    steps = tell(CONTROL_STORY, Fate(seed=1)).disk.steps
    for cut_at in range(1, steps + 1, 4):
        history = tell(CONTROL_STORY, Fate(cut_at, cut_at, kill_only))
        assert history.broken == [], f"step {cut_at}: {history.disk.trace[cut_at - 1]}"


def test_a_training_is_published_then_approved_and_installed_and_the_panel_waits_for_it() -> None:
    """K2.5, A2.3: what the trainer left is in the result, and nothing was drawn meanwhile."""
    history = tell(TRAIN_STORY, Fate(seed=1))
    lines = parse(history.ledger())
    saved = [line["step"] for line in lines if line["type"] == "checkpoint.saved"]
    kinds = [line["type"] for line in lines]
    assert history.broken == []
    assert saved == [10, 20, 30]
    assert list(history.installed) == ["spyke_v1-000020.safetensors"]
    assert kinds.count("attempt.started") == kinds.count("result.published") == 2


def test_a_training_that_was_cancelled_and_tried_again_goes_on_from_its_last_epoch() -> None:
    """K2.5: the second attempt saves only what the first had not."""
    history = tell(TRAIN_CONTROL_STORY, Fate(seed=1))
    lines = parse(history.ledger())
    saved = [(x["attempt"], x["step"]) for x in lines if x["type"] == "checkpoint.saved"]
    ends = [line["outcome"] for line in lines if line["type"] == "attempt.ended"]
    assert ends == ["cancelled", "succeeded"]
    assert [sitting.signal for sitting in history.trainings.runs.values()] == [15, 0]
    assert saved == [(1, 10), (2, 20), (2, 30), (2, 40)]


@pytest.mark.parametrize("kill_only", [False, True], ids=["power", "kill"])
@pytest.mark.parametrize("story", [TRAIN_STORY, TRAIN_CONTROL_STORY], ids=["train", "control"])
def test_a_training_outlives_a_cut_at_any_time_and_is_published(
    story: tuple[Drop, ...], kill_only: bool
) -> None:
    """A2.9, K2.5: it costs an epoch at most, and never the training."""
    steps = tell(story, Fate(seed=1)).disk.steps
    for cut_at in range(1, steps + 1, 37):
        history = tell(story, Fate(cut_at, cut_at, kill_only))
        assert history.broken == [], f"step {cut_at}: {history.disk.trace[cut_at - 1]}"
        assert b'"type":"result.published","job":"spyke_v1"' in history.ledger()


@pytest.mark.parametrize("seed", range(12))
def test_shims_and_trainers_that_are_killed_delay_a_training_and_break_nothing(seed: int) -> None:
    """An orphan is ended before anything else begins, and is never called a success."""
    chance = random.Random(seed)
    cut_at, kill_only = chance.choice([0, chance.randint(200, 700)]), chance.random() < 0.5
    story, mischief = chance.choice([TRAIN_STORY, TRAIN_CONTROL_STORY]), chance.choice([0.3, 0.6])
    assert tell(story, Fate(seed, cut_at, kill_only, mischief)).broken == []


@pytest.mark.parametrize("seed", range(24))
def test_an_engine_that_misbehaves_delays_the_story_and_breaks_nothing(seed: int) -> None:
    """N1.3, N1.4, N6.1: lost answers, late answers, deaf sockets, refused connections."""
    chance = random.Random(seed)
    fate = Fate(
        seed,
        cut_at=chance.choice([0, chance.randint(1, 390)]),
        kill_only=chance.random() < 0.5,
        mischief=chance.choice([0.05, 0.3, 0.6]),
    )
    assert tell(PANEL_STORY, fate).broken == []


def test_the_same_seed_is_the_same_ledger_whatever_the_hash_seed() -> None:
    """One seed, one history: byte-identical under four values of PYTHONHASHSEED."""
    told = {
        hashlib.sha256(
            subprocess.run(
                [sys.executable, "-c", REPLAY],
                env={**os.environ, "PYTHONHASHSEED": value},
                check=True,
                capture_output=True,
            ).stdout
        ).hexdigest()
        for value in ("0", "1", "2718", "31415")
    }
    assert len(told) == 1
