"""What means no good is refused when it is dropped, with a sentence, and reaches no engine."""

from __future__ import annotations

import asyncio

import pytest

from daemon.core.commands import Reject, Submit
from daemon.core.policy import Policy
from tests.shell.hostile import CASES, GOOD, PNG, Hostile, answer
from tests.sim.checker import parse
from tests.sim.scenarios import PANEL, Drop, Scenario
from tests.sim.story import Fate, History, tell


def test_the_good_one_is_taken() -> None:
    assert isinstance(asyncio.run(answer(GOOD)), Submit)


def test_there_are_more_than_two_hundred() -> None:
    assert len({case.name for case in CASES}) == len(CASES) > 200


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_means_no_good_is_refused_with_a_sentence_that_names_it(case: Hostile) -> None:
    """A2.1, A2.2, A2.5, M1.1, M4.1, N3.1: paths, classes, links, numbers, slots, embeddings."""
    command = asyncio.run(answer(case))
    assert isinstance(command, Reject), "it was taken"
    told = "\n".join(f"{error.key}: {error.text}" for error in command.errors)
    assert command.errors
    assert all(error.text.strip() for error in command.errors)
    assert case.names in told


def test_none_of_it_reaches_the_engine() -> None:
    """A2.1, A2.2, N3.1: the whole press, and all of them in one inbox, before one good panel."""

    def plot(history: History) -> None:
        for number, case in enumerate(CASES):
            history.disk.put(f"workflows/evil{number}.json", case.graph)
            history.disk.put(f"workflows/evil{number}.slots.toml", case.slots.encode())
        for name, end in (("a", b""), ("black", b"IDATblack")):
            history.disk.put(f"poses/{name}.png", PNG + end)

    drops = [
        Drop(f"h{number}.toml", case.job.replace('"evil"', f'"evil{number}"').encode())
        for number, case in enumerate(CASES)
        if len(case.job) <= Policy().max_job_file_bytes  # Of larger ones the beginning is hashed.
    ]
    history = tell(Scenario(drops=(*drops, Drop("good.toml", PANEL))), Fate(seed=1), plot)
    assert history.broken == []
    lines = parse(history.ledger())
    assert sum(line["type"] == "job.rejected" for line in lines) == len(drops)
    assert {line["job"] for line in lines if line["type"] == "prompt.sent"} == {"good_v1"}
    assert len(history.engine.executed) == 1
