"""The face: `rebuild`, which writes outbox views again from the ledger.

Law: what a living daemon keeps up to date itself (status.json, open jobs) is left to it.
"""

from __future__ import annotations

import asyncio
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
from daemon.shell.rebuild import Finding, rebuild
from daemon.wire.instants import instant_text
from daemon.wire.phrases import counted
from daemon.wire.status import status_json
from daemon.wire.text import visible
from daemon.wire.views import STATUS, View, agrees, views

_SAID = {
    Finding.WRITTEN: "written",
    Finding.REPLACED: "said something else than the ledger; written again",
    Finding.LOST: (
        "gone, and the ledger does not hold all that was in it (release 0.1.0 recorded less), so "
        "only git or a backup can give it back"
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
    found: dict[str, Finding] = {}
    with _guarded(studio) as alone:
        done, state = -1, folded.fold(studio)
        while state.seq != done:
            wanted = _wanted(studio, state, alone=alone)
            found |= asyncio.run(rebuild(StudioDisk(studio), wanted, everything=arguments.all))
            # A living daemon may have moved a job on meanwhile: then once more, as it left that.
            done, state = state.seq, state if alone else folded.fold(studio)
    _tell(found)
    if not alone:
        say("A daemon is alive here: status.json and open jobs are left to it.")
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


def _wanted(studio: Path, state: State, *, alone: bool) -> Mapping[str, View]:
    host = folded.own(studio)
    if not alone:
        theirs = {f"outbox/{job}/status.toml" for job in state.queue}
        found = views(state, host=host)
        return {path: view for path, view in found.items() if path not in theirs}
    return {**views(state, host=host), **_status(studio, state)}


def _status(studio: Path, state: State) -> Mapping[str, View]:
    """status.json, unless what is there says of the ledger what the ledger says."""
    if not state.seq:
        return {}
    document, path = folded.document(studio, alive=False), studio / STATUS
    there = path.read_bytes() if path.is_file() else b""
    return {STATUS: View(status_json(document))} if not agrees(there, document) else {}


@contextmanager
def _guarded(studio: Path) -> Iterator[bool]:
    """Keep daemons out meanwhile. Gives False where one is alive already."""
    guard = Guard(studio / ".nightpress" / "guard")
    try:
        guard.take(since=instant_text(SystemClock().now()))
    except StudioBusy:
        yield False
        return
    try:
        yield True
    finally:
        guard.give_back()
