"""Conducts the conversation with the engine about one picture, from looking for it to its bytes.

Law: the engine's history is the only proof. Sockets wake and tell of steps; their silence, an
unclear answer and a short absence of the server prove nothing. A prompt is sent at most twice, and
only when it was found neither in history nor in queue nor in history again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from daemon.core.jobs import Outcome
from daemon.core.policy import Policy
from daemon.craft.graph import same_graph
from daemon.craft.nodes import Node, inputs_of
from daemon.errors import EngineError, PromptRefused
from daemon.ports import Ears, Renderer
from daemon.shell.pace import Pace
from daemon.shell.patience import GivenUp, Patience, now, once
from daemon.wire.comfyui import (
    Ended,
    EngineFacts,
    Executing,
    Graph,
    HistoryEntry,
    Message,
    OutputFile,
    Progress,
    prompt_body,
)
from daemon.wire.comfyui_blame import blame

MAX_SENDS = 2
GRACE_S = 15.0  # An interrupt is obeyed at the end of a sampler's step.
SHORTEST_PAUSE_S = 0.05  # However often it is woken, a poller leaves the server time to work.

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DrawOrder:
    """One picture. ``graph`` has its file prefix bound; ``note`` travels inside the picture.

    ``width``, ``height`` (pixels) and ``steps`` give the deadline.
    """

    prompt_id: str
    graph: Mapping[str, Node]
    save_node: str
    width: int
    height: int
    steps: int
    note: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Drawn:
    """The picture's bytes as the engine saved them, and the graph that was really executed."""

    png: bytes
    graph: Graph
    prompt_id: str
    engine: EngineFacts


@dataclass(frozen=True, slots=True)
class Undrawn:
    """There is no picture. ``failed`` would fail again; ``lost`` is worth another attempt."""

    prompt_id: str
    outcome: Outcome
    code: str
    text: str


class Place(Enum):
    """Where a prompt is that has not ended."""

    ABSENT = "absent"
    PENDING = "pending"
    RUNNING = "running"


async def draw(
    order: DrawOrder,
    *,
    renderer: Renderer,
    record: Callable[[], Awaitable[None]],
    progress: Callable[[int, int], None],
    policy: Policy,
) -> Drawn | Undrawn:
    """Find the prompt on the engine or send it, wait for it, fetch its picture.

    ``record`` makes "prompt sent" durable; it is called before each sending. ``progress`` gets each
    sampler step (step, of how many). When cancelled, nothing of this is left running here; the
    prompt stays on the engine, where the next call with the same order finds it.
    """
    talk = _Conversation(order, renderer=renderer, record=record, progress=progress, policy=policy)
    async with renderer.listen() as ears:  # Before anything is sent, or its start is missed.
        try:
            return await talk.hold(ears)
        except GivenUp as end:
            return Undrawn(order.prompt_id, end.outcome, end.code, end.text)


class _Conversation:
    """One order's talk with one engine. Times are the event loop's, which stand still in sleep."""

    def __init__(
        self,
        order: DrawOrder,
        *,
        renderer: Renderer,
        record: Callable[[], Awaitable[None]],
        progress: Callable[[int, int], None],
        policy: Policy,
    ) -> None:
        self._order, self._renderer, self._policy = order, renderer, policy
        self._record, self._progress = record, progress
        self._accepted = False  # The engine said 200: what stands under our id is ours.
        self._sends, self._patience = 0, Patience(policy)
        self._pace = Pace(
            policy, width=order.width, height=order.height, steps=order.steps, now=now()
        )

    async def hold(self, ears: Ears) -> Drawn:
        """The whole of it. Raises ``GivenUp``."""
        engine = await self._patience.ask(self._renderer.describe)
        found = await self._look()
        if found is Place.ABSENT:
            found = await self._send(ears.client_id)
        entry = found if isinstance(found, HistoryEntry) else await self._wait(ears)
        file = _result(entry, self._order)
        png = await self._patience.ask(lambda: self._renderer.view(file))
        if self._sends > 1:
            await self._take_back()  # A first sending may have been queued late after all.
        return Drawn(png, entry.graph, self._order.prompt_id, engine)

    async def _look(self) -> HistoryEntry | Place:
        """History, queue, history again: prompts move on under one lock, so none slips through."""
        entry = await self._entry()
        if entry is not None:
            return entry
        queue = await self._patience.ask(self._renderer.queue)
        for graphs, place in ((queue.running, Place.RUNNING), (queue.pending, Place.PENDING)):
            if self._order.prompt_id in graphs:
                self._must_be_ours(graphs[self._order.prompt_id])
                return place
        return await self._entry() or Place.ABSENT

    async def _entry(self) -> HistoryEntry | None:
        entry = await self._patience.ask(lambda: self._renderer.history(self._order.prompt_id))
        if entry is not None:
            self._must_be_ours(entry.graph)
        return entry

    def _must_be_ours(self, graph: Graph) -> None:
        # A server may rewrite nodes of a graph that it accepted from us (it replaces outdated
        # ones); only what was found, not sent, has to be recognized by its looks.
        if not self._accepted and not same_graph(self._order.graph, graph):
            raise GivenUp(
                Outcome.FAILED,
                "STRANGER",
                f"The engine has another graph under our prompt id {self._order.prompt_id}; it is"
                " left alone. Retry the job: the next attempt has an id of its own.",
            )

    async def _send(self, client_id: str) -> HistoryEntry | Place:
        order = self._order
        body = prompt_body(
            order.graph, prompt_id=order.prompt_id, client_id=client_id, note=order.note
        )
        said = ""
        while self._sends < MAX_SENDS:
            await self._record()
            self._sends += 1
            try:
                errors = await once(lambda: self._renderer.send(body))
            except PromptRefused as refused:
                raise GivenUp(Outcome.FAILED, refused.code, refused.text) from None
            except EngineError as error:
                said = error.text
                found = await self._look_twice()
                if found is not Place.ABSENT:
                    return found
                continue
            self._accepted = True
            if not errors:
                return Place.PENDING
            await self._take_back()
            raise GivenUp(Outcome.FAILED, "VALIDATION", " ".join(f"{e}." for e in errors.values()))
        raise GivenUp(
            Outcome.LOST, "ENGINE_UNCLEAR", f"The prompt was sent twice and is nowhere: {said}"
        )

    async def _wait(self, ears: Ears) -> HistoryEntry:
        while True:
            found = await self._look()
            if found is Place.ABSENT:
                found = await self._look_twice()
            match found:
                case HistoryEntry():
                    return found
                case Place.ABSENT:
                    raise GivenUp(
                        Outcome.LOST,
                        "PROMPT_LOST",
                        "The prompt is neither in the engine's queue nor in its history: it was"
                        " restarted, or somebody deleted the prompt.",
                    )
                case Place.PENDING:
                    self._pace.waits(now())
                case Place.RUNNING:
                    self._pace.runs()
            if self._pace.overdue(now()):
                return await self._stop()
            await self._doze(ears)

    async def _look_twice(self) -> HistoryEntry | Place:
        """Absence is believed when it is still so a moment later."""
        found = await self._look()
        if found is not Place.ABSENT:
            return found
        await asyncio.sleep(self._policy.history_poll_s)
        return await self._look()

    async def _doze(self, ears: Ears) -> None:
        """Listen until something may have ended, or until the next poll is due."""
        began = now()
        until = began + self._policy.history_poll_s
        while (left := until - now()) > 0:
            message = await ears.hear(timeout_s=left)
            if message is None or self._heard(message):
                break
        await asyncio.sleep(max(0.0, began + SHORTEST_PAUSE_S - now()))

    def _heard(self, message: Message) -> bool:
        """Whether this says that our prompt has ended. Other prompts' messages say nothing."""
        ours = self._order.prompt_id
        match message:
            case Progress(value=value, max=steps, prompt_id=prompt_id) if prompt_id == ours:
                self._pace.stepped(now())
                self._progress(value, steps)
                return False
            case Ended(prompt_id=prompt_id) | Executing(node=None, prompt_id=prompt_id):
                return prompt_id == ours
            case _:
                return False

    async def _stop(self) -> HistoryEntry:
        """The deadline has passed: stop this prompt and no other. It may still end in the grace."""
        code, text = self._pace.verdict(now())
        await self._take_back()
        until = now() + GRACE_S
        while now() < until:
            found = await self._look()
            if isinstance(found, HistoryEntry) and found.ending != "interrupted":
                return found
            if isinstance(found, HistoryEntry) or found is Place.ABSENT:
                raise GivenUp(Outcome.FAILED, code, text)
            await asyncio.sleep(self._policy.history_poll_s)
        raise GivenUp(Outcome.FAILED, code, f"{text} It did not obey the interrupt either.")

    async def _take_back(self) -> None:
        try:
            await once(lambda: self._renderer.interrupt(self._order.prompt_id))
        except EngineError as error:
            _log.warning("The prompt %s was not taken back: %s", self._order.prompt_id, error)


def _result(entry: HistoryEntry, order: DrawOrder) -> OutputFile:
    """The one file that an ended prompt saved for us; anything else ends the conversation."""
    if entry.failure is not None:
        code, text = blame(entry.failure)
        raise GivenUp(Outcome.FAILED, code, text)
    if entry.ending != "success":
        raise GivenUp(
            Outcome.LOST, "INTERRUPTED", "Somebody interrupted the prompt on the engine itself."
        )
    saved = [file for file in entry.outputs if file.node == order.save_node]
    prefix = str(inputs_of(order.graph[order.save_node])["filename_prefix"])
    folder, _, stem = prefix.rpartition("/")
    match saved:
        case [file] if (
            file.kind == "output"
            and file.subfolder == folder
            and file.filename.startswith(f"{stem}_")
            and "/" not in file.filename
        ):
            return file
    names = ", ".join(f"{file.subfolder}/{file.filename}" for file in saved[:5]) or "nothing"
    raise GivenUp(
        Outcome.FAILED,
        "OUTPUT_MISMATCH",
        f"The prompt should have saved one picture as {prefix}_…, and the engine reports {names}."
        " A node pack or a start option of the engine may rename outputs.",
    )
