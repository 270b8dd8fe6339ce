"""Laws of the rehearsal's trainer that need no process: options, lines, counting, tensors."""

from __future__ import annotations

import hashlib
import math
import re
from pathlib import Path

import pytest
from PIL import Image
from safetensors import safe_open

from daemon.rehearsal.trainer_dataset import Dataset, read_dataset
from daemon.rehearsal.trainer_files import Weights, modules
from daemon.rehearsal.trainer_options import parser, read_rehearsal
from daemon.rehearsal.trainer_output import Console
from tests.rehearsal.trainer_stage import Stage, recorded

_STATE = "/BENCHROOT/sdrun/out/f0e-first-epochs/mylora-step00000008-state/train_state.json"


def test_its_options_are_those_of_the_real_parser() -> None:
    """Bare switches are bare, choices are the same, and nothing else exists."""
    said, ours = (
        dict(re.findall(r"\[--(\w+)\s*([^\[\]]*)(?:\[[^\]]*\])?\]", " ".join(text.split())))
        for text in (recorded("e10").run.err, parser().format_usage())
    )
    assert len(said) == 193
    assert {name: value.strip().replace("None,", "") for name, value in said.items()} == {
        name: value.strip() for name, value in ours.items()
    }


@pytest.mark.parametrize(
    ("name", "message", "place"),
    [
        (
            "a1",
            "load tokenizer from cache: /BENCHROOT/tok/openai_clip-vit-large-patch14",
            "strategy_base.py:61",
        ),
        ("a1", "prepare images.", "train_util.py:2112"),
        ("a1", "loading u-net: <All keys matched successfully>", "model_util.py:1011"),
        (
            "a1",
            "number of images (including repeats) / 各bucketの画像枚数（繰り返し回数を含む）",
            "train_util.py:1061",
        ),
        (
            "f3",
            f"load train state from {_STATE}: {{'current_epoch': 2, 'current_step': 8}}",
            "train_network.py:969",
        ),
        ("a5", "Loading settings from /BENCHROOT/sdrun/cfg/tiny.toml...", "train_util.py:4744"),
    ],
)
def test_its_log_lines_are_laid_out_as_the_recorded_ones(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    message: str,
    place: str,
) -> None:
    """Columns, wrapping and padding, with characters that are two columns wide."""
    monkeypatch.setenv("COLUMNS", "240" if name == "a5" else "")
    real = recorded(name).run.err
    console = Console()
    console.info("the second is told once", "here.py:1")
    capsys.readouterr()
    console.info(message, place)
    ours = capsys.readouterr().err
    assert ours[20:] in real
    assert ours[:20].strip() == ""


def test_a_word_of_speed_or_fault_is_known_or_answered() -> None:
    play = read_rehearsal("step_s=0.01,fault=nan:3,fault=workers")
    assert (play.step_s, play.start_s, play.faults) == (0.01, 0.2, {"nan": 3, "workers": 0})
    for wrong in ("step_s=fast", "fault=nan", "fault=workers:1", "fault=what", "speed=1"):
        with pytest.raises(ValueError, match=re.escape(repr(wrong))):
            read_rehearsal(wrong)


def _read(stage: Stage) -> Dataset:
    options = parser().parse_args(["--dataset_config", str(stage.root / "dataset.toml")])
    return read_dataset(options, Console())


@pytest.mark.parametrize(
    ("repeats", "reg", "batches"), [(3, 1, 24), (1, 1, 8), (1, 3, 4 + 6), (2, 0, 8)]
)
def test_regularisation_pictures_are_cycled_until_they_match(
    tmp_path: Path, repeats: int, reg: int, batches: int
) -> None:
    """About double the batches; of a surplus the first one's repeats count whole."""
    stage = Stage(tmp_path / "stage")
    stage.dataset(repeats=repeats, reg=reg)
    dataset = _read(stage)
    assert (dataset.train_images, dataset.reg_images) == (4 * repeats, 2 * reg)
    assert len(dataset.batches(seed=1, epoch=0)) == batches


def test_a_batch_holds_pictures_of_one_bucket(tmp_path: Path) -> None:
    """Buckets of 4 and 8 pictures, two a batch, make 6 batches."""
    stage = Stage(tmp_path / "stage")
    for number in range(2):
        Image.new("RGB", (60, 190)).save(stage.root / "img" / f"tall{number}.png")
    stage.dataset(repeats=2, batch=2)
    stage.edit("dataset.toml", "resolution = 64", "resolution = 128")
    batches = _read(stage).batches(seed=1, epoch=0)
    assert len(batches) == 6
    assert all(len({path.stem[:1] for path in batch}) == 1 for batch in batches)


@pytest.mark.parametrize("precision", ["fp16", "bf16", "float"])
def test_a_checkpoint_has_the_real_names_and_finite_numbers(tmp_path: Path, precision: str) -> None:
    """264 modules of three tensors; the largest rank stays below 1.5 MB in fp16."""
    names = modules()
    assert (len(names), len(modules(text_encoder=False))) == (264, 192)
    lora = Weights(names, rank=128, alpha=64.0, seed=1, steps=5, nan=False)
    data = lora.data(precision)
    assert data == Weights(names, rank=128, alpha=64.0, seed=1, steps=5, nan=False).data(precision)
    assert data != Weights(names, rank=128, alpha=64.0, seed=1, steps=6, nan=False).data(precision)
    content = lora.file(precision, {"key": hashlib.sha256(data).hexdigest()}, data)
    assert len(content) < (3_000_000 if precision == "float" else 1_500_000)
    path = tmp_path / "lora.safetensors"
    path.write_bytes(content)
    if precision == "bf16":
        return
    with safe_open(path, "numpy") as file:
        assert len(list(file.keys())) == 792
        layer = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_out_0"
        up = file.get_tensor(f"{layer}.lora_up.weight")
        assert (up.shape, float(file.get_tensor(f"{layer}.alpha"))) == ((4, 128), 64.0)
        assert all(0 < abs(float(value)) < 0.1 for value in up.flatten())


def test_a_run_that_lost_its_numbers_saves_nothing_but_nan(tmp_path: Path) -> None:
    """And its file is a whole one."""
    lora = Weights(modules(), rank=4, alpha=2.0, seed=1, steps=5, nan=True)
    path = tmp_path / "lora.safetensors"
    path.write_bytes(lora.file("fp16", {}, lora.data("fp16")))
    with safe_open(path, "numpy") as file:
        down = file.get_tensor("lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight")
    assert all(math.isnan(value) for value in down.flatten())
