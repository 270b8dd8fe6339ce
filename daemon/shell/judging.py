"""Conducts what happens to a picture that has left the engine: fetched, looked at, kept, told.

Law: what the engine calls a success is a result only when pixels and log say so too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from daemon.core.commands import ReportImage, ReportIncident
from daemon.core.job import Job
from daemon.core.jobs import GOOD, Outcome, PanelSpec, passes
from daemon.core.tools import Making
from daemon.craft.controlnets import hint_fault
from daemon.craft.picture import Verdict, judge
from daemon.craft.reproduction import was_drawn
from daemon.ports import Renderer
from daemon.shell.bench import Bench, Ended, Prepared, Sheet
from daemon.shell.drawing import Conversation
from daemon.shell.patience import GivenUp, Patience
from daemon.shell.whereabouts import Drawn
from daemon.wire.comfyui_log import Words, codes, read_words, scores
from daemon.wire.making import digest, engine_of

_NAN = "The engine warned that it saved values that are no numbers, so this is no picture of it."
_SLOW_LOAD = "It took {:.0f} s until the first sampler step: models were loaded slowly."
_SILENT = (
    "The engine's socket said nothing for a minute while a picture was drawn; it was found by"
    " asking."
)


_CACHED = (
    "The engine did not draw the picture anew: it took results of its sampler or its decoder from"
    " its cache, or does not say. It is forgotten and drawn once more."
)


def _seconds(spec: PanelSpec, drawn: Drawn, talk: Conversation) -> Mapping[str, float]:
    """How long it took, where that is asked for; and each step of it, where one is measured."""
    steps = {f"step_{number:02}_s": took for number, took in talk.paces(spec.steps).items()}
    return {"seconds": drawn.seconds, **(steps if spec.measures else {})} if spec.anew else {}


@dataclass(frozen=True, slots=True)
class Left:
    """A picture that has left the engine. ``said`` are the bytes of the engine's log that it took,
    from and to.
    """

    prepared: Prepared
    talk: Conversation
    said: tuple[int, int]


class Judging:
    """The pictures of one attempt, one after the other."""

    def __init__(
        self, bench: Bench, renderer: Renderer, job: Job, pages: Sequence[PanelSpec]
    ) -> None:
        self._bench, self._renderer = bench, renderer
        self._job, self._pages = job, pages
        self._told: set[str] = set()

    async def judge(self, sheet: Sheet, left: Left) -> Ended | None:
        """Fetch, look at and keep a picture; None when it is a result. Raises ``GivenUp``, and
        ``WorldError`` PICTURE_BROKEN.
        """
        bench, job, image = self._bench, self._job, left.prepared.image
        spec = self._pages[image - 1]
        drawn = await left.talk.result()
        if spec.anew and not was_drawn(left.prepared.bound.graph, drawn.cached):
            raise GivenUp(Outcome.LOST, "CACHED", _CACHED)
        stats = await bench.pixels.measure(drawn.png)
        verdict = judge(stats, width=spec.width, height=spec.height)
        if drawn.pose_map is not None and (fault := await self._empty(drawn.pose_map)):
            verdict = Verdict(False, "EMPTY_POSE_MAP", fault, verdict.scores)
        words = await self._words(left)
        if verdict.ok and words.nan_warnings:
            # Whatever the pixels look like, some of them were no numbers (A3.3).
            verdict = Verdict(False, "NAN_IN_PICTURE", _NAN, verdict.scores)
        workflow = (json.dumps(drawn.graph, indent=2) + "\n").encode()
        maps = drawn.pose_map
        await bench.outbox.stage(job, image, png=drawn.png, workflow=workflow, pose_map=maps)
        report = ReportImage(
            job=job.id,
            attempt=job.attempt,
            image=image,
            sha256=digest(drawn.png),
            verdict=verdict.code or GOOD,
            scores={**verdict.scores, **scores(words), **_seconds(spec, drawn, left.talk)},
            making=await self._making(sheet, left, drawn, workflow, stats.perceptual_hash),
        )
        await bench.ask(report)
        await self._tell(left, words)
        if passes(verdict.code or GOOD, spec):
            return None
        return Ended(Outcome.FAILED, verdict.code, verdict.text)

    async def _making(
        self, sheet: Sheet, left: Left, drawn: Drawn, workflow: bytes, perceptual_hash: str
    ) -> Making:
        bench = self._bench
        ask = partial(Patience(bench.policy).ask, self._renderer.describe)
        return Making(
            engine=engine_of(await bench.engines.get("", ask), bench.places),
            models=left.prepared.models,
            template=sheet.template,
            template_sha256=sheet.template_sha256,
            workflow_sha256=digest(workflow),
            bytes=len(drawn.png),
            perceptual_hash=perceptual_hash,
            rung=self._job.profile,
            map_sha256=digest(drawn.pose_map) if drawn.pose_map is not None else "",
        )

    async def _empty(self, pose_map: bytes) -> str:
        """What is said of a pose map with nothing on it, '' where it can guide (C2.3)."""
        fault = hint_fault(await self._bench.pixels.measure(pose_map))
        return fault and (
            f"The pose map that the template made {fault}: its preprocessor found nothing in the"
            " hint image, so nothing guided the picture."
        )

    async def _words(self, left: Left) -> Words:
        """What the engine's log says of this picture; nothing where the log is not ours."""
        since, until = left.said
        if self._bench.host is None or until <= since:
            return Words()
        return read_words(await self._bench.host.log_text(since=since, until=until))

    async def _tell(self, left: Left, words: Words) -> None:
        """What went wrong without a failure, once in an attempt."""
        seen = [("WS_SILENT", _SILENT)] if left.talk.silent else []
        if left.talk.loading_s > self._bench.policy.model_load_slow_s:
            seen.append(("MODEL_LOAD_SLOW", _SLOW_LOAD.format(left.talk.loading_s)))
        for code, text in [*seen, *codes(words)]:
            if code not in self._told:
                self._told.add(code)
                await self._bench.ask(ReportIncident(code, f"{self._job.id}: {text}", self._job.id))
