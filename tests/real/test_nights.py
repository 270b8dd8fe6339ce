"""Three nights with a real sd-scripts, and one of them with a kill, against a training in one go.

It takes some minutes; the table is printed with ``-s``.
"""

from __future__ import annotations

import csv
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.process import RealStudio, end, until
from tests.real.trainer import RealTrainer, find_trainer
from tests.trainings import EPOCH_STEPS, Trainings

pytestmark = pytest.mark.real

EPOCHS = 5
TOTAL = EPOCHS * EPOCH_STEPS


@pytest.fixture
def trainer(alone: None) -> RealTrainer:
    return find_trainer()


def told(trainer: RealTrainer, trainings: Trainings, job: str) -> dict[str, Any]:
    """What a training came to, as far as it can be compared."""
    folder = trainings.studio.root / "outbox" / job
    [published] = trainings.of(job, "result.published")
    with (folder / "loss.csv").open() as file:
        rows = [(int(row["step"]), int(row["epoch"])) for row in csv.DictReader(file)]
    return {
        "optimizer steps in the last state": trainer.learnt(trainings.folders(job)[-1], job),
        "checkpoints": sorted({x["step"] for x in trainings.of(job, "checkpoint.saved")}),
        "steps of the loss record": [step for step, _ in rows],
        "epochs of the loss record": sorted({epoch for _, epoch in rows}),
        "files": sorted(name.replace(job, "JOB") for name in published["files"]),
    }


def test_three_nights_with_a_kill_come_to_what_one_go_comes_to(
    trainer: RealTrainer, tmp_path: Path
) -> None:
    """K2.5, N6.2: stopped in the first night, killed in the second, stopped again, ended."""
    trainings = trainer.trainings(RealStudio(tmp_path))
    studio = trainings.studio
    text = trainings.text("spyke").replace("steps = 30", f"steps = {TOTAL}")
    child = studio.spawn()
    try:
        whole = trainings.drop("whole", text=text.replace('"spyke"', '"whole"', 1))
        assert trainings.wait(whole, "job.ended")["phase"] == "published"
        job = trainings.drop("spyke", text=text)
        trainings.wait(job, "checkpoint.saved")
        _rest_until_tomorrow(trainings, job, nights=1)
        trainings.wait(job, "checkpoint.saved", 2)
        os.kill(trainings.trainer(job), signal.SIGKILL)
        trainings.wait(job, "checkpoint.saved", 3)
        _rest_until_tomorrow(trainings, job, nights=2)
        assert trainings.wait(job, "job.ended", 3)["phase"] == "published"
    finally:
        end(child)
    until(lambda: not trainings.processes())
    once, thrice = (told(trainer, trainings, each) for each in (whole, job))
    attempts = [x["outcome"] for x in trainings.of(job, "attempt.ended")]
    print(f"\nattempts: one go: 1; three nights: {len(attempts)} ({', '.join(attempts)})")
    for key in once:
        print(f"{key}: {once[key]} | {thrice[key]}")
    assert "lost" in attempts
    assert once == thrice
    assert once["optimizer steps in the last state"] == [TOTAL]
    assert once["steps of the loss record"] == list(range(1, TOTAL + 1))


def _rest_until_tomorrow(trainings: Trainings, job: str, *, nights: int) -> None:
    """Stop it as a person would, and let it go on."""
    assert trainings.studio.nightpress("cancel", job).returncode == 0
    assert trainings.wait(job, "job.ended", nights)["phase"] == "cancelled"
    assert trainings.studio.nightpress("retry", job).returncode == 0
