"""The face: `verify`, every line of every host's ledger against its chain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from daemon.cli import place
from daemon.cli.arguments import Arguments
from daemon.cli.folded import entries
from daemon.cli.lines import segments
from daemon.cli.say import counted, document, paint, say
from daemon.core.state import State, apply
from daemon.errors import LedgerDamaged
from daemon.wire.ledger_line import GENESIS
from daemon.wire.text import visible


class Verdict(NamedTuple):
    """What was found of one host: ``damage`` '' = every line is as it was written.

    ``lines`` and ``chain`` are those of the last line that can be believed.
    """

    host: str
    segments: int
    lines: int
    chain: str
    damage: str
    torn_bytes: int


def verify(arguments: Arguments) -> int:
    """Check every ledger; 1 when one is damaged."""
    studio = place.studio(arguments)
    verdicts = [_verdict(studio, host, files) for host, files in segments(studio).items()]
    damaged = any(verdict.damage for verdict in verdicts)
    if arguments.json:
        document({"damaged": damaged, "hosts": [verdict._asdict() for verdict in verdicts]})
        return 1 if damaged else 0
    if not verdicts:
        say("The ledger is empty: nothing has happened in this studio yet.")
    alive = place.is_alive(studio)
    for verdict in verdicts:
        _print(verdict, alive=alive)
    return 1 if damaged else 0


def _verdict(studio: Path, host: str, files: Sequence[Path]) -> Verdict:
    state, seq, chain, damage = State(), 0, GENESIS, ""
    torn = _torn_bytes(files[-1])
    try:
        for entry in entries(studio, host):
            try:
                apply(state, entry)
            except AssertionError as error:
                raise LedgerDamaged(
                    f"ledger/{host}: seq {entry.seq} cannot follow what is before it: {error}."
                ) from error
            seq, chain = entry.seq, entry.chain
    except LedgerDamaged as error:
        damage = str(error)
    return Verdict(host, len(files), seq, chain, damage, torn)


def _torn_bytes(file: Path) -> int:
    """How many bytes stand behind a segment's last whole line."""
    data = file.read_bytes()
    return len(data) - data.rfind(b"\n") - 1


def _print(verdict: Verdict, *, alive: bool) -> None:
    word = paint("damaged", "red") if verdict.damage else paint("intact", "green")
    much = f"{counted(verdict.lines, 'line')} in {counted(verdict.segments, 'segment')}"
    say(f"{visible(verdict.host)}: {word}, {much}, head {verdict.chain}")
    if verdict.damage:
        say(f"  {visible(verdict.damage)}")
    elif verdict.torn_bytes and not alive:
        say(
            f"  The last line was cut off by a crash ({verdict.torn_bytes} bytes). Nothing "
            "believed it yet; the next start of the daemon sets it aside and keeps its bytes."
        )
