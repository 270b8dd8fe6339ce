"""The daemon as a process, printing with a real ComfyUI: what it publishes is what was drawn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import pytest

from daemon.wire.comfyui import OutputFile, read_history
from daemon.wire.lock_file import LockFacts, read_lock
from tests.process import RealStudio
from tests.real.engine import PATIENCE_S, RealEngine, panel_file
from tests.real.pose import pose_png

pytestmark = [pytest.mark.real, pytest.mark.realprocess]


@pytest.fixture
def studio(tmp_path: Path, real: RealEngine) -> Iterator[RealStudio]:
    made = RealStudio(tmp_path)
    made.environment |= {"COMFYUI_BASE_PATH": str(real.base), "COMFYUI_URL": real.url}
    (made.root / "poses" / "pose.png").write_bytes(pose_png())
    yield made
    made.close()


def lora_table(real: RealEngine) -> str:
    return f"[[lora]]\nname = {json.dumps(real.lora)}\nstrength = 0.7"


def control_table(real: RealEngine) -> str:
    return f'[controlnet]\nmodel = {json.dumps(real.controlnet)}\nimage = "poses/pose.png"'


def until(studio: RealStudio, kind: str, job: str, *, timeout_s: float = PATIENCE_S) -> Any:
    """The first ledger line of a type about a job."""
    deadline_s = monotonic() + timeout_s
    while monotonic() < deadline_s:
        if found := [line for line in studio.events(kind) if line["job"] == job]:
            return found[0]
        ended = [line for line in studio.events("job.ended") if line["job"] == job]
        assert not ended, (ended, studio.events("attempt.ended"))
        sleep(0.05)
    raise AssertionError(f"no {kind} of {job} after {timeout_s:.0f} s: {studio.status()}")


def lock_of(studio: RealStudio, job: str) -> LockFacts:
    return read_lock((studio.root / "outbox" / job / f"{job}.lock.toml").read_bytes())


def digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def models_of(real: RealEngine, lock: LockFacts) -> None:
    """Each model in the lock has the hash and the size of the file in the engine's folder."""
    folders = {"checkpoint": "checkpoints", "lora": "loras", "vae": "vae"}
    for model in lock.model:
        path = real.base / "models" / folders.get(model.role, model.role) / model.name
        assert (model.sha256, model.bytes) == (digest(path), path.stat().st_size)


def drawn_as(real: RealEngine, studio: RealStudio, job: str) -> None:
    """Picture and graph in the outbox are the server's own, byte for byte and node for node."""
    (sent,) = [line for line in studio.events("prompt.sent") if line["job"] == job]
    entry = read_history(real.get(f"/history/{sent['prompt_id']}"), sent["prompt_id"])
    assert entry is not None
    (file,) = entry.outputs
    folder = studio.root / "outbox" / job
    png = (folder / f"{job}.png").read_bytes()
    assert png == viewed(real, file)
    assert png == (real.base / "output" / file.subfolder / file.filename).read_bytes()
    assert json.loads((folder / f"{job}.workflow.json").read_text()) == entry.graph


def viewed(real: RealEngine, file: OutputFile) -> bytes:
    where = {"filename": file.filename, "subfolder": file.subfolder, "type": file.kind}
    return httpx.get(f"{real.url}/view", params=where, trust_env=False).content


def test_a_panel_with_a_lora_is_published_with_a_lock_that_tells_the_truth(
    real: RealEngine, studio: RealStudio
) -> None:
    """S3.2, S3.3, N3.1, N3.3"""
    job = "ch01_p003_v1"
    with studio.running():
        studio.drop("ch01_p003", panel_file(real, lora_table(real)))
        published = until(studio, "result.published", job)
        drawn_as(real, studio, job)
    lock, folder = lock_of(studio, job), studio.root / "outbox" / job
    assert [model.role for model in lock.model] == ["checkpoint", "vae", "lora"]
    models_of(real, lock)
    assert lock.engine.name == "comfyui"
    assert lock.engine.version == real.get("/system_stats")["system"]["comfyui_version"]
    assert lock.subject.sha256 == digest(folder / f"{job}.png")
    assert lock.workflow.sha256 == digest(folder / f"{job}.workflow.json")
    assert published["files"] == {name: digest(folder / name) for name in published["files"]}
    assert str(real.base) not in (folder / f"{job}.lock.toml").read_text()
    assert studio.nightpress("verify").returncode == 0


def test_a_hint_goes_with_its_job_into_the_graph_and_into_the_lock(
    real: RealEngine, studio: RealStudio
) -> None:
    """S3.2, C3.1"""
    job = "ch01_p004_v1"
    with studio.running():
        studio.drop("ch01_p004", panel_file(real, lora_table(real), control_table(real)))
        until(studio, "result.published", job)
        drawn_as(real, studio, job)
    lock, hint = lock_of(studio, job), sha256(pose_png()).hexdigest()
    assert [model.role for model in lock.model] == ["checkpoint", "vae", "lora", "controlnet"]
    models_of(real, lock)
    assert [(each.role, each.sha256) for each in lock.input] == [("hint", hint)]
    assert digest(studio.root / "outbox" / job / f"input-{hint[:12]}.png") == hint
    (real.base / "input" / f"nightpress-input-{hint[:12]}.png").unlink(missing_ok=True)


def test_a_cancelled_panel_is_interrupted_there_and_the_next_one_is_drawn(
    real: RealEngine, studio: RealStudio
) -> None:
    """N6.3: the engine does not go on with what nobody wants."""
    five = panel_file(real, steps=60, seeds="seeds = [1, 2, 3, 4, 5]")
    with studio.running():
        studio.drop("slow", five)
        until(studio, "prompt.sent", "slow_v1")
        studio.drop("next", panel_file(real))
        assert studio.nightpress("cancel", "slow").returncode == 0
        until(studio, "result.published", "next_v1")
    (ended,) = [line for line in studio.events("job.ended") if line["job"] == "slow_v1"]
    assert ended["phase"] == "cancelled"
    sent = [line["prompt_id"] for line in studio.events("prompt.sent") if line["job"] == "slow_v1"]
    assert len(sent) < 5
    entry = read_history(real.get(f"/history/{sent[-1]}"), sent[-1])
    assert entry is None or entry.ending == "interrupted"
    assert real.get("/queue") == {"queue_running": [], "queue_pending": []}


def test_a_template_that_makes_its_own_hint_keeps_it_beside_the_picture(
    real: RealEngine, studio: RealStudio
) -> None:
    """C2.2, C2.3: the lines of a picture, found by ComfyUI's own Canny."""
    job = "ch01_p005_v1"
    with studio.running():
        own = control_table(real)
        studio.drop("ch01_p005", panel_file(real, 'workflow = "canny"', own))
        until(studio, "result.published", job)
    folder, lock = studio.root / "outbox" / job, lock_of(studio, job)
    roles = {each.role: each.sha256 for each in lock.input}
    assert roles["pose_map"] == digest(folder / f"{job}.map.png")
    assert roles["hint"] == sha256(pose_png()).hexdigest()
    assert (folder / f"{job}.map.png").read_bytes() != pose_png()
