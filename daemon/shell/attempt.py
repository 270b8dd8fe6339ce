"""Conducts one attempt at pictures: one after the other, each looked at while the next is drawn.

Law: whatever can be done beforehand is done while the engine is busy, and nothing that can be done
afterwards keeps it idle; but a prompt is sent only when its id is durable and the one before it has
left the engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from daemon.core.ids import file_prefix
from daemon.core.job import Job
from daemon.core.jobs import Outcome, PanelSpec, Phase
from daemon.core.policy import deadline_s
from daemon.core.state import last_reference
from daemon.craft.graph import BoundGraph, bind, with_prefix
from daemon.errors import WorldError
from daemon.ports import Ears, Renderer
from daemon.shell.bench import Bench, Ended, Prepared, Sheet
from daemon.shell.calibrating import measured
from daemon.shell.drawing import Conversation
from daemon.shell.hearing import Hearing
from daemon.shell.intake import HINT_LIMIT_BYTES, read_pattern
from daemon.shell.judging import Judging, Left
from daemon.shell.outbox import job_folder
from daemon.shell.patience import GivenUp, Patience, let_go
from daemon.shell.preparing import Preparing
from daemon.shell.reproducing import Reproducing
from daemon.shell.whereabouts import DrawOrder
from daemon.wire.making import digest, hint_name
from daemon.wire.status import Drawing

_HINT = (
    "The hint image as it was taken, $STUDIO/{}, {}, so nothing is drawn after it. Drop the job's"
    " file again (`nightpress again`): the hint is copied anew."
)
MAX_PICTURES = 1_000
_NEEDS_FREEING = frozenset({"OUT_OF_MEMORY", "MEMORY_PRESSURE", "STALLED"})


def pages_of(spec: PanelSpec) -> Sequence[PanelSpec]:
    """A panel's pictures, each by itself."""
    return [replace(spec, seeds=(seed,)) for seed in spec.seeds]


class PanelAttempt:
    """One attempt, in one life of the daemon. Its ``pages`` have one seed each, and may differ in
    prompt and LoRAs; ``most`` of them are drawn before somebody else may have a turn.
    """

    def __init__(
        self,
        bench: Bench,
        renderer: Renderer,
        hearing: Hearing,
        job: Job,
        pages: Sequence[PanelSpec],
        *,
        most: int = MAX_PICTURES,
    ) -> None:
        self._bench = bench
        self._renderer = renderer
        self._hearing = hearing
        self._job = job
        self._pages = pages
        self._most = most
        self._first = pages[0]
        self._talk: Conversation | None = None
        self._judging = Judging(bench, renderer, job, pages)
        self._preparing = Preparing(bench, renderer, job, pages)
        again = self._first.reproduces
        self._again = Reproducing(bench, job, again) if again else None

    async def run(self) -> Ended:
        """Draw what is not drawn yet. Raises ``GivenUp``, ``AskerError`` and ``WorldError``."""
        try:
            await self._bench.ready(self._job.profile)
            ended = Ended(Outcome.SUCCEEDED)
            todo = await self._todo()
            while todo and ended.outcome is Outcome.SUCCEEDED:
                sheet = await self._sheet()
                # Before anything is sent, or it is missed.
                async with self._hearing.ears() as ears:
                    ended = await self._draw_and_look(sheet, ears, todo[: self._most])
                todo = todo[self._most :]
                if todo and ended.outcome is Outcome.SUCCEEDED and self._is_waited_for():
                    text = f"Somebody waits, and {len(todo)} of its pictures are left."
                    ended = Ended(Outcome.STOPPED, "IN_TURNS", text)
            if ended.outcome is Outcome.SUCCEEDED:
                ended = await self._concluded()
        except GivenUp as given_up:
            if given_up.code in _NEEDS_FREEING:
                await let_go(self._renderer)
            raise
        if ended.code in _NEEDS_FREEING:
            await let_go(self._renderer)
        return ended

    async def _concluded(self) -> Ended:
        """What is to be said of all pictures together, where they were drawn for that."""
        if self._again is not None:
            await self._again.conclude()
        if self._first.measures:
            return await measured(self._bench, self._job)
        return Ended(Outcome.SUCCEEDED)

    def _is_waited_for(self) -> bool:
        """Whether a panel has come while this attempt had its turn."""
        state = self._bench.state()
        jobs = (state.jobs[name] for name in state.queue)
        return any(job.kind == "panel" and job.phase is Phase.WAITING for job in jobs)

    async def _todo(self) -> Sequence[int]:
        """The pictures that are not there, whole and good."""
        todo = []
        for image in range(1, len(self._pages) + 1):
            before = self._job.images.get(image)
            if before is not None and self._job.stands(before):
                state = self._bench.state()
                if await self._bench.outbox.staged(self._job, image, state) is not None:
                    continue
            todo.append(image)
        return todo

    async def _sheet(self) -> Sheet:
        name, hint = self._first.workflow, await self._upload_hint()
        if self._again is not None:
            return await self._again.sheet(hint, [lora.name for lora in self._first.loras])
        pattern = await self._bench.patterns.get(name, lambda: read_pattern(self._bench.disk, name))

        def bound(page: PanelSpec, loras: Sequence[str]) -> BoundGraph:
            return bind(pattern.template, page, seed=page.seeds[0], loras=loras, hint=hint)

        return Sheet(bound, f"{pattern.name}.json", pattern.sha256)

    async def _upload_hint(self) -> str | None:
        if self._first.controlnet is None:
            return None
        wanted = self._first.controlnet.sha256
        name = hint_name(wanted)
        path = f"{job_folder(self._job.id)}/{name}"
        try:
            blob = await self._bench.disk.read(path, limit_bytes=HINT_LIMIT_BYTES)
        except WorldError as error:
            if error.code != "NOT_FOUND":
                raise
            raise GivenUp(Outcome.FAILED, "HINT_CHANGED", _HINT.format(path, "is gone")) from None
        if digest(blob.data) != wanted:
            raise GivenUp(Outcome.FAILED, "HINT_CHANGED", _HINT.format(path, "was changed"))
        return await Patience(self._bench.policy).ask(
            lambda: self._renderer.upload(name=f"nightpress-{name}", data=blob.data)
        )

    async def _draw_and_look(self, sheet: Sheet, ears: Ears, todo: Sequence[int]) -> Ended:
        """Two tasks: one keeps the engine busy, one looks at what it has drawn, in that order."""
        drawn: asyncio.Queue[Left | None] = asyncio.Queue()
        drawing = asyncio.ensure_future(self._draw_each(sheet, ears, todo, drawn))
        looking = asyncio.ensure_future(self._look_at_each(sheet, drawn))
        try:
            await asyncio.wait({drawing, looking}, return_when=asyncio.FIRST_COMPLETED)
            if not drawing.done():
                # A picture is no result, so what is drawn after it would be for nothing.
                drawing.cancel()
                await asyncio.wait({drawing})
                await self._withdraw()
            ended = await looking
            if ended is None and not drawing.cancelled():
                await drawing
        finally:
            for task in (drawing, looking):
                task.cancel()
            await asyncio.gather(drawing, looking, return_exceptions=True)
        return ended or Ended(Outcome.SUCCEEDED)

    async def _draw_each(
        self, sheet: Sheet, ears: Ears, todo: Sequence[int], drawn: asyncio.Queue[Left | None]
    ) -> None:
        following = asyncio.ensure_future(self._preparing.prepared(sheet, todo[0]))
        try:
            for place, _ in enumerate(todo, start=1):
                prepared = await following
                await self._take_turn(prepared)
                if place < len(todo):
                    following = asyncio.ensure_future(self._preparing.prepared(sheet, todo[place]))
                drawn.put_nowait(await self._draw(prepared, ears, last=place == len(todo)))
        finally:
            drawn.put_nowait(None)
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def _take_turn(self, prepared: Prepared) -> None:
        waited = await self._bench.turns.mine(self._job)
        if waited and self._bench.state().paused:
            text = "The press was paused before anything of it was sent."
            raise GivenUp(Outcome.STOPPED, "PAUSED", text)
        if prepared.stale:
            await let_go(self._renderer)
            await self._preparing.record(prepared)

    async def _draw(self, prepared: Prepared, ears: Ears, *, last: bool) -> Left:
        bench, job = self._bench, self._job
        talk = self._talk = Conversation(
            self._order(prepared),
            renderer=self._renderer,
            progress=partial(self._progressed, prepared.image),
            pressed=bench.pressed,
            policy=bench.policy,
        )
        self._progressed(prepared.image, 0, 0)
        began = await self._log_end()
        close = partial(bench.close, job.id, job.attempt) if last else _nothing
        try:
            clear = await talk.until_left(ears, clear=bench.turns.clear(), accepted=close)
        finally:
            if not talk.obeyed:
                bench.suspect(prepared.prompt)
        bench.turns.saw(clear=clear)
        said = (began, await self._log_end())
        if last:
            bench.turns.leave(job)
        self._talk = None
        return Left(prepared, talk, said)

    def _order(self, prepared: Prepared) -> DrawOrder:
        job, spec = self._job, self._pages[prepared.image - 1]
        order = DrawOrder(
            prompt_id=prepared.prompt,
            graph=with_prefix(prepared.bound, file_prefix(prepared.prompt)),
            save_node=prepared.bound.save_node,
            map_node=prepared.bound.map_node,
            draw_s=self._draw_s(spec),
            note={
                "job": job.id,
                "panel": job.name,
                "ref": job.ref,
                "attempt": job.attempt,
                "image": prepared.image,
            },
            fresh=prepared.fresh,
        )
        bound, image = prepared.bound, prepared.image
        # What was drawn again counts only with the engine's word that it was not cached.
        attempts = [] if spec.anew else reversed(job.lost)
        lost = [self._preparing.prompt(image, bound, attempt=each) for each in attempts]
        earlier = [
            replace(order, prompt_id=each, graph=with_prefix(bound, file_prefix(each)))
            for each in lost
        ]
        return replace(order, earlier=tuple(earlier))

    def _draw_s(self, spec: PanelSpec) -> float:
        policy, known = self._bench.policy, last_reference(self._bench.state())
        if spec.measures:
            return policy.calibration_deadline_s
        pace = known.pixel_step_s if known else 0.0
        return deadline_s(
            policy, width=spec.width, height=spec.height, steps=spec.steps, pixel_step_s=pace
        )

    def _progressed(self, image: int, step: int, steps: int) -> None:
        job, images = self._job, len(self._pages)
        drawing = Drawing(job.id, job.attempt, image, step, steps, images=images)
        self._bench.progress.report(drawing)

    async def _log_end(self) -> int:
        return await self._bench.host.log_end() if self._bench.host else 0

    async def _withdraw(self) -> None:
        if (talk := self._talk) is not None:
            await talk.withdraw()
            if not talk.obeyed:
                self._bench.suspect(talk.prompt_id)

    async def _look_at_each(self, sheet: Sheet, drawn: asyncio.Queue[Left | None]) -> Ended | None:
        """Fetch, judge and keep what was drawn; how it ends where some of it is no result.

        The other seeds of a job may come out well where one did not; but when the first two are
        spoilt and none was ever good, what is drawn after them would be for nothing.
        """
        good = any(self._job.stands(image) for image in self._job.images.values())
        spoilt: Ended | None = None
        while (left := await drawn.get()) is not None:
            ended = await self._judging.judge(sheet, left)
            good = good or ended is None
            if ended is not None and spoilt is not None and not good:
                return spoilt
            spoilt = spoilt or ended
        return spoilt


def _nothing() -> None:
    return None
