"""Performs effects: one effect -> port calls -> the command that reports its end.

Law: every effect is idempotent. Asked again after a crash it finds what it did before, rejoins it,
or
says ``lost``; and what it reports is durable before it returns.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import assert_never

from daemon.core.commands import (
    Command,
    ConfirmPublished,
    RecordModels,
    RecordPrompt,
    ReportEnded,
    ReportImage,
    ReportUnpublishable,
)
from daemon.core.ids import file_prefix, is_rehearsal, prompt_id
from daemon.core.job import Job
from daemon.core.jobs import JobId, Making, ModelFacts, Outcome, PanelSpec
from daemon.core.plan import (
    Effect,
    InstallLora,
    PublishResult,
    RunAttempt,
    RunTraining,
    StopAttempt,
)
from daemon.core.policy import Policy
from daemon.core.state import State
from daemon.core.world import EngineName
from daemon.craft.graph import BoundGraph, bind, with_prefix
from daemon.craft.limits import complaints
from daemon.craft.picture import judge
from daemon.errors import AskerError, WorldError
from daemon.ports import Disk, Pixels, Renderer, Weights
from daemon.shell.dataset import DATASETS
from daemon.shell.drawing import Drawn, DrawOrder, Undrawn, draw
from daemon.shell.intake import HINT_LIMIT_BYTES, HINTS, Pattern, model_facts, read_pattern
from daemon.shell.outbox import STAGING, Outbox, job_folder
from daemon.shell.patience import GivenUp, Patience
from daemon.shell.progress import Progress
from daemon.shell.training import Training
from daemon.wire.making import digest, engine_of, hint_name
from daemon.wire.places import Places, portable_text
from daemon.wire.status import Drawing

log = logging.getLogger(__name__)

GOOD = "good"
_EVIDENCE_CHARS = 1_000
_OVERDUE = frozenset({"STALLED", "SLOW_CPU_FALLBACK"})
_WAIT_FOR_ROOM = frozenset({"DISK_FULL"})


@dataclass(frozen=True, slots=True)
class Tools:
    """The part of the world that effects touch. ``renderer`` None: there is no engine now."""

    disk: Disk
    renderer: Renderer | None
    pixels: Pixels
    weights: Weights


@dataclass(frozen=True, slots=True)
class Ended:
    """How an attempt ended, before it is reported."""

    outcome: Outcome
    code: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """What all pictures of one attempt share. ``hint`` is the engine's name for the hint image."""

    job: Job
    spec: PanelSpec
    pattern: Pattern
    renderer: Renderer
    hint: str | None


class Performer:
    """Carries out what the plan wants. Holds no state of its own."""

    def __init__(
        self,
        *,
        tools: Tools,
        studio: str,
        engine: EngineName,
        places: Places,
        policy: Policy,
        outbox: Outbox,
        state: Callable[[], State],
        ask: Callable[[Command], Awaitable[None]],
        progress: Progress,
        suspect: Callable[[str], None],
        training: Training,
    ) -> None:
        self._suspect = suspect
        self._training = training
        self._tools = tools
        self._studio = studio
        self._engine = engine
        self._places = places
        self._policy = policy
        self._outbox = outbox
        self._state = state
        self._ask = ask
        self._progress = progress

    async def perform(self, effect: Effect) -> None:
        """Carry out one effect to its report."""
        job = self._state().jobs[effect.job]
        match effect:
            case RunAttempt():
                await self._run(job)
            case RunTraining():
                await self._training.run(job)
            case StopAttempt() if job.kind == "train":
                await self._training.stop(job)
            case StopAttempt():
                await self._stop(job)
            case PublishResult():
                await self._publish(job)
            case InstallLora(checkpoint=step):
                await self._training.install(job, step)
            case _:
                assert_never(effect)

    async def sweep(self) -> None:
        """Forget what was kept aside for jobs that need it no more. Asked before the inbox
        opens.
        """
        for aside in (HINTS, DATASETS):
            await self._tools.disk.remove(aside)
        jobs = self._state().jobs
        for folder in await self._tools.disk.list(STAGING):
            job = jobs.get(JobId(folder.name))
            if job is None or not job.open:
                await self._outbox.clear_staging(JobId(folder.name))

    async def _run(self, job: Job) -> None:
        try:
            ended = await self._draw_all(job)
        except AskerError as error:
            ended = Ended(Outcome.FAILED, "TEMPLATE", str(error))
        except GivenUp as error:
            ended = Ended(error.outcome, error.code, error.text)
        except WorldError as error:
            stopped = error.code in _WAIT_FOR_ROOM
            ended = Ended(Outcome.STOPPED if stopped else Outcome.FAILED, error.code, error.text)
        except Exception as error:
            # A bug must not hold the queue: the second time the job is quarantined with this text.
            log.exception("%s, attempt %d", job.id, job.attempt)
            ended = Ended(Outcome.LOST, "INTERNAL", f"A mistake in nightpress itself: {error!r}")
        finally:
            self._progress.report(None)
        text = portable_text(ended.text, self._places)[:_EVIDENCE_CHARS]
        await self._ask(ReportEnded(job.id, job.attempt, ended.outcome, ended.code, text))

    async def _draw_all(self, job: Job) -> Ended:
        renderer, spec = self._tools.renderer, job.spec
        if renderer is None or is_rehearsal(job.id) != (self._engine == "rehearsal"):
            return Ended(
                Outcome.STOPPED, "ENGINE_MISSING", "The engine it was started on is not there."
            )
        assert isinstance(spec, PanelSpec), f"{job.id} draws no picture"
        pattern = await read_pattern(self._tools.disk, spec.workflow)
        hint = await self._upload_hint(renderer, job, spec)
        sheet = Sheet(job, spec, pattern, renderer, hint)
        for image in range(1, len(spec.seeds) + 1):
            ended = await self._draw_one(sheet, image)
            if ended is not None:
                return ended
        return Ended(Outcome.SUCCEEDED)

    async def _upload_hint(self, renderer: Renderer, job: Job, spec: PanelSpec) -> str | None:
        if spec.controlnet is None:
            return None
        name = hint_name(spec.controlnet.sha256)
        path = f"{job_folder(job.id)}/{name}"
        blob = await self._tools.disk.read(path, limit_bytes=HINT_LIMIT_BYTES)
        patience = Patience(self._policy)
        return await patience.ask(
            lambda: renderer.upload(name=f"nightpress-{name}", data=blob.data)
        )

    async def _draw_one(self, sheet: Sheet, image: int) -> Ended | None:
        """Draw, look at and stage one picture; None when it is there and good."""
        job, spec = sheet.job, sheet.spec
        before = job.images.get(image)
        if before is not None and _passes(before.verdict, spec):
            known = await self._outbox.staged(job, image, self._state())
            if known is not None:
                return None
        bound = bind(sheet.pattern.template, spec, seed=spec.seeds[image - 1], hint=sheet.hint)
        wrong = complaints(bound.graph, self._policy)
        if wrong:
            raise AskerError(" ".join(wrong))  # The template was changed since the job was taken.
        models = tuple([await model_facts(self._tools.weights, use) for use in bound.models])
        await self._ask(RecordModels(models))
        drawn = await self._draw(sheet, bound, image)
        if isinstance(drawn, Undrawn):
            return self._undrawn(drawn)
        return await self._judge(sheet, models, drawn, image)

    def _undrawn(self, undrawn: Undrawn) -> Ended:
        if undrawn.code in _OVERDUE:
            self._suspect(undrawn.prompt_id)
        stopped = undrawn.code in _WAIT_FOR_ROOM
        return Ended(Outcome.STOPPED if stopped else undrawn.outcome, undrawn.code, undrawn.text)

    async def _draw(self, sheet: Sheet, bound: BoundGraph, image: int) -> Drawn | Undrawn:
        job = sheet.job
        prompt = prompt_id(
            studio=self._studio,
            job=job.id,
            attempt=job.attempt,
            image=image,
            graph_sha256=bound.graph_sha256,
        )
        order = DrawOrder(
            prompt_id=prompt,
            graph=with_prefix(bound, file_prefix(prompt)),
            save_node=bound.save_node,
            width=sheet.spec.width,
            height=sheet.spec.height,
            steps=sheet.spec.steps,
            note={"job": job.id, "attempt": job.attempt, "image": image},
        )

        def progressed(step: int, steps: int) -> None:
            self._progress.report(Drawing(job.id, job.attempt, image, step, steps))

        progressed(0, 0)
        return await draw(
            order,
            renderer=sheet.renderer,
            record=lambda: self._ask(RecordPrompt(job.id, job.attempt, image, prompt)),
            progress=progressed,
            policy=self._policy,
        )

    async def _judge(
        self, sheet: Sheet, models: tuple[ModelFacts, ...], drawn: Drawn, image: int
    ) -> Ended | None:
        job, spec = sheet.job, sheet.spec
        stats = await self._tools.pixels.measure(drawn.png)
        verdict = judge(stats, width=spec.width, height=spec.height)
        workflow = (json.dumps(drawn.graph, indent=2) + "\n").encode()
        making = Making(
            engine=engine_of(drawn.engine, self._places),
            models=models,
            template=f"{sheet.pattern.name}.json",
            template_sha256=sheet.pattern.sha256,
            workflow_sha256=digest(workflow),
            bytes=len(drawn.png),
            perceptual_hash=stats.perceptual_hash,
        )
        await self._outbox.stage(job, image, png=drawn.png, workflow=workflow)
        report = ReportImage(
            job=job.id,
            attempt=job.attempt,
            image=image,
            sha256=digest(drawn.png),
            verdict=verdict.code or GOOD,
            scores=verdict.scores,
            making=making,
        )
        await self._ask(report)
        if _passes(verdict.code or GOOD, spec):
            return None
        return Ended(Outcome.FAILED, verdict.code, verdict.text)

    async def _stop(self, job: Job) -> None:
        try:
            await self._interrupt(job)
        except GivenUp as error:
            # A server that was away for so long comes back restarted, without our prompt.
            log.warning("%s is cancelled without the engine: %s", job.id, error.text)
        await self._ask(ReportEnded(job.id, job.attempt, Outcome.CANCELLED, "CANCELLED"))

    async def _interrupt(self, job: Job) -> None:
        renderer, patience = self._tools.renderer, Patience(self._policy)
        if renderer is not None:
            for image in job.images.values():
                await patience.ask(partial(renderer.interrupt, image.prompt_id))

    async def _publish(self, job: Job) -> None:
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


def _passes(verdict: str, spec: PanelSpec) -> bool:
    """Whether a picture with this verdict is a result; a panel may be meant to be black."""
    return verdict == GOOD or (verdict not in ("", "WRONG_SIZE") and not spec.quality)
