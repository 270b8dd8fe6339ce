"""Drawn again by a real ComfyUI: the same pixels, other ones, or nothing at all, and which is said.

The test of a changed environment needs NIGHTPRESS_TEST_COMFYUI_START: a command that starts a
ComfyUI with the same models in the foreground, on the port that is its first argument, with the
options that follow. The one of a model that draws NaN needs NIGHTPRESS_TEST_NAN_CHECKPOINT, and
what ``server_kills.managed`` needs.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from daemon.wire.comfyui import read_history
from daemon.wire.lock_file import read_lock
from tests.process import RealStudio
from tests.process import until as wait_for
from tests.real.engine import PATIENCE_S, RealEngine, panel_file
from tests.real.pose import pose_png
from tests.real.test_daemon import control_table, lora_table, until
from tests.server_kills import Evening, managed

pytestmark = [pytest.mark.real, pytest.mark.realprocess]

LOCK = "outbox/ch01_v1/ch01_v1-02.lock.toml"


@pytest.fixture
def studio(tmp_path: Path, real: RealEngine) -> Iterator[RealStudio]:
    made = RealStudio(tmp_path)
    made.environment |= {"COMFYUI_BASE_PATH": str(real.base), "COMFYUI_URL": real.url}
    (made.root / "poses" / "pose.png").write_bytes(pose_png())
    yield made
    made.close()


def three(real: RealEngine, *tables: str) -> str:
    seeds = f"seeds = [{real.seed}, {real.seed + 1}, {real.seed + 2}]"
    return panel_file(real, *tables, seeds=seeds)


def drawn_nodes(real: RealEngine, studio: RealStudio, job: str) -> set[str]:
    """The classes of the nodes that were executed for a job's only prompt."""
    (sent,) = [line for line in studio.events("prompt.sent") if line["job"] == job]
    entry = read_history(real.get(f"/history/{sent['prompt_id']}"), sent["prompt_id"])
    assert entry is not None
    assert entry.cached is not None
    graph = json.loads(json.dumps(entry.graph))
    return {node["class_type"] for name, node in graph.items() if name not in entry.cached}


def test_the_same_machine_draws_identical_pixels_and_never_from_the_cache(
    real: RealEngine, studio: RealStudio
) -> None:
    """S1.3, S1.2: LoRA, ControlNet, three seeds; drawn again twice, and thrice to calibrate."""
    with studio.running():
        studio.drop("ch01", three(real, lora_table(real), control_table(real)))
        until(studio, "result.published", "ch01_v1")
        for job in ("reproduce-ch01_v1", "reproduce-ch01_v2"):
            said = studio.nightpress("reproduce", LOCK, patience_s=PATIENCE_S)
            assert (said.returncode, "identical pixels" in said.stdout) == (0, True), said
            assert {"KSampler", "VAEDecode", "ControlNetApplyAdvanced", "LoraLoader"} <= (
                drawn_nodes(real, studio, job)
            )
        said = studio.nightpress("calibrate", LOCK, patience_s=PATIENCE_S)
        assert said.returncode == 0, said
    assert [line["verdict"] for line in studio.events("picture.reproduced")] == [
        "identical pixels"
    ] * 3
    (measured,) = studio.events("calibration.measured")
    assert (len(measured["times"]), measured["variance"]) == (3, 0.0)
    assert min(measured["times"]) > 0


def test_a_lora_that_was_changed_under_its_name_is_found_before_anything_is_drawn(
    real: RealEngine, studio: RealStudio
) -> None:
    """S1.3, S3.4"""
    folder = real.base / "models" / "loras"
    copy = folder / f"nightpress-test-{real.token[:12]}.safetensors"
    copy.write_bytes((folder / real.lora).read_bytes())
    try:
        with studio.running():
            studio.drop("ch01", three(real, f'[[lora]]\nname = "{copy.name}"'))
            until(studio, "result.published", "ch01_v1")
            changed = bytearray(copy.read_bytes())
            changed[-1] ^= 1
            fresh = copy.with_suffix(".tmp")
            fresh.write_bytes(changed)
            fresh.rename(copy)
            said = studio.nightpress("reproduce", LOCK, patience_s=PATIENCE_S)
    finally:
        copy.unlink()
    assert (said.returncode, copy.name in said.stdout) == (1, True), said
    (told,) = studio.events("picture.reproduced")
    assert told["verdict"] == "failed"
    sent = {line["job"] for line in studio.events("prompt.sent")}
    assert sent == {"ch01_v1"}, "nothing of it was drawn"


def test_another_precision_of_the_vae_is_a_drift_that_is_explained(
    real: RealEngine, studio: RealStudio
) -> None:
    """S1.3"""
    command = os.environ.get("NIGHTPRESS_TEST_COMFYUI_START")
    if not command:
        pytest.skip("needs a ComfyUI to start: NIGHTPRESS_TEST_COMFYUI_START is not set")
    with studio.running():
        studio.drop("ch01", three(real, lora_table(real)))
        until(studio, "result.published", "ch01_v1")
        assert studio.nightpress("calibrate", LOCK, patience_s=PATIENCE_S).returncode == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    other = subprocess.Popen(
        [*shlex.split(command), str(port), "--bf16-vae"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        studio.environment["COMFYUI_URL"] = f"http://127.0.0.1:{port}"
        with studio.running(patience_s=PATIENCE_S):
            said = studio.nightpress("reproduce", LOCK, patience_s=PATIENCE_S)
    finally:
        os.killpg(other.pid, signal.SIGKILL)
        other.wait()
    assert said.returncode == 1, said
    told = studio.events("picture.reproduced")[-1]
    assert told["verdict"] == "drifted"
    assert "args: with --bf16-vae" in told["differences"]
    assert told["distance"] > 0


def test_a_checkpoint_that_draws_nan_climbs_every_rung_and_is_kept_for_the_eye(
    alone: None, tmp_path: Path
) -> None:
    """A3.1, A3.2"""
    checkpoint = os.environ.get("NIGHTPRESS_TEST_NAN_CHECKPOINT")
    if not checkpoint:
        pytest.skip("needs a checkpoint that draws NaN: NIGHTPRESS_TEST_NAN_CHECKPOINT")
    studio, models = managed(tmp_path)
    _, vae = models.splitlines()
    engine = studio.root / ".nightpress" / "engine"
    evening = Evening(studio, folder=engine, panel="", chance=Random(0))
    job = f"checkpoint = {json.dumps(checkpoint)}\n{vae}\nwidth = 64\nheight = 64\nsteps = 2\n"
    try:
        with studio.running(patience_s=PATIENCE_S):
            studio.drop("nan", f'kind = "panel"\nprompt = "rain"\nseed = 1\n{job}')
            until(studio, "job.ended", "nan_v1", timeout_s=4 * PATIENCE_S)
            said = studio.nightpress("approve", "nan_v1", "--image", "1")
            assert said.returncode == 0, said
            folder = studio.root / "outbox" / "nan_v1"
            wait_for((folder / "nan_v1.lock.toml").exists)
    finally:
        evening.close()
        studio.close()
    profiles = [line["profile"] for line in studio.events("attempt.started")]
    assert profiles == ["default", "fp32-unet", "split-attention", "cpu-vae"]
    assert studio.events("job.ended")[0]["code"] in ("BLACK_OR_GRAY", "NAN_IN_PICTURE")
    lock = read_lock((folder / "nan_v1.lock.toml").read_bytes())
    assert (lock.quality.verdict, lock.quality.rung) == ("overridden", "cpu-vae")
    assert studio.events("job.ended")[-1]["phase"] == "published"
