"""The face: the progress bar of `submit --wait`, drawn by rich, on a terminal only."""

from __future__ import annotations

from collections.abc import Container
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from daemon.cli.tables import Table, raw, text, whole


class Bar:
    """One bar below the lines that were said: how far the running picture is."""

    def __init__(self) -> None:
        # Text from outside must not be taken for rich's own markup.
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[step]}", markup=False),
            console=Console(highlight=False, markup=False),
            transient=True,
        )
        self._task = self._progress.add_task("waiting", total=None, step="")

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def say(self, line: str) -> None:
        """A line above the bar; colours that are in it stay."""
        self._progress.console.print(Text.from_ansi(line), soft_wrap=True)

    def show(self, lease: Table, jobs: Container[str]) -> None:
        """How far the job is that has the GPU, ours or another."""
        job = text(lease, "job")
        if not job:
            self._progress.update(self._task, description="waiting", total=None, step="")
            return
        images, steps = max(1, whole(lease, "images")), whole(lease, "steps")
        done = max(0, whole(lease, "image") - 1) * steps + whole(lease, "step")
        ours = raw(lease, "job") in jobs
        shown = f"picture {max(1, whole(lease, 'image'))}/{images}, step {whole(lease, 'step')}"
        self._progress.update(
            self._task,
            description=job if ours else f"waiting behind {job}",
            total=images * steps or None,
            completed=done,
            step=shown,
        )
