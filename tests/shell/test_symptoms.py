"""The table of symptoms (requirements 3.9): each is provoked, and each has its first check wherever
a person looks: in ``show``, in status.toml, on the review sheet.
"""

from __future__ import annotations

import asyncio
import html
import random
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from daemon.cli import main
from daemon.core.events import (
    AttemptEnded,
    AttemptStarted,
    CheckpointSaved,
    Event,
    Incident,
    JobEnded,
)
from daemon.core.jobs import JobId, Outcome, Phase
from daemon.craft.diagnosis import first_check
from daemon.craft.picture import PictureStats
from tests.cli.studio import StudioFiles
from tests.cli.studio import training as accepted_training
from tests.craft.test_picture import PALE
from tests.shell.test_attempt import GRAY, PANEL, SlowPixels, Studio
from tests.sim.engine import SimEngine

SLOW = PANEL.replace("seeds = [1]", "seeds = [1]\nsteps = 20")


@dataclass
class Sees(SlowPixels):
    """Every picture has these pixels."""

    stats: PictureStats = GRAY

    async def measure(self, png: bytes) -> PictureStats:
        return replace(self.stats, width=64, height=64)


def engine(**given: object) -> SimEngine:
    return SimEngine(random.Random(1), **{"step_s": 1.0, **given})  # type: ignore[arg-type]


def away(studio: Studio) -> None:
    studio.engine.restart(away_s=100_000.0)


@dataclass(frozen=True)
class Symptom:
    """How a studio comes to show it."""

    code: str
    make: Callable[[], Studio]
    begin: Callable[[Studio], None] = lambda _: None


def _silent() -> Studio:
    return Studio(engine=engine(step_s=30.0, mute=True), sheet=True)


SYMPTOMS = [
    Symptom("SLOW_CPU_FALLBACK", lambda: Studio(engine=engine(step_s=16.0, steps=20), sheet=True)),
    Symptom("BLACK_OR_GRAY", lambda: Studio(pixels=Sees(stats=GRAY), sheet=True)),
    Symptom("WASHED_OUT", lambda: Studio(pixels=Sees(stats=PALE), sheet=True)),
    Symptom("WS_SILENT", _silent),
    Symptom("MODEL_LOAD_SLOW", lambda: Studio(engine=engine(step_s=65.0, steps=1), sheet=True)),
    Symptom("COMFY_NOT_READY", lambda: Studio(sheet=True), begin=away),
]


@pytest.mark.parametrize("symptom", SYMPTOMS, ids=lambda symptom: symptom.code)
def test_a_symptom_of_a_panel_has_its_first_check_wherever_a_person_looks(
    symptom: Symptom, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Symptom table 3.9, requirements; N1.3, A1.3, C2.3's neighbours M1.3 and N5.1."""
    studio = symptom.make()

    async def story(studio: Studio) -> None:
        symptom.begin(studio)
        studio.drop("one", SLOW)
        kinds = {"incident", "job.ended", "job.held"}
        await studio.until(
            lambda: any(
                line.get("code") == symptom.code for line in studio.lines() if line["type"] in kinds
            ),
            at_most_s=5e3,
            look_s=5.0,
        )
        await asyncio.sleep(10.0)
        seen.update({name: studio.disk.data(name) for name in studio.disk.files("outbox")})
        seen.update({name: studio.disk.data(name) for name in studio.disk.files("ledger")})
        studio.engine.away_until_s = 0.0
        await studio.until(studio.ended(1), at_most_s=5e3, look_s=5.0)

    seen: dict[str, bytes] = {}
    studio.live(story)
    status = tomllib.loads(seen["outbox/one_v1/status.toml"].decode())
    check = first_check(symptom.code)
    told = {each["code"]: each["first_check"] for each in (status, *status.get("note", ()))}
    assert told[symptom.code] == check
    page = html.unescape(seen["outbox/index.html"].decode())
    assert symptom.code in page
    assert check in page
    _written(seen, tmp_path)
    assert main(["--studio", str(tmp_path), "show", "one_v1"]) == 0
    shown = capsys.readouterr().out
    assert symptom.code in shown
    assert check in shown


def _written(seen: Mapping[str, bytes], root: Path) -> None:
    """On a real disk, where the verbs look."""
    for name in ("inbox", ".nightpress"):
        (root / name).mkdir()
    for name, data in seen.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


SPYKE = JobId("spyke_v1")
BEGUN = AttemptStarted(SPYKE, 1, "comfyui", "default", 0, stage="")
KILLED: list[Event] = [
    AttemptEnded(SPYKE, 1, Outcome.FAILED, "OOM_KILL", "Killed by signal 9.", 0, 0.0),
    JobEnded(SPYKE, Phase.FAILED, "OOM_KILL"),
]


def noted(code: str) -> list[Event]:
    """What the grid of a training has shown, as `shell/series` reports it."""
    saved = CheckpointSaved(SPYKE, 198, "c" * 64, 0.1, 1, 9, "mps", 0.0)
    return [saved, Incident(code, f"{SPYKE}: The grid shows it.", SPYKE)]


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("OOM_KILL", KILLED),
        ("LORA_POSE", noted("LORA_POSE")),
        ("TRIGGER_BLEED", noted("TRIGGER_BLEED")),
    ],
)
def test_a_symptom_of_a_training_has_its_first_check_wherever_a_person_looks(
    code: str, told: list[Event], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Symptom table 3.9; provoked in shell/test_machine_kills, test_series, test_memorising."""
    files = StudioFiles(tmp_path)
    files.write(*accepted_training("spyke"), BEGUN, *told)
    assert main(["--studio", str(tmp_path), "show", SPYKE]) == 0
    assert main(["--studio", str(tmp_path), "rebuild", "--all"]) == 0
    shown, check = capsys.readouterr().out, first_check(code)
    page = html.unescape((tmp_path / "outbox" / "index.html").read_text())
    status = (tmp_path / "outbox" / SPYKE / "status.toml").read_text()
    for text in (shown, page, status.replace('\\"', '"')):
        assert code in text
        assert check in text
