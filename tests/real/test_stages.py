"""A whole training with a real ComfyUI and a real sd-scripts, and all that is drawn around it.

It takes some minutes: 24 pictures, a short run, two epochs of twenty steps.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from PIL import Image

from tests.process import RealStudio
from tests.real.engine import RealEngine
from tests.real.trainer import RealTrainer, find_trainer

pytestmark = pytest.mark.real

SETTINGS = """\
[windows]
training = ["00:00-24:00"]
[policy]
max_side = 128
max_steps = 4
"""
MORE = """\
steps = 40
save_every = 20
regularization = { count = 10, prompt = "anime character, full body", class = "character" }
grid = { prompts = ["spyke_plasma_v1, running"], seeds = [1] }
"""


@pytest.fixture
def trainer(real: RealEngine) -> RealTrainer:
    return find_trainer()


def test_a_training_is_drawn_for_tried_trained_and_shown(
    trainer: RealTrainer, real: RealEngine, tmp_path: Path
) -> None:
    """K6.2, D3.1, K3.1, K1.4, D2.3: the engine finds each checkpoint, and nothing of them stays."""
    trainings = trainer.trainings(RealStudio(tmp_path))
    studio = trainings.studio
    (studio.root / "nightpress.toml").write_text(SETTINGS)
    left_out = ("steps", "save_every", "when", "waive", "grid")
    text = "".join(
        f"{line}\n"
        for line in trainings.text("spyke").splitlines()
        if not line.startswith(left_out)
    )
    loras = Path(real.base) / "models" / "loras"
    with studio.running():
        job = trainings.drop("spyke", text=text + MORE)
        assert trainings.wait(job, "job.ended")["phase"] == "published"
    started = [line["stage"] for line in trainings.of(job, "attempt.started")]
    assert started == ["trigger", "regularization", "probe", "", "grid"]
    ends = trainings.of(job, "attempt.ended")
    assert {line["outcome"] for line in ends} == {"succeeded"}
    tried = ends[2]
    assert "s a step" in tried["evidence"]
    assert (tried["step_s"] > 0, tried["peak_bytes"] > 0) == (True, True)
    folder = studio.root / "outbox" / job
    for name in ("trigger.png", "grid.png"):
        with Image.open(folder / name) as picture:
            picture.load()
    [_, recorded] = trainings.of(job, "trainer.recorded")
    subsets = tomllib.loads(recorded["dataset"])["datasets"][0]["subsets"]
    assert subsets[1]["is_reg"] is True
    log = (folder / "training.log").read_text()
    assert "num reg images / 正則化画像の数: 10" in log
    assert "num batches per epoch / 1epochのバッチ数: 20" in log
    assert not (loras / "nightpress-grid").exists()
    print(json.dumps(tried, indent=2))
