"""No power cut, no kill and no misbehaving engine breaks a promise of the contract (A2.9, N6.2).

Every step of every scenario is cut here once; `python -m tests crash` cuts twice.
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys

import pytest

from tests.sim.checker import parse
from tests.sim.scenarios import MIXED, SCENARIOS, STAGES
from tests.sim.story import Fate, History, tell
from tests.sim.sweep import single_cuts

REPLAY = """
from tests.sim.scenarios import MIXED, SCENARIOS
from tests.sim.story import Fate, tell
import hashlib, logging
logging.disable(logging.CRITICAL)
for seed in range(6):
    scenario = SCENARIOS["cancel train, retry"] if seed % 3 == 2 else MIXED
    history = tell(scenario, Fate(seed, cut_at=40 * seed, mischief=0.3))
    print(hashlib.sha256(history.ledger()).hexdigest(), history.broken)
"""


def told(name: str) -> History:
    """A scenario in which nothing is cut."""
    history = tell(SCENARIOS[name], Fate(seed=1))
    assert history.broken == []
    return history


def said(history: History, kind: str, key: str) -> list[object]:
    """The values of a key in the lines of a type."""
    return [line[key] for line in parse(history.ledger()) if line["type"] == kind]


@pytest.mark.parametrize("kill_only", [False, True])
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_cut_before_any_step_breaks_no_promise(name: str, *, kill_only: bool) -> None:
    """A2.9, N6.2, K2.5: no job is lost or done twice, nothing half-written is in the outbox.

    The power before every twenty-fourth step, the process before every other such one; the
    campaign does both before all.
    """
    found = single_cuts(SCENARIOS[name], kill_only=kill_only, chunk=5 + 12 * kill_only, chunks=24)
    assert found.broken == {}
    assert found.indices > 0


@pytest.mark.parametrize("kill_only", [False, True])
@pytest.mark.parametrize("name", STAGES)
def test_what_is_drawn_around_a_training_outlives_a_cut(name: str, *, kill_only: bool) -> None:
    """K6.2, D3.1, D2.3, K3.1: before every forty-eighth step; the campaign before all."""
    found = single_cuts(STAGES[name], kill_only=kill_only, chunk=7 + 24 * kill_only, chunks=48)
    assert found.broken == {}
    assert found.indices > 8


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_comes_to_what_it_is_named_for(name: str) -> None:
    unusual: dict[str, list[object]] = {
        "accept": [],
        "reject": [],
        "duplicate": [],
        "panels in turn": ["published", "published"],
        "reproduce": ["published", "published"],
        "overrule": ["failed", "published"],
        "panels retried": ["published", "published"],
        "panel error": ["failed"],
        "train failed": ["failed"],
        "cancel": ["cancelled"],
        "cancel train, retry": ["cancelled", "published"],
    }
    assert said(told(name), "job.ended", "phase") == unusual.get(name, ["published"])


def test_what_goes_wrong_in_a_scenario_really_does() -> None:
    assert said(told("duplicate"), "job.duplicate", "of") == ["p_v1"]
    assert said(told("panel retried"), "attempt.ended", "code") == ["PROMPT_LOST", ""]
    assert said(told("trainer killed"), "attempt.ended", "code") == ["KILLED", ""]
    assert said(told("shim killed"), "attempt.ended", "code") == ["TRAINER_UNKNOWN", ""]
    assert said(told("restart"), "daemon.stopped", "reason") == ["asked to stop"] * 3
    assert said(told("sync fails"), "daemon.stopped", "reason") == ["asked to stop"] * 2
    assert len(said(told("git takes it"), "ledger.restored", "lines")) == 1
    assert any("cut ledger" in step for step in told("disk full").disk.trace)
    assert [name for name in told("month change").disk.names if name.startswith("ledger/")] == [
        "ledger/press/2026-11.jsonl",
        "ledger/press/2026-12.jsonl",
    ]


def test_an_approved_checkpoint_is_installed_and_nothing_else() -> None:
    assert list(told("approve").installed) == ["spyke_v1-000010.safetensors"]


def test_a_training_that_was_cancelled_and_tried_again_goes_on_from_its_last_epoch() -> None:
    """K2.5: the second attempt saves only what the first had not."""
    history = told("cancel train, retry")
    assert said(history, "checkpoint.saved", "attempt") == [1, 2]
    assert said(history, "checkpoint.saved", "step") == [10, 20]
    assert [sitting.signal for sitting in history.trainings.runs.values()] == [15, 0]


@pytest.mark.parametrize("seed", range(18))
def test_engines_and_trainers_that_misbehave_delay_the_work_and_break_nothing(seed: int) -> None:
    """N1.3, N1.4, N6.1: lost answers, late answers, deaf sockets, refused connections; shims and
    trainers that are killed: an orphan is ended before anything else begins.
    """
    chance = random.Random(seed)
    fate = Fate(
        seed,
        cut_at=chance.choice([0, chance.randint(1, 500)]),
        kill_only=chance.random() < 0.5,
        mischief=chance.choice([0.05, 0.3, 0.6]),
    )
    scenario = chance.choice([MIXED, MIXED, SCENARIOS["cancel train, retry"]])
    assert tell(scenario, fate).broken == []


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
