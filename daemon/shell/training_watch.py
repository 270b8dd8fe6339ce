"""Watches one attempt at a training by what it has said and saved.

Law: whoever watches may begin anew at any moment; what was seen before is read again.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace

from daemon.core.commands import ReportCheckpoint, ReportIncident
from daemon.core.stages import PROBE
from daemon.craft.training_health import StepTimes, concerns
from daemon.ports import Disk
from daemon.shell.epochs import keep_epoch
from daemon.shell.patience import now
from daemon.shell.training_folder import Attempt, Log
from daemon.wire.status import Drawing

log = logging.getLogger(__name__)

_FEWEST_STEPS = 5
"""A pace of fewer is chance; the first step of all, which takes several times as long, is none."""


class Pace:
    """How long a step takes, by the event loop's clock, which stands still in sleep (K3.5)."""

    def __init__(self) -> None:
        self._first: tuple[int, float] | None = None
        self._last = 0
        self._anew = False
        self.step_s = 0.0

    def seen(self, step: int) -> None:
        """So many steps are done now."""
        if step <= self._last:
            return  # The one that is under way has no length yet.
        self._last = step
        if self._first is None:
            self._first = step, now()
        done = step - self._first[0]
        if done < _FEWEST_STEPS:
            return
        self.step_s = (now() - self._first[1]) / done
        if self._anew:
            self._first, self._anew = (step, now()), False

    def begin_anew(self) -> None:
        """From here on only what comes counts: a Mac that grows hot grows slow (A5.1)."""
        self._anew = True


class TrainingWatch:
    """Its log, which of its epochs are kept already, and how fast it is."""

    def __init__(self, disk: Disk, attempt: Attempt, done: int) -> None:
        self.log = Log(disk, attempt)
        self.attempt = attempt
        self._disk = disk
        self.done = done
        self._probes = attempt.job.stage == PROBE
        saved = attempt.job.checkpoints.items()
        self._kept = {step for step, made in saved if made.attempt == attempt.number}
        self._pace = Pace()
        self._times = StepTimes()
        self._told: set[str] = set()

    @property
    def kept(self) -> Sequence[int]:
        """The epochs of this attempt whose checkpoints are in the ledger."""
        return sorted(step // self.attempt.spec.epoch_steps for step in self._kept)

    async def catch_up(self) -> bool:
        """Read what the trainer has said; whether it said anything."""
        heard = await self.log.catch_up()
        self._pace.seen(self.log.output.reading.step)
        self._times.seen(self.log.output.reading.step, now())
        return heard

    @property
    def stalled_s(self) -> float:
        """For how long no step was made where several should have been; 0 = all is well."""
        reading = self.log.output.reading
        # After the last one it saves, and says so.
        return self._times.stalled_s(now()) if reading.step < reading.steps else 0.0

    def concerns(self) -> Sequence[ReportIncident]:
        """What is to be said of it now and was not said yet."""
        found = []
        for code, text in concerns(self.log.output.reading, self._times.slower()):
            if code not in self._told:
                self._told.add(code)
                found.append(
                    ReportIncident(code, f"{self.attempt.job.id}: {text}", self.attempt.job.id)
                )
                if code == "TRAINING_SLOW":
                    self._pace.begin_anew()
        return found

    @property
    def step_s(self) -> float:
        """What a step takes lately, in awake seconds; 0 = not known yet."""
        return round(self._pace.step_s, 3)

    @property
    def epoch_s(self) -> float:
        """What an epoch takes in this run, in awake seconds; 0 = not known yet."""
        return self.step_s * self.attempt.spec.epoch_steps

    def standing(self) -> Drawing:
        """How far it is, in true steps."""
        reading, spec = self.log.output.reading, self.attempt.spec
        loss = reading.loss
        return Drawing(
            job=self.attempt.job.id,
            attempt=self.attempt.number,
            image=0,
            step=self.done * spec.epoch_steps + reading.step,
            steps=reading.steps if self._probes else spec.steps,
            epoch=reading.epoch,
            epochs=spec.epochs,
            loss=loss if loss is not None and math.isfinite(loss) else None,
        )

    async def kept_epochs(self, *, over: bool) -> Sequence[ReportCheckpoint]:
        """Keep the epochs whose saving is over and report them; ``over``: the process is gone."""
        output, spec = self.log.output, self.attempt.spec
        reports: list[ReportCheckpoint] = []
        if self._probes:
            return reports  # What it has learnt is thrown away.
        for epoch in range(self.done + 1, spec.epochs + 1):
            step, local = epoch * spec.epoch_steps, (epoch - self.done) * spec.epoch_steps
            told = local <= (output.reading.step if over else output.settled_step)
            loss = output.losses.get(local, math.nan) if told else math.nan
            last = epoch == spec.epochs
            if step in self._kept or (last and not over):
                continue
            if math.isfinite(loss):
                reports += await self._keep(epoch, loss=loss, proven=False)
            elif over and not self._is_spoilt():
                # The log may have been lost; a file that vouches for itself is a result (N4.6).
                reports += await self._keep(epoch, loss=0.0, proven=True)
        return reports

    def _is_spoilt(self) -> bool:
        return not all(map(math.isfinite, self.log.output.losses.values()))

    async def _keep(self, epoch: int, *, loss: float, proven: bool) -> Sequence[ReportCheckpoint]:
        attempt, device = self.attempt, self.log.output.reading.device
        report = await keep_epoch(
            self._disk, attempt, epoch, loss=loss, device=device, proven=proven
        )
        if report is None and not proven:
            log.warning("%s: the checkpoint of epoch %d is not whole", attempt.job.id, epoch)
        if report is None and proven:
            return []
        self._kept.add(epoch * attempt.spec.epoch_steps)
        if report is None:
            return []
        self._pace.begin_anew()
        return [replace(report, step_s=self.step_s)]
