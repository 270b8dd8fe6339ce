"""Every story comes true, whatever the order in which Python hashes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scenarios.teller import retold, stories

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", stories(), ids=lambda path: path.stem)
def test_the_story_comes_true(path: Path) -> None:
    """``python -m tests.scenarios --rewrite`` tells it anew, for a person to read the diff."""
    told = path.read_text(encoding="utf-8")
    assert retold(told) == told


def test_a_story_that_does_not_come_true_is_noticed() -> None:
    told = stories()[0].read_text(encoding="utf-8")
    assert retold(told.replace("job.accepted", "job.rejected", 1)) == told


@pytest.mark.realprocess
@pytest.mark.parametrize("seed", ["1", "2"])
def test_no_story_depends_on_the_order_in_which_python_hashes(seed: str) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    command = [sys.executable, "-m", "tests.scenarios"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
