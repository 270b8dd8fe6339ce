"""A scripted engine: ``ports.Renderer`` in virtual time, whose every answer follows from the clock.

A prompt's life is a timeline: it waits ``queued_s``, loads ``load_s``, makes ``steps`` steps of
``step_s`` and ends. ``trouble`` has what the next calls of a method do instead of answering;
in the ``gone`` intervals no call is answered at all.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from daemon.craft.nodes import Node, inputs_of
from daemon.errors import EngineError, PromptRefused
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

FACTS = EngineFacts("comfyui", "0.3.64", "mps", "mps", ("main.py",), "3.11", "2.9", "darwin")
PICTURE = b"\x89PNG the picture"

Trouble = Literal["refused connection", "lost answer", "hangs", "bad prompt", "answers"]
"""``lost answer`` takes effect first; ``answers`` is a turn without trouble."""


@dataclass
class Sent:
    """A prompt on the server, since ``at``."""

    graph: Mapping[str, Node]
    client: str
    at: float
    stopped_at: float = math.inf


@dataclass
class FakeEngine:
    """The server and its Renderer at once. ``calls`` has each request's name, in order."""

    queued_s: float = 0.0
    load_s: float = 3.0
    steps: int = 4
    step_s: float = 1.0
    stuck_after: int | None = None
    obeys: bool = True
    deaf: bool = False
    failure: Failure | None = None
    node_errors: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[OutputFile, ...] | None = None
    has_file: bool = True
    gone: Sequence[tuple[float, float]] = ()
    trouble: dict[str, list[Trouble]] = field(default_factory=dict)
    noise: list[tuple[float, Message]] = field(default_factory=list)
    prompts: dict[str, Sent] = field(default_factory=dict)
    sends: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    listening: int = 0

    def forget(self) -> None:
        """Killed and started again."""
        self.prompts.clear()

    async def describe(self) -> EngineFacts:
        await self._request("describe")
        return FACTS

    async def history(self, prompt_id: str) -> HistoryEntry | None:
        await self._request("history")
        sent = self.prompts.get(prompt_id)
        if sent is None or _now() < self._end(sent):
            return None
        if sent.stopped_at < math.inf and self._natural_end(sent) > sent.stopped_at:
            return HistoryEntry(sent.graph, "interrupted", None, ())
        if self.failure is not None:
            return HistoryEntry(sent.graph, "error", self.failure, ())
        saved = (saved_by(sent.graph),) if self.outputs is None else self.outputs
        return HistoryEntry(sent.graph, "success", None, saved)

    async def queue(self) -> QueueView:
        await self._request("queue")
        running, pending = {}, {}
        for prompt_id, sent in self.prompts.items():
            if _now() < sent.at + self.queued_s:
                pending[prompt_id] = sent.graph
            elif _now() < self._end(sent):
                running[prompt_id] = sent.graph
        return QueueView(running, pending)

    async def send(self, body: Mapping[str, object]) -> Mapping[str, str]:
        trouble = await self._request("send")
        if trouble == "bad prompt":
            raise PromptRefused("VALIDATION", "Node 7 (KSampler): steps is too large.")
        graph, prompt_id = body["prompt"], str(body["prompt_id"])
        assert isinstance(graph, dict)
        self.prompts[prompt_id] = Sent(graph, str(body["client_id"]), _now())
        self.sends.append(prompt_id)
        if trouble == "lost answer":
            raise EngineError("ENGINE_BAD_ANSWER", "POST /prompt was answered with HTTP 500.")
        return self.node_errors

    async def interrupt(self, prompt_id: str) -> None:
        await self._request(f"interrupt {prompt_id}")
        sent = self.prompts.get(prompt_id)
        if sent is not None and _now() < sent.at + self.queued_s:
            del self.prompts[prompt_id]
        elif sent is not None and self.obeys:
            sent.stopped_at = min(sent.stopped_at, _now())

    async def upload(self, *, name: str, data: bytes) -> str:
        raise AssertionError("drawing uploads nothing")

    async def view(self, file: OutputFile) -> bytes:
        await self._request("view")
        if not self.has_file:
            raise EngineError("OUTPUT_MISSING", f"The engine has no {file.filename}.")
        return PICTURE

    async def free(self) -> None:
        await self._request("free")

    async def modules(self, classes: Collection[str]) -> Mapping[str, str]:
        await self._request("modules")
        return dict.fromkeys(classes, "nodes")

    async def outside(self) -> str:
        return ""

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[FakeEars]:
        self.calls.append("listen")
        self.listening += 1
        try:
            yield FakeEars(self, f"client{self.listening}")
        finally:
            self.listening -= 1

    def messages(self, client: str) -> list[tuple[float, Message]]:
        """All that a socket ever hears, with its times."""
        found = list(self.noise)
        for prompt_id, sent in self.prompts.items():
            if sent.client != client or self.deaf:
                continue
            first = sent.at + self.queued_s + self.load_s
            for step in range(1, (self.stuck_after or self.steps) + 1):
                at = first + step * self.step_s
                if at < self._end(sent):
                    found.append((at, Progress(step, self.steps, prompt_id)))
            if self._end(sent) < math.inf:
                end = self._end(sent)
                found.append((end, Ended(prompt_id)))
                found.append((end + 0.001, Status(0)))
                found.append((end + 0.002, Executing(None, prompt_id)))
        return sorted(found, key=lambda pair: pair[0])

    def _end(self, sent: Sent) -> float:
        # An interrupt is obeyed at the end of a step.
        return min(self._natural_end(sent), sent.stopped_at + min(self.step_s, 5.0))

    def _natural_end(self, sent: Sent) -> float:
        if self.stuck_after is not None:
            return math.inf
        return sent.at + self.queued_s + self.load_s + self.steps * self.step_s + 0.5

    async def _request(self, name: str) -> Trouble:
        self.calls.append(name)
        await asyncio.sleep(0.01)
        waiting = self.trouble.get(name.split(maxsplit=1)[0], [])
        trouble: Trouble = waiting.pop(0) if waiting else "answers"
        if trouble == "hangs":
            await asyncio.Event().wait()
        away = any(since <= _now() < until for since, until in self.gone)
        if trouble == "refused connection" or away:
            raise EngineError("ENGINE_UNREACHABLE", "Connection refused.")
        if trouble == "lost answer" and name != "send":
            raise EngineError("ENGINE_SILENT", "There was no answer.")
        return trouble


@dataclass
class FakeEars:
    """``ports.Ears`` on the engine's timeline."""

    engine: FakeEngine
    client_id: str
    heard: int = 0

    async def hear(self, *, timeout_s: float) -> Message | None:
        until = _now() + timeout_s
        while True:
            messages = self.engine.messages(self.client_id)
            if self.heard < len(messages) and messages[self.heard][0] <= until:
                at, message = messages[self.heard]
                self.heard += 1
                await asyncio.sleep(max(0.0, at - _now()))
                return message
            await asyncio.sleep(until - _now())
            return None


def saved_by(graph: Mapping[str, Node]) -> OutputFile:
    """What SaveImage makes of its prefix."""
    (save,) = [node for node, body in graph.items() if body["class_type"] == "SaveImage"]
    folder, _, stem = str(inputs_of(graph[save])["filename_prefix"]).rpartition("/")
    return OutputFile(save, f"{stem}_00001_.png", folder, "output")


def _now() -> float:
    return asyncio.get_running_loop().time()
