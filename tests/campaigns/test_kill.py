"""``python -m tests kill [-k training] [--times N] [--studios N -n N] [--seed N]``: SIGKILLs at
moments of chance.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.daemon.test_trainings import tried_once_more
from tests.kills import Night, rehearsal_night
from tests.process import RealStudio
from tests.real.engine import find, panel_file
from tests.real.trainer import find_trainer
from tests.server_kills import Evening, can_cut, managed
from tests.test_shim_pids import try_tables
from tests.training_kills import POINTS, Blow, TrainingNight
from tests.trainings import Trainings


def test_no_kill_costs_a_panel_or_draws_one_twice(
    tmp_path: Path,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
    studio_number: int,
) -> None:
    """A2.9: with the rehearsal engine, panels of two seconds."""
    times, seed, studios = (request.config.getoption(name) for name in ("times", "seed", "studios"))
    seed += studio_number
    studio = RealStudio(tmp_path)
    night = rehearsal_night(studio, Random(seed))
    try:
        tally = night.tell(times=-(-times // studios))
    finally:
        studio.close()
    with capsys.disabled():
        print(f"\nrehearsal, seed {seed}: {tally}")


@pytest.mark.parametrize(
    ("fault", "code"), [("killed_in_save", "KILLED"), ("disk_full_at_save", "DISK_FULL")]
)
def test_what_may_pass_is_tried_once_more(tmp_path: Path, fault: str, code: str) -> None:
    """D2.2, K2.5"""
    studio = RealStudio(tmp_path)
    try:
        tried_once_more(Trainings(studio), fault, code, begun_at=1)
    finally:
        studio.close()


@pytest.mark.parametrize(
    "blow", ["daemon", "shim", "trainer", "daemon and shim", "daemon, shim and trainer"]
)
def test_no_kill_costs_a_training_more_than_an_epoch(
    tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str], blow: Blow
) -> None:
    """N4.4, K2.5: what is no kill of the daemon alone is tried a fifth as often."""
    times, seed = (request.config.getoption(name) for name in ("times", "seed"))
    studio = RealStudio(tmp_path)
    # An epoch takes longer than the daemon's look at it, so that blows fall between them too.
    studio.environment["REHEARSAL_TRAINER"] = "step_s=0.02,start_s=0.05"
    night = TrainingNight(Trainings(studio), Random(seed))
    try:
        tally = night.tell([blow] * (times if blow == "daemon" else -(-times // 5)))
    finally:
        studio.close()
    with capsys.disabled():
        print(f"\n{blow}, seed {seed}: {tally}")


@pytest.mark.parametrize(
    "blow",
    ["daemon", "shim", "trainer", "daemon, shim and trainer"],
    ids=lambda blow: f"all {blow}",
)
def test_no_point_of_a_training_is_a_bad_one_to_be_killed_at(
    tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str], blow: Blow
) -> None:
    """N4.4, K2.5: at each of twelve points, from the lease to the end."""
    studio = RealStudio(tmp_path)
    studio.environment["REHEARSAL_TRAINER"] = "step_s=0.02,start_s=0.05"
    night = TrainingNight(Trainings(studio), Random(request.config.getoption("seed")))
    try:
        tally = night.tell([blow] * len(POINTS), POINTS.values())
    finally:
        studio.close()
    with capsys.disabled():
        print(f"\n{blow}, at {len(POINTS)} points: {tally}")


def test_no_stranger_is_ever_signalled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """N4.4: 10,000 made-up process tables."""
    seen = try_tables(range(10_000), tmp_path, monkeypatch)
    with capsys.disabled():
        print(f"\nprocess tables: {dict(seen)}")


@pytest.mark.real
def test_no_kill_costs_a_panel_of_a_real_comfyui(
    tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """A2.9: and the server's own count of prompts says that none was sent twice."""
    real = find()
    times, seed = (request.config.getoption(name) for name in ("times", "seed"))
    studio = RealStudio(tmp_path)
    studio.environment |= {"COMFYUI_BASE_PATH": str(real.base), "COMFYUI_URL": real.url}
    before = real.posted() + 1
    night = Night(
        studio,
        output=real.base / "output",
        posted=lambda: real.posted() - before,
        panel=panel_file(real, seeds="seed = {seed}", steps=60),
        longest_s=5.0,
        chance=Random(seed),
    )
    tally = night.tell(times=times)
    version = real.get("/system_stats")["system"]["comfyui_version"]
    with capsys.disabled():
        print(f"\nComfyUI {version}, seed {seed}: {tally}")


SMALL = """\
kind = "panel"
prompt = "leaping, rain"
width = 64
height = 64
seed = {seed}
steps = 8
quality = "off"
"""


def test_no_death_of_the_server_costs_a_panel(
    tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """N5.2, N6, W14: of the rehearsal."""
    times, seed = (request.config.getoption(name) for name in ("times", "seed"))
    studio = RealStudio(tmp_path)
    evening = Evening(
        studio,
        folder=studio.root / ".nightpress" / "rehearsal",
        panel=f'{SMALL}checkpoint = "a.safetensors"\nvae = "v.safetensors"\n',
        chance=Random(seed),
    )
    try:
        cuts = times if can_cut() else 0
        tally = evening.tell(panels=times * 4, kills=times, cuts=cuts, apart_s=(0.1, 2.0))
    finally:
        studio.close()
    with capsys.disabled():
        print(f"\nrehearsal, seed {seed}: {tally}")


@pytest.mark.real
def test_no_death_of_a_real_comfyui_costs_a_panel(
    tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """N5.2, N6, W14: of a ComfyUI that nightpress starts itself."""
    times, seed = (request.config.getoption(name) for name in ("times", "seed"))
    studio, models = managed(tmp_path)
    evening = Evening(
        studio,
        folder=studio.root / ".nightpress" / "engine",
        panel=SMALL + models,
        chance=Random(seed),
    )
    try:
        cuts = times if can_cut() else 0
        tally = evening.tell(panels=times * 10, kills=times, cuts=cuts, apart_s=(0.5, 4.0))
    finally:
        evening.close()
    with capsys.disabled():
        print(f"\nComfyUI, seed {seed}: {tally}")


@pytest.mark.real
def test_no_kill_disturbs_a_training_of_real_sd_scripts(
    tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """N4.4: a minute each."""
    trainer = find_trainer()
    times, seed = (request.config.getoption(name) for name in ("times", "seed"))
    night = TrainingNight(trainer.trainings(RealStudio(tmp_path)), Random(seed))
    tally = night.tell(["daemon"] * times)
    with capsys.disabled():
        print(f"\nsd-scripts, seed {seed}: {tally}")
