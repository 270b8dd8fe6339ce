"""A scripted trainer: ``ports.Trainer`` in virtual time, its runs written as coroutines.

Law: what a run does is what lies in its folder on the disk: records, logs, checkpoints, states. It
obeys the marker as a shim does, within half a second.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256

from daemon.core.jobs import ModelFacts
from daemon.errors import WorldError
from daemon.ports import Examined, Holder, TrainerFacts, TrainingOrder
from daemon.wire.sd_scripts import CONFIG, checkpoint_file, done_epochs, state_folder
from daemon.wire.seal import LAST_WRITTEN
from daemon.wire.shim_record import EXIT, MARKER, START
from tests.fakes import MemoryDisk

JOB, EPOCHS, EPOCH_STEPS = "spyke_v1", 4, 2
STATE_FILES = ("train_state.json", "model.safetensors", "optimizer.bin", LAST_WRITTEN)
_LOOK_S = 0.5


class Stopped(Exception):
    """The run saw its marker."""


class Died(Exception):
    """The run ended; the shim writes this record, or none when it was killed itself."""

    def __init__(self, **record: object) -> None:
        super().__init__()
        self.record = record


@dataclass
class Run:
    """One run of the trainer, ``step_s`` seconds a step."""

    disk: MemoryDisk
    order: TrainingOrder
    step: int = 0
    step_s: float = 1.0

    @property
    def done(self) -> int:
        """The epochs that its document says were done before."""
        return done_epochs(self.disk.data(self.path(CONFIG)))

    def path(self, name: str) -> str:
        return f"{self.order.folder}/{name}"

    async def whole(self) -> None:
        """From where it begins to the end."""
        self.begin()
        await self.epochs(range(self.done + 1, EPOCHS + 1))
        self.finish()

    def begin(self) -> None:
        self.say("stdout.log", "accelerator device: mps\nprepare optimizer\nrunning training\n")

    async def epochs(self, which: Sequence[int], *, loss: float = 0.1) -> None:
        for epoch in which:
            self.say("stdout.log", f"epoch {epoch}/{EPOCHS}\n")
            for _ in range(EPOCH_STEPS):
                await self.rest(self.step_s)
                self.step += 1
                bar = f"steps:  50%|#| {self.step}/{EPOCHS * EPOCH_STEPS} [00:01<00:01,  1.00s/it"
                self.say("stderr.log", f"\r{bar}]\r{bar}, avr_loss={loss + self.step / 1000:.3f}]")
            if epoch < EPOCHS:
                self.save(epoch)

    def save(self, epoch: int) -> None:
        """The checkpoint of an epoch, and its state unless it is the last."""
        name = checkpoint_file(JOB, epoch=epoch, epochs=EPOCHS)
        self.disk.put(self.path(f"out/{name}"), lora(f"{self.order.folder}, {epoch}"))
        if epoch < EPOCHS:
            self.save_state(epoch)

    def save_state(self, epoch: int) -> None:
        folder = self.path(f"out/{state_folder(JOB, epoch=epoch)}")
        for file in STATE_FILES:
            self.disk.put(f"{folder}/{file}", f"{file} after {epoch}".encode())

    def finish(self) -> None:
        self.save(EPOCHS)
        self.say("stderr.log", "\nINFO     model saved.\n")

    def say(self, log: str, text: str) -> None:
        node = self.disk.nodes.get(self.path(log))
        self.disk.put(self.path(log), (node.data if node else b"") + text.encode())

    async def rest(self, seconds: float) -> None:
        """Raises ``Stopped`` when the marker is seen meanwhile."""
        end_s = _now() + seconds
        while (left_s := end_s - _now()) > 0:
            if self.path(MARKER) in self.disk.nodes:
                raise Stopped
            await asyncio.sleep(min(left_s, _LOOK_S))


FACTS = TrainerFacts("sd-scripts", "48d368f", "3.11.9", {})
Script = Callable[[Run], Awaitable[None]]


@dataclass
class FakeTrainer:
    """``scripts`` are played one a start. ``ends_orphans``: whether one can be verified."""

    disk: MemoryDisk
    scripts: list[Script] = field(default_factory=list)
    refuses: WorldError | None = None
    ends_orphans: bool = True
    boot_now: str = "boot"
    pid_now: int | None = None
    held: Holder = "nobody"
    orders: list[TrainingOrder] = field(default_factory=list)
    running: asyncio.Task[None] | None = None
    facts: TrainerFacts = FACTS

    async def describe(self) -> TrainerFacts:
        return self.facts

    async def start(self, order: TrainingOrder) -> None:
        if self.refuses is not None:
            await asyncio.sleep(1.0)
            raise self.refuses
        self.orders.append(order)
        run = Run(self.disk, order)
        self._write(run, START, {"nonce": order.nonce, "boot": "boot"})
        self.held = "shim"
        self.running = asyncio.ensure_future(self._play(run, self.scripts.pop(0)))

    async def holder(self, folder: str) -> Holder:
        return self.held

    async def end_orphan(self, folder: str, *, nonce: str, grace_s: float) -> bool:
        if self.ends_orphans and self.running is not None:
            self.running.cancel()
            self.held = "nobody"
        return self.ends_orphans

    async def pid(self, folder: str) -> int | None:
        return self.pid_now

    async def boot(self) -> str:
        return self.boot_now

    async def _play(self, run: Run, script: Script) -> None:
        record: Mapping[str, object] = {"code": 0}
        try:
            await script(run)
        except Stopped:
            record = {"signal": 15, "stopped": "cancelled"}
        except Died as end:
            record = end.record
        if record:
            told = {"code": None, "signal": 0, "stopped": "", "started": 0, "ended": 1}
            self._write(run, EXIT, {**told, **record, "nonce": run.order.nonce})
        self.held = "nobody"

    def _write(self, run: Run, name: str, record: Mapping[str, object]) -> None:
        self.disk.put(run.path(name), json.dumps(record).encode())


class Models:
    """``ports.Weights`` with every model there."""

    hashing = None

    async def facts(self, *, role: str, name: str) -> ModelFacts:
        return ModelFacts(role, name, "d" * 64, 1, "F16")

    async def examined(self, *, role: str, name: str) -> Examined:
        return Examined(await self.facts(role=role, name=name))

    def path(self, *, role: str, name: str) -> str:
        return f"/models/{name}"

    async def has(self, path: str) -> bool:
        return True

    async def alias(self, name: str, *, sha256: str) -> str:
        raise AssertionError("a trainer is told paths")

    async def take_back(self, folder: str) -> None:
        """Nothing of a rehearsal is ever lent."""

    async def install(self, name: str, data: bytes) -> None:
        raise AssertionError("nothing is installed")


def lora(text: str, *, vouches: bool = False) -> bytes:
    """A whole safetensors file that tells itself from others; it may say which bytes are right."""
    data = sha256(text.encode()).digest()
    tensor = {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}
    told = {"__metadata__": {"sshs_model_hash": sha256(data).hexdigest()}} if vouches else {}
    header = json.dumps({**told, "lora": tensor}).encode()
    return len(header).to_bytes(8, "little") + header + data


def _now() -> float:
    return asyncio.get_running_loop().time()


async def ended_within(work: Awaitable[None], seconds: float) -> bool:
    """Whether it ended by then; what has not is cancelled, as by a stop of the daemon."""
    with suppress(TimeoutError):
        await asyncio.wait_for(work, seconds)
        return True
    return False
