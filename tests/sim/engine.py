"""An engine that misbehaves: ComfyUI as the shell sees it through ``ports.Renderer``, in virtual
time.

The fault model: with probability ``mischief`` a call fails before or after it took effect, answers
late, or finds the history not yet written; sockets drop or say nothing. ``crash`` loses the queue
and the history. A request that changes something is two steps of the daemon's life: before it, and
when it took effect and its answer is under way. All is drawn from one seeded chance: a seed is a
history.
"""

from __future__ import annotations

import asyncio
import json
import random
import struct
import zlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

from daemon.core.jobs import ModelFacts
from daemon.craft.picture import PictureStats
from daemon.errors import EngineError, PromptRefused, WorldError
from daemon.wire.comfyui import (
    EngineFacts,
    Executing,
    Failure,
    HistoryEntry,
    Message,
    OutputFile,
    Progress,
    QueueView,
    Status,
)
from tests.sim.disk import Life

EngineFault = Literal["", "error", "restart"]
"""A node of every prompt raises, or the server is restarted under the first."""
FACTS = EngineFacts("comfyui", "0.3.64", "cpu", "cpu", ("main.py",), "3.11", "2.13", "posix")


@dataclass
class Prompt:
    """A prompt on the server."""

    id: str
    graph: Mapping[str, Any]
    client: str


@dataclass
class SimEngine:
    """The server process. It outlives the daemon's lives unless it is crashed."""

    chance: random.Random
    mischief: float = 0.0
    fault: EngineFault = ""
    step_s: float = 0.2
    refuse: str = ""
    before_post: Callable[[str], None] = lambda prompt: None
    before_draw: Callable[[str], None] = lambda prompt: None
    running: Prompt | None = None
    pending: list[Prompt] = field(default_factory=list)
    ended: dict[str, HistoryEntry] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    executed: list[str] = field(default_factory=list)
    interrupted: set[str] = field(default_factory=set)
    sockets: dict[str, asyncio.Queue[Message]] = field(default_factory=dict)
    worker: asyncio.Task[None] | None = None

    def crash(self) -> None:
        """Killed and started again: queue and history were in memory."""
        if self.worker is not None:
            self.worker.cancel()
        self.worker = None
        self.running = None
        self.pending.clear()
        self.ended.clear()
        self.sockets.clear()

    def post(self, prompt: Prompt) -> None:
        self.before_post(prompt.id)
        self.pending.append(prompt)
        if self.worker is None or self.worker.done():
            self.worker = asyncio.ensure_future(self._work())

    async def _work(self) -> None:
        while self.pending:
            self.running = prompt = self.pending.pop(0)
            self.before_draw(prompt.id)
            self.executed.append(prompt.id)
            if self.fault == "restart" and len(self.executed) == 1:
                await asyncio.sleep(self.step_s)
                self.pending.clear()
            else:
                self.ended[prompt.id] = await self._execute(prompt)
            self.running = None
            for ears in self.sockets.values():
                ears.put_nowait(Status(len(self.pending)))
            if prompt.client in self.sockets:
                self.sockets[prompt.client].put_nowait(Executing(None, prompt.id))

    async def _execute(self, prompt: Prompt) -> HistoryEntry:
        for step in range(1, 5):
            await asyncio.sleep(self.step_s)
            if prompt.id in self.interrupted:
                return HistoryEntry(prompt.id, prompt.graph, "interrupted", None, ())
            ears = self.sockets.get(prompt.client)
            if ears is not None:
                ears.put_nowait(Progress(step, 4, "sampler", prompt.id))
        if self.fault == "error":
            failure = Failure("3", "KSampler", "RuntimeError", "mat1 and mat2 cannot be multiplied")
            return HistoryEntry(prompt.id, prompt.graph, "error", failure, ())
        save, prefix = _save_node(prompt.graph)
        name = f"{prefix.rpartition('/')[2]}_00001_.png"
        self.files[name] = picture_of(prompt.graph)
        output = OutputFile(save, name, prefix.rpartition("/")[0], "output")
        return HistoryEntry(prompt.id, prompt.graph, "success", None, (output,))


def _save_node(graph: Mapping[str, Any]) -> tuple[str, str]:
    for node, body in graph.items():
        if body["class_type"] == "SaveImage":
            return node, body["inputs"]["filename_prefix"]
    raise AssertionError("a graph without SaveImage was sent")


def picture_of(graph: Mapping[str, Any]) -> bytes:
    """A whole PNG that says which graph drew it, as the server writes it."""
    text = b"prompt\0" + json.dumps(graph).encode()
    chunks = [(b"IHDR", bytes(13)), (b"tEXt", text), (b"IDAT", b""), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I4s", len(data), kind) + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


@dataclass
class SimRenderer:
    """``ports.Renderer``; each call is one request that can go wrong. ``life`` None: nobody cuts
    it.
    """

    engine: SimEngine
    life: Life | None = None

    async def _request(self) -> bool:
        """True when the answer gets lost after the request took effect."""
        await asyncio.sleep(0.003)
        if self.life is not None:
            self.life.check("a request")
        if self.engine.chance.random() >= self.engine.mischief:
            return False
        fate = self.engine.chance.randrange(3)
        if fate == 0:
            raise EngineError("ENGINE_UNREACHABLE", "connection refused")
        if fate == 1:
            await asyncio.sleep(self.engine.chance.uniform(0.5, 3.0))
            return False
        return True

    def _step(self, what: str) -> None:
        if self.life is not None:
            self.life.step(what)

    async def describe(self) -> EngineFacts:
        if await self._request():
            raise EngineError("ENGINE_UNREACHABLE", "no answer")
        return FACTS

    async def history(self, prompt_id: str) -> HistoryEntry | None:
        if await self._request():
            return None
        return self.engine.ended.get(prompt_id)

    async def queue(self) -> QueueView:
        if await self._request():
            raise EngineError("ENGINE_UNREACHABLE", "no answer")
        running = [self.engine.running] if self.engine.running else []
        return QueueView(
            {prompt.id: prompt.graph for prompt in running},
            {prompt.id: prompt.graph for prompt in self.engine.pending},
        )

    async def send(self, body: Mapping[str, object]) -> Mapping[str, str]:
        lost = await self._request()
        if self.engine.refuse:
            raise PromptRefused("VALIDATION", self.engine.refuse)
        graph = body["prompt"]
        assert isinstance(graph, Mapping)
        self._step("send a prompt")
        self.engine.post(Prompt(str(body["prompt_id"]), graph, str(body["client_id"])))
        self._step("hear that the prompt was accepted")
        if lost:
            raise EngineError("ENGINE_UNREACHABLE", "the answer was lost")
        return {}

    async def interrupt(self, prompt_id: str) -> None:
        await self._request()
        self._step("interrupt a prompt")
        self.engine.pending = [p for p in self.engine.pending if p.id != prompt_id]
        if self.engine.running is not None and self.engine.running.id == prompt_id:
            self.engine.interrupted.add(prompt_id)
        self._step("hear that the prompt was interrupted")

    async def upload(self, *, name: str, data: bytes) -> str:
        await self._request()
        self._step(f"upload {name}")
        self.engine.uploads[name] = data
        self._step(f"hear that {name} was stored")
        return name

    async def view(self, file: OutputFile) -> bytes:
        if await self._request():
            raise EngineError("ENGINE_UNREACHABLE", "no answer")
        if file.filename not in self.engine.files:
            raise EngineError("OUTPUT_MISSING", f"there is no {file.filename}")
        return self.engine.files[file.filename]

    async def free(self) -> None:
        if await self._request():
            raise EngineError("ENGINE_UNREACHABLE", "no answer")

    async def modules(self, classes: Collection[str]) -> Mapping[str, str]:
        if await self._request():
            raise EngineError("ENGINE_UNREACHABLE", "no answer")
        return dict.fromkeys(classes, "nodes")

    async def outside(self) -> str:
        return ""

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[SimEars]:
        client = f"client-{self.engine.chance.randrange(2**32)}"
        ears = SimEars(client, asyncio.Queue())
        if self.engine.chance.random() >= self.engine.mischief:
            self.engine.sockets[client] = ears.messages
        try:
            yield ears
        finally:
            self.engine.sockets.pop(client, None)


@dataclass
class SimEars:
    """``ports.Ears``; it may simply never hear anything."""

    client_id: str
    messages: asyncio.Queue[Message]

    async def hear(self, *, timeout_s: float) -> Message | None:
        try:
            async with asyncio.timeout(timeout_s):
                return await self.messages.get()
        except TimeoutError:
            return None


class SimPixels:
    """``ports.Pixels``: every picture of the simulated engine is a good one."""

    async def measure(self, png: bytes) -> PictureStats:
        await asyncio.sleep(0.01)
        return PictureStats(64, 64, "RGB", 128, 60, 0, 255, 255, 0.2, 0.1, 0.1, "0" * 16)


class SimWeights:
    """``ports.Weights``: every model is there; ``installed`` is what the LoRA folder got."""

    def __init__(self, installed: dict[str, bytes] | None = None, life: Life | None = None) -> None:
        self.installed = {} if installed is None else installed
        self._step = life.step if life else lambda what: None

    async def facts(self, *, role: str, name: str) -> ModelFacts:
        return ModelFacts(role, name, sha256(f"{role}{name}".encode()).hexdigest(), 1000, "F16")

    def path(self, *, role: str, name: str) -> str:
        return f"/models/{role}/{name}"

    async def alias(self, name: str, *, sha256: str) -> str:
        return f"{name.removesuffix('.safetensors')}-{sha256[:12]}.safetensors"

    async def install(self, name: str, data: bytes) -> None:
        self._step(f"install {name}")
        if self.installed.setdefault(name, data) != data:
            raise WorldError("LORA_EXISTS", f"{name} is there and is another file")
        self._step(f"know that {name} is installed")
