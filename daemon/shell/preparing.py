"""Prepares pictures for their turn at the engine: graph, models and prompt id.

Law: what is prepared is recorded before it may be sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from daemon.core.commands import RecordModels, RecordPrompt
from daemon.core.ids import prompt_id
from daemon.core.job import Job
from daemon.core.jobs import ModelFacts, Outcome, PanelSpec
from daemon.core.state import key_of
from daemon.craft.graph import BoundGraph
from daemon.craft.limits import complaints
from daemon.craft.nodes import class_of
from daemon.craft.packs import forbidden_nodes
from daemon.errors import AskerError
from daemon.ports import Renderer
from daemon.shell.bench import Bench, Prepared, Sheet
from daemon.shell.patience import GivenUp, Patience
from daemon.shell.replaced import replaced


class Preparing:
    """The pictures of one attempt."""

    def __init__(
        self, bench: Bench, renderer: Renderer, job: Job, pages: Sequence[PanelSpec]
    ) -> None:
        self._bench, self._renderer = bench, renderer
        self._job, self._pages = job, pages

    async def prepared(self, sheet: Sheet, image: int) -> Prepared:
        """All that can be done for a picture before its turn."""
        bench, page = self._bench, self._pages[image - 1]
        aliases = await self._aliases(page)
        loras = [aliases.get(lora.name, lora.name) for lora in page.loras]
        bound = sheet.bound(page, loras)
        wrong = complaints(bound, bench.policy, bench.packs)
        if wrong:
            raise AskerError(" ".join(wrong))  # The template was changed since the job was taken.
        await self._check_nodes(bound)
        own_names = {alias: name for name, alias in aliases.items()}
        uses = [replace(use, name=own_names.get(use.name, use.name)) for use in bound.models]
        models = tuple([await bench.weights.facts(role=use.role, name=use.name) for use in uses])
        prompt = self.prompt(image, bound, attempt=self._job.attempt)
        before = self._job.images.get(image)
        prepared = Prepared(
            image=image,
            bound=bound,
            models=models,
            prompt=prompt,
            fresh=before is None or before.prompt_id != prompt,
            # What is drawn again must not come out of the engine's cache.
            stale=page.anew
            or any(self._was_another(model) for model in models if model.name not in aliases),
        )
        if not prepared.stale:
            await self.record(prepared)
        return prepared

    def prompt(self, image: int, bound: BoundGraph, *, attempt: int) -> str:
        """The id under which an attempt sends a picture."""
        return prompt_id(
            studio=self._bench.studio,
            job=self._job.id,
            attempt=attempt,
            image=image,
            graph_sha256=bound.graph_sha256,
        )

    async def _check_nodes(self, bound: BoundGraph) -> None:
        """Only what ComfyUI brings and the allowed packs may draw (A4.2)."""
        classes = sorted({class_of(node) for node in bound.graph.values()})
        ask = Patience(self._bench.policy).ask
        modules = await self._bench.modules.get(
            " ".join(classes), lambda: ask(lambda: self._renderer.modules(classes))
        )
        for code, text in forbidden_nodes(classes, modules, self._bench.packs, bound.packs):
            raise GivenUp(Outcome.FAILED, code, text)

    async def _aliases(self, page: PanelSpec) -> Mapping[str, str]:
        """Other names for LoRAs of which the ledger knows several: the engine tells files by their
        names, and would draw with whichever it has in memory.
        """
        found: dict[str, str] = {}
        for lora in page.loras:
            facts = await self._bench.weights.facts(role="lora", name=lora.name)
            known = self._bench.state().recorded.values()
            changed = any(key_of(other) == key_of(facts) and other != facts for other in known)
            if changed and self._bench.host is not None:
                alias = await self._bench.weights.alias(lora.name, sha256=facts.sha256)
                found |= {lora.name: alias} if alias else {}
        return found

    def _was_another(self, model: ModelFacts) -> bool:
        """Whether the ledger knows other bytes under this name: the engine may have them still,
        for it tells files by their names.
        """
        state = self._bench.state()
        known = state.recorded.get(state.latest.get(key_of(model), 0))
        return known is not None and known != model

    async def record(self, prepared: Prepared) -> None:
        """What it is drawn with and under which id, durable before anything is sent."""
        job, ask = self._job, self._bench.ask
        told = replaced(self._bench.state(), prepared.models)
        await asyncio.gather(
            *map(ask, told),
            ask(RecordModels(prepared.models)),
            ask(RecordPrompt(job.id, job.attempt, prepared.image, prepared.prompt)),
        )
