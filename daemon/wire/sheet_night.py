"""Spells the next 24 hours for the review sheet: open windows, and what is planned in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from daemon.core.job import Job
from daemon.core.jobs import Phase, TrainSpec
from daemon.core.night import clock_text, share, since
from daemon.core.policy import Policy
from daemon.core.stages import TRAINING, next_stage
from daemon.core.state import State
from daemon.core.windows import Windows, closes, is_open, opens

_DAY_MS = 24 * 3_600_000
_HOUR_MS = 3_600_000
_LEFT, _WIDTH = 80, 880
_PLANNED = 5


@dataclass(frozen=True, slots=True)
class Band:
    """A stretch of the line, in its units."""

    x: int
    width: int


@dataclass(frozen=True, slots=True)
class Tick:
    """An hour's mark."""

    x: int
    text: str


@dataclass(frozen=True, slots=True)
class Night:
    """The line as it is drawn, and the same in words."""

    now: int
    ticks: Sequence[Tick]
    panels: Sequence[Band]
    training: Sequence[Band]
    plan: Sequence[Band]
    lines: Sequence[str]
    spoken: str


def next_day(state: State, policy: Policy, *, at: int) -> Night:
    """What the 24 hours from ``at`` (ms since 1970) on hold, by the studio's clock."""
    windows = policy.training_windows
    planned = list(_planned(state, policy, at))
    lines = [
        f"{job.id}: {clock_text(windows, begins)} to about {clock_text(windows, ends)}, {text}"
        for job, begins, ends, text in planned
    ]
    return Night(
        now=_LEFT,
        ticks=list(_ticks(windows, at)),
        panels=_bands(_open(policy.panel_windows, at), at),
        training=_bands(_open(windows, at), at),
        plan=_bands(((begins, ends) for _, begins, ends, _ in planned), at),
        lines=[*_hours(policy, at), *(lines or ["No training is planned."])],
        spoken=" ".join([*_hours(policy, at), *lines]),
    )


def _planned(state: State, policy: Policy, at: int) -> Iterator[tuple[Job, int, int, str]]:
    """Trainings that run or wait, one after the other, each with its beginning and its end."""
    jobs = [state.jobs[name] for name in state.queue if state.jobs[name].kind == "train"]
    running = [job for job in jobs if job.phase is Phase.RUNNING]
    waiting = [job for job in jobs if job.phase in (Phase.WAITING, Phase.HELD)]
    for job in [*running, *sorted(waiting, key=lambda job: (-job.priority, job.accepted_seq))]:
        if job.stage != TRAINING or next_stage(job, state) != TRAINING:
            yield job, at, at, f"its {job.stage or next_stage(job, state)} first"
            continue
        begins = _begins(job, policy, at)
        if begins is None or begins > at + _DAY_MS:
            return
        reckoned = since(job) if job in running else begins
        found = share(job, state, policy, at=reckoned)
        takes_s = found.start_s + found.epochs * found.epoch_s
        at = max(begins, reckoned + round(takes_s * 1000))
        source = "as measured here" if found.measured else "a guess, nothing was measured yet"
        how = f"{found.epochs} of {found.left} epochs, {source}"
        yield job, begins, at, how


def _begins(job: Job, policy: Policy, at: int) -> int | None:
    """When a training can go on: what runs, at once. None = never."""
    night = isinstance(job.spec, TrainSpec) and job.spec.when == "night"
    waits = night and job.phase is not Phase.RUNNING
    return opens(policy.training_windows, at) if waits else at


def _hours(policy: Policy, at: int) -> Iterator[str]:
    for name, windows in (("Trainings", policy.training_windows), ("Panels", policy.panel_windows)):
        now = is_open(windows, at)
        turn = closes(windows, at) if now else opens(windows, at)
        until = f" until {clock_text(windows, turn)}" if turn else ""
        yield f"{name}: {'open' if now else 'closed'}{until or ' always'}."


def _open(windows: Windows, at: int) -> Iterator[tuple[int, int]]:
    """The stretches of the day in which they are open."""
    now, last = at, at + _DAY_MS
    while (begins := opens(windows, now)) is not None and begins < last:
        ends = closes(windows, begins)
        now = min(ends or last, last)
        yield begins, now
        if now >= last:
            return


def _bands(stretches: Iterable[tuple[int, int]], at: int) -> Sequence[Band]:
    return [
        Band(_x(begins, at), max(2, _x(ends, at) - _x(begins, at))) for begins, ends in stretches
    ][:_PLANNED]


def _ticks(windows: Windows, at: int) -> Iterator[Tick]:
    """Every third hour of the wall clock."""
    for hour in range(at // _HOUR_MS * _HOUR_MS + _HOUR_MS, at + _DAY_MS, _HOUR_MS):
        local = datetime.fromtimestamp(hour / 1000, UTC).astimezone(windows.zone)
        if local.hour % 3 == 0 and _x(hour, at) < _LEFT + _WIDTH - 40:
            yield Tick(_x(hour, at), f"{local:%H:%M}")


def _x(instant: int, at: int) -> int:
    return _LEFT + round(min(max(instant - at, 0), _DAY_MS) / _DAY_MS * _WIDTH)
