"""The performer takes back what a cancelled attempt has sent, also from an engine that is away."""

from __future__ import annotations

import asyncio

import pytest

from daemon.core.commands import Command, ReportEnded
from daemon.core.job import Image, Job
from daemon.core.jobs import ModelFacts, Outcome, Phase
from daemon.core.plan import StopAttempt
from daemon.core.policy import Policy
from daemon.core.state import State
from daemon.craft.dataset import PixelFacts
from daemon.craft.grid import Sheet
from daemon.craft.picture import PictureDistance, PictureStats
from daemon.ports import Examined
from daemon.shell.bench import Bench, Lately
from daemon.shell.machine_watch import Blind
from daemon.shell.outbox import Outbox
from daemon.shell.performer import Performer
from daemon.shell.progress import Progress
from daemon.shell.training import Training
from daemon.shell.training_start import Workshop
from daemon.shell.turns import Turns
from tests.examples import job
from tests.fakes import MemoryDisk, NoTrainer
from tests.shell.engine_fake import FakeEngine, Sent
from tests.shell.machine_fake import watch_over
from tests.virtual_time import run

PROMPT = "0f0f0f0f-0000-0000-0000-000000000000"
CANCELLED = job(phase=Phase.RUNNING)._replace(cancelling=True, images={1: Image(PROMPT)})


class Untouched:
    """``ports.Pixels`` and ``ports.Weights``, of which stopping asks nothing."""

    hashing = None

    async def measure(self, png: bytes) -> PictureStats:
        raise AssertionError("no picture is looked at")

    async def examine(self, data: bytes) -> PixelFacts:
        raise AssertionError("no picture is looked at")

    async def compare(self, one: bytes, other: bytes) -> PictureDistance:
        raise AssertionError("no picture is looked at")

    async def facts(self, *, role: str, name: str) -> ModelFacts:
        raise AssertionError("no model is asked for")

    async def examined(self, *, role: str, name: str) -> Examined:
        raise AssertionError("no model is asked for")

    def path(self, *, role: str, name: str) -> str:
        raise AssertionError("no model is asked for")

    async def has(self, path: str) -> bool:
        raise AssertionError("no file is asked for")

    async def alias(self, name: str, *, sha256: str) -> str:
        return f"{name.removesuffix('.safetensors')}-{sha256[:12]}.safetensors"

    async def take_back(self, folder: str) -> None:
        raise AssertionError("no model is lent")

    async def grid(self, sheet: Sheet) -> bytes:
        raise AssertionError("no grid is made")

    async def install(self, name: str, data: bytes) -> None:
        raise AssertionError("nothing is installed")


async def nothing() -> None:
    """The engine lets go."""


async def unmeasured(job: Job) -> int:
    """Nobody looks at the memory."""
    return 0


async def at_once(profile: str) -> None:
    """The engine is there."""


def stopped(engine: FakeEngine) -> tuple[list[Command], float]:
    """What is reported of a cancelled attempt, and after how many seconds."""
    reports: list[Command] = []

    async def ask(command: Command) -> None:
        reports.append(command)

    async def story() -> float:
        disk, nobody, progress = MemoryDisk(), NoTrainer(), Progress()
        shop = Workshop(
            disk=disk,
            weights=Untouched(),
            trainer=nobody,
            gpu=nobody,
            places={},
            rehearsal=False,
            gpu_expected=False,
            policy=Policy(),
        )
        state = State(jobs={CANCELLED.id: CANCELLED})
        bench = Bench(
            disk=disk,
            patterns=Lately(),
            engines=Lately(),
            modules=Lately(),
            packs=frozenset(),
            pixels=Untouched(),
            weights=Untouched(),
            host=None,
            outbox=Outbox(disk, host="mac"),
            policy=Policy(),
            places={},
            studio="s",
            state=lambda: state,
            ask=ask,
            progress=progress,
            turns=Turns(lambda: state),
            close=lambda job, attempt: None,
            suspect=lambda _: None,
            pressed=lambda: "",
            peak=unmeasured,
            ready=at_once,
        )
        machine = watch_over(Blind(), state=state)
        training = Training(shop, ask=ask, progress=progress, released=nothing, machine=machine)
        performer = Performer(
            bench, renderer=engine, engine="comfyui", training=training, now=lambda: 0
        )
        await performer.perform(StopAttempt(CANCELLED.id, CANCELLED.attempt))
        return asyncio.get_running_loop().time()

    return reports, run(story())


def test_a_prompt_of_a_cancelled_attempt_is_interrupted_and_that_is_reported() -> None:
    """N6.3"""
    engine = FakeEngine(prompts={PROMPT: Sent({}, "client1", 0.0)})
    reports, took_s = stopped(engine)
    assert engine.calls == [f"interrupt {PROMPT}"]
    assert reports == [
        ReportEnded(CANCELLED.id, 1, Outcome.CANCELLED, "CANCELLED", "Cancelled by you.")
    ]
    assert took_s < 1


@pytest.mark.parametrize(("away_s", "at_most_s"), [(20.0, 23.0), (1e9, 63.0)])
def test_cancelling_waits_for_an_engine_that_is_away_but_not_for_ever(
    away_s: float, at_most_s: float
) -> None:
    """N5.1: a server that stays away has forgotten the prompt; the job is cancelled all the same"""
    engine = FakeEngine(gone=[(0.0, away_s)])
    reports, took_s = stopped(engine)
    assert reports == [
        ReportEnded(CANCELLED.id, 1, Outcome.CANCELLED, "CANCELLED", "Cancelled by you.")
    ]
    assert min(away_s, 60.0) <= took_s < at_most_s
