"""A real sd-scripts for tests: where it is, and a studio whose trainings it does."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest
from safetensors import safe_open

from daemon.adapters.training_process import own_python
from tests.process import RealStudio
from tests.real.engine import RealEngine
from tests.trainings import Trainings

PATIENCE_S = 900.0
_COUNTED = """\
import json, sys, torch
state = torch.load(sys.argv[1], map_location="cpu", weights_only=True)["state"]
print(json.dumps(sorted({float(each["step"]) for each in state.values()})))
"""


@dataclass(frozen=True, slots=True)
class RealTrainer:
    """``path`` is the checkout, ``python`` its interpreter, ``tokenizer`` '' = its own cache."""

    path: str
    python: str
    tokenizer: str
    engine: RealEngine

    def trainings(self, studio: RealStudio) -> Trainings:
        """This studio, whose trainings the real trainer does from now on."""
        lines = [f"python = {json.dumps(self.python)}"]
        if self.tokenizer:
            lines.append(f"tokenizer_cache_dir = {json.dumps(self.tokenizer)}")
        own = Path(studio.environment["HOME"]) / ".config" / "nightpress" / "config.toml"
        own.parent.mkdir(parents=True)
        own.write_text("\n".join(["[trainer]", *lines, ""]))
        studio.environment |= {
            "SD_SCRIPTS_PATH": self.path,
            "COMFYUI_BASE_PATH": str(self.engine.base),
            "COMFYUI_URL": self.engine.url,
        }
        return Trainings(
            studio,
            checkpoint=self.engine.model("checkpoints", "CHECKPOINT"),
            vae=self.engine.model("vae", "VAE"),
            letter="v",
            counted="",
            side=128,
            patience_s=PATIENCE_S,
        )

    def learnt(self, folder: Path, job: str) -> list[float]:
        """The optimizer steps that an attempt's last state counts, over all its parameters."""
        state = folder / "out" / f"{job}-state" / "optimizer.bin"
        command = [self.python, "-c", _COUNTED, str(state)]
        told = subprocess.run(command, capture_output=True, check=True, text=True)
        steps: list[float] = json.loads(told.stdout)
        return steps


def find_trainer() -> RealTrainer:
    """The trainer of the environment; skips the test, aloud, when there is none.

    Needs SD_SCRIPTS_PATH, and COMFYUI_BASE_PATH for the models; SD_SCRIPTS_PYTHON and
    SD_SCRIPTS_TOKENIZER where they are not the checkout's own.
    """
    path, base = (os.environ.get(name) for name in ("SD_SCRIPTS_PATH", "COMFYUI_BASE_PATH"))
    if not path or not base:
        _skipped("SD_SCRIPTS_PATH and COMFYUI_BASE_PATH are not both set")
    python = os.environ.get("SD_SCRIPTS_PYTHON") or str(own_python(path))
    if not Path(python).exists():
        _skipped(f"there is no interpreter {python}; SD_SCRIPTS_PYTHON may name one")
    # Trainings need the engine's models only; a server is not asked for.
    url = os.environ.get("COMFYUI_URL", "http://127.0.0.1:9").rstrip("/")
    engine = RealEngine(url, Path(base).expanduser())
    return RealTrainer(path, python, os.environ.get("SD_SCRIPTS_TOKENIZER", ""), engine)


def metadata(path: Path) -> Mapping[str, str]:
    """What a checkpoint says of itself."""
    with safe_open(path, "np") as file:
        found: Mapping[str, str] = file.metadata()
    return found


def _skipped(why: str) -> NoReturn:
    pytest.skip(f"needs a real sd-scripts: {why}")
