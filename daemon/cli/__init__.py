"""The face: reads arguments, prints, sets exit codes; one file a group of verbs, no logic.

Law: a verb pays for itself only. Nothing is imported before the verb is known, so that `status`
answers at once; exit 0 is fine, 1 a bad answer, 2 a wrong command line.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from daemon.cli.arguments import Arguments, parse
from daemon.errors import NightpressError
from daemon.wire.text import visible


def main(argv: Sequence[str] | None = None) -> int:
    """The `nightpress` command. Returns the exit status."""
    for stream in ("stdout", "stderr"):
        # None: closed by a shell's `>&-`. What is put in its place lives as long as the process.
        if getattr(sys, stream) is None:
            setattr(sys, stream, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
    # What is read of a ledger has no cycles, and to look for them takes an eighth of the time.
    gc.set_threshold(50_000)
    arguments = parse(sys.argv[1:] if argv is None else argv)
    try:
        return _obey(arguments)
    except OSError as error:
        return _failed(error)
    except KeyboardInterrupt:
        return 130


def _obey(arguments: Arguments) -> int:
    module, _, name = arguments.home.partition(".")
    verb: Callable[[Arguments], int] = getattr(import_module(f"daemon.cli.{module}"), name)
    try:
        code = verb(arguments)
    except NightpressError as error:
        sys.stdout.flush()
        from daemon.cli.say import complain  # Few commands come this far.

        complain(f"nightpress: {error}")
        return getattr(error, "exit_status", 1)
    sys.stdout.flush()
    return code


def _failed(error: OSError) -> int:
    """Say which file or folder the system refused, and why; the exit status."""
    if error.filename is None:
        # What is still buffered must not fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return 0  # The reader (`| head`) has seen enough.
    where = visible(str(error.filename or "what is printed, or the folder you are in"))
    sys.stderr.write(
        f"nightpress: {where}: {error.strerror or error}. See that it is what it should be, has "
        "room and is yours to read and write, or name another place; then try again.\n"
    )
    return 1
