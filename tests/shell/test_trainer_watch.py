"""A trainer that cannot train is known in the evening, while its job waits for the night."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from daemon.core.commands import Command, ObserveTrainer
from daemon.core.policy import Policy
from daemon.errors import WorldError
from daemon.ports import TrainerFacts
from daemon.shell.trainer_watch import TrainerWatch
from tests.core.asking import panel, training
from tests.desk import READY, Desk
from tests.fakes import MemoryDisk
from tests.shell.trainer_fake import FACTS, FakeTrainer
from tests.virtual_time import run

UNFIT = replace(FACTS, tokenizer=None)
LOOK_S = Policy().trainer_look_s


@dataclass
class Asked(FakeTrainer):
    """``answers`` are given one after the other, the last again and again."""

    answers: list[TrainerFacts | Exception] = field(default_factory=list)
    questions: int = 0

    async def describe(self) -> TrainerFacts:
        self.questions += 1
        answer = self.answers[min(self.questions, len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer


def seen(desk: Desk, trainer: Asked, *, looks: int = 1) -> list[ObserveTrainer]:
    """What the loop is told in the time of so many looks."""
    told: list[Command] = []
    watch = TrainerWatch(trainer, Policy(), state=lambda: desk.state, tell=told.append)

    async def looked() -> None:
        watching = asyncio.ensure_future(watch.run())
        await asyncio.sleep(LOOK_S * (looks - 0.5))
        watching.cancel()

    run(looked())
    return [each for each in told if isinstance(each, ObserveTrainer)]


def waiting() -> Desk:
    desk = Desk(world=replace(READY, gpu_free=False))
    desk.do(panel("ch01"), training())
    return desk


def asked(*answers: TrainerFacts | Exception) -> Asked:
    return Asked(MemoryDisk(), answers=list(answers))


def test_a_trainer_is_looked_at_every_few_minutes_while_a_training_waits() -> None:
    """K1.3: what is mended in the evening is seen in the evening."""
    first, second, third = seen(waiting(), asked(UNFIT, UNFIT, FACTS), looks=3)
    assert first == second
    assert (first.code, "tokenizer" in first.text) == ("TRAINER_UNFIT", True)
    assert third.text == ""


def test_one_that_does_not_answer_is_told_under_its_own_code() -> None:
    gone = WorldError("TRAINER_MISSING", "It is gone.")
    assert seen(waiting(), asked(gone)) == [ObserveTrainer("TRAINER_MISSING", "It is gone.")]


def test_a_mistake_in_looking_keeps_nobody_waiting() -> None:
    assert [each.text for each in seen(waiting(), asked(KeyError("x"), FACTS), looks=2)] == [""]


@pytest.mark.parametrize("running", [True, False])
def test_nobody_is_asked_beside_a_training_or_for_none(running: bool) -> None:
    """The question takes memory, which a training needs."""
    desk, trainer = Desk(), asked(FACTS)
    desk.do(*([training()] if running else [panel("ch01")]))
    assert seen(desk, trainer, looks=3) == []
    assert trainer.questions == 0
