"""The face: `reproduce` and `calibrate`: a picture is drawn again, and compared."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path, PurePosixPath

from daemon.bootstrap import model_folders
from daemon.cli import place
from daemon.cli.arguments import Arguments
from daemon.cli.folded import fold
from daemon.cli.follow import Follower
from daemon.cli.say import complain, paint, say
from daemon.core.policy import Policy
from daemon.core.state import latest_model
from daemon.craft.reproduction import REPRODUCED
from daemon.home import at_home
from daemon.wire.calibrate_file import calibrate_file
from daemon.wire.text import visible


def again(arguments: Arguments) -> int:
    """Have a picture drawn again and follow it to its verdict; 0 when it was reproduced."""
    studio, kind = place.studio(arguments), arguments.verb
    lock = _below(studio, Path(arguments.lock))
    name = PurePosixPath(lock).name.removesuffix(".lock.toml")
    follower = Follower(studio)
    asked = f"kind = {json.dumps(kind)}\nlock = {json.dumps(lock)}\n"
    follower.drop(f"{kind}-{name}.toml", asked.encode())
    if not _followed(follower):
        return 1
    return 0 if follower.fine and follower.verdict in REPRODUCED else 1


def calibrate(arguments: Arguments) -> int:
    """Have the reference run drawn, or a published picture thrice; 0 when all went well."""
    if arguments.lock:
        return again(arguments)
    studio = place.studio(arguments)
    models = {role: getattr(arguments, role) or _usual(studio, role) for role in _ROLES}
    follower = Follower(studio)
    follower.drop("calibrate.toml", calibrate_file(**models))
    if not _followed(follower):
        return 1
    state, policy = fold(studio), Policy()
    for run in state.references.values():
        if run.job in follower.jobs:
            usual = "30 to 60 s are usual on an M1 Pro"
            marks = f"from {policy.slow_s:.0f} s on it is slow, from {policy.failed_s:.0f} s failed"
            say(f"512x512, 20 steps, Euler a: {paint(f'{run.seconds:.1f} s', 'bold')} a picture")
            say(f"  {run.verdict} ({usual}; {marks})")
            return 0 if follower.fine and run.verdict == "good" else 1
    return 1


_ROLES = ("checkpoint", "vae")


def _usual(studio: Path, role: str) -> str:
    """The model that is meant where none is named: the one used last, or the only one there is.

    Raises ``WrongCommand`` when there is a choice.
    """
    if used := latest_model(fold(studio), role):
        return used
    folders = model_folders(at_home(studio, os.environ))
    found = [model.name for model in folders.installed() if model.role == role]
    if len(found) == 1:
        return found[0]
    raise place.WrongCommand(
        f"Which {role}? {'There are several' if found else 'None was used yet'}: name one, as in"
        f" --{role} {visible(found[0]) if found else 'NAME.safetensors'}"
    )


def _followed(follower: Follower) -> bool:
    if follower.to_the_end():
        return True
    complain("The daemon is gone. What it had taken goes on when it runs again.")
    return False


def _below(studio: Path, lock: Path) -> str:
    """The file as it is named in the studio. Raises ``WrongCommand`` when it lies elsewhere."""
    for file in (lock, studio / lock):
        with suppress(ValueError):
            if file.is_file():
                return file.resolve().relative_to(studio.resolve()).as_posix()
    raise place.WrongCommand(
        f"{visible(str(lock))} is no file of this studio. Name the lock beside a picture, for "
        "example outbox/ch01_p003_v1/ch01_p003_v1.lock.toml."
    )
