"""An evening on which the engine's server dies and its sockets are cut, while panels are drawn.

Law: every panel is published once; what was saved whole is fetched, not drawn again; and the server
comes back by itself.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import monotonic, sleep

import pytest

from daemon.core.policy import Policy
from daemon.wire.png_text import note_of
from tests.process import RealStudio, until
from tests.real.engine import RealEngine

FINISH_S = 900.0
_READY_S = 120.0


@dataclass(slots=True)
class Tally:
    """What an evening came to. ``redrawn``: attempts that were lost; ``harvested``: pictures of a
    prompt that the restarted server knew no more.
    """

    panels: int
    kills: int = 0
    cuts: int = 0
    redrawn: int = 0
    retried: int = 0
    prompts: int = 0
    pictures: int = 0
    took_s: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.kills} servers killed, {self.cuts} times every connection cut; {self.panels} "
            f"panels published once each, by {self.prompts} prompts ({self.redrawn} attempts lost, "
            f"{self.retried} jobs retried by hand), {self.pictures} pictures on the engine's disk; "
            f"{self.took_s:.0f} s"
        )


class Evening:
    """A studio whose engine is ours to start. ``folder`` is its engine's, below .nightpress."""

    def __init__(self, studio: RealStudio, *, folder: Path, panel: str, chance: Random) -> None:
        self._studio, self._folder = studio, folder
        self._panel, self._chance = panel, chance
        self._up_since_s = 0.0

    def close(self) -> None:
        """End the server that is left to its shim."""
        for record in sorted(self._folder.glob("lives/*/shim.json"))[-1:]:
            with suppress(ProcessLookupError):
                os.kill(json.loads(record.read_text())["pid"], signal.SIGTERM)

    def tell(self, *, panels: int, kills: int, cuts: int, apart_s: tuple[float, float]) -> Tally:
        """Fails when anything is not as promised. ``apart_s``: between two blows, from, to."""
        tally, began_s = Tally(panels), monotonic()
        blows = [True] * kills + [False] * cuts
        self._chance.shuffle(blows)
        with self._studio.running():
            self._up_since_s = monotonic()
            for number in range(panels):
                seed = self._chance.randrange(2**53)
                self._studio.drop(f"p{number:03}", self._panel.format(seed=seed))
            for kill in blows:
                sleep(self._chance.uniform(*apart_s))
                self._kill() if kill else self._cut()
                tally.kills, tally.cuts = tally.kills + kill, tally.cuts + (not kill)
            self._finish(tally)
        self._check(tally)
        tally.took_s = monotonic() - began_s
        return tally

    def _kill(self) -> None:
        """SIGKILL for the server itself; its shim stays.

        Not before it was of some use: five in a row that were of none are given a rest.
        """
        useful_s = self._up_since_s + Policy().engine_useful_s + 0.5
        sleep(max(0.0, useful_s + self._chance.uniform(0, 2) - monotonic()))
        record = self._latest()
        with suppress(ProcessLookupError):
            os.kill(json.loads(record.read_text())["child"], signal.SIGKILL)
        until(lambda: self._latest() != record, patience_s=_READY_S)
        sleep(1.0)  # Until the status does not speak of the one before any more.
        until(self._ready, patience_s=_READY_S)
        self._up_since_s = monotonic()

    def _latest(self) -> Path:
        """The record of the last server that was started."""
        return max(self._folder.glob("lives/*/shim.json"))

    def _cut(self) -> None:
        """Reset every connection to the server that is open now: sockets and requests."""
        port = json.loads((self._folder / "engine.json").read_text())["port"]
        subprocess.run(
            ["ss", "-K", "dst", "127.0.0.1", "dport", "=", str(port)],
            capture_output=True,
            check=False,
        )

    def _ready(self) -> bool:
        engine = self._studio.status().get("engine", {})
        return bool(engine.get("ready"))

    def _finish(self, tally: Tally) -> None:
        """Until all are published; what two blows have hit is tried again, as a person would."""
        deadline_s, retried = monotonic() + FINISH_S, set[tuple[str, int]]()
        while len(self._published()) < tally.panels:
            assert monotonic() < deadline_s, self._studio.status()
            for line in self._studio.events("job.ended"):
                key = (line["job"], line["seq"])
                if line["phase"] == "quarantined" and key not in retried:
                    retried.add(key)
                    self._studio.nightpress("retry", line["job"])
            if "ENGINE_TROUBLE" in {job["code"] for job in self._studio.status()["queue"]}:
                self._studio.nightpress("resume")
            sleep(0.5)
        tally.retried = len(retried)

    def _published(self) -> list[str]:
        return [line["job"] for line in self._studio.events("result.published")]

    def _check(self, tally: Tally) -> None:
        assert Counter(self._published()) == Counter(
            f"p{number:03}_{self._letter()}1" for number in range(tally.panels)
        )
        sent = self._studio.events("prompt.sent")
        tally.prompts = len(sent)
        tally.redrawn = sum(
            line["outcome"] == "lost" for line in self._studio.events("attempt.ended")
        )
        files = [path.name for path in self._folder.glob("output/nightpress/*.png")]
        tally.pictures = len(files)
        # Two files of one prompt: it was sent and drawn twice.
        of_prompts = Counter(re.sub(r"_[0-9]+_\.png$", "", name) for name in files)
        assert set(of_prompts.values()) == {1}
        whole = {
            re.sub(r"_[0-9]+_\.png$", "", path.name)
            for path in self._folder.glob("output/nightpress/*.png")
            if note_of(path.read_bytes()) is not None
        }
        drawn = Counter(line["job"] for line in sent if _stem(line["prompt_id"]) in whole)
        assert set(drawn.values()) == {1}, "one was drawn again though it was there"
        assert self._studio.nightpress("verify").returncode == 0

    def _letter(self) -> str:
        return "r" if self._folder.name == "rehearsal" else "v"


def _stem(prompt_id: str) -> str:
    return prompt_id.replace("-", "")[:12]


def managed(folder: Path) -> tuple[RealStudio, str]:
    """A studio whose ComfyUI nightpress starts itself, and the lines of a panel that name its
    models; skips the test where the environment names none.
    """
    names = ("COMFYUI_BASE_PATH", "NIGHTPRESS_TEST_COMFYUI_PROGRAM")
    found = [os.environ.get(name, "") for name in (*names, "NIGHTPRESS_TEST_COMFYUI_PYTHON")]
    if not all(found):
        pytest.skip(f"there is no ComfyUI to start: {', '.join(names)} and _PYTHON name it")
    base, program, python = found
    studio = RealStudio(folder)
    # An interpreter that is no complete environment where it has to be is helped.
    helped = folder / "python"
    path = os.environ.get("PYTHONPATH", "")
    # On a CPU a UNet in fp16 takes twenty times as long.
    sift = 'for word do shift; [ "$word" = --fp16-unet ] || set -- "$@" "$word"; done'
    helped.write_text(f'#!/bin/sh\n{sift}\nPYTHONPATH="{path}" exec "{python}" "$@"\n')
    helped.chmod(0o755)
    config = folder / "home" / ".config" / "nightpress" / "config.toml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(
        f'[comfyui]\nbase_path = "{base}"\nprogram = "{program}"\npython = "{helped}"\n'
        'args = ["--cpu"]\n'
    )
    config.chmod(0o600)
    toml = studio.root / "nightpress.toml"
    toml.write_text(toml.read_text() + '[comfyui]\nmode = "managed"\n')
    real = RealEngine("", Path(base))
    models = (("checkpoint", "checkpoints"), ("vae", "vae"))
    return studio, "".join(
        f"{role} = {json.dumps(real.model(where, role.upper()))}\n" for role, where in models
    )


def can_cut() -> bool:
    """Whether this machine lets us reset connections of others: as root, with ``ss``."""
    return os.geteuid() == 0 and shutil.which("ss") is not None
