"""A short night of kills in every run; ``python -m tests kill`` tells the long one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.kills import rehearsal_night
from tests.process import RealStudio

pytestmark = pytest.mark.realprocess


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[RealStudio]:
    real = RealStudio(tmp_path)
    yield real
    real.close()


def test_kills_at_odd_moments_cost_no_panel_and_draw_none_twice(studio: RealStudio) -> None:
    """A2.9; ``python -m tests kill`` tells the long nights."""
    assert rehearsal_night(studio, Random(11)).tell(times=2).kills == 2
