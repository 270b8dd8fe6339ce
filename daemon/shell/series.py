"""Conducts the drawn stages of a training: its sub-prompts, and what becomes of their pictures.

Law: what a stage has drawn lies in the job's folder before the stage is over in the ledger, so
whatever comes after it finds it, and a crash in between only does that again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from daemon.core.commands import RecordDataset, ReportIncident
from daemon.core.events import ImageJudged
from daemon.core.ids import is_rehearsal, lora_file
from daemon.core.job import Job
from daemon.core.jobs import (
    GOOD,
    LoraUse,
    Outcome,
    PanelSpec,
    Regularization,
    TrainingImage,
    TrainSpec,
)
from daemon.core.stages import GRID, REGULARIZATION, UNRELATED, page
from daemon.craft.grid import Sheet, sheet
from daemon.craft.memorising import Drawn, familiar_prompts, sights
from daemon.errors import WorldError
from daemon.ports import Renderer
from daemon.shell.attempt import PanelAttempt
from daemon.shell.bench import Bench, Ended
from daemon.shell.dataset_folder import IMAGE_LIMIT_BYTES
from daemon.shell.hearing import Hearing
from daemon.shell.outbox import DATASET_COPY, job_folder
from daemon.shell.training_folder import file_or_none, kept_folder
from daemon.shell.training_result import SHOWN, approved_lora
from daemon.wire.making import digest

LENT = "nightpress-grid"
"""The folder below the engine's LoRAs in which checkpoints lie while their grid is drawn."""
IN_A_ROW = 12
"""So many pictures of a series are drawn before somebody else may have a turn."""
_CACHE = ".nightpress/regularization"
_INDEX = "pictures.json"
_SEEDS = (1, 2)
_FEWEST_GOOD = 0.5
"""Of the regularization pictures; where some are spoilt, the others are shown more often."""


class Series:
    """One attempt at a drawn stage."""

    def __init__(
        self, bench: Bench, renderer: Renderer, hearing: Hearing, job: Job, spec: TrainSpec
    ) -> None:
        self._bench, self._renderer, self._hearing = bench, renderer, hearing
        self._job, self._spec = job, spec

    async def run(self) -> Ended:
        """Draw what is not drawn yet, and keep it. Raises as ``PanelAttempt.run`` does."""
        wanted = self._spec.regularization
        if self._job.stage == REGULARIZATION and wanted is not None:
            return await self._regularize(wanted)
        cells = await self._cells()
        try:
            ended = await self._draw([self._page(cell) for cell in cells])
        except Exception:
            await self._take_back()
            raise
        # Not when the daemon ends: the picture that the engine draws still needs them.
        await self._take_back()
        if ended.outcome is Outcome.SUCCEEDED:
            await self._show(cells)
        return ended

    async def _draw(self, pages: Sequence[PanelSpec]) -> Ended:
        bench, most = self._bench, IN_A_ROW
        return await PanelAttempt(
            bench, self._renderer, self._hearing, self._job, pages, most=most
        ).run()

    async def _cells(self) -> Sequence[Drawn]:
        """The pictures of this stage, none of them drawn; step 0 is without the LoRA."""
        steps, prompts = [0], [self._spec.trigger, UNRELATED]
        if self._job.stage == GRID and self._spec.grid:
            steps += [step for step in sorted(self._job.checkpoints) if await self._lent(step)]
            captions = await self._captions()
            prompts[1:1] = [*familiar_prompts(captions), *self._spec.grid.prompts]
        seeds = self._spec.grid.seeds if self._spec.grid else _SEEDS
        asked = dict.fromkeys((text, seed) for text in prompts for seed in seeds)
        return [Drawn(step, text, seed) for step in steps for text, seed in asked]

    def _page(self, cell: Drawn) -> PanelSpec:
        lora = None
        if cell.step and self._spec.grid:
            name = f"{LENT}/{lora_file(self._job.id, cell.step)}"
            lora = LoraUse(name, self._spec.grid.strength, self._job.id)
        return page(self._spec, self._bench.policy, cell.prompt, seed=cell.seed, lora=lora)

    async def _lent(self, step: int) -> bool:
        """Put a checkpoint where the engine finds it; whether it is there."""
        try:
            name, data = await approved_lora(self._bench.disk, self._job, step)
            if not is_rehearsal(self._job.id):
                await self._bench.weights.install(f"{LENT}/{name}", data)
        except WorldError as error:
            if error.code not in ("RESULT_GONE", "LORA_EXISTS"):
                raise
            text = f"{self._job.id}: its grid is drawn without step {step}. {error.text}"
            await self._bench.ask(ReportIncident("CHECKPOINT_GONE", text, self._job.id))
            return False
        return True

    async def _take_back(self) -> None:
        if self._job.stage == GRID and not is_rehearsal(self._job.id):
            await self._bench.weights.take_back(LENT)

    async def _show(self, cells: Sequence[Drawn]) -> None:
        """Put what was drawn into one picture, and say what it shows of each checkpoint."""
        bench, job = self._bench, self._bench.state().jobs[self._job.id]
        drawn = []
        for number, cell in enumerate(cells, start=1):
            found = await bench.outbox.staged(job, number, bench.state())
            judged = job.images[number].judged if number in job.images else None
            if found is None or judged is None or not isinstance(judged.event, ImageJudged):
                drawn.append(cell)
                continue
            seen = judged.event.perceptual_hash
            drawn.append(Drawn(cell.step, cell.prompt, cell.seed, seen, found.png))
        captions, training = await self._captions(), await self._training_hashes()
        told = {
            step: f"epoch {step // self._spec.epoch_steps}, loss {made.loss:.4f}"
            for step, made in job.checkpoints.items()
        }
        texts = list(captions.values())
        shown = sheet(job.id, drawn, training=training, captions=texts, told=told)
        if job.stage == GRID:
            for sight in sights(drawn, training, texts):
                if sight.code:
                    text = f"{job.id}, step {sight.step}: {sight.text}"
                    await bench.ask(ReportIncident(sight.code, text, self._job.id))
        await self._write_picture(shown)

    async def _write_picture(self, shown: Sheet) -> None:
        try:
            png = await self._bench.pixels.grid(shown)
        except WorldError as error:
            if error.code != "GRID_FAILED":
                raise
            # What was trained is no worse for it.
            await self._bench.ask(
                ReportIncident(error.code, f"{self._job.id}: {error.text}", self._job.id)
            )
            return
        path = f"{job_folder(self._job.id)}/{SHOWN[self._job.stage]}"
        await self._bench.disk.write(path, png, synced=True)

    async def _captions(self) -> Mapping[str, str]:
        """By the names of the pictures that the training learns from."""
        found = {}
        for image in self._learnt():
            path = f"{self._dataset}/{image.name.rpartition('.')[0]}.txt"
            data = await file_or_none(self._bench.disk, path) or b""
            found[image.name] = data.decode(errors="replace").partition("\n")[0].strip()
        return found

    async def _training_hashes(self) -> Mapping[str, str]:
        found = {}
        for image in self._learnt():
            try:
                path = f"{self._dataset}/{image.name}"
                blob = await self._bench.disk.read(path, limit_bytes=IMAGE_LIMIT_BYTES)
                stats = await self._bench.pixels.examine(blob.data)
            except WorldError:
                continue  # Gone, or none that is decoded here: there is nothing to compare with.
            found[image.name] = stats.perceptual_hash
        return found

    def _learnt(self) -> Sequence[TrainingImage]:
        return [image for image in self._job.dataset if image.source != REGULARIZATION]

    @property
    def _dataset(self) -> str:
        return f"{job_folder(self._job.id)}/{DATASET_COPY}"

    async def _regularize(self, wanted: Regularization) -> Ended:
        """Draw the regularization pictures, or take those that were drawn before (D3.1)."""
        pages = [
            page(self._spec, self._bench.policy, wanted.prompt, seed=seed)
            for seed in range(1, wanted.count + 1)
        ]
        cache = f"{_CACHE}/{await self._key(pages[0], wanted.count)}"
        pictures = await self._cached(cache)
        if not pictures:
            ended = await self._draw(pages)
            if ended.outcome is not Outcome.SUCCEEDED:
                return ended
            pictures = await self._good(len(pages))
            if len(pictures) < _FEWEST_GOOD * len(pages):
                return Ended(
                    Outcome.FAILED,
                    "REGULARIZATION_SPOILT",
                    f"Of {len(pages)} regularization pictures only {len(pictures)} came out as "
                    "pictures. See what a panel with this checkpoint and VAE looks like first.",
                )
            await self._keep(cache, pictures)
        kept = kept_folder(self._job.id, REGULARIZATION)
        await self._bench.disk.remove(kept)
        await self._keep(kept, pictures, index=False)
        rows = tuple(
            TrainingImage(name, digest(png), "", REGULARIZATION) for name, png in pictures.items()
        )
        await self._bench.ask(RecordDataset(self._job.id, rows))
        return Ended(Outcome.SUCCEEDED)

    async def _key(self, first: PanelSpec, count: int) -> str:
        """What two series share whose pictures are the same."""
        weights = self._bench.weights
        files = [
            (await weights.facts(role=role, name=name)).sha256
            for role, name in (("checkpoint", first.checkpoint), ("vae", first.vae))
        ]
        engine = "rehearsal" if is_rehearsal(self._job.id) else "comfyui"
        told = json.dumps([engine, count, files, asdict(first)], sort_keys=True)
        return digest(told.encode())[:24]

    async def _good(self, count: int) -> Mapping[str, bytes]:
        job, found = self._bench.state().jobs[self._job.id], {}
        for number in range(1, count + 1):
            image = job.images.get(number)
            if image is not None and image.verdict == GOOD:
                staged = await self._bench.outbox.staged(job, number, self._bench.state())
                if staged is not None:
                    found[f"{number:03}.png"] = staged.png
        return found

    async def _keep(
        self, folder: str, pictures: Mapping[str, bytes], *, index: bool = True
    ) -> None:
        disk = self._bench.disk
        for name, png in pictures.items():
            await disk.write(f"{folder}/{name}", png, synced=not index)
        if index:
            told = {name: digest(png) for name, png in pictures.items()}
            await disk.write(f"{folder}/{_INDEX}", json.dumps(told).encode(), synced=False)

    async def _cached(self, folder: str) -> Mapping[str, bytes]:
        """The pictures of an earlier series, if all of them are still whole."""
        disk, found = self._bench.disk, {}
        try:
            index = json.loads(await file_or_none(disk, f"{folder}/{_INDEX}") or b"{}")
        except ValueError:
            return {}
        for name, sha256 in index.items():
            png = await file_or_none(disk, f"{folder}/{name}")
            if png is None or digest(png) != sha256:
                return {}
            found[name] = png
        return found
