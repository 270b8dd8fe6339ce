"""The face: `check`, everything that acceptance would say, without dropping anything."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from daemon.bootstrap import at_home, examine
from daemon.cli import place
from daemon.cli.arguments import Arguments
from daemon.cli.asking import name_of, read
from daemon.cli.folded import fold
from daemon.cli.say import counted, paint, say
from daemon.core.decide import decide
from daemon.core.events import ControlTaken, Event, JobAccepted, JobDuplicate, JobRejected
from daemon.core.jobs import Complaint, PanelSpec
from daemon.wire.text import visible


class Answer(NamedTuple):
    """What acceptance would say: refused when there are ``errors``."""

    errors: Sequence[str]
    warnings: Sequence[str] = ()
    sentence: str = ""


def check(arguments: Arguments) -> int:
    """Say of each file whether it would be accepted; 1 when one would not."""
    studio = place.studio(arguments)
    files = [(file, name_of(Path(file)), read(Path(file))) for file in arguments.files]
    home = at_home(studio, os.environ)
    state = fold(studio)
    fine = True
    for file, name, data in files:
        command = asyncio.run(examine(home, name=name, data=data))
        answer = _answer(decide(state, command, home.studio))
        fine = fine and not answer.errors
        _print(visible(file), answer)
    return 0 if fine else 1


def _answer(events: Sequence[Event]) -> Answer:
    """The first event is the answer to the file; a file that was never seen always has one."""
    match events[0]:
        case JobAccepted(spec=spec, warnings=warnings):
            many = counted(len(spec.seeds), "picture") if isinstance(spec, PanelSpec) else ""
            return Answer((), warnings, many)
        case JobRejected(errors=errors):
            return Answer([complaint_line(error) for error in errors])
        case JobDuplicate(of=of):
            return Answer((), (), f"but the same request as {of}: it would not be run again")
        case ControlTaken(error=error):
            return Answer([error] if error else [])
        case other:
            raise AssertionError(f"no file is answered by {other.type}")


def complaint_line(error: Complaint) -> str:
    """``line 3, width: 1024 is too wide…``."""
    where = ", ".join(filter(None, (f"line {error.line}" if error.line else "", error.key)))
    return f"{where}: {error.text}" if where else error.text


def _print(file: str, answer: Answer) -> None:
    verdict = paint("refused", "red") if answer.errors else paint("fine", "green")
    say(f"{file}: {verdict}{f', {visible(answer.sentence)}' if answer.sentence else ''}")
    for text in answer.errors:
        say(f"  {visible(text)}")
    for text in answer.warnings:
        say(f"  {paint('warning', 'yellow')}: {visible(text)}")
