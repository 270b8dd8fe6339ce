"""What the short run before the first night shows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from daemon.core.hurdles import GIB
from daemon.core.policy import Policy
from daemon.craft.probe_gates import Tried, gates
from tests.core.asking import TRAIN

WELL = Tried("mps:0", 9.0, 7 * GIB, 16 * GIB, (0.2, 0.19, 0.18), 300.0)
NIGHT_S = 9 * 3600.0


def told(tried: Tried, *, gpu: bool = True, window_s: float | None = NIGHT_S) -> list[str]:
    """The codes of the gates that are closed."""
    found = gates(tried, TRAIN, Policy(), gpu=gpu, window_s=window_s)
    assert len(found) == 4
    assert all(gate.text and not gate.text.endswith(".") for gate in found)
    return [gate.code for gate in found if gate.code]


@pytest.mark.parametrize(
    ("tried", "closed"),
    [
        (WELL, []),
        (replace(WELL, device="cpu"), ["TRAINER_ON_CPU"]),
        (replace(WELL, device="cuda"), []),
        (replace(WELL, peak_bytes=13 * GIB), ["PROBE_MEMORY"]),
        (replace(WELL, peak_bytes=12 * GIB), []),
        (replace(WELL, losses=(0.2, float("nan"))), ["LOSS_NAN"]),
        (replace(WELL, losses=(0.0009, 0.0008)), ["PROBE_LOSS"]),
        (replace(WELL, losses=(0.2, 0.0008)), []),
        (Tried("", 0.0, 0, 0, (), 300.0), []),
    ],
)
def test_each_gate_is_closed_by_what_would_spoil_the_night(tried: Tried, closed: list[str]) -> None:
    """K3.1, K1.4: and by nothing that was not measured."""
    assert told(tried) == closed


def test_a_cpu_will_do_where_there_is_no_gpu() -> None:
    assert told(replace(WELL, device="cpu"), gpu=False) == []


@pytest.mark.parametrize(
    ("step_s", "words"),
    [
        (9.0, "9.0 s a step, so about 3 h 28 min for 990 steps"),
        (200.0, "not one epoch fits a window of 9 h 0 min"),
    ],
)
def test_the_time_is_told_by_the_probes_factor(step_s: float, words: str) -> None:
    """K3.1: t50 x (steps / 50) x 1.4; a night that is too short is waited out, and no failure."""
    found = gates(replace(WELL, step_s=step_s), TRAIN, Policy(), gpu=True, window_s=NIGHT_S)
    assert words in found[1].text
    assert found[1].code == ""


@pytest.mark.parametrize(
    ("start_s", "window_s", "short"),
    [(2.0, 86.0, False), (300.0, 86.0, True), (2.0, 30.0, True), (300.0, None, False)],
)
def test_no_epoch_fits_a_window_that_beginning_and_one_epoch_overrun(
    start_s: float, window_s: float | None, short: bool
) -> None:
    """K3.1: 50 steps of 0.5 s, and 40 % more for caution, are 35 s; a rehearsal begins at once."""
    tried, spec = replace(WELL, step_s=0.5, start_s=start_s), replace(TRAIN, epoch_steps=50)
    found = gates(tried, spec, Policy(), gpu=True, window_s=window_s)
    assert ("not one epoch fits" in found[1].text) == short
