"""A night of kills: a real daemon ends by SIGKILL again and again while panels render.

Law: whatever the moments are, each panel is accepted once, drawn once, published once; nothing is
lost from the inbox, and the ledger verifies.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from random import Random
from time import monotonic, sleep

import psutil

from tests.process import RealStudio, end
from tests.real.engine import posted

FINISH_S = 300.0
REHEARSED = """\
kind = "panel"
prompt = "spyke, leaping in the rain"
width = 256
height = 384
seed = {seed}
steps = 40
checkpoint = "a.safetensors"
vae = "v.safetensors"
"""


@dataclass(slots=True)
class Tally:
    """What a night came to. ``in_flight``: kills while a prompt was on the engine; ``adopted``:
    pictures that a later daemon took over from a killed one.
    """

    kills: int = 0
    of_groups: int = 0
    in_flight: int = 0
    adopted: int = 0
    panels: int = 0
    took_s: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.kills} kills ({self.of_groups} of the process group), {self.in_flight} of them "
            f"with a prompt on the engine; {self.panels} panels published once each, "
            f"{self.adopted} of them adopted; {self.took_s:.0f} s"
        )


class Night:
    """One studio, its engine, and the chance that chooses the moments.

    ``panel`` is the text of a job file with ``{seed}`` in it; a daemon lives ``longest_s`` at most.
    ``output`` is the engine's folder of pictures. ``posted`` is how many prompts the engine says
    that it was sent since the night began: one sent twice is answered from its cache, leaves no
    second picture, and shows in nothing else.
    """

    def __init__(
        self,
        studio: RealStudio,
        *,
        output: Path,
        posted: Callable[[], int],
        panel: str,
        longest_s: float,
        chance: Random,
    ) -> None:
        self._studio = studio
        self._output = output
        self._posted = posted
        self._panel = panel
        self._longest_s = longest_s
        self._chance = chance
        self._sessions: set[int] = set()
        self._dropped: list[str] = []

    def tell(self, *, times: int) -> Tally:
        """Kill as often as that, then let it finish; fails when anything is not as promised."""
        tally, adopted, began_s = Tally(), set[str](), monotonic()
        for _ in range(times):
            self._one_kill(tally)
            flying = self._in_flight()
            tally.in_flight += bool(flying)
            adopted |= flying
        self._finish()
        self._check()
        tally.panels, tally.adopted = len(self._dropped), len(adopted)
        tally.took_s = monotonic() - began_s
        return tally

    def _one_kill(self, tally: Tally) -> None:
        lives_s = self._chance.uniform(0, self._longest_s)
        drops_s = self._chance.uniform(0, lives_s)
        with _daemon(self._studio) as child:
            self._sessions.add(child.pid)
            sleep(drops_s)
            # Two are always there, so that there is something to kill.
            while len(self._dropped) - len(self._studio.events("job.ended")) < 2:
                self._drop()
            sleep(lives_s - drops_s)
            assert child.poll() is None, self._studio.said()
            whole_group = self._chance.random() < 0.5
            (os.killpg if whole_group else os.kill)(child.pid, signal.SIGKILL)
        tally.kills += 1
        tally.of_groups += whole_group

    def _drop(self) -> None:
        name = f"kill_{len(self._dropped) + 1:03}"
        self._dropped.append(name)
        self._studio.drop(name, self._panel.format(seed=self._chance.randrange(2**53)))

    def _finish(self) -> None:
        deadline_s = monotonic() + FINISH_S
        with _daemon(self._studio) as child:
            self._sessions.add(child.pid)
            while len(self._studio.events("job.ended")) < len(self._dropped):
                assert child.poll() is None, self._studio.said()
                assert monotonic() < deadline_s, self._studio.status()
                sleep(0.1)
            assert self._posted() == len(self._dropped)
            end(child)
            # A daemon that is told to end before it has begun just ends.
            assert child.returncode in (0, -signal.SIGTERM), self._studio.said()

    def _in_flight(self) -> set[str]:
        """The prompts that were sent and of which the ledger does not know the end."""
        judged = {(line["job"], line["attempt"]) for line in self._studio.events("image.judged")}
        return {
            line["prompt_id"]
            for line in self._studio.events("prompt.sent")
            if (line["job"], line["attempt"]) not in judged
        }

    def _check(self) -> None:
        expected = Counter(dict.fromkeys(self._dropped, 1))
        accepted = self._studio.events("job.accepted")
        assert Counter(line["file"]["name"].removesuffix(".toml") for line in accepted) == expected
        jobs = {line["job"] for line in accepted}
        once = Counter(dict.fromkeys(jobs, 1))
        for kind in ("attempt.started", "prompt.sent", "result.published", "job.ended"):
            assert Counter(line["job"] for line in self._studio.events(kind)) == once, kind
        assert {line["phase"] for line in self._studio.events("job.ended")} == {"published"}
        for kind in ("job.rejected", "job.duplicate", "incident"):
            assert self._studio.events(kind) == [], kind
        held = {line["code"] for line in self._studio.events("job.held")}
        assert held <= {"ENGINE_STARTING"}, "a server that is started needs its second"
        self._check_files()
        assert self._studio.nightpress("verify").returncode == 0

    def _check_files(self) -> None:
        root = self._studio.root
        for line in self._studio.events("result.published"):
            folder = root / "outbox" / line["job"]
            found = {path.name: digest_of(path) for path in folder.iterdir()}
            assert line["files"].items() <= found.items()
            assert set(found) - set(line["files"]) <= {"job.toml", "status.toml"}
        for line in self._studio.events("prompt.sent"):
            stem = line["prompt_id"].replace("-", "")[:12]
            drawn = sorted(path.name for path in (self._output / "nightpress").glob(f"{stem}_*"))
            assert drawn == [f"{stem}_00001_.png"]
        for folder in ("inbox", ".nightpress/taken", ".nightpress/staging"):
            left = [path.name for path in (root / folder).glob("*") if path.name != "README.md"]
            assert left == [], folder
        gone(self._sessions)


def rehearsal_night(studio: RealStudio, chance: Random) -> Night:
    """A night with the rehearsal engine, which the first daemon starts and none ends."""
    private = studio.root / ".nightpress"

    def count() -> int:
        record = json.loads((studio.rehearsal / "engine.json").read_text())
        return posted(f"http://127.0.0.1:{record['port']}")

    return Night(
        studio,
        output=private / "rehearsal" / "output",
        posted=count,
        panel=REHEARSED,
        longest_s=4.0,
        chance=chance,
    )


@contextmanager
def _daemon(studio: RealStudio) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon from its very first moment; it is gone afterwards."""
    child = studio.spawn()
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def digest_of(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def gone(sessions: set[int]) -> None:
    """Nothing is left of any daemon: what it started ended with it or soon after."""
    _until(lambda: not [pid for pid in psutil.pids() if _session(pid) in sessions])


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return 0


def _until(done: Callable[[], bool], *, timeout_s: float = 10.0) -> None:
    deadline_s = monotonic() + timeout_s
    while not done():
        assert monotonic() < deadline_s, "processes of a killed daemon live on"
        sleep(0.1)
