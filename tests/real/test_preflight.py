"""A real sd-scripts asked what it can do, and taken at its word."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from daemon.adapters.training_process import ShimTrainer, sd_scripts
from daemon.core.policy import Policy
from daemon.craft.preflight import faults, unfit
from daemon.ports import TrainingOrder
from daemon.wire import sd_scripts as documents
from tests.core.asking import TRAIN
from tests.process import until
from tests.real.trainer import PATIENCE_S, RealTrainer, find_trainer

pytestmark = pytest.mark.real

FOLDER = "outbox/spyke_v1/resume/a1-00000000"
SPEC = replace(TRAIN, images=3, repeats=1, epoch_steps=3, epochs=1, steps=3, unet_only=True)


@pytest.fixture
def trainer(alone: None) -> RealTrainer:
    return find_trainer()


def asked(trainer: RealTrainer, studio: Path) -> ShimTrainer:
    """The adapter, which knows of no tokenizer but ComfyUI's."""
    comfyui = os.environ.get("NIGHTPRESS_TEST_COMFYUI_PROGRAM")
    if not comfyui:
        pytest.skip("there is no ComfyUI: NIGHTPRESS_TEST_COMFYUI_PROGRAM names it")
    return sd_scripts(
        studio,
        path=Path(trainer.path),
        python=Path(trainer.python),
        environment={**os.environ, "HOME": str(studio), "HF_HOME": ""},
        gpu_fd=lambda: None,
        comfyui=comfyui,
    )


def written(trainer: RealTrainer, studio: Path, tokenizer: str) -> tuple[bytes, bytes]:
    """Both documents for three noisy pictures, which are made too."""
    data = studio / "data"
    data.mkdir()
    for name in "abc":
        Image.effect_noise((128, 128), 60).convert("RGB").save(data / f"{name}.png")
        (data / f"{name}.txt").write_text("spyke_plasma_v1, portrait")
    models = trainer.engine.base / "models"
    at = documents.Whereabouts(
        checkpoint=str(models / "checkpoints" / trainer.engine.model("checkpoints", "CHECKPOINT")),
        vae=str(models / "vae" / trainer.engine.model("vae", "VAE")),
        dataset=str(data),
        regularization="",
        output=str(studio / "out"),
        tokenizer=tokenizer,
        state="",
    )
    config = documents.config_document(
        SPEC, at, name="spyke_v1", attempt=1, done_epochs=0, probe_steps=0
    )
    return config, documents.dataset_document(SPEC, at, Policy())


def test_it_takes_what_is_written_for_it_and_comfyuis_tokenizer_serves(
    trainer: RealTrainer, tmp_path: Path
) -> None:
    """K1.3: its own option list and schema; the copy of the tokenizer lasts to the last step."""
    adapter = asked(trainer, tmp_path)
    facts = asyncio.run(adapter.describe())
    print(facts.device, facts.bf16, len(facts.options), facts.packages)
    assert facts.tokenizer == str(tmp_path / ".nightpress/tokenizer")
    assert (facts.unknown, len(facts.options) > 150) == ("", True)
    config, dataset = written(trainer, tmp_path, facts.tokenizer)
    assert unfit(facts, config=config, dataset=dataset) == ""
    assert not faults(SPEC, facts)
    for name, data in (("config.toml", config), ("dataset.toml", dataset)):
        (tmp_path / name).write_bytes(data)
    files = (f"{tmp_path}/config.toml", f"{tmp_path}/dataset.toml")
    arguments = ("--config_file", files[0], "--dataset_config", files[1])
    environment = documents.environment(SPEC, Policy())
    order = TrainingOrder(FOLDER, "0" * 32, arguments, environment, 5.0, 2**24)
    asyncio.run(adapter.start(order))
    until(lambda: asyncio.run(adapter.holder(FOLDER)) == "nobody", patience_s=PATIENCE_S)
    told = (tmp_path / FOLDER / "stderr.log").read_text()
    assert (tmp_path / "out" / "spyke_v1.safetensors").exists(), told[-2_000:]
    assert "load tokenizer from cache" in told
