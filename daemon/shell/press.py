"""The press at work: loads the ledger, then runs writer, inbox, watch and board together.

Law: it knows ports only, so the simulator runs this very code. Starting after a crash is starting.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from daemon.core.commands import Command, ReportIncident, Start, Stop
from daemon.errors import PersonNeeded, WorldError
from daemon.ports import Disk
from daemon.shell.checkpoint import check_at_start
from daemon.shell.crew import Crew, assembled
from daemon.shell.ledger import Ledger, Loaded, foreign_numbers
from daemon.shell.outbox import unknown_results
from daemon.shell.premises import Ports, Setup

log = logging.getLogger(__name__)

_STOP_S = 5.0
_AGAIN_S = 2.0
_NEVER = ("NOT_A_FILE", "OUTSIDE", "NOT_OURS")
"""What is no matter of waiting: links and the like where the ledger should be."""


class Press:
    """One life of the daemon: ``await press.run()`` loads the ledger and serves until ``stop``.

    ``crew`` works in it; None before the ledger is loaded.
    """

    def __init__(self, ports: Ports, setup: Setup) -> None:
        self._ports = ports
        self._setup = setup
        self._stop = asyncio.Event()
        self.crew: Crew | None = None

    def stop(self) -> None:
        """End soon; what runs on the engine goes on there and is rejoined at the next start."""
        self._stop.set()

    def wake_inbox(self, hidden: str = "") -> None:
        """A watcher saw something; ``hidden`` is the dot-name that was renamed to a job's name."""
        if self.crew is not None:
            self.crew.inbox.wake(hidden)

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
        crew = self.crew = assembled(ports, setup, ledger, loaded.state)
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
                *(each.run() for each in crew.others if each),
                crew.machine.run(),
                crew.canary.run(),
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
    if crew.sheet:
        await crew.sheet.finish(alive=False)
