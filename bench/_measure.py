"""The words of a measurement: figures with a limit, cost curves, and what came of a run.

A figure is ours against a baseline of the same run, sample by sample in turns, so that whatever
else the machine does meets both alike. Its ratio is the median of the ratios of the pairs; its
noise is what the same reckoning says of the baseline against itself, one half of the samples
against the other: a ratio that is nearer to 1 than the noise says nothing.
"""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import linear_regression, median
from time import perf_counter
from typing import Literal

RESAMPLES = 2_000


@dataclass(frozen=True, slots=True)
class Limit:
    """What is judged and how: the ratio of ours to the baseline, or ours by itself."""

    of: Literal["ratio", "ours"]
    bound: Literal["at most", "at least"]
    value: float

    def keeps(self, value: float) -> bool:
        return value <= self.value if self.bound == "at most" else value >= self.value


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of a table.

    ``ours`` and ``baseline`` are samples in ``unit``, as many of one as of the other where there is
    a baseline at all. ``allowance`` is added to what the limit of a ratio allows, in ``unit``: "at
    most twice the baseline + 5 ms". ``remark`` tells in a sentence what a reader should know, such
    as why a limit is not kept.
    """

    what: str
    unit: str
    ours: Sequence[float]
    baseline: Sequence[float] = ()
    against: str = ""
    limit: Limit | None = None
    allowance: float = 0.0
    remark: str = ""

    @property
    def ratio(self) -> float | None:
        """The median of the ratios of the pairs; none without a baseline."""
        return median(_ratios(self.ours, self.baseline)) if self.baseline else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % bootstrap interval of the ratio."""
        if not self.baseline:
            return None
        ratios, chance = _ratios(self.ours, self.baseline), Random(1)
        found = sorted(median(chance.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
        return found[RESAMPLES // 40], found[-RESAMPLES // 40]

    @property
    def noise(self) -> float | None:
        """By how much the baseline differs from itself: 0.03 is three in a hundred."""
        pairs = len(self.baseline) // 2
        if not pairs:
            return None
        odd, even = self.baseline[0::2][:pairs], self.baseline[1::2][:pairs]
        return abs(median(_ratios(odd, even)) - 1)

    @property
    def judged(self) -> float | None:
        """What the limit is held against. An allowance counts in the baseline's favour."""
        if self.limit is None:
            return None
        if self.limit.of == "ours":
            return median(self.ours)
        bare = [max(0.0, one - self.allowance) for one in self.ours]
        return median(_ratios(bare, self.baseline))

    @property
    def kept(self) -> bool | None:
        """Whether the limit is kept; none where there is none."""
        judged = self.judged
        return None if self.limit is None or judged is None else self.limit.keeps(judged)


@dataclass(frozen=True, slots=True)
class Curve:
    """What a piece of work costs (``costs``, in ``unit``) at so many of ``of`` (panels, events)."""

    what: str
    of: str
    unit: str
    sizes: Sequence[float]
    costs: Sequence[float]
    remark: str = ""

    @property
    def exponent(self) -> float:
        """k of cost = c * size^k, by least squares over the logarithms; n log n is about 1.1."""
        logarithms = [
            (math.log(size), math.log(cost))
            for size, cost in zip(self.sizes, self.costs, strict=True)
            if cost > 0
        ]
        return linear_regression(*zip(*logarithms, strict=True)).slope


@dataclass(frozen=True, slots=True)
class Measured:
    """What a measurement found; ``skipped`` says why it did not run."""

    figures: Sequence[Figure] = ()
    curves: Sequence[Curve] = ()
    skipped: str = ""
    facts: Sequence[str] = field(default_factory=tuple)

    @property
    def kept(self) -> bool:
        return all(figure.kept is not False for figure in self.figures)


def in_turns(
    ours: Callable[[], float], baseline: Callable[[], float], *, rounds: int
) -> tuple[list[float], list[float]]:
    """So many samples of both; who goes first changes from round to round."""
    mine: list[float] = []
    theirs: list[float] = []
    for number in range(rounds):
        first, second = (mine, theirs) if number % 2 else (theirs, mine)
        for samples in (first, second):
            samples.append(ours() if samples is mine else baseline())
    return mine, theirs


@contextmanager
def timed(into: list[float], *, scale: float = 1.0) -> Iterator[None]:
    """Appends the wall time of the block: seconds times ``scale``."""
    began = perf_counter()
    yield
    into.append((perf_counter() - began) * scale)


def machine() -> str:
    """What the figures were measured on, in a line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    python = ".".join(map(str, sys.version_info[:3]))
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GB, "
        f"Python {python}"
    )


def commit() -> str:
    """The commit of this checkout, with + when something of it is not committed; or nothing."""
    root = Path(__file__).parent.parent

    def git(*words: str) -> str:
        try:
            done = subprocess.run(["git", *words], cwd=root, capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return ""
        return done.stdout.decode().strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", ":!bench/results")
    return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")


def program_output(command: Sequence[str]) -> dict[str, float]:
    """The JSON object that a fresh process prints."""
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    told: dict[str, float] = json.loads(done.stdout)
    return told


def _ratios(ours: Sequence[float], baseline: Sequence[float]) -> list[float]:
    return [one / other for one, other in zip(ours, baseline, strict=True)]
