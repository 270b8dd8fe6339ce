"""The face: reads arguments, prints, sets exit codes; one file a group of verbs, no logic.

Law: a verb pays for itself only. Nothing is imported before the verb is known, so that `status`
answers at once; exit 0 is fine, 1 a bad answer, 2 a wrong command line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from daemon.cli.arguments import Arguments, parse
from daemon.errors import NightpressError


def main(argv: Sequence[str] | None = None) -> int:
    """The `nightpress` command. Returns the exit status."""
    arguments = parse(sys.argv[1:] if argv is None else argv)
    module, _, name = arguments.home.partition(".")
    verb: Callable[[Arguments], int] = getattr(import_module(f"daemon.cli.{module}"), name)
    try:
        code = verb(arguments)
        sys.stdout.flush()
    except NightpressError as error:
        sys.stdout.flush()
        sys.stderr.write(f"nightpress: {error}\n")
        return getattr(error, "exit_status", 1)
    except BrokenPipeError:
        # The reader (`| head`) has seen enough; what is still buffered must not fail at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    return code
