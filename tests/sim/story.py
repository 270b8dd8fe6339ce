"""Runs a story through the real shell: files dropped, lives lived and cut short, until all is at
rest.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from daemon import __version__
from daemon.core.policy import Policy
from daemon.shell.press import Ports, Press, Setup
from daemon.wire.status import DaemonFacts
from tests.sim.checker import (
    chain_violations,
    file_violations,
    open_jobs,
    parse,
    to_install,
    violations,
)
from tests.sim.disk import PowerCut, SimDisk
from tests.sim.engine import SimEngine, SimPixels, SimRenderer, SimWeights
from tests.sim.trainer import SimGpu, SimTrainer, SimTrainings
from tests.virtual_time import run

TEMPLATES = Path(__file__).parents[2] / "workflows"
EPOCH_MS = 1_795_000_000_000
LIMIT_S = 900.0
"""A story that is not at rest after this many virtual seconds hangs."""

PANEL = b"""kind = "panel"
prompt = "spyke_plasma_v1, white cloak, leaping, rain"
width = 64
height = 64
seeds = [421, 422]
vae = "vae-ft-mse-840000-ema-pruned.safetensors"
checkpoint = "anything-v5.safetensors"
ref = "run-7/ch01/3"
"""
OTHER = PANEL.replace(b"seeds = [421, 422]", b"variations = 1").replace(b"leaping", b"sitting")
BAD = PANEL.replace(b"width = 64", b"width = 4096")
TRAIN = b"""kind = "train"
lora = "spyke"
trigger = "spyke_plasma_v1"
dataset = "datasets/spyke"
vae = "vae-ft-mse-840000-ema-pruned.safetensors"
checkpoint = "anything-v5.safetensors"
steps = 30
save_every = 10
network_dim = 1
end = true
"""
DATASET = {
    f"datasets/spyke/{n:02}{end}": b"%d%a" % (n, end) for n in range(10) for end in (".png", ".txt")
}


@dataclass(frozen=True)
class Drop:
    """A file saved in the inbox at a virtual second, and when the ledger has ``after`` in it."""

    at_s: float
    name: str
    data: bytes
    after: bytes = b""


PANEL_STORY = (
    Drop(0.5, "ch01_p003.toml", PANEL),
    Drop(0.6, "wide.toml", BAD),
    Drop(9.0, "again.toml", PANEL),
    Drop(9.1, "ch01_p004.toml", OTHER),
)

CONTROL_STORY = (
    Drop(0.5, "ch01_p003.toml", PANEL),
    Drop(0.6, "ch01_p004.toml", OTHER),
    Drop(8.5, "stop.toml", b'kind = "cancel"\njob = "ch01_p003_v1"\nend = true\n'),
    Drop(9.0, "hush.toml", b'kind = "pause"\nend = true\n'),
    Drop(30.0, "on.toml", b'kind = "resume"\nend = true\n'),
    Drop(31.0, "more.toml", b'kind = "retry"\njob = "ch01_p003_v1"\nend = true\n'),
    Drop(45.0, "late.toml", b'kind = "cancel"\njob = "ch01_p003_v1"\nend = true\n'),
)

TRAIN_STORY = (
    Drop(0.5, "spyke.toml", TRAIN),
    Drop(0.6, "ch01_p003.toml", OTHER + b"end = true\n"),
    Drop(
        0.7,
        "good.toml",
        b'kind = "approve"\njob = "spyke_v1"\ncheckpoint = 20\nend = true\n',
        after=b'"type":"job.ended","job":"spyke_v1"',
    ),
)

TRAIN_CONTROL_STORY = (
    Drop(0.5, "spyke.toml", TRAIN.replace(b"steps = 30", b"steps = 40")),
    Drop(
        0.6,
        "stop.toml",
        b'kind = "cancel"\njob = "spyke_v1"\nend = true\n',
        after=b'"type":"checkpoint.saved"',
    ),
    Drop(
        0.7,
        "more.toml",
        b'kind = "retry"\njob = "spyke_v1"\nend = true\n',
        after=b'"type":"job.ended","job":"spyke_v1"',
    ),
)


@dataclass
class SimClock:
    """``ports.Clock``: virtual milliseconds."""

    def now(self) -> int:
        return EPOCH_MS + round(asyncio.get_running_loop().time() * 1000)


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
    """What goes wrong: the power (or only the process) before step ``cut_at``; 0 = never."""

    seed: int
    cut_at: int = 0
    kill_only: bool = False
    mischief: float = 0.0


@dataclass
class History:
    """What a story left behind."""

    fate: Fate
    disk: SimDisk
    engine: SimEngine
    trainings: SimTrainings
    installed: dict[str, bytes] = field(default_factory=dict)
    dropped: list[Drop] = field(default_factory=list)
    lives: int = 0
    broken: list[str] = field(default_factory=list)
    seen: list[bytes] = field(default_factory=list)

    def ledger(self) -> bytes:
        """All segments of the one host, in order."""
        names = sorted(
            name
            for name in self.disk.names
            if name.startswith("ledger/") and name.endswith(".jsonl")
        )
        return b"".join(self.disk.names[name].data for name in names)


def tell(story: Sequence[Drop], fate: Fate) -> History:
    """Live the story to its rest, starting the daemon again after each cut, and check every
    promise.
    """
    return run(_tell(story, fate))


async def _tell(story: Sequence[Drop], fate: Fate) -> History:
    history = _new_history(fate)
    disk, engine = history.disk, history.engine
    maker = asyncio.ensure_future(_drop(story, history))
    while not (maker.done() and at_rest(disk)):
        history.lives += 1
        await _live(history, maker)
        history.seen.append(history.ledger())
        if not fate.kill_only:
            engine.crash()
        _check_drops(history)
        if asyncio.get_running_loop().time() > LIMIT_S:
            history.broken.append("it never came to rest")
            break
    engine.crash()
    maker.cancel()
    _check(history)
    return history


def _new_history(fate: Fate) -> History:
    disk = SimDisk(random.Random(fate.seed), cut_at=fate.cut_at, kill_only=fate.kill_only)
    engine = SimEngine(random.Random(fate.seed + 1), mischief=fate.mischief)
    trainings = SimTrainings(disk, random.Random(fate.seed + 2), mischief=fate.mischief)
    history = History(fate, disk, engine, trainings)
    engine.before_post = lambda prompt: _was_recorded(history, prompt)
    engine.before_draw = lambda prompt: _has_the_gpu(history, prompt)
    trainings.watch = lambda folder: _is_leased(history, folder)
    for path in sorted(TEMPLATES.iterdir()):
        disk.put(f"workflows/{path.name}", path.read_bytes())
    for name, data in DATASET.items():
        disk.put(name, data)
    return history


async def _drop(story: Sequence[Drop], history: History) -> None:
    for drop in story:
        await asyncio.sleep(max(0.0, drop.at_s - asyncio.get_running_loop().time()))
        # What is waited for may never come: a training can fail before its first checkpoint.
        while drop.after not in history.ledger():
            if at_rest(history.disk):
                break
            await asyncio.sleep(0.5)
        history.disk.put(f"inbox/{drop.name}", drop.data)
        history.dropped.append(drop)


async def _live(history: History, maker: asyncio.Task[None]) -> None:
    disk, life, alarm = history.disk, history.disk.life, SimAlarm()
    ports = Ports(
        disk=disk.handle(),
        clock=SimClock(),
        gpu=SimGpu(history.trainings, life),
        alarm=alarm,
        renderer=SimRenderer(history.engine, lambda: life not in disk.dead_lives),
        pixels=SimPixels(),
        weights=SimWeights(history.installed),
        trainer=SimTrainer(history.trainings, life),
    )
    setup = Setup(
        studio="0123456789ab",
        host="press",
        version=__version__,
        daemon=DaemonFacts(__version__, 1, "0123456789ab", EPOCH_MS),
        engine="comfyui",
        places={"$STUDIO": "/studio"},
        policy=Policy(),
        settle_s=2.0,
        rescan_s=5.0,
    )
    press = Press(ports, setup)
    serving = asyncio.ensure_future(press.run())
    while not serving.done() and life not in disk.dead_lives:
        await asyncio.sleep(0.05)
        if maker.done() and at_rest(disk):
            press.stop()
            break
        if asyncio.get_running_loop().time() > LIMIT_S:
            break
    if life in disk.dead_lives or asyncio.get_running_loop().time() > LIMIT_S:
        serving.cancel()
    (ended,) = await asyncio.gather(serving, return_exceptions=True)
    for task in alarm.tasks:
        task.cancel()
    if isinstance(ended, BaseException) and not isinstance(
        ended, PowerCut | asyncio.CancelledError
    ):
        raise ended
    disk.dead_lives.add(life)
    disk.life = max(disk.life, life + 1)


def at_rest(disk: SimDisk) -> bool:
    """Every drop is answered, every accepted job has ended, and what is approved is installed."""
    if any(name.startswith(("inbox/", ".nightpress/taken/")) for name in disk.names):
        return False
    ledger = [name for name in disk.names if name.startswith("ledger/") and name.endswith(".jsonl")]
    lines = [line for name in sorted(ledger) for line in parse(disk.names[name].data)]
    return bool(lines) and not open_jobs(lines) and not to_install(lines)


def _was_recorded(history: History, prompt: str) -> None:
    """Nothing is sent whose id is not on the platter."""
    synced = b"".join(
        node.synced or b""
        for name, node in history.disk.durable.items()
        if name.startswith("ledger/") and name.endswith(".jsonl")
    )
    if prompt.encode() not in synced:
        history.broken.append(f"prompt {prompt} was sent before it was durable")


def _has_the_gpu(history: History, prompt: str) -> None:
    """Nothing is drawn while a training has the memory."""
    if trains := history.trainings.training():
        history.broken.append(f"prompt {prompt} is drawn while {trains} trains")


def _is_leased(history: History, folder: str) -> None:
    """Nothing is trained but the attempt that has the lease, by the ledger."""
    whole = history.ledger().rpartition(b"\n")[0]
    last = parse(whole[whole.rfind(b'{"seq"', 0, whole.rfind(b'"type":"attempt.')) :] + b"\n")[0]
    if (
        last["type"] != "attempt.started"
        or f"{last['job']}/resume/a{last['attempt']}-" not in folder
    ):
        history.broken.append(f"{folder} trains, and the last of attempts is {last}")
    if history.engine.running is not None:
        history.broken.append(f"{folder} trains while a picture is drawn")


def _check_drops(history: History) -> None:
    """No file is gone from the inbox without a line."""
    here = [
        node.data
        for name, node in history.disk.names.items()
        if name.startswith(("inbox/", ".nightpress/taken/"))
    ]
    ledger = history.ledger()
    for drop in history.dropped:
        answered = sha256(drop.data).hexdigest().encode() in ledger
        if not answered and drop.data not in here:
            history.broken.append(f"{drop.name} is gone without a line")


def _check(history: History) -> None:
    ledger = history.ledger()
    history.broken += chain_violations(ledger)
    lines = parse(ledger)
    history.broken += violations(lines)
    for before in history.seen:
        whole = before[: before.rfind(b"\n") + 1]
        if not ledger.startswith(whole):
            history.broken.append("the ledger did not only grow")
    history.broken += file_violations(
        lines,
        history.disk.get,
        installed=history.installed,
        made=history.trainings.made,
    )
    history.broken += history.trainings.broken
    if any(history.disk.get(name) != data for name, data in DATASET.items()) or any(
        "datasets/spyke" in step for step in history.disk.trace
    ):
        history.broken.append("the maker's dataset was written to")
    for line in lines:
        unlucky = line["type"] == "job.ended" and line["phase"] in ("failed", "quarantined")
        if unlucky and not history.fate.mischief:
            history.broken.append(f"{line['job']} {line['phase']} ({line['code']}) by a cut alone")
        if line["type"] == "attempt.ended" and line["outcome"] == "succeeded":
            _check_success(history, line["job"], line["attempt"])
    engine_lived = history.fate.kill_only or history.lives == 1
    if engine_lived and len(history.engine.executed) != len(set(history.engine.executed)):
        history.broken.append("a prompt was drawn twice though the engine still had it")


def _check_success(history: History, job: str, attempt: int) -> None:
    """A training succeeds only when its trainer ended well and its shim lived to say so."""
    for folder, sitting in history.trainings.runs.items():
        ended_well = sitting.code == 0 and not sitting.orphaned
        if f"/{job}/resume/a{attempt}-" in folder and not ended_well:
            history.broken.append(f"{folder} succeeded, and its process did not: {sitting}")
