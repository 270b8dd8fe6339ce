"""Trainings in a real studio: the pictures, the job files, and what lies in their folders."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
from PIL import Image
from safetensors import safe_open

from tests.kills import digest_of
from tests.process import RealStudio, until

STEPS, EPOCH_STEPS = 30, 10
QUICK = "step_s=0.005,start_s=0.05"
TRAINING = """\
kind = "train"
lora = "{name}"
trigger = "spyke_plasma_v1"
dataset = "datasets/spyke"
checkpoint = "{checkpoint}"
vae = "{vae}"
steps = {steps}
save_every = {epoch_steps}
network_dim = 4
when = "now"
waive_trigger_probe = true
grid = {{ prompts = [] }}
"""
TEXTS = ("training.log", "loss.csv", "loss.svg", "lint.toml")
Record = Mapping[str, Any]


class Trainings:
    """Trainings of ten pictures, three epochs of ten steps each. ``letter`` is that of their ids.

    ``counted``: the key of a checkpoint's metadata that says how many steps it has learnt;
    '' where the trainer counts only those of its own run.
    """

    def __init__(
        self,
        studio: RealStudio,
        *,
        checkpoint: str = "a.safetensors",
        vae: str = "v.safetensors",
        letter: str = "r",
        counted: str = "rehearsal_steps",
        side: int = 64,
        patience_s: float = 30.0,
    ) -> None:
        self.studio = studio
        self.patience_s = patience_s
        self._models = {"checkpoint": checkpoint, "vae": vae}
        self._letter = letter
        self._counted = counted
        studio.environment.setdefault("REHEARSAL_TRAINER", QUICK)
        folder = studio.root / "datasets" / "spyke"
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(EPOCH_STEPS):
            image = Image.effect_noise((side, side), 60).convert("RGB")
            image.save(folder / f"n{number}.png")
            (folder / f"n{number}.txt").write_text(f"spyke_plasma_v1, portrait, scene {number}\n")

    def text(self, name: str) -> str:
        """The file of the usual training."""
        return TRAINING.format(name=name, steps=STEPS, epoch_steps=EPOCH_STEPS, **self._models)

    def drop(self, name: str, text: str = "") -> str:
        """Drop a training's file; the id that its job will have."""
        self.studio.drop(name, text or self.text(name))
        return f"{name}_{self._letter}1"

    def of(self, job: str, kind: str) -> list[Record]:
        """A job's lines of a type."""
        return [line for line in self.studio.events(kind) if line["job"] == job]

    def wait(self, job: str, kind: str, count: int = 1) -> Record:
        """The job's line of a type, once there are so many; at once no more when it has failed."""

        def there() -> bool:
            found = len(self.of(job, kind)) >= count
            bad = [end for end in self.of(job, "job.ended") if end["phase"] == "failed"]
            assert found or not bad, bad
            return found

        until(there, patience_s=self.patience_s)
        return self.of(job, kind)[count - 1]

    def folders(self, job: str) -> list[Path]:
        """Of its attempts, in order."""
        resume = self.studio.root / "outbox" / job / "resume"
        return sorted(resume.glob("a*-*"), key=lambda path: int(path.name[1:].partition("-")[0]))

    def record(self, job: str) -> Record:
        """What the shim of the latest attempt wrote when it began; empty before."""
        folders = self.folders(job)
        return _document(folders[-1] / "shim.json") if folders else {}

    def exits(self, job: str) -> list[Record]:
        """What the shim of each attempt wrote in the end; empty where it wrote nothing."""
        return [_document(folder / "exit.json") for folder in self.folders(job)]

    def trainer(self, job: str) -> int:
        """The process that trains, once there is one."""
        until(lambda: "child" in self.record(job))
        return int(self.record(job)["child"])

    def begun_at(self, job: str) -> int:
        """The epoch in which the latest attempt began, from 1."""
        config = tomllib.loads((self.folders(job)[-1] / "config.toml").read_text())
        return int(config.get("resume", {}).get("initial_epoch", 1))

    def starts(self, job: str) -> int:
        """How often a trainer was really started for it."""
        logs = [folder / "stdout.log" for folder in self.folders(job)]
        told = [path.read_text() for path in logs if path.exists()]
        return sum(text.count("accelerator device:") for text in told)

    def processes(self) -> list[str]:
        """What shims and trainers of this studio there are; its engine is none."""
        found = []
        for process in psutil.process_iter():
            try:
                words = process.cmdline()
            except psutil.Error:
                continue
            if process.pid != os.getpid() and f"{self.studio.root}/outbox/" in " ".join(words):
                found.append(f"{process.pid}: {' '.join(words)}")
        return found

    def check_published(self, job: str) -> None:
        """It was published once, every file as the ledger has it, with exactly the asked steps."""
        [published] = self.of(job, "result.published")
        assert self.of(job, "job.ended")[-1]["phase"] == "published"
        folder = self.studio.root / "outbox" / job
        steps = range(EPOCH_STEPS, STEPS + 1, EPOCH_STEPS)
        names = [f"checkpoints/{job}-{step:06d}" for step in steps]
        wanted = {f"{name}.{end}" for name in names for end in ("safetensors", "lock.toml")}
        assert set(published["files"]) == {*wanted, *TEXTS}
        for name, sha256 in published["files"].items():
            assert digest_of(folder / name) == sha256, name
        for name, step in zip(names, steps, strict=True):
            with safe_open(folder / f"{name}.safetensors", "np") as file:
                found = file.metadata()
            assert not self._counted or found[self._counted] == str(step), name
        rows = (folder / "loss.csv").read_text().splitlines()[1:]
        assert [int(row.partition(",")[0]) for row in rows] == list(range(1, STEPS + 1))


def _document(path: Path) -> Record:
    try:
        found: Record = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    return found
