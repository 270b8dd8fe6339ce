"""A night of kills while trainings run: of the daemon, of the shim, of the trainer.

Law: a training does not notice that its daemon is killed: it is started once, its true end is
known, it is published once. Whatever else is killed costs one attempt, which is never taken for a
success; the next goes on from a whole epoch and learns exactly the steps that were asked for.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from time import monotonic, sleep
from typing import Literal

from tests.kills import gone
from tests.process import end, until
from tests.trainings import EPOCH_STEPS, STEPS, Trainings

Blow = Literal["daemon", "shim", "trainer", "daemon and shim", "daemon, shim and trainer"]
CODES: Mapping[int, str] = {
    signal.SIGKILL: "KILLED",
    signal.SIGTERM: "TERMINATED",
    signal.SIGINT: "INTERRUPTED",
}


Moment = Callable[[Trainings, str], object]


def _file(pattern: str) -> Moment:
    """When such a file is in the folder of an attempt."""
    return lambda trainings, job: any(
        any(folder.glob(pattern)) for folder in trainings.folders(job)
    )


POINTS: Mapping[str, Moment] = {
    "the lease is taken": lambda trainings, job: trainings.of(job, "attempt.started"),
    "its document is written": _file("config.toml"),
    "what it is started with is recorded": lambda trainings, job: trainings.of(
        job, "trainer.recorded"
    ),
    "its lock is taken": _file("alive"),
    "its shim begins": _file("shim.log"),
    "its shim has told of itself": _file("shim.json"),
    "its logs are open": _file("stderr.log"),
    "its trainer is told of": lambda trainings, job: "child" in trainings.record(job),
    "it has said something": lambda trainings, job: trainings.starts(job),
    "a checkpoint appears": _file("out/*.safetensors"),
    "a state appears": _file("out/*-state"),
    "its end is written": _file("exit.json"),
}
"""The points of a training's start and end at which something is killed, as soon as they are seen.
"""


@dataclass(slots=True)
class Tally:
    """What a night came to. ``stages``: where the blows fell; ``ends``: of the attempts hit;
    ``resumed``: attempts that went on from an epoch.
    """

    takes_s: float
    blows: int = 0
    of_groups: int = 0
    resumed: int = 0
    took_s: float = 0.0
    stages: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        return (
            f"{self.blows} blows ({self.of_groups} to the process group) in trainings of "
            f"{self.takes_s:.2f} s: {_counts(self.stages)}; attempts hit: {_counts(self.ends)}; "
            f"{self.resumed} resumed from an epoch; all published once, with the asked steps; "
            f"{self.took_s:.0f} s"
        )


class TrainingNight:
    """One studio, its trainings, and the chance that chooses the moments."""

    def __init__(self, trainings: Trainings, chance: Random) -> None:
        self._trainings = trainings
        self._studio = trainings.studio
        self._chance = chance
        self._sessions: set[int] = set()
        self._count = 0
        self._daemon: subprocess.Popen[bytes]

    def tell(self, blows: Iterable[Blow], moments: Iterable[Moment] = ()) -> Tally:
        """Strike so, once a training; fails when anything is not as promised. ``moments`` are those
        of the blows, in the same order; without any they are chosen by chance.
        """
        began_s, at = monotonic(), iter(moments)
        with self._daemons():
            tally = Tally(self._measured())
            for blow in blows:
                self._one(blow, tally, next(at, None))
        assert self._studio.nightpress("verify").returncode == 0
        until(lambda: not self._trainings.processes())
        gone(self._sessions)
        assert self._studio.events("incident") == []
        tally.took_s = monotonic() - began_s
        return tally

    @contextmanager
    def _daemons(self) -> Iterator[None]:
        """The first daemon, and the end of the last."""
        self._daemon = self._studio.spawn()
        self._sessions.add(self._daemon.pid)
        try:
            yield
        finally:
            end(self._daemon)

    def _measured(self) -> float:
        """How long a training takes that nobody disturbs, from its drop to its publication: the
        second, for the first also warms up the daemon.
        """
        began_s = 0.0
        for _ in range(2):
            began_s = monotonic()
            self._trainings.wait(self._drop(), "job.ended")
        return monotonic() - began_s

    def _drop(self) -> str:
        self._count += 1
        return self._trainings.drop(f"kill{self._count:03}")

    def _one(self, blow: Blow, tally: Tally, moment: Moment | None) -> None:
        job = self._drop()
        if moment is None:
            sleep(self._chance.uniform(0, tally.takes_s))
        else:
            # As soon as it is seen: a look takes a few milliseconds.
            deadline_s = monotonic() + 30
            while not moment(self._trainings, job):
                assert monotonic() < deadline_s, "it never came so far"
        if blow != "daemon":
            until(lambda: self._trainings.record(job))
        number = self._strike(blow, job, tally)
        tally.blows += 1
        tally.stages[self._stage(job)] += 1
        before = self._trainings.record(job)
        if "daemon" in blow:
            sleep(self._chance.choice((0.0, self._chance.uniform(0, tally.takes_s))))
            self._daemon = self._studio.spawn()
            self._sessions.add(self._daemon.pid)
        ended = self._trainings.wait(job, "job.ended")
        assert ended["phase"] == "published", (blow, self._trainings.of(job, "attempt.ended"))
        self._trainings.check_published(job)
        if blow == "daemon":
            self._check_undisturbed(job, before)
        else:
            self._check_hit(job, number)
        [*_, last] = self._trainings.of(job, "attempt.started")
        tally.ends[self._hit(job)] += 1
        tally.resumed += last["attempt"] > 1 and self._trainings.begun_at(job) > 1

    def _strike(self, blow: Blow, job: str, tally: Tally) -> int:
        """The signal that was sent."""
        number = signal.SIGKILL
        if "daemon" in blow:
            assert self._daemon.poll() is None, self._studio.said()
            whole_group = self._chance.random() < 0.5
            tally.of_groups += whole_group
            (os.killpg if whole_group else os.kill)(self._daemon.pid, number)
            self._daemon.wait()
        if "shim" in blow:
            with suppress(ProcessLookupError):
                os.kill(self._trainings.record(job)["pid"], number)
        if blow == "trainer":
            number = self._chance.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
            with suppress(ProcessLookupError):
                os.kill(self._trainings.trainer(job), number)
        elif "trainer" in blow:
            # Its shim may have been killed before it had one.
            with suppress(ProcessLookupError, KeyError):
                os.kill(self._trainings.record(job)["child"], number)
        return number

    def _stage(self, job: str) -> str:
        """How far it had come when it was struck."""
        if self._trainings.of(job, "job.ended"):
            return "after its end"
        if self._trainings.of(job, "checkpoint.saved"):
            return "with a checkpoint"
        if "child" in self._trainings.record(job):
            return "with a trainer"
        return "accepted" if self._trainings.of(job, "job.accepted") else "dropped"

    def _check_undisturbed(self, job: str, before: Mapping[str, object]) -> None:
        after = self._trainings.record(job)
        assert before.items() <= after.items(), "it has another shim, or another trainer"
        assert self._trainings.starts(job) == 1
        assert [record["code"] for record in self._trainings.exits(job)] == [0]
        [started] = self._trainings.of(job, "attempt.started")
        [ended] = self._trainings.of(job, "attempt.ended")
        assert (started["attempt"], ended["outcome"]) == (1, "succeeded")
        saved = [line["step"] for line in self._trainings.of(job, "checkpoint.saved")]
        assert saved == list(range(EPOCH_STEPS, STEPS + 1, EPOCH_STEPS))

    def _check_hit(self, job: str, number: int) -> None:
        """By the first attempt's exit record: it came before the blow, tells of it, or is none."""
        first, *later = self._trainings.of(job, "attempt.ended")
        record = self._trainings.exits(job)[0]
        if record.get("code") == 0:
            assert (first["outcome"], later) == ("succeeded", [])
            return
        code = CODES[number] if record else "TRAINER_UNKNOWN"
        # An interpreter that is interrupted before it has begun exits with 1.
        early = number == signal.SIGINT and record.get("code") == 1
        assert not record or record["signal"] == number or early
        assert (first["outcome"], first["code"]) == ("lost", code)
        assert [line["outcome"] for line in later] == ["succeeded"]
        lines = self._trainings.of(job, "checkpoint.saved")
        kept = max((line["step"] for line in lines if line["attempt"] == 1), default=0)
        epoch = min(kept, STEPS - EPOCH_STEPS) // EPOCH_STEPS
        # A blow between a checkpoint and its state leaves the state before.
        assert self._trainings.begun_at(job) in (epoch + 1, max(epoch, 1))

    def _hit(self, job: str) -> str:
        first = self._trainings.of(job, "attempt.ended")[0]
        return f"{first['outcome']} {first['code']}".strip()


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counter.most_common())
