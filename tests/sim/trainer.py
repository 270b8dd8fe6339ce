"""A trainer that misbehaves: shims and sd-scripts as the shell sees them through ``ports.Trainer``,
in virtual time.

The fault model, which is this module's documentation:

- A training is two processes, shim and trainer. They outlive the daemon (``kill``), and not the
  machine (``cut``): then both are gone at once and ``boot`` is another.
- Each of their writes is a step of the disk, before which the power can go. The shim's records are
  synced; nothing that the trainer writes is: logs grow, checkpoints grow in place under their final
  name, states come file by file, and old states are removed.
- The trainer notices what the real one notices of a damaged state (a file cut short), and nothing
  else: a whole state of another epoch is gone on with. It counts the steps that were really taken.
- With probability ``mischief`` a shim is killed (its trainer goes on, and may for a while not be
  identified), a trainer is killed by signal 9, or a shim dies before it has left its start record.
  ``fault`` is one of these, or an error of the trainer's own, that comes to the first run for sure.
- It complains of us (``broken``) when two trainers live at once, when an attempt is begun again, or
  without the GPU's lock.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import tomllib
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from daemon.errors import WorldError
from daemon.ports import Holder, TrainerFacts, TrainingOrder
from tests.sim.disk import Change, Life, Node, PowerCut, SimDisk

STUDIO = "/studio"
TrainerFault = Literal["", "fails", "shim killed", "trainer killed"]
_FAULT_S = 0.8
_PAUSE_S = 0.02
_BARS = 5
"""How many steps the trainer takes before what it says of them gets to its log."""
_LOOK_S = 0.5
_LAST_FAULT_S = 12.0
_STATE_FILES = ("train_state.json", "model.safetensors", "optimizer.bin", "random_states_0.pkl")


@dataclass
class Process:
    """A process of the machine: dead once its work has ended, was killed, or the power went."""

    task: asyncio.Task[None] | None = None
    alive: bool = True

    def begin(self, work: Coroutine[Any, Any, None], broken: list[str]) -> None:
        async def live() -> None:
            try:
                await work
            except PowerCut:
                pass
            except (AssertionError, LookupError, TypeError, AttributeError) as error:
                broken.append(f"a mistake in the simulator: {error!r}")
            finally:
                self.alive = False

        self.task = asyncio.ensure_future(live())

    def kill(self) -> None:
        """Signal 9: it takes no further step."""
        self.alive = False
        if self.task is not None:
            self.task.cancel()


@dataclass
class Run:
    """One attempt: its shim, its trainer (None: not started yet), and how the trainer ended."""

    order: TrainingOrder
    boot: int
    shim: Process = field(default_factory=Process)
    trainer: Process | None = None
    code: int | None = None
    signal: int = 0
    identified: bool = False
    orphaned: bool = False

    @property
    def trains(self) -> bool:
        return self.trainer is not None and self.trainer.alive


@dataclass
class SimTrainings:
    """All trainings of a machine. ``watch`` is told the folder at each step of a training.

    ``made`` are the optimizer steps really taken in each checkpoint that was written, by its hash.
    """

    disk: SimDisk
    chance: random.Random
    mischief: float = 0.0
    fault: TrainerFault = ""
    step_s: float = 0.3
    gpu_life: int = 0
    runs: dict[str, Run] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    made: dict[str, int] = field(default_factory=dict)
    watch: Callable[[str], None] = lambda folder: None

    def living(self, folder: str) -> Run | None:
        """The attempt in this folder while its shim or its trainer lives."""
        run = self.runs.get(folder)
        here = run is not None and run.boot == self.disk.boots
        return run if here and run is not None and (run.shim.alive or run.trains) else None

    def training(self) -> list[str]:
        """The folders in which a trainer lives."""
        return [folder for folder in self.runs if (run := self.living(folder)) and run.trains]

    def gpu_held(self) -> bool:
        """By a daemon that lives, or by a training that has inherited the lock."""
        return self.gpu_life == self.disk.life or any(self.living(folder) for folder in self.runs)

    def start(self, order: TrainingOrder) -> Run:
        if self.disk.get(f"{order.folder}/shim.json") is not None:
            self.broken.append(f"{order.folder} is begun again")
        run = self.runs[order.folder] = Run(order, self.disk.boots)
        loop = asyncio.get_running_loop()
        if len(self.runs) == 1 and self.fault in ("shim killed", "trainer killed"):
            kill = self._kill_shim if self.fault == "shim killed" else self._kill_trainer
            loop.call_later(_FAULT_S, kill, run)
        if self.chance.random() < self.mischief:
            fault = self.chance.choice([self._kill_shim, self._kill_trainer, self._kill_shim_first])
            at_s = 0.0 if fault == self._kill_shim_first else self.chance.random() * _LAST_FAULT_S
            loop.call_later(at_s, fault, run)
        run.shim.begin(self._watch_over(run), self.broken)
        return run

    def _kill_shim(self, run: Run) -> None:
        run.orphaned = run.shim.alive and self.disk.get(f"{run.order.folder}/exit.json") is None
        run.shim.kill()

    def _kill_shim_first(self, run: Run) -> None:
        if run.trainer is None:
            self._kill_shim(run)

    def _kill_trainer(self, run: Run) -> None:
        if run.trainer is not None and run.trains:
            run.signal = 9
            run.trainer.kill()

    async def _watch_over(self, run: Run) -> None:
        """The shim's life."""
        folder, record = run.order.folder, {"nonce": run.order.nonce, "boot": f"boot-{run.boot}"}
        marker = f"{folder}/cancelled"
        await self.keep(run, "shim.json", record)
        stopped = "cancelled" if self.disk.get(marker) is not None else ""
        if not stopped:
            run.trainer = Process()
            run.trainer.begin(_Sitting(self, run).train(), self.broken)
            await self.keep(run, "shim.json", {**record, "child": 1})
            run.identified = True
            stopped = await self._wait(run, run.trainer, marker)
        end = {"code": run.code, "signal": run.signal, "stopped": stopped, "error": ""}
        await self.keep(run, "exit.json", {**record, **end, "started": 1, "ended": 2})

    async def _wait(self, run: Run, trainer: Process, marker: str) -> str:
        while trainer.alive:
            if self.disk.get(marker) is not None:
                await asyncio.sleep(self.chance.random())
                if trainer.alive:
                    run.signal = 15
                    trainer.kill()
                return "cancelled"
            await asyncio.sleep(_LOOK_S)
        return ""

    async def step(self, run: Run, what: str) -> None:
        """One step of one of the processes."""
        self.disk.outside(run.boot, what)
        await asyncio.sleep(_PAUSE_S)
        if run.boot != self.disk.boots:
            raise PowerCut(what)

    async def create(self, run: Run, path: str) -> Node:
        """An empty file under its name, whatever was there."""
        await self.step(run, f"create {path}")
        node = self.disk.new_node()
        self.disk.change(Change("", path, node))
        return node

    async def grow(self, run: Run, path: str, data: bytes) -> None:
        """Append to a file, which may be new."""
        node = self.disk.names.get(path) or await self.create(run, path)
        await self.step(run, f"append to {path}")
        node.data += data

    async def keep(self, run: Run, name: str, record: Mapping[str, object]) -> None:
        """A record of the shim, whole or not at all, and on the disk."""
        path, temporary = f"{run.order.folder}/{name}", f"{run.order.folder}/.{name}.tmp"
        data = json.dumps(record).encode()
        node = await self.create(run, temporary)
        node.data = data[: len(data) // 2]
        await self.step(run, f"write {temporary}")
        node.data = data
        await self.step(run, f"sync {temporary}")
        node.synced = data
        await self.step(run, f"rename {temporary} {path}")
        self.disk.change(Change(temporary, path, node))
        await self.step(run, f"sync the folder of {path}")
        self.disk.sync_names(path)


class _Sitting:
    """One run of the trainer: what it reads, says and leaves, in the order of sd-scripts."""

    def __init__(self, world: SimTrainings, run: Run) -> None:
        self._world = world
        self._run = run
        self._folder = run.order.folder
        self._taken = 0

    async def train(self) -> None:
        world, run = self._world, self._run
        if others := [folder for folder in world.training() if folder != self._folder]:
            world.broken.append(f"{self._folder} trains while {others} does")
        try:
            await self._train()
        except ValueError as error:
            await self._err(f"RuntimeError: PytorchStreamReader failed: {error}\n")
            run.code = 1
        except MemoryError:
            await self._err("RuntimeError: MPS backend out of memory\n")
            run.code = 1
        else:
            run.code = 0

    async def _train(self) -> None:
        self._read_documents()
        await self._out("accelerator device: mps\nprepare optimizer, data loader etc.\n")
        done = self._resumed()
        self._total = self._most or (self._epochs - done) * self._epoch_steps
        await self._out(
            "running training / 学習開始\n"
            f"  num batches per epoch / 1epochのバッチ数: {self._epoch_steps}\n"
        )
        await self._err(f"\rsteps:   0%|          | 0/{self._total} [00:00<?, ?it/s]")
        step = 0
        for epoch in range(done + 1, self._epochs + 1):
            await self._out(f"\nepoch {epoch}/{self._epochs}\n\n")
            last = min(self._epoch_steps, self._total - step)
            for first in range(0, last, _BARS):
                bars = ""
                for _ in range(first, min(first + _BARS, last)):
                    await self._learn()
                    step += 1
                    self._taken += 1
                    bars += self._bars(step)
                await self._err(bars)
            if epoch < self._epochs:
                await self._save(f"{self._name}-{epoch:06d}.safetensors")
                await self._save_state(f"{self._name}-{epoch:06d}-state", epoch, step)
                await self._rotate(epoch)
        await self._save_state(f"{self._name}-state", self._epochs, step)
        await self._save(f"{self._name}.safetensors")
        await self._err(f"{'':20}INFO     model saved.   train_network.py:1729\n")
        await self._err(f"{self._bar(step, _loss(step))}\n")

    async def _learn(self) -> None:
        await asyncio.sleep(self._world.step_s)
        if self._world.fault == "fails":
            raise MemoryError
        if self._run.boot == self._world.disk.boots:
            self._world.watch(self._folder)

    def _read_documents(self) -> None:
        config = self._document("config.toml")
        dataset = self._document("dataset.toml")
        subset, *beside = dataset["datasets"][0]["subsets"]
        for other in beside:
            folder = f"{_ours(other['image_dir'])}/"
            if not any(name.startswith(folder) for name in self._world.disk.names):
                self._world.broken.append(f"{folder} has no pictures to learn beside")
        inside = [
            name
            for name in self._world.disk.names
            if name.startswith(f"{_ours(subset['image_dir'])}/")
        ]
        pictures = [name for name in inside if name.endswith(".png")]
        for name in pictures:
            if not self._world.disk.get(f"{name.removesuffix('.png')}.txt"):
                self._world.broken.append(f"{name} is learnt without a caption")
        batches = len(pictures) * subset["num_repeats"] * (2 if beside else 1)
        self._epoch_steps = -(-batches // config["learning"]["gradient_accumulation_steps"])
        self._most = config["learning"].get("max_train_steps", 0)
        some = -(-self._most // self._epoch_steps)
        self._epochs = config["learning"].get("max_train_epochs", some)
        self._output = _ours(config["output"]["output_dir"])
        self._name = config["output"]["output_name"]
        self._kept = config["output"]["save_last_n_epochs_state"]
        self._resume = config.get("resume", {})

    def _document(self, name: str) -> dict[str, Any]:
        path = f"{self._folder}/{name}"
        assert f"{STUDIO}/{path}" in self._run.order.arguments, "it is told to read another"
        data = self._world.disk.get(path)
        if data is None:
            self._world.broken.append(f"a trainer was started without its {name}")
        return tomllib.loads((data or b"").decode())

    def _resumed(self) -> int:
        """The epochs done before; what the state holds is gone on with, whatever it is."""
        if not self._resume:
            return 0
        folder = _ours(self._resume["resume"])
        found = [self._world.disk.get(f"{folder}/{name}") for name in _STATE_FILES[:3]]
        # A file that was cut short is no JSON, and that is the one thing that is noticed.
        _, _, optimizer = [json.loads(data or b"") for data in found]
        self._taken = optimizer["steps"]
        return int(self._resume["initial_epoch"]) - 1

    async def _save(self, name: str) -> None:
        path = f"{self._output}/{name}"
        await self._out(f"\nsaving checkpoint: {path}\n")
        data = checkpoint(self._taken, run=self._folder)
        self._world.made[hashlib.sha256(data).hexdigest()] = self._taken
        node = await self._world.create(self._run, path)
        for chunk in (data[:40], data[40:]):
            await self._world.step(self._run, f"write a chunk of {path}")
            node.data += chunk

    async def _save_state(self, name: str, epoch: int, step: int) -> None:
        content = json.dumps({"epoch": epoch, "step": step, "steps": self._taken}).encode()
        for each in _STATE_FILES:
            path = f"{self._output}/{name}/{each}"
            (await self._world.create(self._run, path)).data = content

    async def _rotate(self, epoch: int) -> None:
        old = f"{self._output}/{self._name}-{epoch - self._kept:06d}-state/"
        for path in [name for name in self._world.disk.names if name.startswith(old)]:
            await self._world.step(self._run, f"unlink {path}")
            self._world.disk.change(Change(path, "", None))

    def _bars(self, step: int) -> str:
        """A step's bar is drawn with the loss of the step before, then with its own."""
        before = _loss(step - 1) if step > 1 else None
        return self._bar(step, before) + self._bar(step, _loss(step))

    def _bar(self, step: int, loss: float | None) -> str:
        share = step * 100 // self._total
        told = "" if loss is None else f", avr_loss={loss:.3g}"
        blocks = "█" * (share // 10)
        return (
            f"\rsteps: {share:3}%|{blocks:10}| {step}/{self._total} [00:01<00:01,  3.33it/s{told}]"
        )

    async def _out(self, text: str) -> None:
        await self._world.grow(self._run, f"{self._folder}/stdout.log", text.encode())

    async def _err(self, text: str) -> None:
        await self._world.grow(self._run, f"{self._folder}/stderr.log", text.encode())


def _loss(step: int) -> float:
    return 0.2 - step / 1000


def checkpoint(steps: int, *, run: str) -> bytes:
    """A whole safetensors file that says how many optimizer steps are in it."""
    data = hashlib.sha256(f"{steps} {run}".encode()).digest()
    told = {"steps": str(steps), "sshs_model_hash": hashlib.sha256(data).hexdigest()}
    tensor = {"dtype": "F16", "shape": [16], "data_offsets": [0, len(data)]}
    header = json.dumps({"__metadata__": told, "lora.weight": tensor}).encode()
    return len(header).to_bytes(8, "little") + header + data


def _ours(path: str) -> str:
    """The name on the disk of an absolute path in the studio."""
    assert path.startswith(f"{STUDIO}/"), f"{path} is outside of the studio"
    return path.removeprefix(f"{STUDIO}/")


class SimTrainer:
    """``ports.Trainer`` for one life of the daemon."""

    def __init__(self, world: SimTrainings, life: Life) -> None:
        self._world = world
        self._life = life
        self._boot = world.disk.boots

    async def _ask(self) -> None:
        await asyncio.sleep(0.001)
        self._life.check("a question to the system")

    async def describe(self) -> TrainerFacts:
        await self._ask()
        return TrainerFacts("sd-scripts", "48d368fa", "3.11.9", {"torch": "2.13.0"})

    async def start(self, order: TrainingOrder) -> None:
        world = self._world
        await self._ask()
        if world.living(order.folder):
            raise WorldError("TRAINER_BUSY", f"somebody has the lock of {order.folder}")
        if world.gpu_life != self._life.number:
            world.broken.append(f"{order.folder} was started without the GPU's lock")
        self._life.step(f"start the shim of {order.folder}")
        run = world.start(order)
        self._life.step(f"know that the shim of {order.folder} was started")
        while world.disk.get(f"{order.folder}/shim.json") is None:
            if not run.shim.alive:
                raise WorldError("TRAINER_START", "the shim did not begin")
            await self._ask()

    async def holder(self, folder: str) -> Holder:
        await self._ask()
        run = self._world.living(folder)
        if run is None:
            return "nobody"
        return "shim" if run.shim.alive else "orphan"

    async def end_orphan(self, folder: str, *, nonce: str, grace_s: float) -> bool:
        await self._ask()
        run = self._world.living(folder)
        if run is None or run.trainer is None:
            return True
        unsure = self._world.chance.random() < 0.5
        if unsure or not run.identified or run.order.nonce != nonce:
            return False
        self._life.step(f"signal the orphan of {folder}")
        run.trainer.kill()
        self._life.step(f"know that the orphan of {folder} was signalled")
        return True

    async def pid(self, folder: str) -> int | None:
        return None

    async def boot(self) -> str:
        return f"boot-{self._boot}"


class SimGpu:
    """``ports.GpuLock`` for one life of the daemon: of a machine with one studio."""

    def __init__(self, world: SimTrainings, life: Life) -> None:
        self._world = world
        self._life = life.number

    def try_take(self) -> bool:
        if self._world.gpu_life == self._life:
            return True
        if self._world.gpu_held():
            return False
        self._world.gpu_life = self._life
        return True

    def give_back(self) -> None:
        if self._world.gpu_life == self._life:
            self._world.gpu_life = 0
