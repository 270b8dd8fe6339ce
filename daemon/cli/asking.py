"""The face: `submit`, which drops job files and says how they are answered."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from daemon.cli import place
from daemon.cli.arguments import Arguments
from daemon.cli.drop import drop
from daemon.cli.follow import Follower, follow_to_the_end
from daemon.cli.lines import Tail
from daemon.cli.say import complain, say
from daemon.wire.text import visible

_ANSWER_S = 5.0
# Far above what a job file may hold: the daemon says that one is too large, in its own words.
_LIMIT_BYTES = 1024 * 1024


def submit(arguments: Arguments) -> int:
    """Drop job files; say how they are answered, and with --wait how they end."""
    studio = place.studio(arguments)
    files = [(name_of(Path(file)), read(Path(file))) for file in arguments.files]
    _no_twins(files)
    tail = Tail(studio)
    tail.skip()
    drops = [drop(studio, name, data) for name, data in files]
    follower = Follower(studio, tail, drops, say)
    if arguments.wait:
        there = follow_to_the_end(follower, studio)
    else:
        there = follower.wait(lambda: not follower.unanswered, timeout_s=_ANSWER_S)
    for item in follower.unanswered:
        say(f"{visible(item.name)}: dropped, not answered yet; `nightpress status` will show it.")
    if arguments.wait and not there:
        complain("The daemon is gone. What it had taken goes on when it runs again.")
        return 1
    return 0 if follower.fine else 1


def name_of(file: Path) -> str:
    """The name it will have in the inbox. Raises ``WrongCommand`` for one that is never taken."""
    name = unicodedata.normalize("NFC", file.name)
    if name.startswith(".") or not name.lower().endswith(".toml"):
        raise place.WrongCommand(
            f"{visible(str(file))}: only files whose name ends in .toml, and does not begin with a "
            "dot, are taken from the inbox. Rename it."
        )
    return name


def read(file: Path) -> bytes:
    """The file's bytes. Raises ``WrongCommand`` when it cannot be read."""
    shown = visible(str(file))
    try:
        with file.open("rb") as opened:
            data = opened.read(_LIMIT_BYTES + 1)
    except OSError as error:
        raise place.WrongCommand(f"{shown} cannot be read: {error.strerror}.") from None
    if len(data) > _LIMIT_BYTES:
        raise place.Bad(f"{shown} is larger than 1 MiB; a job file has at most 16 KiB.")
    return data


def _no_twins(files: Sequence[tuple[str, bytes]]) -> None:
    names = [name for name, _ in files]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise place.WrongCommand(
            f"Two of the files are called {visible(twice)}, and the inbox is one folder: rename "
            "one of them."
        )
