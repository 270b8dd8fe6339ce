"""The one writer: mailbox -> decide -> append, synced -> believe -> plan -> reconcile.

Law: durable first, believed second. Nobody else appends, nobody acts on what is not synced, and an
effect that ought to be going on is started again until its report is in the ledger.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from daemon.core import admission
from daemon.core.commands import (
    Command,
    Observe,
    ObserveMachine,
    ObserveTrainer,
    Reject,
    ReportIncident,
    ReportRestored,
    Submit,
)
from daemon.core.decide import Studio, decide, settle
from daemon.core.events import Entry, Event, JobAccepted, JobRejected
from daemon.core.hurdles import Reason, Scene
from daemon.core.jobs import JobId
from daemon.core.plan import (
    Effect,
    InstallLora,
    Prune,
    PublishResult,
    RunAttempt,
    RunTraining,
    StopAttempt,
    plan,
)
from daemon.core.policy import Policy
from daemon.core.state import Drop, State, apply, drop_of
from daemon.core.world import World
from daemon.errors import WorldError
from daemon.ports import Clock, GpuLock
from daemon.shell.ledger import Ledger, Page
from daemon.shell.outbox import Outbox

log = logging.getLogger(__name__)

_BATCH = 256
_TEXT_CHARS = 500
_PAUSE_S = 1.0
"""How long the loop waits after the disk refused an append, and before an effect is tried again."""

_LOOK_S = 1.0
"""How often the ledger's file is looked at in quiet turns while pictures are drawn."""

Letter = tuple[Command, "asyncio.Future[None] | None"]
Perform = Callable[[Effect], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Believed:
    """What the observers are told after each turn: what was added, and whether the world
    changed.
    """

    entries: Sequence[Entry]
    world_changed: bool


class Loop:
    """Owns the state, the ledger and the running effects. One instance a daemon."""

    def __init__(
        self,
        *,
        state: State,
        world: World,
        ledger: Ledger,
        outbox: Outbox,
        clock: Clock,
        gpu: GpuLock,
        policy: Policy,
        studio: Studio,
    ) -> None:
        self.state = state
        self.world = world
        self._ledger = ledger
        self._outbox = outbox
        self._clock = clock
        self._gpu = gpu
        self._policy = policy
        self._studio = studio
        self._mailbox: asyncio.Queue[Letter | None] = asyncio.Queue()
        self._tasks: dict[Effect, asyncio.Task[None]] = {}
        self._not_before: dict[Effect, float] = {}
        self._failed: set[Effect] = set()
        self._observers: list[Callable[[Believed], None]] = []
        self._unsettled: list[JobId] = list(state.queue)
        self._closing: tuple[JobId, int] | None = None
        self._looked = -math.inf

    def tell(self, command: Command) -> None:
        """Hand in a command; it may be lost with the process, and then nothing has happened."""
        self._mailbox.put_nowait((command, None))

    async def ask(self, command: Command) -> None:
        """Hand in a command and wait until what follows from it is durable.

        Raises ``WorldError`` when it could not be made so.
        """
        done = asyncio.get_running_loop().create_future()
        self._mailbox.put_nowait((command, done))
        await done

    def close(self, job: JobId, attempt: int) -> None:
        """The last picture of this attempt is with the engine: make the one after it ready."""
        self._closing = job, attempt
        self.wake()

    def wake(self) -> None:
        """Look again: time has passed or an effect has ended."""
        self._mailbox.put_nowait(None)

    def observe(self, observer: Callable[[Believed], None]) -> None:
        """Call ``observer`` after each turn; it must not wait."""
        self._observers.append(observer)

    def reasons(self) -> dict[JobId, Reason]:
        """Why jobs wait, by the durable state."""
        return admission.why(self._scene(self.state, self.world))

    async def run(self, perform: Perform) -> None:
        """Serve until cancelled. Raises ``PersonNeeded`` when the ledger can no longer be
        trusted.
        """
        try:
            while True:
                letters = [await self._mailbox.get()]
                while len(letters) < _BATCH and not self._mailbox.empty():
                    letters.append(self._mailbox.get_nowait())
                await self._serve([letter for letter in letters if letter is not None])
                self._reconcile(perform)
        finally:
            await self._end_tasks()

    async def _serve(self, letters: Sequence[Letter]) -> None:
        try:
            await self._turn([command for command, _ in letters])
        except WorldError as error:
            if len(letters) > 1:
                # One command whose files cannot be written must not take the others with it.
                for letter in letters:
                    await self._serve([letter])
                return
            log.warning("not recorded: %s", error.text)
            for command, done in letters:
                # What was seen is so, whether or not its consequence could be written down.
                self.world = _seen(self.world, command)
                if done is not None and not done.done():
                    done.set_exception(error)
            asyncio.get_running_loop().call_later(_PAUSE_S, self.wake)
            return
        for _, done in letters:
            if done is not None and not done.done():
                done.set_result(None)

    async def _turn(self, commands: Sequence[Command]) -> None:
        at = self._clock.now()
        draft = self.state.draft()
        page = self._ledger.page()
        world = replace(self.world, at=at)
        for command in commands:
            world = _seen(world, command)
            self._write(draft, page, decide(draft, command, self._studio), at)
        for job in self._unsettled:
            self._write(draft, page, settle(draft, job, self._policy), at)
        world = self._admit(draft, page, world, at)
        if page.entries:
            await self._prepare(page.entries, commands)
            await self._ledger.append(page)
        elif not draft.running or self._looked + _LOOK_S <= asyncio.get_running_loop().time():
            self._looked = asyncio.get_running_loop().time()
            await self._ledger.look()
        while self._ledger.restored:
            restored = self._ledger.restored.pop(0)
            self.tell(ReportRestored(restored.lines, restored.cause))
        self.state.absorb(draft)
        believed = Believed(page.entries, world_changed=world != self.world)
        self.world = world
        self._unsettled = []
        if self.state.lease is None:
            self._gpu.give_back()
        for observer in self._observers:
            observer(believed)

    def _write(self, draft: State, page: Page, events: Iterable[Event], at: int) -> None:
        for event in events:
            entry = page.write(event, at=at)
            apply(draft, entry)
            job = JobId(getattr(event, "job", ""))
            if job:
                self._write(draft, page, settle(draft, job, self._policy), at)

    def _admit(self, draft: State, page: Page, world: World, at: int) -> World:
        """Admission, with the GPU asked for only when a job could start on it."""
        world = replace(world, gpu_free=True, closing=self._closing)
        scene = self._scene(draft, world)
        if draft.lease is None and draft.queue and admission.nobody(scene) is None:
            first = admission.able(scene, admission.line(draft, self._policy, at=at))
            world = replace(world, gpu_free=first is None or self._gpu.try_take())
        self._write(draft, page, admission.admit(self._scene(draft, world)), at)
        return world

    def _scene(self, state: State, world: World) -> Scene:
        return Scene(state, world, self._policy, self._studio)

    async def _prepare(self, entries: Sequence[Entry], commands: Iterable[Command]) -> None:
        """The files that must be durable before the line that promises them."""
        bodies: dict[Drop, bytes | None] = {}
        for command in commands:
            match command:
                case Submit(file=file, request=text):
                    bodies[drop_of(file)] = text.encode()
                case Reject(file=file, request=data):
                    bodies[drop_of(file)] = data
                case _:
                    pass
        # Each syncs folders of its own; a chapter that is dropped at once must not stop the press.
        takes = [self._outbox.take(e.event) for e in entries if isinstance(e.event, JobAccepted)]
        for failed in await asyncio.gather(*takes, return_exceptions=True):
            if failed is not None:
                raise failed
        for entry in entries:
            if isinstance(rejected := entry.event, JobRejected):
                drop = (rejected.sha256, rejected.inode, rejected.mtime_ns, rejected.size)
                await self._outbox.reject(rejected, at=entry.at, request=bodies.get(drop))

    def _reconcile(self, perform: Perform) -> None:
        """Make the running effects those that the plan wants."""
        loop = asyncio.get_running_loop()
        wanted = plan(self.state)
        for effect, task in list(self._tasks.items()):
            if task.done():
                del self._tasks[effect]
                self._not_before[effect] = loop.time() + _PAUSE_S
                loop.call_later(_PAUSE_S, self.wake)
                self._note_failure(effect, task)
            elif isinstance(effect, RunAttempt | RunTraining) and effect not in wanted:
                # The others end by themselves; what they do after their report is wanted too.
                task.cancel()
        busy = {effect.job for effect in self._tasks}
        self._not_before = {key: when for key, when in self._not_before.items() if key in wanted}
        for effect in wanted:
            if effect in self._tasks or effect.job in busy:
                continue
            if self._not_before.get(effect, 0.0) > loop.time():
                continue
            if not isinstance(effect, RunAttempt) or self._gpu.try_take():
                task = asyncio.ensure_future(perform(effect))
                task.add_done_callback(lambda _: self.wake())
                self._tasks[effect] = task

    def _note_failure(self, effect: Effect, task: asyncio.Task[None]) -> None:
        """An effect that raised is tried again; that it does is said once."""
        error = None if task.cancelled() else task.exception()
        if error is None:
            self._failed.discard(effect)
        elif effect not in self._failed:
            self._failed.add(effect)
            # What the world refuses is a sentence; only a mistake of ours needs its traceback.
            traced = None if isinstance(error, WorldError) else error
            text = f"{_doing(effect)} {effect.job} is tried again every second: {error}"
            log.error("%s", text, exc_info=traced)
            self.tell(ReportIncident("EFFECT_FAILED", text[:_TEXT_CHARS]))

    async def _end_tasks(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)


def _seen(world: World, command: Command) -> World:
    """The world after somebody has looked at a part of it."""
    match command:
        case Observe(seen):
            return replace(
                seen,
                machine=world.machine,
                trainer_code=world.trainer_code,
                trainer_text=world.trainer_text,
                at=world.at,
            )
        case ObserveMachine(machine):
            return replace(world, machine=machine)
        case ObserveTrainer(code, text):
            return replace(world, trainer_code=code, trainer_text=text)
        case _:
            return world


def _doing(effect: Effect) -> str:
    """What an effect is called in a sentence."""
    match effect:
        case RunAttempt():
            return "Drawing"
        case RunTraining():
            return "Training"
        case StopAttempt():
            return "Stopping"
        case PublishResult():
            return "Publishing"
        case InstallLora():
            return "Installing a checkpoint of"
        case Prune():
            return "Pruning"
        case _:
            assert_never(effect)
