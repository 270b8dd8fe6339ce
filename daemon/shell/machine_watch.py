"""Keeps an eye on the machine: its memory and power, who else uses them, whether it slept.

Law: what cannot be seen is unknown, said with since when, and fails no job; a look has a deadline,
whatever it looks at.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from daemon.core.commands import Command, ObserveMachine, ReportIncident
from daemon.core.hurdles import GIB
from daemon.core.job import Job
from daemon.core.jobs import JobId, TrainSpec
from daemon.core.memory_gate import Gate, Sample, observe
from daemon.core.needs import Weigh
from daemon.core.night import Standing, Stop, lasting, stop
from daemon.core.policy import Policy
from daemon.core.state import State
from daemon.core.windows import closes, opens
from daemon.core.world import EngineName, Heavy, Machine, World
from daemon.ports import Clock, EngineHost, Probe, Program, Signals, Trainer
from daemon.shell.patience import now
from daemon.shell.training_folder import attempts_of
from daemon.wire.shim_record import ExitRecord

log = logging.getLogger(__name__)

_LOOK_S = 20.0
"""A probe has deadlines of its own; this one is for those that forget."""
_STEP_BITS = 26
_STRAIN_MS = 120_000
"""What was seen or said of the memory so long before a kill may be its cause."""
_NOTHING = Signals(unknown=("memory", "power", "pressure", "swap"))
_RIVAL = (
    "{} (pid {}) trains on this machine, and was not started by nightpress; two at once would make"
    " it swap. Jobs wait until it has ended."
)

T = TypeVar("T")


class Blind:
    """Implements ``ports.Probe`` where nobody looks at the machine: nothing is known of it."""

    async def signals(self) -> Signals:
        return Signals()

    async def programs(self) -> tuple[Program, ...] | None:
        return ()

    async def users(self) -> int | None:
        return 0

    async def footprint(self, _pid: int) -> tuple[int, int] | None:
        return None

    async def kill_evidence(self, **_: int) -> str:
        return ""


class MachineWatch:
    """Samples the machine and tells the loop. ``relieve`` has an idle engine let go of its models;
    ``weigh`` guesses what an engine holds whose process is not ours.
    """

    def __init__(
        self,
        *,
        probe: Probe,
        policy: Policy,
        clock: Clock,
        state: Callable[[], State],
        tell: Callable[[Command], None],
        host: EngineHost | None,
        trainer: Trainer,
        weigh: Weigh,
        engine: EngineName,
        relieve: Callable[[], Awaitable[None]],
    ) -> None:
        self.machine = Machine()
        self._probe, self._policy, self._clock = probe, policy, clock
        self._state, self._tell = state, tell
        self._host, self._trainer, self._weigh = host, trainer, weigh
        self._engine, self._relieve = engine, relieve
        self._gate = Gate()
        self._strain = 0, ""
        self._unknown: dict[str, int] = {}
        self._programs_at = 0.0
        self._programs: tuple[Program, ...] | None = ()
        self._peaks: dict[tuple[JobId, int], int] = {}
        self._mark: tuple[int | None, int] = (None, 0)
        drawn = state().jobs.get(state().drawn or JobId(""))
        self._before = (drawn.id, drawn.attempt) if drawn else None
        self._looked: tuple[int, float] | None = None

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.look()
            except Exception:
                # A bug here must hold nobody up; what is not known is not weighed.
                log.exception("the machine could not be looked at")
            await asyncio.sleep(self._policy.memory_sample_s)

    async def look(self) -> None:
        """One look at everything; the loop is told what is new."""
        self._notice_sleep()
        at, closed = self._clock.now(), self._gate.code
        seen = await _in_time(self._probe.signals(), _NOTHING)
        await self._look_at_programs()
        users = await _in_time(self._probe.users(), None)
        ours = await self._measure()
        sample = Sample(at, seen.level, seen.swapouts_bytes)
        self._gate = observe(self._gate, sample, self._policy)
        if self._gate.critical_since is not None or self._gate.runaway:
            self._strain = at, self._gate.text.partition(".")[0]
        beside = {"programs": self._programs, "users": users}
        unseen = {*seen.unknown, *(name for name, each in beside.items() if each is None)}
        self._unknown = {name: self._unknown.get(name, at) for name in sorted(unseen)}
        rivals = [each for each in self._programs or () if each.trains]
        total = round(self._policy.memory_total_gb * GIB) or seen.total_bytes
        free, held = _had(total, _stepped(seen.free_bytes), _stepped(ours) or 0)
        machine = Machine(
            total_bytes=total,
            free_bytes=free,
            ours_bytes=held,
            level=seen.level,
            code=self._gate.code,
            text=self._gate.text,
            runaway=self._runaway(),
            unknown=tuple(self._unknown.items()),
            on_ac=seen.on_ac,
            battery_percent=seen.battery_percent,
            programs=tuple(Heavy(p.name, _stepped(p.bytes) or 0) for p in self._heavy()),
            rival=_RIVAL.format(rivals[0].name, rivals[0].pid) if rivals else "",
            users=users or 0,
        )
        if machine != self.machine:
            self.machine = machine
            self._tell(ObserveMachine(machine))
        if self._gate.code and not closed and not self._state().running:
            # Models that nobody uses may be what there is too little room for.
            await self._relieve()

    def pressed(self) -> str:
        """Why a picture is to be given up, '' while it may go on: the memory has been critical for
        too long (A2.8). A rehearsal takes none of it."""
        if self._engine == "rehearsal":
            return ""
        lasted_s = self._critical_s()
        if lasted_s >= self._policy.memory_critical_s:
            return f"The machine's memory has been critical for {lasted_s:.0f} s."
        return self._gate.text if self._gate.runaway else ""

    def stop(self, job: Job, going: Standing) -> Stop | None:
        """Why a training is to be stopped for now; None while it may go on."""
        world = World(self._engine, machine=self.machine, at=self._clock.now())
        return stop(job, self._policy, world, going)

    def window_s(self, job: Job) -> float | None:
        """How long a training may run in one piece, in seconds: in what is left of this window, or
        in the next one, whichever is longer; None: it has no end, or there is none.
        """
        spec, windows = job.spec, self._policy.training_windows
        if not isinstance(spec, TrainSpec) or spec.when == "now":
            return None
        longest, at = 0, self._clock.now()
        for _ in range(2):
            begins = opens(windows, at)
            ends = closes(windows, begins) if begins is not None else None
            if begins is None or ends is None:
                return None
            longest, at = max(longest, ends - begins), ends
        return longest / 1000

    async def beside(self) -> Machine:
        """The machine right now, its programs included: for the start of a training (A2.10)."""
        self._programs_at = 0.0
        await self.look()
        return self.machine

    async def peak(self, job: Job) -> int:
        """The most memory that this attempt was seen to take, in bytes; 0 = not measured."""
        await self._measure()
        return self._peaks.pop((job.id, job.attempt), 0)

    async def kill_evidence(self, record: ExitRecord) -> str:
        """What speaks for memory as the cause of this kill, in clauses; '' = nothing (N4.3)."""
        told = []
        if record.oom_kills:
            told.append(f"oom_kill of its control group grew by {record.oom_kills} while it ran")
        seen_at, strain = self._strain
        if strain and abs(record.ended - seen_at) < _STRAIN_MS:
            told.append(f"shortly before, nightpress saw this: {strain}")
        since = max(record.started, record.ended - _STRAIN_MS)
        reported = self._probe.kill_evidence(pid=record.child, since=since)
        return "; ".join([*told, *filter(None, [await _in_time(reported, "")])])

    def _critical_s(self) -> float:
        """How long it was seen to be: who wakes from a sleep has seen nothing yet (K3.5)."""
        since = self._gate.critical_since
        if since is None or self._looked is None:
            return 0.0
        return (self._looked[0] - since) / 1000

    def _runaway(self) -> bool:
        return self._gate.runaway or self._critical_s() >= self._policy.memory_critical_training_s

    def _heavy(self) -> list[Program]:
        return [each for each in self._programs or () if not each.trains]

    def _notice_sleep(self) -> None:
        """By the wall clock ahead of the one that stands still in sleep (K3.5)."""
        before, self._looked = self._looked, (self._clock.now(), now())
        if before is None:
            return
        ahead_s = (self._looked[0] - before[0]) / 1000 - (self._looked[1] - before[1])
        if abs(ahead_s) < self._policy.sleep_gap_s:
            return
        running = self._state().lease
        beside = f" while {running} was running" if running else ""
        did = (
            f"slept for {lasting(ahead_s)}, or its clock was set forward"
            if ahead_s > 0
            else f"had its clock set back by {lasting(-ahead_s)}"
        )
        text = f"The machine {did}{beside}. That time counts in no deadline and in no pace."
        self._tell(ReportIncident("MACHINE_SLEPT" if ahead_s > 0 else "CLOCK_SET_BACK", text))

    async def _look_at_programs(self) -> None:
        if now() < self._programs_at:
            return
        self._programs_at = now() + self._policy.programs_sample_s
        self._programs = await _in_time(self._probe.programs(), None)

    async def _measure(self) -> int:
        """What our engine holds now; the attempt that runs is measured by the way."""
        state = self._state()
        job = state.jobs[state.lease] if state.lease else None
        if job is not None and not job.draws:
            folder = attempts_of(job)[-1].folder
            pid = await _in_time(self._trainer.pid(folder), None)
            self._note(job, max(await self._footprint(pid)))
        if self._host is None:
            return self._guessed(state)
        pid = await _in_time(self._host.pid(), None)
        held, high = await self._footprint(pid)
        if job is not None and job.draws:
            # The system keeps the highest mark of a process: risen, it is this attempt's.
            self._note(job, high if self._mark[0] == pid and high > self._mark[1] else held)
        self._mark = pid, high
        return held

    def _guessed(self, state: State) -> int:
        """Nobody can look into another's server: it holds what it was last made to load by us."""
        drawn = state.jobs.get(state.drawn) if state.drawn else None
        if drawn is None or (drawn.id, drawn.attempt) == self._before:
            return 0
        return self._weigh(drawn, state, self._policy).predicted

    def _note(self, job: Job, seen: int) -> None:
        key = job.id, job.attempt
        self._peaks[key] = max(seen, self._peaks.get(key, 0))

    async def _footprint(self, pid: int | None) -> tuple[int, int]:
        seen = await _in_time(self._probe.footprint(pid), None) if pid else None
        return seen or (0, 0)


async def _in_time(asked: Awaitable[T], unknown: T) -> T:
    try:
        async with asyncio.timeout(_LOOK_S):
            return await asked
    except Exception:
        log.debug("a look at the machine failed", exc_info=True)
        return unknown


def _had(total: int | None, free: int | None, ours: int) -> tuple[int | None, int]:
    """What is free and what is ours, together no more than there is: what somebody else's server
    holds for us is a guess, and [memory] total_gb may grant less than the machine has.
    """
    if total is None or free is None:
        return free, ours
    free = min(free, total)
    return free, min(ours, total - free)


def _stepped(size: int | None) -> int | None:
    """In steps, so that a page more or less is no news."""
    return None if size is None else size >> _STEP_BITS << _STEP_BITS
