"""The face: follows dropped files through the ledger, until they are answered or have ended."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep

from daemon.cli import place
from daemon.cli.drop import Drop, drop
from daemon.cli.lines import Tail, complaints, what
from daemon.cli.say import first_check, how_far, paint, phase, say
from daemon.cli.tables import Table, inner, raw, rows, status_file, text, texts, whole
from daemon.wire.text import visible

_POLL_S = 0.1
_ENDED = ("published", "failed", "cancelled", "quarantined", "rejected")


class Follower:
    """Drops files and follows them.

    ``unanswered``: the drops that no line of the ledger answers yet. ``jobs``: what was accepted,
    with its phase by the ledger. ``refused``: whether something was. ``verdict``: on the picture
    that was drawn again.
    """

    def __init__(self, studio: Path) -> None:
        self._studio = studio
        self._say: Callable[[str], None] = say
        self._tail = Tail(studio)
        self._tail.skip()
        self.unanswered: list[Drop] = []
        self.jobs: dict[str, str] = {}
        self.refused = False
        self.verdict = ""

    @property
    def ended(self) -> bool:
        """Whether every drop is answered and every job of theirs has ended."""
        return not self.unanswered and all(phase in _ENDED for phase in self.jobs.values())

    @property
    def fine(self) -> bool:
        """Whether nothing was refused and nothing ended otherwise than published."""
        bad = [phase for phase in self.jobs.values() if phase in _ENDED and phase != "published"]
        return not self.refused and not bad

    def drop(self, name: str, data: bytes) -> None:
        """Put a file into the inbox. Raises ``Bad`` when it cannot be done."""
        self.unanswered.append(drop(self._studio, name, data))

    def to_the_answer(self, *, timeout_s: float) -> bool:
        """Wait for the answers to all; False when time is up or the daemon is gone."""
        return self._wait(lambda: not self.unanswered, timeout_s=timeout_s)

    def to_the_end(self) -> bool:
        """Wait until all has ended, with a bar on a terminal; False when the daemon is gone."""
        if not sys.stdout.isatty():
            return self._wait(lambda: self.ended)
        # rich costs more time than all the rest.
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.text import Text

        console = Console(highlight=False, markup=False)
        # Text from outside must not be taken for rich's own markup.
        job, step = (TextColumn(f"{{task.fields[{key}]}}", markup=False) for key in ("job", "step"))
        with Progress(job, BarColumn(), step, console=console, transient=True) as bar:
            task = bar.add_task("", total=None, job="waiting", step="")
            self._say = lambda line: console.print(Text.from_ansi(line), soft_wrap=True)

            def done() -> bool:
                shown, completed, total, step = self._drawing()
                bar.update(task, job=shown, completed=completed, total=total, step=step)
                return self.ended

            return self._wait(done)

    def _drawing(self) -> tuple[str, int, int | None, str]:
        """Who has the GPU, the steps made and to be made, and the same in words."""
        lease = inner(status_file(self._studio), "lease")
        job = text(lease, "job")
        if not job:
            return "waiting", 0, None, ""
        image, images = max(1, whole(lease, "image")), max(1, whole(lease, "images"))
        step, steps = whole(lease, "step"), whole(lease, "steps")
        name = job if raw(lease, "job") in self.jobs else f"waiting behind {job}"
        return name, (image - 1) * steps + step, images * steps or None, how_far(lease)

    def _wait(self, done: Callable[[], bool], *, timeout_s: float = float("inf")) -> bool:
        deadline_s = monotonic() + timeout_s
        while True:
            alive = place.is_alive(self._studio)
            self._look()
            if done():
                return True
            if not alive or monotonic() > deadline_s:
                return False
            sleep(_POLL_S)

    def _look(self) -> None:
        """Read what the ledger has gained, and say it."""
        for _, _, line in self._tail.lines():
            answered = next((each for each in self.unanswered if each.is_answered_by(line)), None)
            if answered is not None:
                self.unanswered.remove(answered)
                self._answered(visible(answered.name), line)
            elif raw(line, "job") in self.jobs:
                self._happened(raw(line, "job"), line)

    def _answered(self, file: str, line: Table) -> None:
        job = text(line, "job")
        match raw(line, "type"):
            case "job.accepted":
                self.jobs[job] = "waiting"
                self._say(f"{paint(job, 'bold')}  accepted, {what(line)}")
                for warning in texts(line, "warnings"):
                    self._say(f"  {paint('warning', 'yellow')}: {warning}")
            case "job.duplicate":
                twin = text(line, "of")
                queue = rows(status_file(self._studio), "queue")
                open_jobs = {raw(each, "job"): raw(each, "phase") for each in queue}
                self.jobs[twin] = open_jobs.get(twin, "published")
                self._say(
                    f"{file}: the same request as {twin}, so it is not run again. Write "
                    "rerun = true into it for another result."
                )
            case "job.rejected":
                self.refused = True
                self._say(f"{file}: {paint('refused', 'red')}")
                for error in complaints(line):
                    self._say(f"  {error}")
            case _:
                error = text(line, "error")
                self.refused = self.refused or bool(error)
                self._say(error or f"{' '.join(filter(None, (text(line, 'kind'), job)))}: ok")

    def _happened(self, job: str, line: Table) -> None:
        match raw(line, "type"):
            case "job.held":
                self.jobs[job], why = "held", what(line)
            case "attempt.started":
                told = (f"attempt {whole(line, 'attempt')}", text(line, "stage"))
                self.jobs[job], why = "running", ", ".join(filter(None, told))
            case "job.ended":
                self.jobs[job], why = raw(line, "phase"), text(line, "code")
            case "picture.reproduced":
                self.verdict = text(line, "verdict")
                self._say(f"{job}  {what(line)}")
                for difference in texts(line, "differences"):
                    self._say(f"  {difference}")
                return None
            case "checkpoint.saved":
                return self._say(f"{job}  checkpoint: {what(line)}")
            case "attempt.ended" if raw(line, "outcome") != "succeeded":
                return self._say(f"{job}  {what(line)}")
            case _:
                return None
        if self.jobs[job] == "published":
            why = f"{self._studio}/outbox/{job}"
        self._say(f"{paint(job, 'bold')}  {phase(self.jobs[job])}  {why}".rstrip())
        check = first_check(self.jobs[job], raw(line, "code"))
        return self._say(f"  First check: {check}") if check else None
