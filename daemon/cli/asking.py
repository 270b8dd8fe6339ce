"""The face: `check`, `submit`, `approve`, and the other control verbs: files for the daemon."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from daemon.cli import place
from daemon.cli.arguments import Arguments
from daemon.cli.folded import find, fold
from daemon.cli.follow import Follower
from daemon.cli.lines import complaints
from daemon.cli.say import complain, paint, say
from daemon.core.events import ControlTaken, Event, JobAccepted, JobDuplicate, JobRejected
from daemon.core.ids import is_rehearsal
from daemon.core.job import Job
from daemon.core.jobs import PanelSpec
from daemon.core.state import State
from daemon.core.tools import ModelRecorded
from daemon.wire.phrases import counted
from daemon.wire.text import visible

if TYPE_CHECKING:
    from daemon.home import Home

_ANSWER_S = 10.0
# Far above what a job file may hold: the daemon says that one is too large, in its own words.
_LIMIT_BYTES = 1024 * 1024
_WANTED: Mapping[str, Sequence[str]] = {
    "cancel": ("waiting", "held", "running"),
    "retry": ("failed", "cancelled", "quarantined"),
}


def check(arguments: Arguments) -> int:
    """Say of each file whether it would be accepted; 1 when one would not."""
    studio = place.studio(arguments)
    files = [(_name(Path(file)), _bytes(Path(file))) for file in arguments.files]
    state = fold(studio)
    home = _home(studio)
    fine = []
    for shown, events in zip(arguments.files, _decided(home, state, files), strict=True):
        fine.append(_would(visible(shown), _answer_in(events)))
        from daemon.cli.foreseen import foreseen  # Half of the program, as below.

        for line in foreseen(home, state, events):
            say(f"  {line}")
    return 0 if all(fine) else 1


def answered(studio: Path, state: State, files: Iterable[tuple[str, bytes]]) -> Iterator[Event]:
    """What acceptance would say of each file, by its name in the inbox and its bytes."""
    return map(_answer_in, _decided(_home(studio), state, files))


def _home(studio: Path) -> Home:
    from daemon.home import at_home

    return at_home(studio, os.environ)


def _decided(
    home: Home, state: State, files: Iterable[tuple[str, bytes]]
) -> Iterator[Sequence[Event]]:
    """The events that would follow from each file."""
    # Half of the program, of which the other verbs need nothing.
    from daemon.bootstrap import examine, model_folders
    from daemon.cli.models import hashed
    from daemon.core.decide import decide

    folders = model_folders(home)
    for name, data in files:
        command = hashed(folders, examine(home, folders, name=name, data=data))
        yield decide(state, command, home.studio)


def _answer_in(events: Iterable[Event]) -> Event:
    """One that was never seen always has an answer; what its models are may come before it."""
    return next(event for event in events if not isinstance(event, ModelRecorded))


def _would(file: str, answer: Event) -> bool:
    """Say what the answer to a file would be; whether it would be taken."""
    errors: Sequence[str] = ()
    warnings: Sequence[str] = ()
    more = ""
    match answer:
        case JobAccepted(spec=spec, warnings=warnings):
            more = f", {counted(len(spec.seeds), 'picture')}" if isinstance(spec, PanelSpec) else ""
        case JobRejected():
            errors = complaints({"errors": [asdict(error) for error in answer.errors]})
        case JobDuplicate(of=of):
            more = f", but the same request as {of}: it would not be run again"
        case ControlTaken(error=error):
            errors = [visible(error)] if error else []
        case _:
            raise AssertionError(f"no file is answered by {answer.type}")
    say(f"{file}: {paint('refused', 'red') if errors else paint('fine', 'green')}{more}")
    for text in errors:
        say(f"  {text}")
    for text in warnings:
        say(f"  {paint('warning', 'yellow')}: {visible(text)}")
    return not errors


def submit(arguments: Arguments) -> int:
    """Drop job files; say how they are answered, and with --wait how they end."""
    studio = place.studio(arguments)
    files = [(_name(Path(file)), _bytes(Path(file))) for file in arguments.files]
    names = [name for name, _ in files]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise place.WrongCommand(
            f"Two of the files are called {visible(twice)}, and the inbox is one folder: rename "
            "one of them."
        )
    follower = Follower(studio)
    for name, data in files:
        follower.drop(name, data)
    return followed(follower, wait=arguments.wait)


def followed(follower: Follower, *, wait: bool) -> int:
    """Say how job files are answered, and with ``wait`` how they end; the exit status."""
    there = follower.to_the_end() if wait else follower.to_the_answer(timeout_s=_ANSWER_S)
    for item in follower.unanswered:
        say(f"{visible(item.name)}: dropped, not answered yet; `nightpress status` will show it.")
    if wait and not there:
        complain("The daemon is gone. What it had taken goes on when it runs again.")
        return 1
    return 0 if follower.fine else 1


def control(arguments: Arguments) -> int:
    """Drop a control file of the verb's kind, one for each job that is meant; say the answers."""
    studio, kind = place.studio(arguments), arguments.verb
    follower = Follower(studio)
    for job in _meant(studio, kind, arguments.job) if kind in _WANTED else [""]:
        about = f'job = "{job}"\n' if job else ""
        name = f"{kind}-{job}.toml" if job else f"{kind}.toml"
        follower.drop(name, f'kind = "{kind}"\n{about}'.encode())
    return _answer(follower)


def approve(arguments: Arguments) -> int:
    """Drop the approval of one result of one job; say the answer."""
    studio = place.studio(arguments)
    job = find(fold(studio), arguments.job)
    key, number = _result(job, image=arguments.image, checkpoint=arguments.checkpoint)
    follower = Follower(studio)
    text = f'kind = "approve"\njob = "{job.id}"\n{key} = {number}\n'
    follower.drop(f"approve-{job.id}-{number}.toml", text.encode())
    refused = _answer(follower)
    if key == "checkpoint" and is_rehearsal(job.id) and not refused:
        say("  It is a rehearsal's, which has learnt nothing: it is not put into models/loras.")
    return refused


def _result(job: Job, *, image: int | None, checkpoint: int | None) -> tuple[str, int]:
    """The key and the number of what is approved. Raises ``WrongCommand`` where it is not clear."""
    if checkpoint is not None:
        return "checkpoint", checkpoint
    pictures = len(job.spec.seeds) if isinstance(job.spec, PanelSpec) else 0
    if image is not None or pictures == 1:
        return "image", 1 if image is None else image
    steps = ", ".join(map(str, sorted(job.checkpoints))) or "none yet"
    known = f"--image N (1 to {pictures})" if pictures else f"--checkpoint STEP ({steps})"
    raise place.WrongCommand(f"approve which result of {job.id}? Name it: {known}.")


def _answer(follower: Follower) -> int:
    """Wait for the answers to what was dropped; the exit status."""
    if not follower.to_the_answer(timeout_s=_ANSWER_S):
        complain("The daemon has not answered yet; it will when it comes to it.")
        return 1
    return 0 if follower.fine else 1


def _meant(studio: Path, verb: str, name: str) -> Sequence[str]:
    """The ids of the jobs that are meant. Raises ``Bad`` when there is none."""
    state = fold(studio)
    if not any(character in name for character in "*?["):
        return [find(state, name).id]
    wanted = [job for job in state.jobs.values() if job.phase in _WANTED[verb]]
    jobs = [job.id for job in wanted if fnmatchcase(job.id, name) or fnmatchcase(job.name, name)]
    if not jobs:
        raise place.Bad(f"No job that matches {name} is {' or '.join(_WANTED[verb])}.")
    return jobs


def _name(file: Path) -> str:
    """The name it will have in the inbox. Raises ``WrongCommand`` for one that is never taken."""
    name, shown = unicodedata.normalize("NFC", file.name), visible(str(file))
    if file.is_dir():
        raise place.WrongCommand(f"{shown} is a folder: name the job files in it.")
    if not file.exists():
        raise place.WrongCommand(f"{shown} is not there: name a file that is.")
    if name.startswith(".") or not name.lower().endswith(".toml"):
        raise place.WrongCommand(
            f"{shown}: only files whose name ends in .toml, and does not begin with a "
            "dot, are taken from the inbox. Rename it."
        )
    return name


def _bytes(file: Path) -> bytes:
    """The file's bytes. Raises ``WrongCommand`` when it cannot be read, ``Bad`` when too large."""
    shown = visible(str(file))
    try:
        with file.open("rb") as opened:
            data = opened.read(_LIMIT_BYTES + 1)
    except OSError as error:
        raise place.WrongCommand(f"{shown} cannot be read: {error.strerror}.") from None
    if len(data) > _LIMIT_BYTES:
        raise place.Bad(f"{shown} is larger than 1 MiB; a job file has at most 16 KiB.")
    return data
