"""Rehearsal room: the command line, ``python -m daemon.rehearsal``, and the life of the process.

It starts as ComfyUI starts (no port is open before it can answer, two lines on stderr) and ends
as ComfyUI ends: SIGTERM at once, SIGINT with ``Stopped server``, a taken port with exit status 1.
Faults are switched on by ``--fault`` or REHEARSAL_FAULTS (joined by blanks), which outlives a
restart by others.
"""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from daemon.rehearsal.faults import Faults
from daemon.rehearsal.server import Rehearsal

_HOST = "127.0.0.1"
_log = logging.getLogger(__name__)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m daemon.rehearsal", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--base-directory", type=Path, required=True, metavar="DIR")
    parser.add_argument("--step-s", type=float, default=0.05, help="seconds per sampler step")
    parser.add_argument("--fault", action="append", default=[], metavar="NAME[=VALUE]")
    parser.add_argument(
        "--profile", default="default", help="the launch profile that it stands for"
    )
    return parser


def main(argv: Sequence[str]) -> int:
    """Runs a server until it is told to stop. Returns the exit status."""
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    # A reader of the log that is gone, like a daemon that was killed, is no reason to fail.
    logging.raiseExceptions = False
    parser = _parser()
    args = parser.parse_args(argv)
    faults = Faults(args.profile)
    try:
        for text in [*os.environ.get("REHEARSAL_FAULTS", "").split(), *args.fault]:
            faults.set_from_text(text)
    except ValueError as error:
        parser.error(str(error))
    rehearsal = Rehearsal(args.base_directory, faults, step_s=args.step_s, argv=argv)
    try:
        asyncio.run(_serve(rehearsal, args.port))
    except KeyboardInterrupt:
        _log.info("Stopped server")
    except OSError as error:
        _log.error("%s: %s", type(error).__name__, error)
        return 1
    return 0


async def _serve(rehearsal: Rehearsal, port: int) -> None:
    runner = web.AppRunner(rehearsal.app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, _HOST, port).start()
        _log.info("Starting server\n")
        _log.info("To see the GUI go to: http://%s:%s", _HOST, runner.addresses[0][1])
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
