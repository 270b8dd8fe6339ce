"""The face: `rebuild`, which writes outbox views again from the ledger.

Law: never beside a living daemon, which writes these files itself.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from daemon.adapters.clock import SystemClock
from daemon.adapters.disk import StudioDisk
from daemon.adapters.guard import Guard
from daemon.cli import folded, place
from daemon.cli.arguments import Arguments
from daemon.cli.say import complain, say
from daemon.core.state import State
from daemon.errors import StudioBusy
from daemon.home import at_home
from daemon.shell.rebuild import Finding, rebuild
from daemon.shell.sheet import Sheet
from daemon.wire.instants import instant_text
from daemon.wire.ledger_line import Head
from daemon.wire.phrases import counted
from daemon.wire.status import status_json
from daemon.wire.text import visible
from daemon.wire.views import STATUS, View, agrees, views

_SAID = {
    Finding.WRITTEN: "written",
    Finding.REPLACED: "said something else than the ledger; written again",
    Finding.LOST: (
        "not there as it was recorded, and the ledger does not hold all that is in it (release "
        "0.1.0 recorded less), so only git or a backup can give it back"
    ),
    Finding.FOREIGN: (
        "not the file that the ledger recorded, and left as it is. To have the recorded one, move "
        "it away and rebuild again"
    ),
}
_BAD = (Finding.LOST, Finding.FOREIGN)


def write_again(arguments: Arguments) -> int:
    """Write what is missing or out of date; 1 when something is not as the ledger recorded it."""
    studio = place.studio(arguments)
    with _guarded(studio):
        state = folded.fold(studio)
        wanted = {**views(state, host=folded.own(studio)), **_status(studio, state)}
        found = asyncio.run(rebuild(StudioDisk(studio), wanted, everything=arguments.all))
        asyncio.run(_sheet(studio, everything=arguments.all))
    _tell(found)
    return 1 if any(finding in _BAD for finding in found.values()) else 0


def _tell(found: Mapping[str, Finding]) -> None:
    for path, finding in found.items():
        if finding is not Finding.LEFT_OUT:
            (complain if finding in _BAD else say)(f"{visible(path)}: {_SAID[finding]}")
    left = {path.rpartition("/")[0] for path in found if found[path] is Finding.LEFT_OUT}
    if left:
        what = counted(len(left), "folder")
        say(f"{what} that somebody removed left out; `nightpress rebuild --all` makes them again.")
    if not found:
        say("Everything in outbox/ that the ledger can give is as the ledger says.")


def _status(studio: Path, state: State) -> Mapping[str, View]:
    """status.json, unless what is there says of the ledger what the ledger says."""
    if not state.seq:
        return {}
    document, path = folded.document(studio, alive=False), studio / STATUS
    there = path.read_bytes() if path.is_file() else b""
    return {STATUS: View(status_json(document))} if not agrees(there, document) else {}


async def _sheet(studio: Path, *, everything: bool) -> None:
    """The review sheet: its index, and the months' pages that are missing or out of date."""
    state, head = State(), Head()
    for entry in folded.own_entries(studio, state):
        head = Head(entry.seq, entry.chain, Path(entry.segment).stem)
    if not head.seq:
        return
    document = folded.document(studio, alive=False)
    sheet = Sheet(
        disk=StudioDisk(studio),
        state=lambda: state,
        policy=at_home(studio, os.environ).settings.policy,
        host=folded.own(studio),
        document=lambda: document,
        head=lambda: head,
    )
    await sheet.catch_up(everything=everything)
    await sheet.finish(alive=False)


@contextmanager
def _guarded(studio: Path) -> Iterator[None]:
    """Keep daemons out meanwhile. Raises ``Bad`` where one is alive."""
    guard = Guard(studio / ".nightpress" / "guard")
    try:
        guard.take(since=instant_text(SystemClock().now()))
    except StudioBusy:
        raise place.Bad(
            "A daemon is alive in this studio and writes these files itself. Stop it (Ctrl-C where "
            "it runs, or SIGTERM), rebuild, and start it again; what the engine draws goes on."
        ) from None
    try:
        yield
    finally:
        guard.give_back()
