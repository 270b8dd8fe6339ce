"""Performs effects: one effect -> port calls -> the command that reports its end.

Law: every effect is idempotent. Asked again after a crash it finds what it did before, rejoins it,
or says ``lost``; and what it reports is durable before it returns.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import assert_never

from daemon.core.commands import ConfirmPruned, ConfirmPublished, ReportEnded, ReportUnpublishable
from daemon.core.controls import RETRIABLE
from daemon.core.ids import is_rehearsal
from daemon.core.job import Job
from daemon.core.jobs import JobId, Outcome, TrainSpec
from daemon.core.plan import (
    Effect,
    InstallLora,
    Prune,
    PublishResult,
    RunAttempt,
    RunTraining,
    StopAttempt,
)
from daemon.core.world import EngineName
from daemon.errors import AskerError, WorldError
from daemon.ports import Renderer
from daemon.shell.attempt import PanelAttempt, pages_of
from daemon.shell.bench import Bench, Ended
from daemon.shell.dataset import DATASETS
from daemon.shell.hearing import Hearing
from daemon.shell.intake import HINTS
from daemon.shell.outbox import STAGING
from daemon.shell.patience import GivenUp, Patience
from daemon.shell.pruning import prunable
from daemon.shell.series import LENT, Series
from daemon.shell.training import Training
from daemon.wire.places import portable_text

log = logging.getLogger(__name__)

_EVIDENCE_CHARS = 1_000
_WORTH_ANOTHER = {
    "DISK_FULL": Outcome.STOPPED,
    "PICTURE_BROKEN": Outcome.LOST,
}
"""What the world refuses and may grant the next time; the rest is a failure."""


class Performer:
    """Carries out what the plan wants. ``renderer`` None: there is no engine now; ``now`` in ms
    since 1970.
    """

    def __init__(
        self,
        bench: Bench,
        *,
        renderer: Renderer | None,
        engine: EngineName,
        training: Training,
        now: Callable[[], int],
    ) -> None:
        self._bench = bench
        self._now = now
        self._renderer = renderer
        self._hearing = Hearing(renderer) if renderer else None
        self._engine = engine
        self._training = training
        self._state = bench.state
        self._ask = bench.ask
        self._outbox = bench.outbox
        # Results appear in the order in which they were made.
        self._publishing = asyncio.Lock()

    async def perform(self, effect: Effect) -> None:
        """Carry out one effect to its report."""
        if isinstance(effect, Prune):
            await self._prune(effect.job)
            return
        job = self._state().jobs[effect.job]
        match effect:
            case RunAttempt():
                await self._run(job)
            case RunTraining():
                await self._training.run(job)
            case StopAttempt() if not job.draws:
                await self._training.stop(job)
            case StopAttempt():
                await self._stop(job)
            case PublishResult():
                await self._publish(job)
            case InstallLora(checkpoint=step):
                await self._training.install(job, step)
            case _:
                assert_never(effect)

    async def _prune(self, target: str) -> None:
        disk, state = self._bench.disk, self._state()
        for path in await prunable(disk, state, target, at=self._now()):
            await disk.remove(path)
        await self._ask(ConfirmPruned(target))

    async def sweep(self) -> None:
        """Forget what was kept aside for jobs that need it no more. Asked before the inbox
        opens.
        """
        disk = self._bench.disk
        for aside in (HINTS, DATASETS):
            await disk.remove(aside)
        jobs = self._state().jobs
        if self._engine == "comfyui":
            await self._bench.weights.take_back(LENT)
        for folder in await disk.list(STAGING):
            job = jobs.get(JobId(folder.name))
            if job is None or not (job.open or job.phase in RETRIABLE):
                await self._outbox.clear_staging(JobId(folder.name))

    async def _run(self, job: Job) -> None:
        try:
            ended = await self._draw(job)
        except AskerError as error:
            ended = Ended(Outcome.FAILED, "TEMPLATE", str(error))
        except GivenUp as error:
            ended = Ended(error.outcome, error.code, error.text)
        except WorldError as error:
            ended = Ended(_WORTH_ANOTHER.get(error.code, Outcome.FAILED), error.code, error.text)
        except Exception as error:
            # A bug must not hold the queue: the second time the job is quarantined with this text.
            log.exception("%s, attempt %d", job.id, job.attempt)
            ended = Ended(Outcome.LOST, "INTERNAL", f"A mistake in nightpress itself: {error!r}")
        finally:
            self._bench.progress.forget(job.id)
        text = portable_text(ended.text, self._bench.places)[:_EVIDENCE_CHARS]
        peak_bytes = await self._bench.peak(job)
        await self._bench.turns.first(job)
        await self._ask(
            ReportEnded(job.id, job.attempt, ended.outcome, ended.code, text, peak_bytes)
        )

    async def _draw(self, job: Job) -> Ended:
        renderer, hearing = self._renderer, self._hearing
        meant = is_rehearsal(job.id) == (self._engine == "rehearsal")
        if renderer is None or hearing is None or not meant:
            return Ended(
                Outcome.STOPPED, "ENGINE_MISSING", "The engine it was started on is not there."
            )
        if isinstance(job.spec, TrainSpec):
            return await Series(self._bench, renderer, hearing, job, job.spec).run()
        pages = pages_of(job.spec)
        return await PanelAttempt(self._bench, renderer, hearing, job, pages).run()

    async def _stop(self, job: Job) -> None:
        try:
            await self._interrupt(job)
        except GivenUp as error:
            # A server that was away for so long comes back restarted, without our prompt.
            log.warning("%s is cancelled without the engine: %s", job.id, error.text)
        await self._ask(
            ReportEnded(job.id, job.attempt, Outcome.CANCELLED, "CANCELLED", "Cancelled by you.")
        )

    async def _interrupt(self, job: Job) -> None:
        renderer, patience = self._renderer, Patience(self._bench.policy)
        if renderer is not None:
            for image in job.images.values():
                if image.judged is not None:
                    continue  # It has left the engine.
                await patience.ask(partial(renderer.interrupt, image.prompt_id))

    async def _publish(self, job: Job) -> None:
        async with self._publishing:
            state = self._state()
            try:
                if job.kind == "train":
                    files = await self._training.publish(job, state, host=self._outbox.host)
                else:
                    files = await self._outbox.publish(job, state)
            except WorldError as error:
                if error.code != "RESULT_GONE":
                    raise
                await self._ask(ReportUnpublishable(job.id, error.text))
                return
            await self._ask(ConfirmPublished(job.id, files))
        await self._outbox.clear_staging(job.id)
