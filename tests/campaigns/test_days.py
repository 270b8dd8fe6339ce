"""``python -m tests days``: a month of work with faults, on the real disk and in a real git.

Law: a daemon that never restarts keeps its descriptors, and its memory grows with its jobs alone; a
ledger that is committed every day is only ever added to, in lines that a person can read.
"""

from __future__ import annotations

import asyncio
import gc
import random
import statistics
import subprocess
import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from daemon.adapters.disk import StudioDisk
from daemon.core.policy import Policy
from daemon.errors import WorldError
from daemon.ports import FileStat
from daemon.shell.premises import Ports, Setup
from daemon.shell.press import Press
from daemon.wire.status import DaemonFacts
from tests import needs
from tests.fakes import NoTrainer
from tests.sim.checker import chain_violations, open_jobs, parse, violations
from tests.sim.engine import SimEngine, SimPixels, SimRenderer, SimWeights
from tests.sim.story import SimAlarm
from tests.virtual_time import at_once, run

DAYS, JOBS_A_DAY, DAY_MS = 30, 50, 86_400_000
BEGAN_MS = 1_795_046_400_000
WORKFLOWS = Path(__file__).parents[2] / "workflows"
MEDIAN_BYTES = 300
BYTES_A_JOB = 16_000
"""What a job may cost in memory for ever: its request, its spec, its pictures' names."""
PANEL = """\
kind = "panel"
prompt = "spyke_plasma_v1, white cloak, red bandana, leaping, rain, panel {name}"
seeds = {seeds}
width = {width}
height = 64
vae = "vae-ft-mse-840000-ema-pruned.safetensors"
checkpoint = "anything-v5.safetensors"
ref = "run-7/{name}"
end = true
"""
NAMELESS = ("git", "-c", "user.name=maker", "-c", "user.email=maker@example.org")


class UnsteadyDisk(StudioDisk):
    """Now and then full, at an append."""

    def __init__(self, root: Path, chance: random.Random) -> None:
        super().__init__(root)
        self._chance = chance

    async def append(self, path: str, data: bytes, *, inode: int, size: int) -> FileStat:
        if self._chance.random() < 0.01:
            raise WorldError("DISK_FULL", f"{path} could not be written: the disk is full")
        return await super().append(path, data, inode=inode, size=size)


@dataclass
class Calendar:
    """``ports.Clock``: the loop's time, and what was left of the days that are over."""

    days: int = 0

    def now(self) -> int:
        return BEGAN_MS + self.days * DAY_MS + round(asyncio.get_running_loop().time() * 1000)


@dataclass(frozen=True)
class Evening:
    """What is left open when a day is over: descriptors, and bytes of Python's objects."""

    descriptors: int
    bytes: int


class Month:
    """A studio in a git repository, its engine, and one life of its daemon after another."""

    def __init__(self, root: Path, chance: random.Random) -> None:
        self.root = root
        self.chance = chance
        self.calendar = Calendar()
        self.engine = SimEngine(chance, mischief=0.1)
        self.dropped = 0
        self.read = 0
        self.evenings: list[Evening] = []
        for folder in ("inbox", "outbox", "ledger", "workflows"):
            (root / folder).mkdir()
        for path in WORKFLOWS.glob("panel.*"):
            (root / "workflows" / path.name).write_bytes(path.read_bytes())
        self.git("init", "-q")

    def git(self, *arguments: str) -> str:
        command = (needs.program("git"), *NAMELESS[1:], *arguments)
        return subprocess.run(
            command, cwd=self.root, capture_output=True, text=True, check=True
        ).stdout

    async def tell(self, *, days: int) -> None:
        """Each third day the daemon is killed in its work and started again, but not after the
        tenth: what leaks must have time to show.
        """
        press, serving, bells = self._begin()
        for day in range(days):
            await self._drop(JOBS_A_DAY)
            if day < 10 and day % 3 == 2:
                serving.cancel()
                await asyncio.gather(serving, return_exceptions=True)
                for task in bells.tasks:
                    task.cancel()
                self.engine.crash()
                press, serving, bells = self._begin()
            await self._rest(serving)
            self._evening()
            self.calendar.days += 1
        press.stop()
        await serving
        for task in bells.tasks:
            task.cancel()
        self.git("add", "ledger")
        self.git("commit", "-qm", "the end", "--", "ledger")

    def ledger(self) -> bytes:
        files = sorted((self.root / "ledger" / "press").glob("*.jsonl"))
        return b"".join(file.read_bytes() for file in files)

    def _begin(self) -> tuple[Press, asyncio.Task[None], SimAlarm]:
        bells = SimAlarm()
        ports = Ports(
            disk=UnsteadyDisk(self.root, self.chance),
            clock=self.calendar,
            gpu=NoTrainer(),
            alarm=bells,
            renderer=SimRenderer(self.engine),
            pixels=SimPixels(),
            weights=SimWeights(),
            trainer=NoTrainer(),
        )
        setup = Setup(
            studio="0123456789ab",
            host="press",
            version="0.0.0",
            daemon=DaemonFacts("0.0.0", 1, "0123456789ab", BEGAN_MS),
            engine="comfyui",
            places={"$STUDIO": str(self.root)},
            policy=Policy(min_free_gb=0.0),
            settle_s=2.0,
            rescan_s=5.0,
        )
        press = Press(ports, setup)
        return press, asyncio.ensure_future(press.run()), bells

    async def _drop(self, count: int) -> None:
        for _ in range(count):
            self.dropped += 1
            fate, name = self.chance.random(), f"day{self.calendar.days:02}_p{self.dropped:04}"
            text = PANEL.format(
                name=name,
                seeds=[self.chance.randrange(2**53) for _ in range(1 + (fate < 0.2))],
                width=4096 if fate > 0.95 else 64,
            )
            (self.root / "inbox" / f"{name}.toml").write_text(text)
            if fate > 0.9:
                (self.root / "inbox" / f"{name}-again.toml").write_text(text)
            if fate > 0.8:
                await asyncio.sleep(3.0)

    async def _rest(self, serving: asyncio.Task[None]) -> None:
        while any((self.root / "inbox").glob("*.toml")) or open_jobs(self._today()):
            await asyncio.sleep(20.0)
            if serving.done():
                serving.result()

    def _today(self) -> list[dict[str, Any]]:
        """The lines since the last evening, before which every job had ended."""
        return parse(self.ledger()[self.read :])

    def _evening(self) -> None:
        self.read = len(self.ledger())
        self.git("add", "ledger")
        self.git("commit", "-qm", f"day {self.calendar.days}", "--", "ledger")
        gc.collect()
        used, _ = tracemalloc.get_traced_memory()
        self.evenings.append(Evening(psutil.Process().num_fds(), used))


def test_a_month_leaves_nothing_open_and_a_ledger_that_only_grew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at_once(monkeypatch)
    month = Month(tmp_path, random.Random(1))
    tracemalloc.start()
    run(month.tell(days=DAYS))
    tracemalloc.stop()
    data = month.ledger()
    lines = data.splitlines()
    half = month.evenings[DAYS // 2]
    last = month.evenings[-1]
    jobs = JOBS_A_DAY * (DAYS - 1 - DAYS // 2)
    median = statistics.median(len(line) + 1 for line in lines)
    numstat = month.git("log", "-p", "--numstat", "--", "ledger").splitlines()
    deleted = [line for line in numstat if line.startswith("-") and not line.startswith("---")]
    counts = [line.split("\t") for line in numstat if line.endswith(".jsonl") and "\t" in line]
    with capsys.disabled():
        print(
            f"\n{DAYS} days, {month.dropped} files, {len(lines)} lines, median {median:.0f} bytes; "
            f"descriptors {half.descriptors} then {last.descriptors}; memory "
            f"{(last.bytes - half.bytes) / jobs:.0f} bytes a job; {len(counts)} commits"
        )
    assert chain_violations(data) == []
    assert violations(parse(data)) == []
    assert last.descriptors == half.descriptors
    assert last.bytes - half.bytes < BYTES_A_JOB * jobs
    assert (len(counts), deleted, {row[1] for row in counts}) == (DAYS + 1, [], {"0"})
    assert median < MEDIAN_BYTES
