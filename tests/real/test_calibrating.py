"""The reference run on a real ComfyUI, and the canary that begins it by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process import RealStudio
from tests.real.engine import RealEngine, panel_file
from tests.real.test_daemon import until

pytestmark = [pytest.mark.real, pytest.mark.realprocess]

_SLOW_S = 1_200.0
"""Sixty steps of 512x512 on a CPU."""


@pytest.fixture
def studio(tmp_path: Path, real: RealEngine) -> Iterator[RealStudio]:
    made = RealStudio(tmp_path)
    made.environment |= {"COMFYUI_BASE_PATH": str(real.base), "COMFYUI_URL": real.url}
    yield made
    made.close()


def test_the_reference_run_has_its_curve_and_begins_by_itself_before_the_first_panel(
    real: RealEngine, studio: RealStudio
) -> None:
    """A1.3, A1.4, S1.2, V1, V3: each of the three was sampled and decoded; a restart of the daemon
    asks for no other.
    """
    settings = studio.root / "nightpress.toml"
    settings.write_text(f"{settings.read_text()}\n[policy]\ncanary = true\n")
    with studio.running():
        studio.drop("ch01", panel_file(real))
        until(studio, "result.published", "ch01_v1", timeout_s=_SLOW_S)
    (measured,) = studio.events("calibration.measured")
    assert (measured["verdict"], measured["variance"]) == ("good", 0.0)
    assert len(measured["steps_s"]) == 19
    assert len(measured["times"]) == 3
    ended = [line["job"] for line in studio.events("job.ended")]
    assert ended == ["calibration_v1", "ch01_v1"]
    with studio.running():
        studio.drop("ch02", panel_file(real, seeds="seed = 5"))
        until(studio, "result.published", "ch02_v1")
        assert len(studio.events("calibration.measured")) == 1
