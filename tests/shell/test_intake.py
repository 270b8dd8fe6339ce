"""What acceptance says of a job's models; and jobs whose models are hashed wait in the inbox."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from daemon.core.commands import Command, Reject, Submit
from daemon.core.jobs import Complaint, FileFacts
from daemon.core.policy import Policy
from daemon.errors import WorldError
from daemon.ports import Examined
from daemon.shell.intake import Intake
from daemon.wire.status import Hashing
from tests.fakes import MemoryDisk, NoTrainer
from tests.shell.test_attempt import PANEL, Studio
from tests.shell.trainer_fake import FACTS, FakeTrainer
from tests.sim.engine import SimPixels, SimWeights
from tests.sim.story import FILES
from tests.virtual_time import run

TRAIN = """kind = "train"
trigger = "spyke_plasma_v1"
dataset = "datasets/spyke"
checkpoint = "a.safetensors"
vae = "v.safetensors"
force = true
"""
PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 40


@dataclass
class Shelf(SimWeights):
    """Models of which ``told`` has something to say by name: warnings, or a code that is raised.

    ``hashing`` is what is hashed now: what has that name has to be waited for.
    """

    told: Mapping[str, tuple[str, ...] | WorldError] = field(default_factory=dict)
    hashing: Hashing | None = None
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    async def examined(self, *, role: str, name: str) -> Examined:
        self.asked.append(name)
        if self.hashing is not None and self.hashing.name == name:
            raise WorldError("HASHING", f"{name} is hashed")
        told = self.told.get(name, ())
        if isinstance(told, WorldError):
            raise told
        return Examined(await self.facts(role=role, name=name), told)


def laid_out() -> MemoryDisk:
    disk = MemoryDisk()
    for name, data in FILES.items():
        disk.put(name, data)
    disk.put("datasets/spyke/1.png", PNG)
    disk.put("datasets/spyke/1.txt", b"spyke_plasma_v1, leaping")
    return disk


def answer(
    weights: SimWeights,
    text: str,
    waits: list[str] | None = None,
    disk: MemoryDisk | None = None,
    trainer: FakeTrainer | NoTrainer | None = None,
) -> Command:
    told: list[str] = [] if waits is None else waits
    intake = Intake(
        disk or laid_out(),
        Policy(),
        weights=weights,
        pixels=SimPixels(),
        trainer=trainer,
        waits=lambda: told.append("a job waits"),
    )
    data = text.encode()
    return run(intake.examine(FileFacts("one.toml", "0" * 64, 1, 1, len(data)), data))


def complained(command: Command) -> list[Complaint]:
    assert isinstance(command, Reject)
    return list(command.errors)


def test_warnings_of_models_are_the_jobs_warnings() -> None:
    """A2.4: they are in job.accepted, for everyone to read later."""
    weights = Shelf(told={"a.safetensors": ("a.safetensors is saved in fp32",)})
    taken = answer(weights, PANEL)
    assert isinstance(taken, Submit)
    assert taken.asked.warnings[-1:] == ("a.safetensors is saved in fp32",)


@pytest.mark.parametrize(
    ("text", "roles"), [(PANEL, ["checkpoint", "vae"]), (TRAIN, ["checkpoint", "vae"])]
)
def test_a_job_brings_the_facts_of_its_models_along(text: str, roles: list[str]) -> None:
    """A2.7: so what it needs is known when it waits."""
    taken = answer(Shelf(), text)
    assert isinstance(taken, Submit)
    assert [model.role for model in taken.models] == roles


def test_all_that_is_wrong_with_the_models_is_said_at_once() -> None:
    """M2.1, M4.3"""
    weights = Shelf(
        told={
            "a.safetensors": WorldError("MODEL_MISMATCH", "another hash"),
            "v.safetensors": WorldError("MODEL_WRONG", "a LoRA"),
        }
    )
    expected = [Complaint(0, "checkpoint", "another hash"), Complaint(0, "vae", "a LoRA")]
    assert complained(answer(weights, PANEL)) == expected


def test_embeddings_of_both_prompts_are_looked_at_and_slips_are_refused() -> None:
    """M4.2"""
    weights = Shelf()
    text = PANEL.replace("leaping, rain", "embedding:good, rain") + 'negative = "embedding:bad"\n'
    assert isinstance(answer(weights, text), Submit)
    assert {"good", "bad"} <= set(weights.asked)
    [slip] = complained(answer(weights, text.replace(", rain", ", rain,embedding:x")))
    assert (slip.key, "needs a space before it" in slip.text) == ("prompt", True)


@pytest.mark.parametrize("text", [PANEL, TRAIN])
def test_a_job_whose_model_is_hashed_waits_and_the_rest_of_its_models_begin(text: str) -> None:
    """Nothing is put aside yet for a job that may be withdrawn."""
    weights, waits, disk = Shelf(hashing=Hashing("a.safetensors", 1, 2)), list[str](), laid_out()
    with pytest.raises(WorldError, match=r"a\.safetensors is hashed"):
        answer(weights, text, waits, disk)
    assert (weights.asked, waits) == (["a.safetensors", "v.safetensors"], ["a job waits"])
    assert not any(name.startswith(".nightpress") for name in disk.nodes)
    weights.hashing = None
    assert isinstance(answer(weights, text, waits, disk), Submit)
    assert any(name.startswith(".nightpress") for name in disk.nodes) == ("train" in text)


def test_what_is_wrong_anyway_is_not_waited_for() -> None:
    weights = Shelf(
        hashing=Hashing("a.safetensors", 1, 2),
        told={"v.safetensors": WorldError("MODEL_MISSING", "not there")},
    )
    assert complained(answer(weights, PANEL)) == [Complaint(0, "vae", "not there")]


def test_a_job_waits_for_its_hash_while_others_are_drawn_and_status_says_how_far_it_is() -> None:
    """M2.2: no panel waits whose models are known; and nothing of it is in the ledger."""
    shelf = Shelf(hashing=Hashing("large.safetensors", 1, 9))
    studio = Studio(weights=shelf)

    def shown() -> object:
        return json.loads(studio.disk.data("outbox/status.json"))["hashing"]

    async def story(studio: Studio) -> None:
        studio.drop("slow", PANEL.replace("a.safetensors", "large.safetensors"))
        await asyncio.sleep(1.0)
        assert shown() == {"name": "large.safetensors", "bytes_done": 1, "bytes": 9}
        studio.drop("fast")
        await studio.until(studio.ended(1))
        shelf.hashing = Hashing("large.safetensors", 5, 9)
        await asyncio.sleep(2.5)
        assert shown() == {"name": "large.safetensors", "bytes_done": 5, "bytes": 9}
        assert "inbox/slow.toml" in studio.disk.nodes
        shelf.hashing = None
        await studio.until(studio.ended(2))
        await asyncio.sleep(2.5)
        assert shown() is None

    studio.live(story)
    assert studio.said("job.accepted", "job") == ["fast_v1", "slow_v1"]
    assert studio.said("incident", "code") == []


def test_status_stops_telling_of_a_hash_that_nobody_waits_for_any_more() -> None:
    shelf = Shelf(hashing=Hashing("large.safetensors", 1, 9))
    studio = Studio(weights=shelf)

    async def story(studio: Studio) -> None:
        studio.drop("slow", PANEL.replace("a.safetensors", "large.safetensors"))
        await asyncio.sleep(1.0)
        del studio.disk.nodes["inbox/slow.toml"]
        await asyncio.sleep(2.5)
        shelf.hashing = None
        await asyncio.sleep(2.5)
        assert json.loads(studio.disk.data("outbox/status.json"))["hashing"] is None

    studio.live(story)


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('mixed_precision = "bf16"', "mixed_precision"),
        ('optimizer = "Lion"', "optimizer"),
        ('lr_scheduler = "adafactor"', "lr_scheduler"),
    ],
)
def test_what_the_trainer_would_refuse_late_is_refused_when_it_is_dropped(
    line: str, key: str
) -> None:
    """K1.5: with the line of its file that is to blame, and what to write there."""
    facts = replace(FACTS, device="mps", macos="15.1", packages={"torch": "2.7.0"})
    trainer = FakeTrainer(MemoryDisk(), facts=facts)
    [complaint] = complained(answer(SimWeights(), f"{TRAIN}{line}\n", trainer=trainer))
    assert complaint.key == key
    assert "Write " in complaint.text


def test_what_is_wrong_with_the_machine_refuses_no_file() -> None:
    """K1.3: it is mended, and the job has waited."""
    unfit = FakeTrainer(MemoryDisk(), facts=replace(FACTS, device="cpu", macos="15.1"))
    for trainer in (unfit, NoTrainer()):
        assert isinstance(answer(SimWeights(), TRAIN, trainer=trainer), Submit)


def test_that_nobody_knows_what_the_trainer_can_do_is_said() -> None:
    trainer = FakeTrainer(MemoryDisk(), facts=replace(FACTS, unknown="It is not known."))
    taken = answer(SimWeights(), TRAIN, trainer=trainer)
    assert isinstance(taken, Submit)
    assert "It is not known." in taken.asked.warnings


def test_while_a_model_is_hashed_the_trainer_is_not_asked_again_and_again() -> None:
    hashing = Shelf(hashing=Hashing("a.safetensors", 1, 2))
    mute = FakeTrainer(MemoryDisk())
    mute.describe = None  # type: ignore[assignment]  # Whoever asks it, fails.
    with pytest.raises(WorldError, match="is hashed"):
        answer(hashing, TRAIN, trainer=mute)
