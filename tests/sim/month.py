"""A machine with two studios through days and nights: panels, trainings, lid, battery, memory.

Law: everything below the ports is simulated, in virtual time, on a real disk; whoever uses the GPU
while somebody else does is written down in ``broken``.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from daemon.adapters.disk import StudioDisk
from daemon.core.policy import Policy
from daemon.core.windows import Span, Windows, is_open
from daemon.ports import Holder, Program, Signals, TrainerFacts, TrainingOrder
from daemon.shell.premises import Ports, Setup
from daemon.shell.press import Press
from daemon.wire.status import DaemonFacts
from tests.sim.checker import open_jobs, parse
from tests.sim.engine import SimEngine, SimPixels, SimRenderer, SimWeights
from tests.sim.story import SimAlarm
from tests.sim.trainer import checkpoint

BERLIN = ZoneInfo("Europe/Berlin")
EVERY_DAY = frozenset(range(7))
GIB = 2**30
MINUTE_MS = 60_000
POLICY = Policy(
    training_windows=Windows((Span(EVERY_DAY, 22 * 60, 7 * 60),), BERLIN),
    panel_windows=Windows((Span(EVERY_DAY, 6 * 60 + 30, 24 * 60),), BERLIN),
    memory_sample_s=20.0,
    health_poll_s=20.0,
    min_free_gb=0.0,
)
WORKFLOWS = Path(__file__).parents[2] / "workflows"
LATE_S = 60.0
"""After its window has closed, or the machine has woken up, a trainer may live for so long."""
PANEL = """\
kind = "panel"
prompt = "spyke_plasma_v1, leaping, {name}"
seed = {seed}
width = 64
height = 64
priority = {priority}
vae = "vae-ft-mse-840000-ema-pruned.safetensors"
checkpoint = "{checkpoint}.safetensors"
end = true
"""
TRAINING = """\
kind = "train"
lora = "{name}"
trigger = "spyke_plasma_v1"
dataset = "datasets/spyke"
vae = "vae-ft-mse-840000-ema-pruned.safetensors"
checkpoint = "anything-v5.safetensors"
steps = {steps}
allow_overfit = true
waive_trigger_probe = true
grid = {{ prompts = [] }}
{more}
end = true
"""


@dataclass
class Calendar:
    """``ports.Clock``: the loop's time, and what the machine has slept."""

    began_ms: int
    slept_ms: int = 0

    def now(self) -> int:
        return self.began_ms + self.slept_ms + round(asyncio.get_running_loop().time() * 1000)


def instant(text: str) -> int:
    """Of Berlin's wall clock, in ms since 1970."""
    local = datetime.fromisoformat(text).replace(tzinfo=BERLIN)
    return round(local.astimezone(UTC).timestamp() * 1000)


@dataclass(frozen=True)
class Troubles:
    """What comes from outside, as spans of time (ms since 1970): a browser that fills the memory,
    the plug pulled, somebody else's training.
    """

    pressure: Sequence[tuple[int, int]] = ()
    unplugged: Sequence[tuple[int, int]] = ()
    rivals: Sequence[tuple[int, int]] = ()


def within(spans: Sequence[tuple[int, int]], at: int) -> bool:
    return any(first <= at < last for first, last in spans)


@dataclass
class MonthProbe:
    """``ports.Probe`` of a machine with 16 GB and these troubles."""

    calendar: Calendar
    troubles: Troubles
    swapped: int = 0

    async def signals(self) -> Signals:
        pressed = within(self.troubles.pressure, self.calendar.now())
        self.swapped += 100 * 2**20 * pressed
        on_ac = not within(self.troubles.unplugged, self.calendar.now())
        level = 2 if pressed else 1
        free = (2 if pressed else 11) * GIB
        return Signals(16 * GIB, free, level, self.swapped, on_ac, 80)

    async def programs(self) -> tuple[Program, ...] | None:
        trains = within(self.troubles.rivals, self.calendar.now())
        rival = (Program("train_network.py", 99, 8 * GIB, trains=True),) if trains else ()
        return (Program("Google Chrome", 77, 2 * GIB, trains=False), *rival)

    async def users(self) -> int | None:
        return 0

    async def footprint(self, pid: int) -> tuple[int, int] | None:
        return None

    async def kill_evidence(self, *, pid: int, since: int) -> str:
        return ""


@dataclass
class Machine:
    """What the studios share: one GPU and its lock, one clock, one memory."""

    calendar: Calendar
    troubles: Troubles
    owner: str = ""
    engines: dict[str, SimEngine] = field(default_factory=dict)
    training: dict[str, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def draws(self, studio: str) -> None:
        """Somebody begins to draw."""
        others = [name for name, each in self.engines.items() if each.running and name != studio]
        if others or self.training:
            self.broken.append(f"{studio} draws while {others} draw and {self.training} train")

    def trains(self, studio: str, folder: str) -> None:
        """Somebody takes a step."""
        drawing = [name for name, each in self.engines.items() if each.running]
        if drawing or len(self.training) > 1:
            self.broken.append(f"{folder} trains while {drawing} draw, of {self.training}")
        assert self.training.get(folder) == studio

    def wake_up(self, hours: float) -> None:
        """The lid was closed for so long."""
        self.calendar.slept_ms += round(hours * 3_600_000)


@dataclass
class SharedGpu:
    """``ports.GpuLock`` of one studio: a shim that lives holds it for its studio."""

    machine: Machine
    studio: str

    def try_take(self) -> bool:
        machine = self.machine
        if machine.owner not in ("", self.studio):
            return False
        if any(studio != self.studio for studio in machine.training.values()):
            return False
        machine.owner = self.studio
        return True

    def give_back(self) -> None:
        if self.machine.owner == self.studio:
            self.machine.owner = ""


@dataclass
class MonthTrainer:
    """``ports.Trainer`` of one studio; its trainings outlive the daemon. ``step_s`` a step."""

    machine: Machine
    studio: str
    root: Path
    step_s: float = 12.0
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    async def describe(self) -> TrainerFacts:
        return TrainerFacts("sd-scripts", "48d368fa", "3.11.9", {"torch": "2.13.0"})

    async def start(self, order: TrainingOrder) -> None:
        folder = self.root / order.folder
        folder.mkdir(parents=True, exist_ok=True)
        record = {"nonce": order.nonce, "boot": "boot"}
        (folder / "shim.json").write_text(json.dumps(record))
        self.machine.training[order.folder] = self.studio
        self.tasks[order.folder] = asyncio.ensure_future(self._live(order, folder))

    async def holder(self, folder: str) -> Holder:
        return "shim" if folder in self.machine.training else "nobody"

    async def end_orphan(self, folder: str, *, nonce: str, grace_s: float) -> bool:
        return False

    async def pid(self, folder: str) -> int | None:
        return None

    async def boot(self) -> str:
        return "boot"

    async def _live(self, order: TrainingOrder, folder: Path) -> None:
        code: int | None = 0
        stopped = ""
        try:
            await self._train(order, folder)
        except InterruptedError:
            code, stopped = None, "cancelled"
        record = {"nonce": order.nonce, "code": code, "signal": 0 if code == 0 else 15}
        record |= {"stopped": stopped, "started": 1, "ended": 2}
        (folder / "exit.json").write_text(json.dumps(record))
        del self.machine.training[order.folder]

    async def _train(self, order: TrainingOrder, folder: Path) -> None:
        config = tomllib.loads((folder / "config.toml").read_text())
        (subset,) = tomllib.loads((folder / "dataset.toml").read_text())["datasets"][0]["subsets"]
        pictures = _pictures(subset["image_dir"]) * subset["num_repeats"]
        output, name = config["output"], config["output"]["output_name"]
        most = config["learning"].get("max_train_steps", 0)
        epochs = config["learning"].get("max_train_epochs", -(-most // pictures))
        done = int(config.get("resume", {}).get("initial_epoch", 1)) - 1
        total, step = most or (epochs - done) * pictures, 0
        out, err = (folder / "stdout.log").open("a"), (folder / "stderr.log").open("a")
        with out, err:
            _say(out, "accelerator device: mps\nprepare optimizer, data loader etc.\n")
            _say(out, f"running training\n  num batches per epoch: {pictures}\n")
            for epoch in range(done + 1, epochs + 1):
                _say(out, f"\nepoch {epoch}/{epochs}\n\n")
                for _ in range(0, min(pictures, total - step), 10):
                    await self._learn(order.folder, folder)
                    _say(err, "".join(_bar(step + each, total) for each in range(1, 11)))
                    step += 10
                last = epoch == epochs
                ending = "" if last else f"-{epoch:06d}"
                _save(Path(output["output_dir"]), f"{name}{ending}", step, str(folder))
            _say(err, f"{'':20}INFO     model saved.   train_network.py:1729\n")
            _say(err, _bar(step, total) + "\n")

    async def _learn(self, name: str, folder: Path) -> None:
        """Ten steps, interrupted when it is told to stop."""
        self.machine.trains(self.studio, name)
        left_s = 10 * self.step_s
        while left_s > 0:
            if (folder / "cancelled").exists():
                raise InterruptedError
            await asyncio.sleep(min(10.0, left_s))
            left_s -= 10.0


def _pictures(folder: str) -> int:
    return len(list(Path(folder).glob("*.png")))


def _say(log: Any, text: str) -> None:
    log.write(text)
    log.flush()


def _bar(step: int, total: int) -> str:
    blocks, loss = "█" * (step * 10 // total), 0.2 - step / 100_000
    return (
        f"\rsteps: {step * 100 // total:3}%|{blocks:10}| {step}/{total} [00:01<00:01,  3.33it/s"
        f", avr_loss={loss:.3g}]"
    )


def _save(output: Path, name: str, steps: int, run: str) -> None:
    output.mkdir(exist_ok=True)
    (output / f"{name}.safetensors").write_bytes(checkpoint(steps, run=run))
    state = output / f"{name}-state"
    state.mkdir(exist_ok=True)
    for each in ("train_state.json", "model.safetensors", "optimizer.bin", "random_states_0.pkl"):
        (state / each).write_text(json.dumps({"steps": steps}))


class Studio:
    """One studio of the machine, and one life of its daemon after another."""

    def __init__(self, name: str, root: Path, machine: Machine) -> None:
        self.name, self.root, self.machine = name, root, machine
        self.engine = SimEngine(random.Random(name), step_s=5.0)
        self.engine.before_draw = lambda prompt: machine.draws(name)
        machine.engines[name] = self.engine
        self.trainer = MonthTrainer(machine, name, root)
        self.probe = MonthProbe(machine.calendar, machine.troubles)
        self.gpu = SharedGpu(machine, name)
        self.dropped: list[str] = []
        self.minutes, self.unexplained = 0, list[str]()
        self.codes: Counter[str] = Counter()
        self.late_s: dict[str, float] = {}
        for folder in ("inbox", "outbox", "ledger", "workflows", "datasets/spyke"):
            (root / folder).mkdir(parents=True)
        for path in WORKFLOWS.glob("panel.*"):
            (root / "workflows" / path.name).write_bytes(path.read_bytes())
        for number in range(20):
            picture = root / "datasets" / "spyke" / f"{number:02}"
            picture.with_suffix(".png").write_bytes(b"\x89PNG\r\n\x1a\n%d" % number)
            picture.with_suffix(".txt").write_text(f"spyke_plasma_v1, pose {number}\n")
        self._begin()

    def _begin(self) -> None:
        began = self.machine.calendar.now()
        self.alarm = SimAlarm()
        ports = Ports(
            disk=StudioDisk(self.root),
            clock=self.machine.calendar,
            gpu=self.gpu,
            alarm=self.alarm,
            renderer=SimRenderer(self.engine),
            pixels=SimPixels(),
            weights=SimWeights(),
            trainer=self.trainer,
            probe=self.probe,
        )
        identity = hashlib.sha256(self.name.encode()).hexdigest()[:12]
        setup = Setup(
            studio=identity,
            host="press",
            version="0.0.0",
            daemon=DaemonFacts("0.0.0", 1, identity, began),
            engine="comfyui",
            places={"$STUDIO": str(self.root)},
            policy=POLICY,
            settle_s=0.0,
            rescan_s=60.0,
            tick_s=20.0,
        )
        self.press = Press(ports, setup)
        self.serving = asyncio.ensure_future(self.press.run())

    async def kill(self) -> None:
        """The daemon is killed and started again; engine and trainer live on."""
        await self._end(self.serving.cancel)
        self.gpu.give_back()
        self._begin()

    async def stop(self) -> None:
        await self._end(self.press.stop)

    async def _end(self, how: Callable[[], object]) -> None:
        how()
        (ended,) = await asyncio.gather(self.serving, return_exceptions=True)
        for task in self.alarm.tasks:
            task.cancel()
        if isinstance(ended, Exception):
            raise ended

    def drop(self, name: str, text: str) -> None:
        """As a program does: whole under another name, then renamed."""
        self.dropped.append(name)
        hidden = self.root / "inbox" / f".{name}.tmp"
        hidden.write_text(text)
        hidden.rename(self.root / "inbox" / f"{name}.toml")

    def ledger(self) -> bytes:
        files = sorted((self.root / "ledger" / "press").glob("*.jsonl"))
        return b"".join(file.read_bytes() for file in files)

    def lines(self) -> list[dict[str, Any]]:
        return parse(self.ledger())

    def look(self) -> None:
        """Once a minute: whoever waits has a reason, in words; nobody trains out of hours."""
        crew = self.press.crew
        if crew is None or self.serving.done():
            return
        state, reasons = crew.loop.state, crew.loop.reasons()
        waiting = [job for job in map(state.jobs.__getitem__, state.queue) if _waits(job.phase)]
        first = sorted(waiting, key=lambda job: (-job.priority, job.accepted_seq))[:150]
        for job in {*(job.id for job in first), *(j.id for j in waiting if j.kind == "train")}:
            reason = reasons.get(job)
            if reason is None or not reason.code or not reason.text.endswith("."):
                self.unexplained.append(f"{job}: {reason}")
            else:
                self.codes[reason.code] += 1
        self.minutes += 1
        self._look_at_hours()

    def _look_at_hours(self) -> None:
        machine = self.machine
        open_now = is_open(POLICY.training_windows, machine.calendar.now())
        for folder, studio in machine.training.items():
            if studio != self.name:
                continue
            # The short run that tries it is made by day.
            tries = "max_train_steps" in (self.root / folder / "config.toml").read_text()
            if not tries and "now" not in folder and not open_now:
                self.late_s[folder] = self.late_s.get(folder, 0.0) + 60.0

    def rests(self) -> bool:
        """Whether everything that was dropped has ended."""
        return not any((self.root / "inbox").glob("*.toml")) and not open_jobs(self.lines())


def _waits(phase: str) -> bool:
    return phase in ("waiting", "held")


def training(name: str, *, steps: int, more: str = "") -> str:
    """A training's file; ``more`` are further lines."""
    return TRAINING.format(name=name, steps=steps, more=more)


Deed = Callable[[], Any]


@dataclass
class Story:
    """What is done when, by the wall clock; and until when it is told."""

    machine: Machine
    studios: Sequence[Studio]
    deeds: list[tuple[int, Deed]]
    until: int

    async def tell(self) -> None:
        """Minute after minute."""
        deeds = sorted(self.deeds, key=lambda deed: deed[0])
        while (now := self.machine.calendar.now()) < self.until:
            while deeds and deeds[0][0] <= now:
                done = deeds.pop(0)[1]()
                if asyncio.iscoroutine(done):
                    await done
            await asyncio.sleep(60.0)
            for studio in self.studios:
                studio.look()
                if studio.serving.done():
                    studio.serving.result()
        for studio in self.studios:
            await studio.stop()


def panels(chance: random.Random, *, prefix: str, count: int) -> Iterator[tuple[str, str]]:
    """Names and texts of so many panels, of three checkpoints."""
    for number in range(count):
        name = f"{prefix}_p{number:04}"
        values: Mapping[str, object] = {
            "name": name,
            "seed": chance.randrange(2**53),
            "priority": chance.choice((-1, 0, 0, 0, 1)),
            "checkpoint": chance.choice(("ink", "wash", "anything-v5")),
        }
        yield name, PANEL.format(**values)


def days(first: str, count: int) -> Iterator[tuple[int, str]]:
    """The days from this date on: number and date."""
    begin = datetime.fromisoformat(first)
    for number in range(count):
        yield number, f"{begin + timedelta(days=number):%Y-%m-%d}"


def starts_in(lines: Sequence[dict[str, Any]], spans: Sequence[tuple[int, int]]) -> list[str]:
    """The attempts that were started in one of these spans, half a minute after its begin."""
    found = []
    for line in lines:
        if line["type"] == "attempt.started":
            at = round(datetime.fromisoformat(line["at"]).timestamp() * 1000)
            if within([(first + 30_000, last) for first, last in spans], at):
                found.append(f"{line['job']} at {line['at']}")
    return found


def holds_an_hour(lines: Sequence[dict[str, Any]]) -> int:
    """The most lines of ``job.held`` about one job in one hour."""
    held = Counter((line["job"], line["at"][:13]) for line in lines if line["type"] == "job.held")
    return max(held.values(), default=0)


def longest_late_s(studio: Studio) -> float:
    return max(studio.late_s.values(), default=0.0)
