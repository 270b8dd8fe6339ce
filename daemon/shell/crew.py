"""Assembles who works in one life of the daemon, out of the ports that it was given.

Law: nothing is decided here; whoever needs somebody is handed him.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from daemon.core.decide import Studio
from daemon.core.state import State
from daemon.core.world import first_world
from daemon.craft.memory import need
from daemon.shell.bench import Bench, Lately
from daemon.shell.board import Board
from daemon.shell.canary import Canary
from daemon.shell.checkpoint import Checkpoints
from daemon.shell.engine_watch import EngineWatch
from daemon.shell.inbox import Inbox
from daemon.shell.intake import Intake
from daemon.shell.ledger import Ledger
from daemon.shell.loop import Loop
from daemon.shell.machine_watch import Blind, MachineWatch
from daemon.shell.notices import Notices
from daemon.shell.outbox import Outbox
from daemon.shell.performer import Performer
from daemon.shell.premises import Ports, Setup
from daemon.shell.progress import Progress
from daemon.shell.sheet import Sheet
from daemon.shell.trainer_watch import TrainerWatch
from daemon.shell.training import Training
from daemon.shell.training_start import Workshop
from daemon.shell.turns import Turns
from daemon.wire.ledger_line import Head
from daemon.wire.shim_record import ExitRecord

_MODULES_S = 60.0
"""Where a node class comes from changes with the engine's next start at the earliest."""


@dataclass(frozen=True, slots=True)
class Crew:
    """Who works in one life of the daemon."""

    loop: Loop
    watch: EngineWatch
    machine: MachineWatch
    board: Board
    inbox: Inbox
    performer: Performer
    checkpoints: Checkpoints | None
    trainer: TrainerWatch | None
    canary: Canary
    sheet: Sheet | None
    notices: Notices | None

    @property
    def others(self) -> Sequence[Checkpoints | TrainerWatch | Sheet | Notices | None]:
        """Those that work only where they are wanted."""
        return self.checkpoints, self.trainer, self.sheet, self.notices


def assembled(ports: Ports, setup: Setup, ledger: Ledger, state: State) -> Crew:
    """Everybody, put to work on this ledger and its fold."""
    outbox = Outbox(ports.disk, host=setup.host)
    loop = _loop(ports, setup, ledger, outbox, state=state)

    async def evidence(record: ExitRecord) -> str:
        return await machine.kill_evidence(record)  # Of watch and machine, each asks the other.

    watch = _watch(ports, setup, loop, evidence)
    machine = _machine(ports, setup, loop, watch)
    bench = _bench(ports, setup, loop, outbox, watch=watch, machine=machine)
    board = Board(
        disk=ports.disk,
        loop=loop,
        outbox=outbox,
        progress=bench.progress,
        watch=watch,
        clock=ports.clock,
        daemon=setup.daemon,
        hashing=lambda: ports.weights.hashing,
        policy=setup.policy,
        tick_s=setup.tick_s,
    )
    return Crew(
        loop,
        watch,
        machine,
        board,
        _inbox(ports, setup, loop, board),
        _performer(ports, setup, bench, loop, watch=watch, machine=machine),
        _checkpoints(ports, setup, loop, ledger),
        None if setup.trainer_text else _trainer(ports, setup, loop),
        _canary(ports, setup, loop),
        _sheet(ports, setup, loop, board, head=lambda: ledger.head) if setup.sheet else None,
        _notices(ports, setup, loop),
    )


def _loop(ports: Ports, setup: Setup, ledger: Ledger, outbox: Outbox, *, state: State) -> Loop:
    return Loop(
        state=state,
        world=first_world(setup.engine, setup.trainer_text),
        ledger=ledger,
        outbox=outbox,
        clock=ports.clock,
        gpu=ports.gpu,
        policy=setup.policy,
        studio=Studio(setup.studio, setup.engine == "rehearsal", setup.profiles, need),
    )


def _watch(
    ports: Ports, setup: Setup, loop: Loop, evidence: Callable[[ExitRecord], Awaitable[str]]
) -> EngineWatch:
    return EngineWatch(
        world=loop.world,
        renderer=ports.renderer,
        disk=ports.disk,
        policy=setup.policy,
        state=lambda: loop.state,
        tell=loop.tell,
        places=setup.places,
        host=ports.host,
        mac=setup.mac,
        rests=setup.rests,
        evidence=evidence,
    )


def _machine(ports: Ports, setup: Setup, loop: Loop, watch: EngineWatch) -> MachineWatch:
    return MachineWatch(
        probe=ports.probe or Blind(),
        policy=setup.policy,
        clock=ports.clock,
        state=lambda: loop.state,
        tell=loop.tell,
        host=ports.host,
        trainer=ports.trainer,
        weigh=need,
        engine=setup.engine,
        relieve=watch.relieve,
    )


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


def _trainer(ports: Ports, setup: Setup, loop: Loop) -> TrainerWatch:
    state, tell = (lambda: loop.state), loop.tell
    return TrainerWatch(ports.trainer, setup.policy, state=state, tell=tell)


def _canary(ports: Ports, setup: Setup, loop: Loop) -> Canary:
    state, world = (lambda: loop.state), (lambda: loop.world)
    canary = Canary(ports.disk, setup.policy, state=state, world=world)
    loop.observe(canary.believe)
    return canary


def _notices(ports: Ports, setup: Setup, loop: Loop) -> Notices | None:
    if ports.notifier is None or not setup.telling.on:
        return None
    state, now = (lambda: loop.state), ports.clock.now
    notices = Notices(ports.notifier, setup.telling, state=state, now=now)
    loop.observe(notices.believe)
    return notices


def _sheet(
    ports: Ports, setup: Setup, loop: Loop, board: Board, *, head: Callable[[], Head]
) -> Sheet:
    sheet = Sheet(
        disk=ports.disk,
        state=lambda: loop.state,
        policy=setup.policy,
        host=setup.host,
        document=board.document,
        head=head,
    )
    loop.observe(sheet.believe)
    return sheet


def _inbox(ports: Ports, setup: Setup, loop: Loop, board: Board) -> Inbox:
    known = None if setup.engine == "none" else ports.weights
    eyes, packs = ports.pixels, setup.packs
    intake = Intake(
        ports.disk,
        setup.policy,
        weights=known,
        pixels=eyes,
        trainer=None if setup.trainer_text else ports.trainer,
        packs=packs,
        known=setup.known,
        waits=board.refresh,
    )
    return Inbox(
        ports.disk,
        settle_s=setup.settle_s,
        limit_bytes=setup.policy.max_job_file_bytes,
        examine=intake.examine,
        answered=lambda: loop.state.answered,
        ask=loop.ask,
    )


def _bench(
    ports: Ports,
    setup: Setup,
    loop: Loop,
    outbox: Outbox,
    *,
    watch: EngineWatch,
    machine: MachineWatch,
) -> Bench:
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
        pressed=machine.pressed,
        peak=machine.peak,
    )


def _performer(
    ports: Ports,
    setup: Setup,
    bench: Bench,
    loop: Loop,
    *,
    watch: EngineWatch,
    machine: MachineWatch,
) -> Performer:
    shop = Workshop(
        disk=ports.disk,
        weights=ports.weights,
        trainer=ports.trainer,
        gpu=ports.gpu,
        places=setup.places,
        rehearsal=setup.engine == "rehearsal",
        gpu_expected=setup.mac,
        policy=setup.policy,
    )
    training = Training(
        shop,
        ask=bench.ask,
        progress=bench.progress,
        released=watch.released,
        machine=machine,
    )
    return Performer(
        bench,
        renderer=ports.renderer,
        engine=setup.engine,
        training=training,
        now=lambda: loop.world.at,
    )
