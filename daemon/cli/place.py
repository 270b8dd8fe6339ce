"""The face: which studio is meant, whether a daemon is alive in it, and what says no."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from daemon.adapters.guard import held
from daemon.cli.arguments import Arguments
from daemon.errors import AskerError

NO_DAEMON = "No daemon is alive in this studio; `nightpress run` starts one."
NO_STATUS = "A daemon is alive, but outbox/status.json cannot be read; this is from the ledger."


class WrongCommand(AskerError):
    """The command line asks for something that cannot be meant."""

    exit_status = 2


class Bad(AskerError):
    """The answer is no."""

    exit_status = 1


def no_job(name: str) -> Bad:
    """What is answered for a job that nobody knows."""
    return Bad(
        f"There is no job {name} in this studio's ledger. `nightpress status` shows the jobs."
    )


def studio(arguments: Arguments) -> Path:
    """The studio that is meant. Raises ``WrongCommand`` when there is none."""
    return studio_of(Path.cwd(), arguments.studio, os.environ)


def studio_of(cwd: Path, option: str | None, environment: Mapping[str, str]) -> Path:
    """``--studio``, else NIGHTPRESS_STUDIO, else the nearest folder upwards with one, absolute.

    Raises ``WrongCommand`` when that is no studio.
    """
    variable = environment.get("NIGHTPRESS_STUDIO")
    for name, given in (("--studio", option), ("NIGHTPRESS_STUDIO", variable)):
        if given:
            folder = (cwd / Path(given).expanduser()).resolve()
            if is_studio(folder):
                return folder
            raise WrongCommand(
                f"{name} {folder} is no studio: it has no inbox/ and ledger/. "
                f"`nightpress init {folder}` makes one."
            )
    here = cwd.resolve()
    for folder in (here, *here.parents):
        if is_studio(folder):
            return folder
    raise WrongCommand(
        f"There is no studio at {here} or above it. Go into one, name one with --studio DIR or "
        "NIGHTPRESS_STUDIO, or make one: nightpress init DIR"
    )


def is_studio(folder: Path) -> bool:
    """Whether it has inbox/ and ledger/, or had a ledger that git took away as a whole."""
    kept = folder / ".nightpress" / "spare" / "studio"
    return (folder / "inbox").is_dir() and ((folder / "ledger").is_dir() or kept.is_file())


def is_alive(folder: Path) -> bool:
    """Whether a daemon holds the studio's guard."""
    return held(folder / ".nightpress" / "guard")
