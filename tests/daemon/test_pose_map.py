"""A template that makes its own hint: the whole way, with the rehearsal as its engine."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from daemon.wire.png_text import note_of, prompt_of
from tests.process import PANEL, RealStudio, until

pytestmark = pytest.mark.realprocess

JOB = f"""{PANEL}
ref = "run-7/3"
workflow = "canny"
width = 256
height = 256
[controlnet]
model = "control_v11p_sd15_canny.safetensors"
image = "poses/hint.png"
"""


def judged(studio: RealStudio, job: str) -> Mapping[str, Any]:
    [line] = [line for line in studio.events("image.judged") if line["job"] == job]
    return line


def test_the_lines_that_a_template_finds_are_kept_and_none_fail_the_picture(tmp_path: Path) -> None:
    """C2.2, C2.3, N3.3: the map, the lock and the note in the picture; EMPTY_POSE_MAP."""
    studio = RealStudio(tmp_path)
    figure, fog = Image.new("RGB", (256, 256), "white"), Image.linear_gradient("L").convert("RGB")
    ImageDraw.Draw(figure).ellipse((60, 40, 180, 220), outline="black", width=6)
    figure.save(studio.root / "poses" / "hint.png")
    fog.save(studio.root / "poses" / "fog.png")
    with studio.running():
        studio.drop("ch01_p003", JOB)
        studio.drop("ch01_p004", JOB.replace("hint.png", "fog.png"))
        until(lambda: len(studio.events("job.ended")) == 2)
    studio.close()
    ends = {line["job"]: (line["phase"], line["code"]) for line in studio.events("job.ended")}
    assert ends == {"ch01_p003_r1": ("published", ""), "ch01_p004_r1": ("failed", "EMPTY_POSE_MAP")}
    folder = studio.root / "outbox" / "ch01_p003_r1"
    lines = (folder / "ch01_p003_r1.map.png").read_bytes()
    with Image.open(folder / "ch01_p003_r1.map.png") as opened:
        assert opened.convert("L").getextrema() == (0, 255)
    lock = tomllib.loads((folder / "ch01_p003_r1.lock.toml").read_text())
    assert [each["role"] for each in lock["input"]] == ["hint", "pose_map"]
    assert lock["input"][1]["name"] == "$JOB/ch01_p003_r1.map.png"
    assert lock["input"][1]["sha256"] == sha256(lines).hexdigest()
    assert judged(studio, "ch01_p003_r1")["map_sha256"] == sha256(lines).hexdigest()
    picture = (folder / "ch01_p003_r1.png").read_bytes()
    told = {"job": "ch01_p003_r1", "panel": "ch01_p003", "ref": "run-7/3", "attempt": 1, "image": 1}
    assert note_of(picture) == told
    assert '-map"' in json.dumps(prompt_of(picture)), "the whole graph travels in it"
