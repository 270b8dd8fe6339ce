"""Conducts drawing a published picture again: whether it can be, and what came of it.

Law: nothing is drawn unless every file that went in is the one that went in then, and what is
compared was drawn now.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from daemon.core.commands import Calibration, ReportReproduced
from daemon.core.environment import environment_of
from daemon.core.job import Job
from daemon.core.jobs import JobId, Outcome, PanelSpec, Reproduction
from daemon.craft.graph import BoundGraph
from daemon.craft.reproduction import FAILED, differences, verdict_of
from daemon.errors import AskerError, WorldError
from daemon.ports import Weights
from daemon.shell.bench import Bench, Sheet
from daemon.shell.calibrating import calibration_of
from daemon.shell.originals import Original, read_original
from daemon.shell.patience import GivenUp
from daemon.wire.lock_file import Model

_TOLD = 20


class Reproducing:
    """One attempt at drawing a picture again."""

    def __init__(self, bench: Bench, job: Job, again: Reproduction) -> None:
        self._bench, self._job, self._again = bench, job, again

    async def sheet(self, hint: str | None, names: Sequence[str]) -> Sheet:
        """What is to be drawn. ``names`` are the LoRAs in the job's order.

        Raises ``GivenUp`` HASH_CHANGED when a file that went in is another now, and
        ORIGINAL_GONE when the picture itself is.
        """
        original = await self._original()
        if changed := await changed_models(self._bench.weights, original.lock.model):
            await self._report(FAILED, 0.0, changed)
            raise GivenUp(Outcome.FAILED, "HASH_CHANGED", " ".join(changed))
        workflow = original.lock.workflow

        def bound(_: PanelSpec, loras: Sequence[str]) -> BoundGraph:
            return original.bound(dict(zip(names, loras, strict=True)), hint)

        return Sheet(bound, workflow.template, workflow.template_sha256)

    async def conclude(self) -> None:
        """Compare what was drawn with the first, and record the verdict, once."""
        bench = self._bench
        state = bench.state()
        job = state.jobs[self._job.id]
        if job.reproduced is not None:
            return
        original = await self._original()
        drawn = await bench.outbox.staged(job, 1, state)
        assert drawn is not None, "who concludes has drawn all of them"
        engine = drawn.making.engine
        distance = await bench.pixels.compare(original.png, drawn.png)
        calibration = await calibration_of(bench, job) if self._again.calibrates else None
        known = state.calibrated.get(environment_of(engine))
        calibrated = calibration.variance if calibration else known
        await self._report(
            verdict_of(distance, calibrated=calibrated),
            round(distance.mean_difference, 4),
            differences(original.lock.engine, engine),
            calibration,
        )

    async def _original(self) -> Original:
        again = self._again
        try:
            original, digest = await read_original(self._bench.disk, again.job, again.lock)
            if digest != again.sha256:
                raise AskerError(f"{again.lock} is another file than when this was asked for.")
            told = self._bench.state().jobs.get(JobId(again.job))
            if told is not None and told.files.get(again.lock) != digest:
                raise AskerError(
                    f"{again.lock} is not the lock that was published, by the ledger. Bring that "
                    "one back, from git or with `nightpress rebuild`."
                )
        except AskerError as error:
            raise GivenUp(Outcome.FAILED, "ORIGINAL_GONE", str(error)) from None
        return original

    async def _report(
        self,
        verdict: str,
        distance: float,
        told: Sequence[str],
        calibration: Calibration | None = None,
    ) -> None:
        report = partial(ReportReproduced, self._job.id, self._job.attempt, self._again.sha256)
        await self._bench.ask(report(verdict, distance, tuple(told[:_TOLD]), calibration))


async def changed_models(weights: Weights, models: Sequence[Model]) -> Sequence[str]:
    """Which of a lock's models are gone or have other bytes now, in sentences (S3.4)."""
    told = []
    for model in models:
        try:
            now = await weights.facts(role=model.role, name=model.name)
        except WorldError as error:
            told.append(error.text)
            continue
        if now.sha256 != model.sha256:
            told.append(
                f"The {model.role} {model.name} is another file now: it had SHA-256"
                f" {model.sha256[:12]} and has {now.sha256[:12]}."
            )
    return told
