"""Runs a scenario through the real shell: files dropped, lives lived and cut short, until all is at
rest; and says what was broken on the way.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from daemon import __version__
from daemon.core.policy import LADDER, Policy
from daemon.errors import PersonNeeded
from daemon.shell.premises import Ports, Setup
from daemon.shell.press import Press
from daemon.wire.status import DaemonFacts
from tests.sim.checker import (
    Line,
    chain_violations,
    drop_violations,
    end_violations,
    file_violations,
    gpu_violations,
    is_paused,
    kept_violations,
    open_jobs,
    parse,
    restart_violations,
    status_violations,
    to_install,
    torn_violations,
    violations,
)
from tests.sim.disk import Life, LifeDisk, PowerCut, SimDisk
from tests.sim.engine import SimEngine, SimPixels, SimRenderer, SimWeights
from tests.sim.host import SimHost
from tests.sim.scenarios import DATASET, Drop, Scenario
from tests.sim.trainer import SimGpu, SimTrainer, SimTrainings
from tests.virtual_time import run

TEMPLATES = Path(__file__).parents[2] / "workflows"
FILES = {
    **{f"workflows/{path.name}": path.read_bytes() for path in sorted(TEMPLATES.glob("panel.*"))},
    **DATASET,
}
LIMIT_S = 900.0
"""A story that is not at rest after this many virtual seconds hangs."""
POLL_S = 0.1
AGAIN_S = 2.2
"""How long the last start is watched: longer than a tick."""


@dataclass
class SimClock:
    """``ports.Clock``: virtual milliseconds, and what it was set forward or back by."""

    began_ms: int
    jumped_ms: int = 0

    def now(self) -> int:
        return self.began_ms + self.jumped_ms + round(asyncio.get_running_loop().time() * 1000)


class SimAlarm:
    """``ports.Alarm``; it rings as long as its life lasts."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[None]] = []

    def every(self, seconds: float, ring: Callable[[], None]) -> None:
        async def ringing() -> None:
            while True:
                await asyncio.sleep(seconds)
                ring()

        self.tasks.append(asyncio.ensure_future(ringing()))


@dataclass(frozen=True)
class Fate:
    """What goes wrong: the power (or only the process) before step ``cut_at``, and once more before
    step ``again_at`` of what follows (``again_kills``: only the process); 0 = never.
    """

    seed: int
    cut_at: int = 0
    kill_only: bool = False
    mischief: float = 0.0
    again_at: int = 0
    again_kills: bool = False


@dataclass
class History:
    """What a story left behind."""

    scenario: Scenario
    fate: Fate
    disk: SimDisk
    engine: SimEngine
    trainings: SimTrainings
    clock: SimClock
    host: SimHost | None = None
    limit_s: float = LIMIT_S
    poll_s: float = POLL_S
    rested_s: float = 0.0
    installed: dict[str, bytes] = field(default_factory=dict)
    dropped: list[Drop] = field(default_factory=list)
    steps: int = 0
    lives: int = 0
    cuts: int = 0
    stopped: bool = False
    reverted: bool = False
    broken: list[str] = field(default_factory=list)
    rests: tuple[bytes, bool] = (b"", False)
    gpu: list[list[str]] = field(default_factory=list)
    """Who had its memory at each instant at which somebody used it."""

    def ledger(self) -> bytes:
        """All segments of the one host, in order."""
        names = sorted(name for name in self.disk.names if _is_segment(name))
        return b"".join(self.disk.names[name].data for name in names)

    def torn(self) -> bytes:
        """What is behind the last whole line, by the name of the file that is believed."""
        names = sorted(name for name in self.disk.names if _is_segment(name))
        path = names[-1] if names else ""
        spare = path.replace("ledger/", ".nightpress/spare/")
        return (self.disk.get(spare) or self.disk.get(path) or b"").rpartition(b"\n")[2]

    def lost(self) -> list[str]:
        """Sentences about segments in which lines are gone that were confirmed."""
        return kept_violations(self.disk.confirmed, self.disk.get)

    def at_rest(self) -> bool:
        """Every drop is answered, every accepted job has ended (or the press is paused), and what
        is approved is installed.
        """
        if any(name.startswith(("inbox/", ".nightpress/taken/")) for name in self.disk.names):
            return False
        ledger = self.ledger()
        if self.reverted and self.lost():
            return False
        if self.rests[0] != ledger:
            lines = parse(ledger)
            ended = not open_jobs(lines) or is_paused(lines)
            self.rests = (ledger, bool(lines) and ended and not to_install(lines))
        return self.rests[1]


Plot = Callable[[History], None]
"""What else goes wrong, arranged before the first life."""


def tell(scenario: Scenario, fate: Fate, plot: Plot = lambda history: None) -> History:
    """Live the scenario to its rest, starting the daemon again after each cut, and check every
    promise.
    """
    return run(_tell(scenario, fate, plot))


async def _tell(scenario: Scenario, fate: Fate, plot: Plot) -> History:
    history = _new_history(scenario, fate)
    plot(history)
    maker = asyncio.ensure_future(_drop(history))

    def is_over() -> bool:
        _revert(history)
        if scenario.stop_after and not history.stopped and scenario.stop_after in history.ledger():
            history.stopped = True
            return True
        return maker.done() and history.at_rest()

    stopped = False
    while not (stopped and maker.done() and history.at_rest()) and not _hangs(history):
        stopped = await _live(history, until=is_over)
        if not history.reverted:
            _check_drops(history)
    history.rested_s = asyncio.get_running_loop().time()
    history.steps, history.disk.cut_at = history.disk.steps, 0
    if not history.broken:
        _check(history)
        await _check_again(history)
    history.engine.crash()
    maker.cancel()
    return history


def _revert(history: History) -> None:
    """What `git checkout` does: another file with older lines, in the place of ours. Before the
    file has its second name nothing would help.
    """
    after, ledger = history.scenario.revert_after, history.ledger()
    spare = any(name.startswith(".nightpress/spare/") for name in history.disk.durable)
    if after and not history.reverted and after in ledger and spare:
        history.reverted = True
        (path,) = (name for name in history.disk.names if _is_segment(name))
        history.disk.put(path, ledger[: ledger.index(b"\n") + 1])


def _hangs(history: History) -> bool:
    if asyncio.get_running_loop().time() > history.limit_s:
        history.broken.append("it never came to rest")
    return bool(history.broken)


def _new_history(scenario: Scenario, fate: Fate) -> History:
    engine = SimEngine(
        random.Random(fate.seed + 1),
        mischief=fate.mischief,
        fault=scenario.engine,
        step_s=scenario.step_s,
    )
    disk = SimDisk(
        random.Random(fate.seed),
        cut_at=fate.cut_at,
        again_at=fate.again_at,
        kill_only=fate.kill_only,
        again_kills=fate.again_kills,
        full_s=scenario.full_s,
        bad_sync=scenario.bad_sync,
        power_off=engine.crash,
    )
    trainings = SimTrainings(
        disk, random.Random(fate.seed + 2), mischief=fate.mischief, fault=scenario.trainer
    )
    history = History(scenario, fate, disk, engine, trainings, SimClock(scenario.began_ms))
    engine.before_post = lambda prompt: _was_recorded(history, prompt)
    engine.before_draw = lambda prompt: _has_the_gpu(history, prompt)
    trainings.watch = lambda folder: _is_leased(history, folder)
    for name, data in FILES.items():
        disk.put(name, data)
    return history


async def _drop(history: History) -> None:
    for drop in history.scenario.drops:
        # What is waited for may never come: a training can fail before its first checkpoint.
        while drop.after not in history.ledger():
            if history.at_rest():
                break
            await asyncio.sleep(POLL_S)
        history.disk.put(f"inbox/{drop.name}", drop.data)
        history.dropped.append(drop)


async def _live(history: History, *, until: Callable[[], bool]) -> bool:
    """One life of the daemon: to its cut, or to its stop when ``until`` says so. Whether it could
    stop.
    """
    history.lives += 1
    torn = history.torn()
    life, alarm = Life(history.disk), SimAlarm()
    press = Press(_ports(history, life, alarm), _setup(history))
    serving = asyncio.ensure_future(press.run())
    while not serving.done() and not life.over:
        await asyncio.wait([serving], timeout=history.poll_s)
        if until() or asyncio.get_running_loop().time() > history.limit_s:
            press.stop()
            await asyncio.wait([serving], timeout=2 * AGAIN_S)
            break
    if not serving.done():
        serving.cancel()
    (ended,) = await asyncio.gather(serving, return_exceptions=True)
    for task in alarm.tasks:
        task.cancel()
    cut = life.over
    if cut:
        history.cuts += 1
    else:
        history.disk.end_life()
    if isinstance(ended, PersonNeeded):
        failed = 0 < history.disk.bad_sync <= history.disk.syncs
        history.disk.bad_sync = 0
        if not failed:
            history.broken.append(f"life {history.lives} ended for good: {ended}")
    elif isinstance(ended, BaseException) and not isinstance(
        ended, PowerCut | asyncio.CancelledError
    ):
        raise ended
    stopped = not cut and not isinstance(ended, BaseException)
    if stopped and not history.reverted:
        history.broken += torn_violations(torn, parse(history.ledger()), history.disk.get)
    return stopped


def _ports(history: History, life: Life, alarm: SimAlarm) -> Ports:
    return Ports(
        disk=LifeDisk(life),
        clock=history.clock,
        gpu=SimGpu(history.trainings, life),
        alarm=alarm,
        renderer=SimRenderer(history.engine, life),
        pixels=SimPixels(),
        weights=SimWeights(history.installed, life),
        trainer=SimTrainer(history.trainings, life),
        host=history.host,
    )


def _setup(history: History) -> Setup:
    return Setup(
        studio="0123456789ab",
        host="press",
        version=__version__,
        daemon=DaemonFacts(__version__, 1, "0123456789ab", history.scenario.began_ms),
        engine="comfyui",
        places={"$STUDIO": "/studio"},
        policy=Policy(),
        settle_s=2.0,
        rescan_s=0.4,
        profiles=LADDER if history.host else (),
    )


def _is_segment(name: str) -> bool:
    return name.startswith("ledger/") and name.endswith(".jsonl")


def _was_recorded(history: History, prompt: str) -> None:
    """Nothing is sent whose id is not on the platter, nor while the engine has one of ours."""
    synced = b"".join(
        node.synced or b"" for name, node in history.disk.durable.items() if _is_segment(name)
    )
    if prompt.encode() not in synced:
        history.broken.append(f"prompt {prompt} was sent before it was durable")
    engine = history.engine
    there = [*([engine.running] if engine.running else []), *engine.pending]
    others = [other for other in there if not other.step_s]
    if others and prompt not in {other.id for other in others}:
        history.broken.append(f"prompt {prompt} was sent while the engine had {others[0].id}")


def _has_the_gpu(history: History, prompt: str) -> None:
    """Nothing is drawn but of an attempt that has begun and not ended."""
    _note_gpu(history)
    running: set[tuple[str, int]] = set()
    asked: set[tuple[str, int]] = set()
    for line in parse(history.ledger()):
        attempt = (line.get("job", ""), line.get("attempt", 0))
        if line["type"] == "attempt.started":
            running.add(attempt)
        elif line["type"] == "attempt.ended":
            running.discard(attempt)
        elif line["type"] == "prompt.sent" and line["prompt_id"] == prompt:
            asked.add(attempt)
    # A prompt that could not be taken back is drawn later, by nobody's fault.
    if not history.fate.mischief and not asked & running:
        history.broken.append(f"prompt {prompt} is drawn, and nothing runs but {running}")


def _is_leased(history: History, folder: str) -> None:
    """Nothing is trained but the attempt that has the lease, by the ledger."""
    _note_gpu(history)
    last = _last_attempt(history)
    if (
        last is None
        or last["type"] != "attempt.started"
        or f"{last['job']}/resume/a{last['attempt']}-" not in folder
    ):
        history.broken.append(f"{folder} trains, and the last of attempts is {last}")


def _note_gpu(history: History) -> None:
    drawn = history.engine.running
    history.gpu.append([*history.trainings.training(), *([drawn.id] if drawn else [])])


def _last_attempt(history: History) -> Line | None:
    """The last start or end of an attempt."""
    whole = history.ledger().rpartition(b"\n")[0] + b"\n"
    at = whole.rfind(b'"type":"attempt.')
    line = whole[whole.rfind(b"\n", 0, at) + 1 : whole.find(b"\n", at) + 1]
    return parse(line)[0] if at >= 0 else None


def _check_drops(history: History) -> None:
    """No file is gone from the inbox without a line."""
    disk = history.disk
    here = [
        node.data
        for name, node in disk.names.items()
        if name.startswith(("inbox/", ".nightpress/taken/"))
    ]
    dropped = {drop.name: drop.data for drop in history.dropped}
    history.broken += drop_violations(parse(history.ledger()), dropped, here)


def _check(history: History) -> None:
    ledger, fate = history.ledger(), history.fate
    lines = parse(ledger)
    history.broken += history.lost()
    _check_drops(history)
    history.broken += chain_violations(ledger)
    history.broken += violations(lines)
    history.broken += file_violations(
        lines,
        history.disk.get,
        installed=history.installed,
        made=history.trainings.made,
    )
    if history.disk.boots == 1:
        history.broken += status_violations(lines, history.disk.get)
    history.broken += gpu_violations(history.gpu)
    history.broken += history.trainings.broken
    drawn = history.engine.running
    if drawn is not None and drawn.id not in history.engine.interrupted and not fate.mischief:
        history.broken.append(f"prompt {drawn.id} is still drawn, for nobody")
    if any(history.disk.get(name) != data for name, data in DATASET.items()) or any(
        "datasets/spyke" in step for step in history.disk.trace
    ):
        history.broken.append("the maker's dataset was written to")
    if not fate.mischief:
        history.broken += end_violations(lines, _ends(history))
    for line in lines:
        if line["type"] == "attempt.ended" and line["outcome"] == "succeeded":
            _check_success(history, line["job"], line["attempt"])
    engine_lived = history.engine.lives == history.disk.boots == 1
    engine_lived = engine_lived and history.scenario.engine != "restart"
    if engine_lived and len(history.engine.executed) != len(set(history.engine.executed)):
        history.broken.append("a prompt was drawn twice though the engine still had it")


def _ends(history: History) -> frozenset[str]:
    """How its jobs may end: a training that the power went from twice is not begun a third time."""
    return history.scenario.ends | ({"quarantined"} if history.disk.boots > 2 else set())


def _check_success(history: History, job: str, attempt: int) -> None:
    """A training succeeds only when its trainer ended well and its shim lived to say so."""
    for folder, sitting in history.trainings.runs.items():
        ended_well = sitting.code == 0 and not sitting.orphaned
        if f"/{job}/resume/a{attempt}-" in folder and not ended_well:
            history.broken.append(f"{folder} succeeded, and its process did not: {sitting}")


async def _check_again(history: History) -> None:
    """Started again at its rest, the daemon finds nothing to do."""
    before, loop = _seen(history), asyncio.get_running_loop()
    rested_s = loop.time() + AGAIN_S
    await _live(history, until=lambda: loop.time() > rested_s)
    history.broken += restart_violations(before, _seen(history))


def _seen(history: History) -> dict[str, bytes]:
    """What a person sees of a studio."""
    names = [
        name
        for name in history.disk.names
        if name.startswith(("inbox/", "outbox/", "ledger/")) and "/." not in name
    ]
    return {name: history.disk.names[name].data for name in sorted(names)}
