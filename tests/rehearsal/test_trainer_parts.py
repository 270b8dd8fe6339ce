"""Laws of the rehearsal's trainer that need no process: its play, its pictures, its tensors."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from safetensors import safe_open

from daemon.rehearsal.trainer_files import Lora
from daemon.rehearsal.trainer_options import read_dataset, read_play
from tests.rehearsal.trainer_stage import Stage


def test_a_word_of_speed_or_fault_is_known_or_answered() -> None:
    play = read_play("step_s=0.01,fault=nan:3,fault=workers")
    assert (play.step_s, play.start_s, play.faults) == (0.01, 0.2, {"nan": 3, "workers": 0})
    for wrong in ("step_s=fast", "fault=nan", "fault=workers:1", "fault=what", "speed=1"):
        with pytest.raises(ValueError, match=re.escape(repr(wrong))):
            read_play(wrong)


def test_pictures_are_counted_with_their_repeats_and_nothing_else_is(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "stage")
    stage.dataset(repeats=3, batch=2)
    dataset = read_dataset(stage.root / "dataset.toml")
    assert (len(dataset.pictures), len(set(dataset.pictures)), dataset.batch_size) == (12, 4, 2)


def test_a_checkpoint_has_real_names_and_finite_numbers_that_follow_from_its_steps(
    tmp_path: Path,
) -> None:
    content = Lora(rank=128, alpha=64.0, seed=1, steps=5, nan=False).file({"key": "value"})
    assert content == Lora(rank=128, alpha=64.0, seed=1, steps=5, nan=False).file({"key": "value"})
    assert content != Lora(rank=128, alpha=64.0, seed=1, steps=6, nan=False).file({"key": "value"})
    path = tmp_path / "lora.safetensors"
    path.write_bytes(content)
    with safe_open(path, "numpy") as file:
        layer = "lora_unet_down_blocks_0_attentions_0_proj_in"
        up = file.get_tensor(f"{layer}.lora_up.weight")
        assert (up.shape, float(file.get_tensor(f"{layer}.alpha"))) == ((4, 128), 64.0)
        assert all(0 < abs(float(value)) < 0.1 for value in up.flatten())
        assert file.metadata()["key"] == "value"


def test_a_run_that_lost_its_numbers_saves_nothing_but_nan(tmp_path: Path) -> None:
    """And its file is a whole one."""
    path = tmp_path / "lora.safetensors"
    path.write_bytes(Lora(rank=4, alpha=2.0, seed=1, steps=5, nan=True).file({}))
    with safe_open(path, "numpy") as file:
        down = file.get_tensor("lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight")
    assert all(math.isnan(value) for value in down.flatten())
