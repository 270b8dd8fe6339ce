"""How a picture was made survives until the picture is published, and becomes its lock."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

from daemon.core.events import Entry
from daemon.core.job import Image
from daemon.core.jobs import JobId, ModelFacts
from daemon.core.tools import Making
from daemon.wire.comfyui import EngineFacts
from daemon.wire.lock_file import Model, Quality, Subject, read_lock
from daemon.wire.making import digest, engine_of, models_of, picture_lock
from daemon.wire.notes import read_making
from tests.examples import HINT_SHA256, PANEL, job, judged

FACTS = EngineFacts(
    name="comfyui",
    version="0.3.64",
    device="mps",
    device_type="mps",
    argv=("/Users/spyke/ComfyUI/main.py", "--port=8188", "--extra=/Users/spyke/x.yaml"),
    python="3.11.7",
    torch="2.8.0",
    os="darwin",
    mode="managed",
)
MODELS = (
    ModelFacts("checkpoint", "a.safetensors", "c" * 64, 9, "F16"),
    ModelFacts("lora", "spyke_v1-000792.safetensors", "d" * 64, 8, "F16"),
    ModelFacts("controlnet", "openpose.safetensors", "e" * 64, 7, "F16"),
)
ENGINE = engine_of(FACTS, {"$COMFYUI": "/Users/spyke/ComfyUI"})
MAKING = Making(
    engine=ENGINE,
    models=MODELS,
    template="panel.json",
    template_sha256="1" * 64,
    workflow_sha256=digest(b"{}"),
    bytes=3,
    perceptual_hash="0123456789abcdef",
)
NOTE = json.dumps(
    {
        "sha256": digest(b"png"),
        "workflow_sha256": digest(b"{}"),
        "making": {
            "engine": asdict(ENGINE),
            "models": [asdict(model) for model in models_of(PANEL, MODELS)],
            "template": "panel.json",
            "template_sha256": "1" * 64,
            "verdict": "good",
            "rung": "default",
            "perceptual_hash": "0123456789abcdef",
        },
    }
).encode()
"""As release 0.1.0 wrote it."""


def test_a_note_is_read_for_its_own_bytes_only() -> None:
    """A2.9: a picture that was cut short is not taken for a drawn one."""
    assert read_making(NOTE, png=b"png", workflow=b"{}") == MAKING
    assert read_making(NOTE, png=b"pn", workflow=b"{}") is None
    assert read_making(NOTE, png=b"png", workflow=b"{ }") is None
    assert read_making(NOTE[:-1], png=b"png", workflow=b"{}") is None
    assert read_making(None, png=b"png", workflow=b"{}") is None


def test_models_carry_the_strengths_that_were_asked_for() -> None:
    """S3.2."""
    checkpoint, lora, controlnet = models_of(PANEL, MODELS)
    assert (checkpoint.strength, lora.strength, controlnet.strength) == (None, 0.7, 0.65)
    assert lora == Model(
        role="lora",
        name="spyke_v1-000792.safetensors",
        strength=0.7,
        sha256="d" * 64,
        dtype="F16",
        bytes=8,
        job="spyke_v1",
    )


def test_the_engine_is_named_without_the_folders_of_the_machine() -> None:
    """S3.2, N3.4."""
    assert ENGINE.args == ("$COMFYUI/main.py", "--port=8188", "--extra=$HOME/x.yaml")
    assert ENGINE.device == "mps"
    cuda = engine_of(replace(FACTS, device="H200", device_type="cuda"), {})
    assert cuda.device == "cuda (H200)"


def test_a_lock_names_the_seed_of_its_own_picture_and_the_line_that_vouches() -> None:
    """S3.2."""
    event = judged(JobId("ch01_p003_v1"), image=2, sha256="a" * 64)
    drawn = Image("prompt", "good", "a" * 64, Entry(7, 0, event, "2026-11", "9" * 32))
    made = job()._replace(images={2: drawn})
    lock = read_lock(picture_lock(made, 2, MAKING, host="studio-mac"))
    assert lock.sampler.seed == PANEL.seeds[1]
    assert (lock.ledger.host, lock.ledger.seq, lock.ledger.chain) == ("studio-mac", 7, "9" * 32)
    assert lock.input[0].sha256 == HINT_SHA256
    assert lock.input[0].name == f"$JOB/input-{HINT_SHA256[:12]}.png"
    assert lock.subject == Subject(
        "ch01_p003", "ch01_p003_v1-02.png", "a" * 64, 3, "0123456789abcdef"
    )
    assert lock.quality == Quality("good", "default")
