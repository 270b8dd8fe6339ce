"""Cuts a scenario before each of its steps, once or twice, and counts what was seen."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from tests.sim.scenarios import Scenario
from tests.sim.story import Fate, History, tell


@dataclass
class Found:
    """``broken``: what a cut (or two) before these steps has broken, and what was to come there."""

    indices: int = 0
    histories: int = 0
    lives: int = 0
    broken: dict[tuple[int, ...], list[str]] = field(default_factory=dict)

    def add(self, history: History) -> None:
        """Count one history in."""
        self.histories += 1
        self.lives += history.lives
        if history.broken:
            fate = history.fate
            cuts = (fate.cut_at, fate.again_at) if fate.again_at else (fate.cut_at,)
            self.broken[cuts] = [
                *history.disk.trace[fate.cut_at - 1 : fate.cut_at],
                *history.broken,
            ]


def single_cuts(
    scenario: Scenario, *, kill_only: bool, chunk: int = 0, chunks: int = 1, seed: int = 0
) -> Found:
    """The power (or the process) goes once, before every step from ``chunk`` on, by ``chunks``."""
    found = Found()
    with _quiet():
        for history in _cut(scenario, kill_only, range(1 + chunk, 2**31, chunks), seed):
            found.indices += 1
            found.add(history)
    return found


def double_cuts(
    scenario: Scenario,
    *,
    kill_only: bool,
    again_kills: bool,
    chunk: int = 0,
    chunks: int = 1,
    seed: int = 0,
) -> Found:
    """The same, and once more before every step of the recovery that follows."""
    found = Found()
    with _quiet():
        for history in _cut(scenario, kill_only, range(1 + chunk, 2**31, chunks), seed):
            first = history.fate.cut_at
            for again_at in range(1, history.steps - first + 1):
                found.indices += 1
                fate = replace(history.fate, again_at=again_at, again_kills=again_kills)
                found.add(tell(scenario, fate))
    return found


def _cut(scenario: Scenario, kill_only: bool, at: Iterable[int], seed: int) -> Iterator[History]:
    """The histories in which the cut really comes: the number of steps is known at the end only."""
    for cut_at in at:
        history = tell(scenario, Fate(seed + cut_at, cut_at, kill_only))
        if history.cuts or history.broken:
            yield history
        if not history.cuts:
            return


@contextmanager
def _quiet() -> Iterator[None]:
    """What the dying daemons log is no news."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
