"""The press at work: loads the ledger, then runs writer, inbox, watch and board together.

Law: it knows ports only, so the simulator runs this very code. Starting after a crash is starting.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from daemon.core.commands import Command, ReportIncident, Start, Stop
from daemon.core.decide import Studio
from daemon.core.policy import Policy
from daemon.core.state import State
from daemon.core.world import EngineName, first_world
from daemon.errors import PersonNeeded, WorldError
from daemon.ports import (
    Alarm,
    Clock,
    Disk,
    EngineHost,
    Git,
    GpuLock,
    Pixels,
    Probe,
    Renderer,
    Trainer,
    Weights,
)
from daemon.shell.bench import Bench, Lately
from daemon.shell.board import Board
from daemon.shell.checkpoint import Checkpoints, check_at_start
from daemon.shell.engine_watch import EngineWatch
from daemon.shell.inbox import Inbox
from daemon.shell.intake import Intake
from daemon.shell.ledger import Ledger, Loaded, foreign_numbers
from daemon.shell.loop import Loop
from daemon.shell.outbox import Outbox, unknown_results
from daemon.shell.performer import Performer
from daemon.shell.progress import Progress
from daemon.shell.training import Training
from daemon.shell.training_start import Workshop
from daemon.shell.turns import Turns
from daemon.wire.places import Places
from daemon.wire.status import DaemonFacts

log = logging.getLogger(__name__)

_STOP_S = 5.0
_AGAIN_S = 2.0
_MODULES_S = 60.0
"""Where a node class comes from changes with the engine's next start at the earliest."""
_NEVER = ("NOT_A_FILE", "OUTSIDE", "NOT_OURS")
"""What is no matter of waiting: links and the like where the ledger should be."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The world, as this press has it. ``renderer`` None: a studio that draws for real has no
    engine now. ``host`` None: its process is not ours; ``probe`` None: memory is not watched.
    """

    disk: Disk
    clock: Clock
    gpu: GpuLock
    alarm: Alarm
    renderer: Renderer | None
    pixels: Pixels
    weights: Weights
    trainer: Trainer
    git: Git | None = None
    host: EngineHost | None = None
    probe: Probe | None = None


@dataclass(frozen=True, slots=True)
class Setup:
    """What the press is told once, at start. ``studio`` and ``host`` are ids; times in seconds.

    ``engine`` none: ``Ports.renderer`` is None. ``checkpoints``: the ledger is committed to git
    once a day. ``trainer_text``: why nothing can be trained, '' when it can; ``tokenizer`` '' = the
    trainer's own. ``profiles``: those an engine of ours can be started in; ``mac``: a CPU is no
    engine; ``rests``: it is off during trainings. ``packs``: the custom nodes that may draw.
    """

    studio: str
    host: str
    version: str
    daemon: DaemonFacts
    engine: EngineName
    places: Places
    policy: Policy
    settle_s: float
    rescan_s: float
    tick_s: float = 2.0
    trainer_text: str = ""
    tokenizer: str = ""
    checkpoints: bool = False
    profiles: tuple[str, ...] = ()
    mac: bool = False
    rests: bool = True
    packs: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Crew:
    """Who works in one life of the daemon."""

    loop: Loop
    watch: EngineWatch
    board: Board
    inbox: Inbox
    performer: Performer
    checkpoints: Checkpoints | None


class Press:
    """One life of the daemon: ``await press.run()`` loads the ledger and serves until ``stop``."""

    def __init__(self, ports: Ports, setup: Setup) -> None:
        self._ports = ports
        self._setup = setup
        self._stop = asyncio.Event()
        self._crew: Crew | None = None

    def stop(self) -> None:
        """End soon; what runs on the engine goes on there and is rejoined at the next start."""
        self._stop.set()

    def wake_inbox(self, hidden: str = "") -> None:
        """A watcher saw something; ``hidden`` is the dot-name that was renamed to a job's name."""
        if self._crew is not None:
            self._crew.inbox.wake(hidden)

    async def run(self) -> None:
        """Serve until ``stop``. Raises ``PersonNeeded`` when it must not go on by itself."""
        ports, setup = self._ports, self._setup
        ready = await open_ledger(ports.disk, setup.host, self._stop)
        if ready is None:
            return
        ledger, loaded = ready
        if ports.git is not None:
            await check_at_start(ports.git, ports.disk, host=setup.host)
        numbers, damaged = await foreign_numbers(ports.disk, host=setup.host)
        for key, number in numbers.items():
            loaded.state.numbers[key] = max(number, loaded.state.numbers.get(key, 0))
        for (name, letter), number in (await unknown_results(ports.disk, loaded.state)).items():
            loaded.state.numbers[name, letter] = number
            damaged.append(
                f"outbox/{name}_{letter}{number} is a result that no ledger knows: has the ledger "
                "gone back, by git or from a backup? Put it back with the daemon stopped. New jobs "
                "are numbered above what is in the outbox; nothing there is overwritten."
            )
        crew = self._crew = _crew(ports, setup, ledger, loaded.state)
        ports.alarm.every(setup.tick_s, crew.loop.wake)
        await crew.performer.sweep()
        lost = (loaded.torn.bytes, loaded.torn.kept) if loaded.torn else ()
        told: list[Command] = [Start(setup.version, setup.engine, *lost)]
        told += [ReportIncident("LEDGER_INCOMPLETE", text) for text in damaged]
        await self._serve(crew, told)

    async def _serve(self, crew: Crew, told: Sequence[Command]) -> None:
        tasks = [
            asyncio.ensure_future(work)
            for work in (
                crew.loop.run(crew.performer.perform),
                crew.watch.run(),
                _open(crew, told, rescan_s=self._setup.rescan_s),
                crew.board.run(),
                *([crew.checkpoints.run()] if crew.checkpoints else []),
            )
        ]
        waits = [*tasks, asyncio.ensure_future(self._stop.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if self._stop.is_set():
                waits.append(asyncio.ensure_future(_say_stopped(crew)))
                await asyncio.wait(
                    [*tasks, waits[-1]], timeout=_STOP_S, return_when=asyncio.FIRST_COMPLETED
                )
        finally:
            for wait in waits:
                wait.cancel()
            ended = await asyncio.gather(*waits, return_exceptions=True)
        for error in ended:
            if isinstance(error, BaseException) and not isinstance(error, asyncio.CancelledError):
                raise error


async def open_ledger(disk: Disk, host: str, stop: asyncio.Event) -> tuple[Ledger, Loaded] | None:
    """The ledger, ready to be appended to; on a full disk as soon as there is room. None when it is
    to stop before that. Raises ``PersonNeeded`` for what will not pass by itself.
    """
    said = False
    while not stop.is_set():
        ledger = Ledger(disk, host=host)
        try:
            return ledger, await ledger.load()
        except WorldError as error:
            if error.code in _NEVER:
                raise PersonNeeded(
                    f"The ledger cannot be opened: {error.text}. Put an ordinary file or folder in "
                    "its place, then start again."
                ) from error
            if not said:
                log.warning("the ledger cannot be opened yet, tried again: %s", error.text)
            said = True
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _AGAIN_S)
    return None


async def _open(crew: Crew, told: Sequence[Command], *, rescan_s: float) -> None:
    """Say that the daemon is up, on a full disk as often as it takes; then open the inbox."""
    for command in told:
        while True:
            try:
                await crew.loop.ask(command)
                break
            except WorldError:
                await asyncio.sleep(_AGAIN_S)
    await crew.inbox.run(rescan_s=rescan_s)


async def _say_stopped(crew: Crew) -> None:
    await crew.loop.ask(Stop("asked to stop"))
    crew.loop.wake()  # So that it is noted where the ledger ends.
    await crew.board.finish()


def _crew(ports: Ports, setup: Setup, ledger: Ledger, state: State) -> Crew:
    outbox = Outbox(ports.disk, host=setup.host)
    world = first_world(setup.engine, setup.trainer_text)
    loop = Loop(
        state=state,
        world=world,
        ledger=ledger,
        outbox=outbox,
        clock=ports.clock,
        gpu=ports.gpu,
        policy=setup.policy,
        studio=Studio(setup.studio, rehearsal=setup.engine == "rehearsal", profiles=setup.profiles),
    )
    watch = EngineWatch(
        world=world,
        renderer=ports.renderer,
        disk=ports.disk,
        policy=setup.policy,
        state=lambda: loop.state,
        tell=loop.tell,
        places=setup.places,
        host=ports.host,
        mac=setup.mac,
        rests=setup.rests,
    )
    bench = _bench(ports, setup, loop, outbox, watch)
    board = Board(
        disk=ports.disk,
        loop=loop,
        outbox=outbox,
        progress=bench.progress,
        watch=watch,
        clock=ports.clock,
        daemon=setup.daemon,
        hashing=lambda: ports.weights.hashing,
    )
    inbox, performer = _inbox(ports, setup, loop, board), _performer(ports, setup, bench, watch)
    return Crew(loop, watch, board, inbox, performer, _checkpoints(ports, setup, loop, ledger))


def _checkpoints(ports: Ports, setup: Setup, loop: Loop, ledger: Ledger) -> Checkpoints | None:
    if ports.git is None or not setup.checkpoints:
        return None
    return Checkpoints(
        git=ports.git,
        disk=ports.disk,
        clock=ports.clock,
        host=setup.host,
        head=lambda: ledger.head,
        busy=lambda: loop.state.lease is not None,
        tell=loop.tell,
    )


def _inbox(ports: Ports, setup: Setup, loop: Loop, board: Board) -> Inbox:
    known = None if setup.engine == "none" else ports.weights
    eyes, packs = ports.pixels, setup.packs
    intake = Intake(
        ports.disk, setup.policy, weights=known, pixels=eyes, packs=packs, waits=board.refresh
    )
    return Inbox(
        ports.disk,
        settle_s=setup.settle_s,
        limit_bytes=setup.policy.max_job_file_bytes,
        examine=intake.examine,
        answered=lambda: loop.state.answered,
        ask=loop.ask,
    )


def _bench(ports: Ports, setup: Setup, loop: Loop, outbox: Outbox, watch: EngineWatch) -> Bench:
    turns = Turns(lambda: loop.state)
    loop.observe(lambda _: turns.wake())
    return Bench(
        disk=ports.disk,
        patterns=Lately(),
        engines=Lately(),
        modules=Lately(_MODULES_S),
        packs=setup.packs,
        pixels=ports.pixels,
        weights=ports.weights,
        host=ports.host,
        probe=ports.probe,
        outbox=outbox,
        policy=setup.policy,
        places=setup.places,
        studio=setup.studio,
        state=lambda: loop.state,
        ask=loop.ask,
        progress=Progress(),
        turns=turns,
        close=loop.close,
        suspect=watch.suspect,
        ready=watch.ready,
    )


def _performer(ports: Ports, setup: Setup, bench: Bench, watch: EngineWatch) -> Performer:
    shop = Workshop(
        disk=ports.disk,
        weights=ports.weights,
        trainer=ports.trainer,
        gpu=ports.gpu,
        places=setup.places,
        rehearsal=setup.engine == "rehearsal",
        tokenizer=setup.tokenizer,
        policy=setup.policy,
    )
    training = Training(shop, ask=bench.ask, progress=bench.progress, released=watch.released)
    return Performer(bench, renderer=ports.renderer, engine=setup.engine, training=training)
