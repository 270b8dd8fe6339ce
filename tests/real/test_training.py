"""The daemon with a real sd-scripts: what the rehearsed trainer taught it holds there too.

Each training takes a minute: ten small pictures, three epochs of ten steps.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from tests.process import RealStudio, end, until
from tests.real.engine import find, panel_file
from tests.real.trainer import RealTrainer, find_trainer, metadata
from tests.trainings import EPOCH_STEPS, STEPS, Trainings

pytestmark = pytest.mark.real


@pytest.fixture
def trainer(alone: None) -> RealTrainer:
    return find_trainer()


@pytest.fixture
def trainings(trainer: RealTrainer, tmp_path: Path) -> Trainings:
    return trainer.trainings(RealStudio(tmp_path))


@contextmanager
def daemon(trainings: Trainings) -> Iterator[None]:
    """A daemon, whether or not there is a ComfyUI: a training needs none."""
    child = trainings.studio.spawn()
    try:
        yield
    finally:
        end(child)


def test_a_training_ends_published_with_true_steps(
    trainer: RealTrainer, trainings: Trainings
) -> None:
    """K1.1, K2.5, D2.2: every epoch's file, with a lock that says what it was learnt from."""
    with daemon(trainings):
        job = trainings.drop("spyke")
        assert trainings.wait(job, "job.ended")["phase"] == "published"
    trainings.check_published(job)
    folder = trainings.studio.root / "outbox" / job
    for epoch in range(1, STEPS // EPOCH_STEPS + 1):
        stem = folder / "checkpoints" / f"{job}-{epoch * EPOCH_STEPS:06d}"
        said = metadata(stem.with_suffix(".safetensors"))
        assert (said["ss_steps"], said["ss_epoch"]) == (str(epoch * EPOCH_STEPS), str(epoch))
        lock = tomllib.loads(stem.with_suffix(".lock.toml").read_text())
        assert lock["trainer"]["name"] == "sd-scripts"
        assert lock["checkpoint"]["step"] == epoch * EPOCH_STEPS
        assert len(lock["dataset"]) == len(list((folder / "resume/dataset").glob("*.png")))
    assert trainer.learnt(trainings.folders(job)[-1], job) == [STEPS]
    told = (folder / "training.log").read_text()
    assert str(trainings.studio.root) not in told
    assert trainer.path not in told


def test_a_training_takes_no_more_than_was_predicted(
    trainer: RealTrainer, trainings: Trainings
) -> None:
    """A2.7, K2.4: nearly so at most; a trainer that was made narrow for tests takes less."""
    with daemon(trainings):
        job = trainings.drop("spyke")
        assert trainings.wait(job, "job.ended")["phase"] == "published"
    [started], [ended] = trainings.of(job, "attempt.started"), trainings.of(job, "attempt.ended")
    print(
        f"predicted {started['need_bytes'] / 1e6:.0f}, measured {ended['peak_bytes'] / 1e6:.0f} MB"
    )
    assert 0.9 * ended["peak_bytes"] <= started["need_bytes"] <= 2 * ended["peak_bytes"]


def test_a_cancelled_training_that_is_retried_learns_exactly_the_asked_steps(
    trainer: RealTrainer, trainings: Trainings
) -> None:
    """K2.5: the optimizer's own count is that of a training in one go."""
    with daemon(trainings):
        job = trainings.drop("spyke")
        trainings.wait(job, "checkpoint.saved")
        assert trainings.studio.nightpress("cancel", job).returncode == 0
        assert trainings.wait(job, "job.ended")["phase"] == "cancelled"
        assert trainings.processes() == []
        assert trainings.studio.nightpress("retry", job).returncode == 0
        assert trainings.wait(job, "job.ended", 2)["phase"] == "published"
    trainings.check_published(job)
    assert trainings.begun_at(job) > 1
    assert trainer.learnt(trainings.folders(job)[-1], job) == [STEPS]


def test_an_approved_checkpoint_changes_the_pictures_of_a_real_comfyui(
    trainer: RealTrainer, trainings: Trainings
) -> None:
    """K6.3: installed under its own name, loaded by it; nothing is left here of it."""
    real = find()
    with daemon(trainings):
        job = trainings.drop(f"test{real.token[:8]}")
        trainings.wait(job, "result.published")
        assert trainings.studio.nightpress("approve", job, "--checkpoint", "20").returncode == 0
        installed = trainings.wait(job, "lora.installed")["file"]
        file = real.base / "models" / "loras" / installed
        try:
            assert metadata(file)["ss_steps"] == "20"
            lora = f'[[lora]]\nname = "{installed}"\nstrength = 2.0'
            plain, trained = (
                _drawn(trainings.studio, name, panel_file(real, *tables, seeds="seed = 7"))
                for name, tables in (("plain", ()), ("trained", (lora,)))
            )
        finally:
            file.unlink()
    assert ImageChops.difference(plain, trained).getbbox() is not None


def _drawn(studio: RealStudio, name: str, text: str) -> Image.Image:
    studio.drop(name, text)
    until(lambda: studio.events("job.ended")[-1]["job"] == f"{name}_v1", patience_s=120)
    with Image.open(studio.root / "outbox" / f"{name}_v1" / f"{name}_v1.png") as picture:
        return picture.convert("RGB")
