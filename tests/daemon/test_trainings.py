"""Trainings that go wrong, through the whole daemon, with the trainer that rehearses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

import psutil
import pytest

from tests.process import RealStudio, until
from tests.training_kills import Blow, TrainingNight
from tests.trainings import QUICK, Trainings

pytestmark = pytest.mark.realprocess


@pytest.fixture
def trainings(tmp_path: Path) -> Iterator[Trainings]:
    studio = RealStudio(tmp_path)
    yield Trainings(studio)
    studio.close()


def rehearse(trainings: Trainings, play: str) -> None:
    """How the trainer of the next daemon plays."""
    trainings.studio.environment["REHEARSAL_TRAINER"] = play


def ends(trainings: Trainings, job: str) -> list[tuple[str, str]]:
    """Outcome and code of each attempt."""
    return [(line["outcome"], line["code"]) for line in trainings.of(job, "attempt.ended")]


@pytest.mark.parametrize(
    ("play", "code"),
    [
        ("fault=no_data", "NOTHING_TRAINED"),
        ("fault=exception:15", "TRAINER_FAILED"),
    ],
)
def test_what_would_fail_again_is_tried_once(trainings: Trainings, play: str, code: str) -> None:
    """N4.3: an exit status of 0 without a training is no success."""
    rehearse(trainings, f"{QUICK},{play}")
    with trainings.studio.running():
        job = trainings.drop("spyke")
        assert trainings.wait(job, "job.ended")["phase"] == "failed"
    assert ends(trainings, job) == [("failed", code)]
    assert trainings.processes() == []


def test_a_loss_that_is_no_number_ends_the_training_at_once(trainings: Trainings) -> None:
    rehearse(trainings, "step_s=0.1,start_s=0.05,fault=nan:4")
    with trainings.studio.running():
        job = trainings.drop("spyke")
        assert trainings.wait(job, "job.ended")["phase"] == "failed"
    assert ends(trainings, job) == [("failed", "LOSS_NAN")]
    [record] = trainings.exits(job)
    assert (record["stopped"], record["code"]) == ("cancelled", None)


def test_what_may_pass_is_tried_once_more_from_the_last_whole_epoch(trainings: Trainings) -> None:
    """D2.2, K2.5; other faults: ``python -m tests kill -k may_pass``."""
    tried_once_more(trainings, "truncated_final", "CHECKPOINT_BROKEN", begun_at=3)


def tried_once_more(trainings: Trainings, fault: str, code: str, *, begun_at: int) -> None:
    """A file that is not whole is no checkpoint, and twice the same is given up."""
    rehearse(trainings, f"{QUICK},fault={fault}")
    with trainings.studio.running():
        job = trainings.drop("spyke")
        assert trainings.wait(job, "job.ended")["phase"] == "quarantined"
    assert ends(trainings, job) == [("lost", code)] * 2
    rehearse(trainings, QUICK)
    with trainings.studio.running():
        assert trainings.studio.nightpress("retry", job).returncode == 0
        assert trainings.wait(job, "job.ended", 2)["phase"] == "published"
    assert trainings.begun_at(job) == begun_at


def test_workers_that_outlive_their_trainer_delay_nothing(trainings: Trainings) -> None:
    """N4.5"""
    rehearse(trainings, f"{QUICK},fault=workers")
    with trainings.studio.running():
        job = trainings.drop("spyke")
        trainings.wait(job, "job.ended")
    trainings.check_published(job)
    [record] = trainings.exits(job)
    assert record["ended"] - record["started"] < 4_000, "the worker stays for five seconds"


def test_a_cancelled_training_is_gone_and_a_retry_goes_on_from_its_last_epoch(
    trainings: Trainings,
) -> None:
    """N4.5, K2.5"""
    rehearse(trainings, "step_s=0.07,start_s=0.05")
    with trainings.studio.running():
        job = trainings.drop("spyke")
        trainings.wait(job, "checkpoint.saved")
        assert trainings.studio.nightpress("cancel", job).returncode == 0
        assert trainings.wait(job, "job.ended")["phase"] == "cancelled"
        assert trainings.processes() == []
        assert trainings.studio.nightpress("retry", job).returncode == 0
        assert trainings.wait(job, "job.ended", 2)["phase"] == "published"
    assert ends(trainings, job) == [("cancelled", "CANCELLED"), ("succeeded", "")]
    folder = trainings.studio.root / "outbox" / job
    locks = {path: path.read_bytes() for path in (folder / "checkpoints").glob("*.lock.toml")}
    for path in locks:
        path.unlink()
    assert trainings.studio.nightpress("rebuild").returncode == 0
    assert {path: path.read_bytes() for path in locks} == locks
    assert locks
    assert trainings.begun_at(job) > 1


def test_no_kill_costs_a_training_more_than_an_epoch(trainings: Trainings) -> None:
    """N4.4: ``python -m tests kill -k training`` tells the long nights, with all blows."""
    blows: list[Blow] = ["daemon, shim and trainer"]
    assert TrainingNight(trainings, Random(11)).tell(blows).blows == len(blows)


def test_a_training_that_release_0_1_0_began_is_adopted_and_published(trainings: Trainings) -> None:
    """Its shim lives on with records that have no version, and writes the last of them later."""
    rehearse(trainings, "step_s=0.1,start_s=0.05")
    daemon = trainings.studio.start()
    job = trainings.drop("spyke")
    trainings.wait(job, "checkpoint.saved")
    daemon.kill()
    daemon.wait()
    began = trainings.record(job)
    unversioned(trainings, job, "shim.json")
    assert psutil.pid_exists(began["pid"])
    with trainings.studio.running():
        until(lambda: len(trainings.studio.events("daemon.started")) == 2)
        assert trainings.of(job, "attempt.ended") == [], "it was ended before it could be adopted"
        assert trainings.wait(job, "job.ended")["phase"] == "published"
    assert ends(trainings, job) == [("succeeded", "")]
    trainings.check_published(job)


def test_an_end_that_release_0_1_0_recorded_is_believed(trainings: Trainings) -> None:
    daemon = trainings.studio.start()
    rehearse(trainings, QUICK)
    job = trainings.drop("spyke")
    until(lambda: "child" in trainings.record(job))
    daemon.kill()
    daemon.wait()
    until(lambda: not trainings.processes())
    for name in ("shim.json", "exit.json"):
        unversioned(trainings, job, name)
    with trainings.studio.running():
        assert trainings.wait(job, "job.ended")["phase"] == "published"
    assert ends(trainings, job) == [("succeeded", "")]


def unversioned(trainings: Trainings, job: str, name: str) -> None:
    """The record of a job's only attempt as release 0.1.0 wrote it."""
    [folder] = trainings.folders(job)
    record = json.loads((folder / name).read_text())
    assert record.pop("version") == 1
    (folder / name).write_text(json.dumps(record))
