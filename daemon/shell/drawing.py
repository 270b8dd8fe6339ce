"""Conducts the conversation with the engine about one picture, from looking for it to its bytes.

Law: the engine's history is the only proof. Sockets wake and tell of steps; their silence, an
unclear answer and a short absence of the server prove nothing. A prompt is sent at most twice, and
only when it was found neither in history nor in queue nor in history again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial

from daemon.core.jobs import Outcome
from daemon.core.policy import Policy
from daemon.errors import EngineError, PromptRefused
from daemon.ports import Ears, Renderer
from daemon.shell.deadline import QUEUE_S, Deadline
from daemon.shell.patience import GivenUp, Patience, now, once
from daemon.shell.whereabouts import Drawn, DrawOrder, Place, Whereabouts, saved_under
from daemon.wire.comfyui import (
    Ended,
    Executing,
    HistoryEntry,
    Message,
    OutputFile,
    Progress,
    Status,
    prompt_body,
)
from daemon.wire.comfyui_blame import blame

MAX_SENDS = 2
GRACE_S = 15.0  # An interrupt is obeyed at the end of a sampler's step.
SHORTEST_PAUSE_S = 0.05  # However often it is woken, a poller leaves the server time to work.
LAST_WORD_S = 0.25  # From "succeeded" until the prompt is in the history, and that is said.
_PRESSED = (
    "{} The picture was stopped before everything would crawl. Close what else uses memory; it is"
    " tried once more."
)

_log = logging.getLogger(__name__)


class Conversation:
    """One picture's talk with one engine: ``until_left``, then ``result``. Both raise ``GivenUp``.

    ``progress`` gets each sampler step (step, of how many); ``pressed`` says why it is to be given
    up for the machine's sake, '' = it is not. Times are the event loop's, which stand still in
    sleep. When cancelled, nothing of this is left running here; the prompt stays on the engine,
    where the next conversation about the same order finds it.
    """

    def __init__(
        self,
        order: DrawOrder,
        *,
        renderer: Renderer,
        progress: Callable[[int, int], None],
        pressed: Callable[[], str],
        policy: Policy,
    ) -> None:
        self._order, self._renderer, self._policy = order, renderer, policy
        self._progress, self._pressed = progress, pressed
        self.prompt_id = order.prompt_id
        self.obeyed = True  # It was never told to stop, or it did.
        self.silent = False  # The socket said nothing for a minute while the prompt ran.
        self._there = Whereabouts(order, renderer, policy)
        self._sends, self._patience = 0, Patience(policy)
        self._remaining: int | None = None
        self._ended = False
        self._entry: HistoryEntry | None = None
        self._harvested: Drawn | None = None
        self._stamps: dict[int, float] = {}
        self._deadline = self._new_deadline()

    async def until_left(self, ears: Ears, *, clear: bool, accepted: Callable[[], None]) -> bool:
        """Find the prompt on the engine or send it, and wait until it has left it, drawn or not.

        ``clear``: the engine was seen empty a moment ago. ``accepted`` is called once the prompt is
        there. Whether the engine is known to be empty now.
        """
        found = Place.ABSENT if self._order.fresh else await self._there.look()
        if found is Place.ABSENT and not self._order.fresh:
            self._harvested = await self._there.harvest()
            if self._harvested is not None:
                return False
        if found is Place.ABSENT:
            if not clear:
                await self._wait_for_others()
            self._harvested = await self._drawn_earlier()
            if self._harvested is not None:
                return True
            found = await self._send(ears.client_id)
        if isinstance(found, HistoryEntry):
            self._entry = found
            return False
        accepted()
        self._deadline = self._new_deadline()
        await self._wait(ears)
        if self._sends > 1:
            await self._take_back()  # A first sending may have been queued late after all.
        return self._ended and self._remaining == 0

    async def result(self) -> Drawn:
        """The picture of a prompt that has left the engine."""
        if self._harvested is not None:
            return self._harvested
        entry = self._entry or await self._there.entry()
        if entry is None:
            entry = await self._ended_entry()
        if entry is None:
            harvested = await self._there.harvest()
            if harvested is None:
                raise _lost()
            return harvested
        _must_have_succeeded(entry)
        png, *maps = [
            await self._patience.ask(
                partial(self._renderer.view, _saved_by(node, entry, self._order))
            )
            for node in filter(None, (self._order.save_node, self._order.map_node))
        ]
        return Drawn(png, entry.graph, entry.cached, entry.seconds, maps[0] if maps else None)

    @property
    def loading_s(self) -> float:
        """Seconds before the first sampler step, 0 = not heard."""
        return self._deadline.loading_s()

    def paces(self, steps: int) -> Mapping[int, float]:
        """Seconds that each step took, from the second on; nothing where one was not heard."""
        stamps, every = self._stamps, range(2, steps + 1)
        if any(step not in stamps for step in range(1, steps + 1)):
            return {}
        return {step: round(stamps[step] - stamps[step - 1], 3) for step in every}

    async def _ended_entry(self) -> HistoryEntry | None:
        """The entry of a prompt that was said to have ended; whoever said so may have been wrong,
        and then it is waited for, within reason.
        """
        until = now() + QUEUE_S
        found = await self._there.look_twice()
        while found in (Place.PENDING, Place.RUNNING) and now() < until:
            await asyncio.sleep(self._policy.history_poll_s)
            found = await self._there.look_twice()
        return found if isinstance(found, HistoryEntry) else None

    async def withdraw(self) -> None:
        """Take the prompt back, and return when it has left the engine or does not obey."""
        await self._take_back()
        until = now() + GRACE_S
        while now() < until:
            found = await self._there.look()
            if isinstance(found, HistoryEntry) or found is Place.ABSENT:
                self._entry = found if isinstance(found, HistoryEntry) else None
                return
            await asyncio.sleep(self._policy.history_poll_s)
        self.obeyed = False

    def _new_deadline(self) -> Deadline:
        order = self._order
        return Deadline(self._policy, draw_s=order.draw_s, now=now())

    async def _drawn_earlier(self) -> Drawn | None:
        """What a lost attempt had saved before nobody could ask for it."""
        for order in self._order.earlier:
            there = Whereabouts(order, self._renderer, self._policy)
            if (drawn := await there.harvest()) is not None:
                return drawn
        return None

    async def _wait_for_others(self) -> None:
        """Somebody else's prompts are waited for and never touched."""
        until = now() + QUEUE_S
        while True:
            queue = await self._patience.ask(self._renderer.queue)
            others = len(queue.running) + len(queue.pending)
            if not others:
                return
            if now() >= until:
                raise GivenUp(
                    Outcome.STOPPED,
                    "QUEUE_BLOCKED",
                    f"{others} prompts of somebody else have been on the engine for"
                    f" {QUEUE_S / 60:.0f} minutes; they are not touched. Look at its queue: a"
                    " prompt that never ends there needs a restart of the engine.",
                )
            await asyncio.sleep(self._policy.history_poll_s)

    async def _send(self, client_id: str) -> HistoryEntry | Place:
        order = self._order
        body = prompt_body(
            order.graph, prompt_id=order.prompt_id, client_id=client_id, note=order.note
        )
        said = ""
        while self._sends < MAX_SENDS:
            self._sends += 1
            try:
                errors = await once(lambda: self._renderer.send(body))
            except PromptRefused as refused:
                raise GivenUp(Outcome.FAILED, refused.code, refused.text) from None
            except EngineError as error:
                said = error.text
                found = await self._there.look_twice()
                if found is not Place.ABSENT:
                    return found
                continue
            self._there.accepted = True
            if not errors:
                return Place.PENDING
            await self._take_back()
            raise GivenUp(Outcome.FAILED, "VALIDATION", " ".join(f"{e}." for e in errors.values()))
        raise GivenUp(
            Outcome.LOST, "ENGINE_UNCLEAR", f"The prompt was sent twice and is nowhere: {said}"
        )

    async def _wait(self, ears: Ears) -> None:
        """Until the prompt has left the engine, or its picture was found without it."""
        while not await self._doze(ears):
            found = await self._there.look()
            if found is Place.ABSENT:
                found = await self._there.look_twice()
            match found:
                case HistoryEntry():
                    self._entry = found
                    return
                case Place.ABSENT:
                    self._harvested = await self._there.harvest()
                    if self._harvested is None:
                        raise _lost()
                    return
                case Place.PENDING:
                    self._deadline.waits(now())
                case Place.RUNNING:
                    self._deadline.runs()
            self.silent = self.silent or self._deadline.silent(now())
            if why := self._pressed():
                await self._give_up(Outcome.LOST, "MEMORY_PRESSURE", _PRESSED.format(why))
            if self._deadline.overdue(now()):
                await self._give_up(*self._deadline.verdict(now()))

    async def _doze(self, ears: Ears) -> bool:
        """Listen until the prompt is heard to have left (True), or until the next poll is due."""
        until = now() + self._policy.history_poll_s
        while (left := until - now()) > 0:
            message = await ears.hear(timeout_s=left)
            if message is None:
                # A socket that has just gone says so once; the poller leans on it all the same.
                await asyncio.sleep(min(SHORTEST_PAUSE_S, max(0.0, until - now())))
                return False
            if self._heard(message):
                return True
            if isinstance(message, Ended) and message.prompt_id == self._order.prompt_id:
                until = min(until, now() + LAST_WORD_S)
        return False

    def _heard(self, message: Message) -> bool:
        """Whether this says that our prompt has left. Other prompts' messages say nothing."""
        ours = self._order.prompt_id
        match message:
            case Progress(value=value, max=steps, prompt_id=prompt_id) if prompt_id == ours:
                self._deadline.stepped(now())
                self._stamps.setdefault(value, now())
                self._progress(value, steps)
            case Executing(node=None, prompt_id=prompt_id) if prompt_id == ours:
                self._ended = True
            case Status(remaining=remaining):
                self._remaining = remaining
            case _:
                pass
        return self._ended

    async def _give_up(self, outcome: Outcome, code: str, text: str) -> None:
        """Stop this prompt and no other. It may still end well in the grace; then it counts."""
        await self.withdraw()
        if self._entry is None or self._entry.ending == "interrupted":
            text += "" if self.obeyed else " It did not obey the interrupt either."
            raise GivenUp(outcome, code, text)

    async def _take_back(self) -> None:
        try:
            await once(lambda: self._renderer.interrupt(self._order.prompt_id))
        except EngineError as error:
            _log.warning("The prompt %s was not taken back: %s", self._order.prompt_id, error)


def _lost() -> GivenUp:
    return GivenUp(
        Outcome.LOST,
        "PROMPT_LOST",
        "The prompt is neither in the engine's queue nor in its history, and it saved no picture:"
        " the engine was restarted, or somebody deleted the prompt.",
    )


def _must_have_succeeded(entry: HistoryEntry) -> None:
    if entry.failure is not None:
        code, text = blame(entry.failure)
        # It may fit when the engine has let go of what it holds.
        raise GivenUp(Outcome.LOST if code == "OUT_OF_MEMORY" else Outcome.FAILED, code, text)
    if entry.ending != "success":
        raise GivenUp(
            Outcome.LOST, "INTERRUPTED", "Somebody interrupted the prompt on the engine itself."
        )


def _saved_by(node: str, entry: HistoryEntry, order: DrawOrder) -> OutputFile:
    """The one file that a node of it saved for us; anything else ends the conversation."""
    saved = [file for file in entry.outputs if file.node == node]
    folder, stem = saved_under(order, node)
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
        f"The prompt should have saved one picture as {folder}/{stem}_…, and the engine reports"
        f" {names}. A node pack or a start option of the engine may rename outputs.",
    )
