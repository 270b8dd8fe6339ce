"""`nightpress doctor` on machines that would spoil a night, and on one that would not."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.process import RealStudio

pytestmark = pytest.mark.realprocess


@pytest.fixture
def studio(tmp_path: Path) -> RealStudio:
    return RealStudio(tmp_path)


def found(studio: RealStudio, *, code: int) -> dict[str, Any]:
    said = studio.nightpress("doctor", "--json", patience_s=60.0)
    assert said.returncode == code, said
    return {row["code"]: row for row in json.loads(said.stdout)}


def test_a_studio_that_rehearses_is_looked_at_and_left_as_it_was(studio: RealStudio) -> None:
    """V2: the trainer is asked what it can do; nothing is left behind."""
    before = sorted(str(path) for path in studio.root.rglob("*"))
    rows = found(studio, code=0)
    assert {"REHEARSAL", "TRAINER_READY", "FOLDER", "DISK", "QUIET"} <= set(rows)
    assert rows["NO_REPOSITORY"]["remedy"].startswith("`git init`")
    left = {path for path in map(str, studio.root.rglob("*")) if "/.nightpress" not in path}
    assert left == {path for path in before if "/.nightpress" not in path}
    assert list((studio.root / ".nightpress").glob("doctor-*")) == []


def test_the_page_for_people_has_a_sign_a_code_and_an_arrow_to_the_remedy(
    studio: RealStudio,
) -> None:
    said = studio.nightpress("doctor", patience_s=60.0)
    assert "  ! NO_REPOSITORY: The studio is in no git repository" in said.stdout
    assert "      → `git init` in the studio, then commit it." in said.stdout
    assert "\x1b" not in said.stdout


def test_a_comfyui_that_is_away_and_models_that_are_not_there_are_bad(studio: RealStudio) -> None:
    base = studio.root / "comfyui"
    (base / "models").mkdir(parents=True)
    studio.environment |= {"COMFYUI_BASE_PATH": str(base), "COMFYUI_URL": "http://127.0.0.1:1"}
    rows = found(studio, code=1)
    assert {"COMFY_NOT_READY", "MODEL_MISSING", "TRAINER_MISSING", "NO_REFERENCE"} <= set(rows)
    assert rows["COMFY_NOT_READY"]["severity"] == "bad"


def test_a_managed_comfyui_that_cannot_be_started_says_what_is_missing(studio: RealStudio) -> None:
    base = studio.root / "comfyui"
    (base / "models").mkdir(parents=True)
    studio.environment |= {"COMFYUI_BASE_PATH": str(base)}
    (studio.root / "nightpress.toml").write_text('[comfyui]\nmode = "managed"\n')
    assert "main.py" in found(studio, code=1)["ENGINE_START"]["what"]


def test_wrong_settings_and_a_damaged_ledger_are_findings_too(studio: RealStudio) -> None:
    settings = studio.root / "nightpress.toml"
    settings.write_text("[windows]\ntraining = 3\n")
    assert "line 2" in found(studio, code=1)["SETTINGS"]["what"]
    settings.write_text("")
    host = next(path for path in (studio.root / "ledger").iterdir() if path.is_dir())
    (host / "2026-11.jsonl").write_text("{}\n")
    assert "2026-11.jsonl" in found(studio, code=1)["LEDGER_DAMAGED"]["what"]


def test_a_ledger_that_git_ignores_is_bad(studio: RealStudio) -> None:
    host = next(path for path in (studio.root / "ledger").iterdir() if path.is_dir())
    with studio.running():
        pass
    assert list(host.glob("*.jsonl"))
    (studio.root / ".gitignore").write_text("ledger/\n")
    quiet = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null"}
    subprocess.run(["git", "init", "-q", studio.root], check=True, env=quiet)
    assert found(studio, code=1)["LEDGER_IGNORED"]["severity"] == "bad"
