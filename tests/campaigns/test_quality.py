"""``python -m tests quality``: the judge before three hundred drawn pictures of every class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from numpy.random import Generator

from daemon.adapters.pixels import worker
from daemon.craft.picture import PictureStats, judge
from tests.pictures import GOOD, SIZES, SPOILT, Pixels, png

TIMES = 300
COLUMNS = ("", "BLACK_OR_GRAY", "CORRUPTED", "WASHED_OUT")
# What is spoilt has something drawn on it that can be spoilt.
CANVASES = ("wash", "page", "screentone", "inset", "gradient", "flat", "splash", "fog")


def verdicts(seed: str, draw: Callable[[Generator, int, int], Pixels]) -> Counter[str]:
    """Code -> how many of 300 pictures got it; '' is good."""
    found: Counter[str] = Counter()
    for number in range(TIMES):
        rng = np.random.default_rng([*seed.encode(), number])
        width, height = SIZES[int(rng.integers(len(SIZES)))]
        picture = png(draw(rng, width, height), grey=seed in GOOD and number % 5 == 0)
        stats = PictureStats(**worker.measure(picture))
        found[judge(stats, width=width, height=height).code] += 1
    return found


def show(name: str, found: Counter[str], capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        cells = "  ".join(f"{code or 'good'} {found[code]:>3}" for code in COLUMNS)
        print(f"\n{name:<12} x {TIMES}  {cells}", end="  ")


@pytest.mark.parametrize("name", GOOD)
def test_no_good_picture_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = verdicts(name, GOOD[name])
    show(name, found, capsys)
    assert found == {"": TIMES}


@pytest.mark.parametrize("name", SPOILT)
def test_a_fault_gets_its_own_code_or_none(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, spoil, least = SPOILT[name]

    def draw(rng: Generator, width: int, height: int) -> Pixels:
        return spoil(rng, GOOD[str(rng.choice(CANVASES))](rng, width, height))

    found = verdicts(name, draw)
    show(name, found, capsys)
    assert set(found) <= {"", code}
    assert found[code] >= least * TIMES


def test_a_picture_of_another_size_or_cut_short_is_never_taken(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found: Counter[str] = Counter()
    for number in range(TIMES):
        rng = np.random.default_rng(number)
        whole = png(GOOD[CANVASES[number % len(CANVASES)]](rng, 128, 192))
        answer = worker.answer(worker.measure, [whole[: int(rng.integers(1, len(whole) - 1))]])
        found["PICTURE_BROKEN"] += "broken" in answer
        stats = PictureStats(**worker.measure(whole))
        found[judge(stats, width=192, height=128).code] += 1
    with capsys.disabled():
        print(f"\nother size, cut short x {TIMES}  {dict(found)}", end="  ")
    assert found == {"PICTURE_BROKEN": TIMES, "WRONG_SIZE": TIMES}
