"""The face: follows dropped files through the ledger, until they are answered or have ended."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from time import monotonic, sleep

from daemon.cli import place
from daemon.cli.drop import Drop, is_of
from daemon.cli.lines import Line, Tail, complaints, what
from daemon.cli.say import paint, phase
from daemon.cli.tables import Table, as_table, inner, raw, rows, text, whole

_POLL_S = 0.1
_ENDED = ("published", "failed", "cancelled", "quarantined", "rejected")

Say = Callable[[str], None]


class Follower:
    """Follows a batch of drops. ``jobs``: what was accepted, with its phase by the ledger."""

    def __init__(self, studio: Path, tail: Tail, drops: Iterable[Drop], say: Say) -> None:
        self._studio = studio
        self._tail = tail
        self._open = list(drops)
        self._say = say
        self.jobs: dict[str, str] = {}
        self.refused = False

    @property
    def unanswered(self) -> Sequence[Drop]:
        """The drops that no line of the ledger answers yet."""
        return self._open

    @property
    def ended(self) -> bool:
        """Whether every drop is answered and every job of theirs has ended."""
        return not self._open and all(phase in _ENDED for phase in self.jobs.values())

    @property
    def fine(self) -> bool:
        """Whether nothing was refused and nothing ended otherwise than published."""
        bad = [phase for phase in self.jobs.values() if phase in _ENDED and phase != "published"]
        return not self.refused and not bad

    def speak(self, say: Say) -> None:
        """Say it there from now on."""
        self._say = say

    def look(self) -> None:
        """Read what the ledger has gained, and say it."""
        for line in self._tail.lines():
            for drop in list(self._open):
                if is_of(drop, line.table):
                    self._open.remove(drop)
                    self._answered(drop, line.table)
                    break
            else:
                self._happened(line)

    def wait(self, done: Callable[[], bool], *, timeout_s: float | None = None) -> bool:
        """Look until ``done``; False when time is up or the daemon is gone."""
        deadline = None if timeout_s is None else monotonic() + timeout_s
        while True:
            alive = place.is_alive(self._studio)
            self.look()
            if done():
                return True
            if not alive or (deadline is not None and monotonic() > deadline):
                return False
            sleep(_POLL_S)

    def _answered(self, drop: Drop, table: Table) -> None:
        job = text(table, "job")
        match raw(table, "type"):
            case "job.accepted":
                self.jobs[job] = "waiting"
                self._say(f"{paint(job, 'bold')}  accepted, {what(table)}")
                warnings = table.get("warnings")
                for warning in warnings if isinstance(warnings, list) else ():
                    self._say(f"  warning: {text({'text': warning}, 'text')}")
            case "job.duplicate":
                twin = text(table, "of")
                self.jobs[twin] = self._standing(twin)
                self._say(
                    f"{drop.name}: the same request as {twin}, so it is not run again. Write "
                    "rerun = true into it for another result."
                )
            case "job.rejected":
                self.refused = True
                self._say(f"{drop.name}: {paint('refused', 'red')}")
                for error in complaints(table):
                    self._say(f"  {error}")
            case _:
                self._control(table)

    def _control(self, table: Table) -> None:
        error = text(table, "error")
        self.refused = self.refused or bool(error)
        job, kind = text(table, "job"), text(table, "kind")
        self._say(error or f"{' '.join(filter(None, (kind, job)))}: ok")

    def _happened(self, line: Line) -> None:
        table = line.table
        job = raw(table, "job")
        if job not in self.jobs:
            return
        match raw(table, "type"):
            case "job.held":
                self._moved(job, "held", what(table))
            case "attempt.started":
                self._moved(job, "running", f"attempt {whole(table, 'attempt')}")
            case "attempt.ended" if raw(table, "outcome") != "succeeded":
                self._say(f"{job}  {what(table)}")
            case "job.ended":
                ended = raw(table, "phase")
                where = f"{self._studio}/outbox/{job}" if ended == "published" else ""
                self._moved(job, ended, where or text(table, "code"))
            case _:
                pass

    def _moved(self, job: str, to: str, why: str) -> None:
        self.jobs[job] = to
        self._say(f"{paint(job, 'bold')}  {phase(to)}  {why}".rstrip())

    def _standing(self, job: str) -> str:
        seen = status_document(self._studio)
        found = next((each for each in rows(seen, "queue") if raw(each, "job") == job), {})
        return raw(found, "phase") or "published"


def status_document(studio: Path) -> Table:
    """status.json as it is now; empty when it cannot be read."""
    try:
        return as_table(json.loads((studio / "outbox" / "status.json").read_bytes()))
    except (OSError, ValueError):
        return {}


def follow_to_the_end(follower: Follower, studio: Path) -> bool:
    """Wait until all has ended, with a bar on a terminal; False when the daemon is gone."""
    if not sys.stdout.isatty():
        return follower.wait(lambda: follower.ended)
    from daemon.cli.bar import Bar  # rich costs more time than all the rest.

    with Bar() as bar:
        follower.speak(bar.say)

        def done() -> bool:
            bar.show(inner(status_document(studio), "lease"), follower.jobs)
            return follower.ended

        return follower.wait(done)
