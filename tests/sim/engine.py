"""An engine that misbehaves: ComfyUI as the shell sees it through ``ports.Renderer``, in virtual
time.

The fault model: with probability ``mischief`` a call fails before or after it took effect, answers
late, or finds the history not yet written; sockets drop or say nothing. ``crash`` loses the queue
and the history. ``weather`` has what goes wrong by appointment. A request that changes something is
two steps of the daemon's life: before it, and when it took effect and its answer is under way. All
is drawn from one seeded chance: a seed is a history.
"""

from __future__ import annotations

import asyncio
import json
import random
import struct
import zlib
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Literal

from daemon.core.jobs import ModelFacts
from daemon.craft.dataset import PixelFacts
from daemon.craft.grid import Sheet
from daemon.craft.picture import PictureDistance, PictureStats
from daemon.errors import EngineError, PromptRefused, WorldError
from daemon.ports import Examined
from daemon.wire.comfyui import (
    Ended,
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
from daemon.wire.status import Hashing
from tests.sim.disk import Life
from tests.sim.weather import Says, Weather

Spoilt = Literal["", "missing", "truncated", "black", "raises", "out of memory"]
EngineFault = Literal["", "error", "restart", "black"]
"""A node of every prompt raises, or the server is restarted under the first."""
FACTS = EngineFacts("comfyui", "0.3.64", "cpu", "cpu", ("main.py",), "3.11", "2.13", "posix")


@dataclass
class Prompt:
    """A prompt on the server; a stranger's says how long a step of it takes."""

    id: str
    graph: Mapping[str, Any]
    client: str
    step_s: float = 0.0


@dataclass
class SimEngine:
    """The server process. It outlives the daemon's lives unless it is crashed.

    ``dead``: the worker never goes on. ``mute``: nothing is said on sockets; ``copies`` of each
    message are, to ``late_s`` seconds before the history is written. ``forgets`` that many
    histories. ``spoils`` has what becomes of the next prompts or their pictures. ``cache`` are the
    nodes of the last prompt; one that ``hoards`` does not forget them when it is told to.
    """

    chance: random.Random
    mischief: float = 0.0
    fault: EngineFault = ""
    step_s: float = 0.2
    steps: int = 4
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
    sockets: dict[str, SimEars] = field(default_factory=dict)
    worker: asyncio.Task[None] | None = None
    weather: Weather = field(default_factory=Weather)
    facts: EngineFacts = FACTS
    lives: int = 1
    away_until_s: float = 0.0
    dead: bool = False
    mute: bool = False
    copies: int = 1
    late_s: float = 0.0
    forgets: int = 0
    spoils: Iterator[Spoilt] = field(default_factory=lambda: iter(()))
    saved: list[str] = field(default_factory=list)
    cache: list[Mapping[str, Any]] = field(default_factory=list)
    hoards: bool = False

    def crash(self) -> None:
        """Killed and started again: queue and history were in memory."""
        if self.worker is not None:
            self.worker.cancel()
        self.worker = None
        self.running = None
        self.pending.clear()
        self.ended.clear()
        self.cache = []
        self.sockets.clear()

    def post(self, prompt: Prompt) -> None:
        self.before_post(prompt.id)
        self._queue(prompt)
        self.weather.reach("posted")

    def restart(self, *, away_s: float = 0.0) -> None:
        """Killed, and started again by somebody who takes so long for it."""
        self.drop_sockets(away_s=away_s)
        self.crash()
        self.lives += 1
        self.dead = False
        self.away_until_s = asyncio.get_running_loop().time() + away_s

    def drop_sockets(self, *, away_s: float = 0.0) -> None:
        """Each listener opens another one by itself, under another id."""
        dropped, self.sockets = list(self.sockets.values()), {}
        for ears in dropped:
            ears.messages.put_nowait(None)
            asyncio.get_running_loop().call_later(min(away_s, 1.0) + 0.5, self.join, ears)

    def join(self, ears: SimEars) -> None:
        """A socket is opened, as soon as somebody answers."""
        loop = asyncio.get_running_loop()
        if ears.closed:
            return
        if loop.time() < self.away_until_s:
            loop.call_later(1.0, self.join, ears)
            return
        ears.client_id = f"client-{self.chance.randrange(2**32)}"
        self.sockets[ears.client_id] = ears

    def intrude(self, name: str, *, step_s: float) -> None:
        """A stranger sends a prompt; it has four steps."""
        graph = {"1": {"class_type": "SaveImage", "inputs": {"filename_prefix": f"theirs/{name}"}}}
        self._queue(Prompt(name, graph, "stranger", step_s))

    def _queue(self, prompt: Prompt) -> None:
        self.pending.append(prompt)
        if self.worker is None or self.worker.done():
            self.worker = asyncio.ensure_future(self._work())

    async def _work(self) -> None:
        while self.pending:
            self.running = prompt = self.pending.pop(0)
            if not prompt.step_s:
                self.before_draw(prompt.id)
                self.executed.append(prompt.id)
                await self._reach("running")
            if self.fault == "restart" and len(self.executed) == 1:
                await asyncio.sleep(self.step_s)
                self.pending.clear()
            else:
                entry = await self._execute(prompt)
                if self.late_s:
                    self._say(prompt.client, Ended(prompt.id))
                    await asyncio.sleep(self.late_s)
                if self.forgets:
                    self.forgets -= 1
                else:
                    self.ended[prompt.id] = entry
            self.running = None
            for client in list(self.sockets):
                self._say(client, Status(len(self.pending)))
            self._say(prompt.client, Executing(None, prompt.id))
            if not prompt.step_s:
                await self._reach("ended")

    async def _reach(self, what: str) -> None:
        self.weather.reach(what)
        await asyncio.sleep(0)  # Where a blow ends this worker.

    def _say(self, client: str, message: Message) -> None:
        if client in self.sockets and not self.mute:
            for _ in range(self.copies):
                self.sockets[client].messages.put_nowait(message)

    async def _execute(self, prompt: Prompt) -> HistoryEntry:
        for step in range(1, self.steps + 1):
            await asyncio.sleep(prompt.step_s or self.step_s)
            if self.dead:
                await asyncio.Event().wait()
            if prompt.id in self.interrupted:
                return HistoryEntry(prompt.graph, "interrupted", None, ())
            self._say(prompt.client, Progress(step, self.steps, prompt.id))
            if not prompt.step_s:
                await self._reach("step")
        spoilt: Spoilt = next(self.spoils, "")
        if self.fault == "black" and b'"seed": 421' in json.dumps(prompt.graph).encode():
            spoilt = "black"
        if self.fault == "error" or spoilt == "raises":
            return _failed(prompt, "RuntimeError", "mat1 and mat2 cannot be multiplied")
        if spoilt == "out of memory":
            return _failed(prompt, "RuntimeError", "MPS backend out of memory")
        save, prefix = _save_node(prompt.graph)
        name = f"{prefix.rpartition('/')[2]}_00001_.png"
        self._save(name, prompt, spoilt)
        if not prompt.step_s:
            await self._reach("saved")
        output = OutputFile(save, name, prefix.rpartition("/")[0], "output")
        cached = frozenset(node for node, body in prompt.graph.items() if body in self.cache)
        self.cache = [body for node, body in prompt.graph.items() if node != save]
        return HistoryEntry(prompt.graph, "success", None, (output,), cached, 0.8)

    def _save(self, name: str, prompt: Prompt, spoilt: Spoilt) -> None:
        """``saved`` has the ids of the prompts with a whole and good picture."""
        graph = prompt.graph
        match spoilt:
            case "missing":
                pass
            case "truncated":
                self.files[name] = picture_of(graph)[:-20]
            case "black":
                self.files[name] = picture_of(graph, b"black")
            case _:
                self.files[name] = picture_of(graph)
                self.saved.append(prompt.id)


def _failed(prompt: Prompt, kind: str, text: str) -> HistoryEntry:
    failure = Failure("3", "KSampler", kind, text)
    return HistoryEntry(prompt.graph, "error", failure, ())


def _save_node(graph: Mapping[str, Any]) -> tuple[str, str]:
    for node, body in graph.items():
        if body["class_type"] == "SaveImage":
            return node, body["inputs"]["filename_prefix"]
    raise AssertionError("a graph without SaveImage was sent")


def picture_of(graph: Mapping[str, Any], pixels: bytes = b"") -> bytes:
    """A whole PNG that says which graph drew it, as the server writes it."""
    text = b"prompt\0" + json.dumps(graph).encode()
    chunks = [(b"IHDR", bytes(13)), (b"tEXt", text), (b"IDAT", pixels), (b"IEND", b"")]
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

    async def _request(self, call: str) -> bool:
        """True when the answer gets lost after the request took effect."""
        await asyncio.sleep(0.003)
        if self.life is not None:
            self.life.check("a request")
        self.engine.weather.reach(call)
        if asyncio.get_running_loop().time() < self.engine.away_until_s:
            raise EngineError("ENGINE_UNREACHABLE", "connection refused")
        if says := self.engine.weather.says(call):
            return await _suffer(says)
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
        if await self._request("describe"):
            raise EngineError("ENGINE_UNREACHABLE", "no answer")
        return self.engine.facts

    async def history(self, prompt_id: str) -> HistoryEntry | None:
        if await self._request("history"):
            return None
        return self.engine.ended.get(prompt_id)

    async def queue(self) -> QueueView:
        if await self._request("queue"):
            raise EngineError("ENGINE_UNREACHABLE", "no answer")
        running = [self.engine.running] if self.engine.running else []
        return QueueView(
            {prompt.id: prompt.graph for prompt in running},
            {prompt.id: prompt.graph for prompt in self.engine.pending},
        )

    async def send(self, body: Mapping[str, object]) -> Mapping[str, str]:
        lost = await self._request("send")
        if self.engine.refuse:
            raise PromptRefused("VALIDATION", self.engine.refuse)
        graph = body["prompt"]
        assert isinstance(graph, Mapping)
        self._step("send a prompt")
        life = self.engine.lives
        self.engine.post(Prompt(str(body["prompt_id"]), graph, str(body["client_id"])))
        self._step("hear that the prompt was accepted")
        if lost or self.engine.lives != life:
            raise EngineError("ENGINE_UNREACHABLE", "the answer was lost")
        return {}

    async def interrupt(self, prompt_id: str) -> None:
        await self._request("interrupt")
        self._step("interrupt a prompt")
        self.engine.pending = [p for p in self.engine.pending if p.id != prompt_id]
        if self.engine.running is not None and self.engine.running.id == prompt_id:
            self.engine.interrupted.add(prompt_id)
        self._step("hear that the prompt was interrupted")

    async def upload(self, *, name: str, data: bytes) -> str:
        await self._request("upload")
        self._step(f"upload {name}")
        self.engine.uploads[name] = data
        self._step(f"hear that {name} was stored")
        return name

    async def view(self, file: OutputFile) -> bytes:
        if await self._request("view"):
            raise EngineError("ENGINE_UNREACHABLE", "no answer")
        if file.filename not in self.engine.files:
            raise EngineError("OUTPUT_MISSING", f"there is no {file.filename}")
        return self.engine.files[file.filename]

    async def free(self) -> None:
        if await self._request("free"):
            raise EngineError("ENGINE_UNREACHABLE", "no answer")
        if not self.engine.hoards:
            self.engine.cache = []

    async def modules(self, classes: Collection[str]) -> Mapping[str, str]:
        if await self._request("modules"):
            raise EngineError("ENGINE_UNREACHABLE", "no answer")
        return dict.fromkeys(classes, "nodes")

    async def outside(self) -> str:
        return ""

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[SimEars]:
        ears = SimEars(f"client-{self.engine.chance.randrange(2**32)}")
        if self.engine.chance.random() >= self.engine.mischief:
            self.engine.sockets[ears.client_id] = ears
        try:
            yield ears
        finally:
            ears.closed = True
            self.engine.sockets.pop(ears.client_id, None)


async def _suffer(says: Says) -> bool:
    """``_request``, when something is wrong."""
    match says:
        case "refused":
            raise EngineError("ENGINE_UNREACHABLE", "connection refused")
        case "silent":
            await asyncio.sleep(10)
            raise EngineError("ENGINE_SILENT", "there was no answer in time")
        case "bad":
            raise EngineError("ENGINE_BAD_ANSWER", "this is no JSON")
        case "400":
            raise PromptRefused("VALIDATION", "steps is too large")
        case "hangs":
            await asyncio.Event().wait()
        case "late":
            await asyncio.sleep(3)
    return says == "lost"


@dataclass
class SimEars:
    """``ports.Ears``; it may simply never hear anything."""

    client_id: str
    messages: asyncio.Queue[Message | None] = field(default_factory=asyncio.Queue)
    closed: bool = False

    async def hear(self, *, timeout_s: float) -> Message | None:
        try:
            async with asyncio.timeout(timeout_s):
                return await self.messages.get()
        except TimeoutError:
            return None


class SimPixels:
    """``ports.Pixels``: a whole picture of the simulated engine is a good one, or black."""

    async def measure(self, png: bytes) -> PictureStats:
        await asyncio.sleep(0.01)
        if b"IEND" not in png:
            raise WorldError("PICTURE_BROKEN", "the picture ends before its end")
        levels = (128, 60, 255, 255, 0.2, 0.1, "0" * 16, 0, 255, 99)
        side = 512 if b'"width": 512' in png else 64
        good = PictureStats(side, side, "RGB", *levels, 255.0, 0.3, 0.0, 0.0, 0.0)
        return replace(good, mean=0, std=0, high=0) if b"IDATblack" in png else good

    async def examine(self, data: bytes) -> PixelFacts:
        """Whatever the bytes are, they are a good drawing, and no two of them are alike."""
        return PixelFacts(512, 768, "RGB", "PNG", False, 1, 1, sha256(data).hexdigest()[:16])

    async def grid(self, sheet: Sheet) -> bytes:
        return b"\x89PNG" + sha256(repr(sheet).encode()).digest() + b"IEND"

    async def compare(self, one: bytes, other: bytes) -> PictureDistance:
        """Its pictures differ in nothing but in what is told of them in their text."""
        black = [b"IDATblack" in png for png in (one, other)]
        levels = 255 * (black[0] != black[1])
        return PictureDistance(not levels, float(levels), 0)


class SimWeights:
    """``ports.Weights``: every model is there; ``installed`` is what the LoRA folder got."""

    hashing: Hashing | None = None

    def __init__(self, installed: dict[str, bytes] | None = None, life: Life | None = None) -> None:
        self.installed = {} if installed is None else installed
        self._step = life.step if life else lambda what: None

    async def facts(self, *, role: str, name: str) -> ModelFacts:
        name = f"{name.removesuffix('.safetensors')}.safetensors"
        return ModelFacts(role, name, sha256(f"{role}{name}".encode()).hexdigest(), 1000, "F16")

    async def examined(self, *, role: str, name: str) -> Examined:
        return Examined(await self.facts(role=role, name=name))

    def path(self, *, role: str, name: str) -> str:
        return f"/models/{role}/{name}"

    async def has(self, path: str) -> bool:
        return True

    async def alias(self, name: str, *, sha256: str) -> str:
        return f"{name.removesuffix('.safetensors')}-{sha256[:12]}.safetensors"

    async def take_back(self, folder: str) -> None:
        for name in [name for name in self.installed if name.startswith(f"{folder}/")]:
            self._step(f"unlink {name}")
            del self.installed[name]

    async def install(self, name: str, data: bytes) -> None:
        self._step(f"install {name}")
        if self.installed.setdefault(name, data) != data:
            raise WorldError("LORA_EXISTS", f"{name} is there and is another file")
        self._step(f"know that {name} is installed")
