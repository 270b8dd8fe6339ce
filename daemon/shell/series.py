"""Conducts the drawn stages of a training: its sub-prompts, and what becomes of their pictures.

Law: what a stage has drawn lies in the job's folder before the stage is over in the ledger, so
whatever comes after it finds it, and a crash in between only does that again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from daemon.core.commands import RecordDataset, ReportIncident
from daemon.core.ids import is_rehearsal, lora_file
from daemon.core.job import Job
from daemon.core.jobs import (
    GRID,
    REGULARIZATION,
    TRIGGER,
    JobId,
    LoraUse,
    Outcome,
    PanelSpec,
    TrainingImage,
    TrainSpec,
)
from daemon.core.stages import UNRELATED, page
from daemon.errors import WorldError
from daemon.ports import Renderer
from daemon.shell.attempt import PanelAttempt
from daemon.shell.bench import Bench, Ended
from daemon.shell.hearing import Hearing
from daemon.shell.outbox import DATASET_COPY, PICTURE_LIMIT_BYTES, job_folder
from daemon.shell.training_folder import kept_folder
from daemon.shell.training_result import approved_lora
from daemon.wire.making import digest

LENT = "nightpress-grid"
"""The folder of LoRAs, below the engine's, in which checkpoints lie while their grid is drawn."""
IN_A_ROW = 12
"""So many pictures of a series are drawn before somebody else may have a turn."""
_CAPTION_LIMIT_BYTES = 64 * 1024
_SEEDS = (1, 2)
_FEWEST_GOOD = 0.5
"""Of the regularization pictures; the rest is no loss, the trainer shows the others more often."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A picture of a grid: of which checkpoint (0 = without a LoRA), by which prompt and seed."""

    step: int
    prompt: str
    seed: int


class Series:
    """One attempt at a drawn stage."""

    def __init__(
        self, bench: Bench, renderer: Renderer, hearing: Hearing, job: Job, spec: TrainSpec
    ) -> None:
        self._bench, self._renderer, self._hearing = bench, renderer, hearing
        self._job, self._spec = job, spec

    async def run(self) -> Ended:
        """Draw what is not drawn yet, and keep it. Raises as ``PanelAttempt.run`` does."""
        if self._job.stage == REGULARIZATION:
            return await self._regularize()
        cells = await self._cells()
        try:
            ended = await self._draw([self._page(cell) for cell in cells])
        finally:
            if self._job.stage == GRID:
                await self._take_back()
        if ended.outcome is Outcome.SUCCEEDED:
            await self._keep()
        return ended

    async def _draw(self, pages: Sequence[PanelSpec]) -> Ended:
        attempt = PanelAttempt(
            self._bench, self._renderer, self._hearing, self._job, pages, most=IN_A_ROW
        )
        return await attempt.run()

    async def _cells(self) -> Sequence[Cell]:
        steps = [0]
        if self._job.stage == GRID:
            steps += [step for step in sorted(self._job.checkpoints) if await self._lent(step)]
        prompts = await grid_prompts(self._bench, self._job, self._spec)
        seeds = self._spec.grid.seeds if self._spec.grid else _SEEDS
        return [Cell(step, text, seed) for step in steps for text in prompts for seed in seeds]

    def _page(self, cell: Cell) -> PanelSpec:
        lora = None
        if cell.step and self._spec.grid:
            name = f"{LENT}/{lora_file(self._job.id, cell.step)}"
            lora = LoraUse(name, self._spec.grid.strength, self._job.id)
        return page(self._spec, cell.prompt, seed=cell.seed, lora=lora)

    async def _lent(self, step: int) -> bool:
        """Put a checkpoint where the engine finds it; whether it is there."""
        try:
            name, data = await approved_lora(self._bench.disk, self._job, step)
            if not is_rehearsal(self._job.id):
                await self._bench.weights.install(f"{LENT}/{name}", data)
        except WorldError as error:
            text = f"{self._job.id}: the grid is drawn without step {step}: {error.text}"
            await self._bench.ask(ReportIncident("CHECKPOINT_GONE", text))
            return False
        return True

    async def _take_back(self) -> None:
        if not is_rehearsal(self._job.id):
            await self._bench.weights.take_back(LENT)
