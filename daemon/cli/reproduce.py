"""The face: `reproduce` and `calibrate`: a published picture is drawn again, and compared."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path, PurePosixPath

from daemon.cli import place
from daemon.cli.arguments import Arguments
from daemon.cli.follow import Follower
from daemon.cli.say import complain
from daemon.craft.reproduction import REPRODUCED
from daemon.wire.text import visible


def again(arguments: Arguments) -> int:
    """Have a picture drawn again and follow it to its verdict; 0 when it was reproduced."""
    studio, kind = place.studio(arguments), arguments.verb
    lock = _below(studio, Path(arguments.lock))
    name = PurePosixPath(lock).name.removesuffix(".lock.toml")
    follower = Follower(studio)
    asked = f"kind = {json.dumps(kind)}\nlock = {json.dumps(lock)}\n"
    follower.drop(f"{kind}-{name}.toml", asked.encode())
    if not follower.to_the_end():
        complain("The daemon is gone. What it had taken goes on when it runs again.")
        return 1
    return 0 if follower.fine and follower.verdict in REPRODUCED else 1


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
