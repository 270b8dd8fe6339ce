"""Rehearsal room: the command line, ``python -m daemon.rehearsal``, and the life of the process.

It starts as ComfyUI starts (no port is open before it can answer, two lines on stderr) and ends
as ComfyUI ends: SIGTERM at once, SIGINT with ``Stopped server``, a taken port with exit status 1.
"""

import argparse
import asyncio
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from daemon.rehearsal import props
from daemon.rehearsal.console import say
from daemon.rehearsal.faults import Faults
from daemon.rehearsal.server import Options, Rehearsal

_PARENT_POLL_S = 0.5
# Flags of the real main.py that change nothing here: (name, nargs). They are taken so that both
# engines can be started with the same line; any other flag is an error, as it is there.
_COMFYUI_FLAGS: Sequence[tuple[str, str | int]] = (
    ("--disable-auto-launch", 0),
    ("--disable-all-custom-nodes", 0),
    ("--disable-api-nodes", 0),
    ("--fp16-unet", 0),
    ("--fp32-unet", 0),
    ("--fp32-vae", 0),
    ("--cpu-vae", 0),
    ("--cpu", 0),
    ("--force-fp32", 0),
    ("--use-split-cross-attention", 0),
    ("--preview-method", 1),
    ("--database-url", 1),
    ("--whitelist-custom-nodes", "+"),
    ("--extra-model-paths-config", "+"),
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m daemon.rehearsal", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--listen", default="127.0.0.1", choices=["127.0.0.1", "::1", "localhost"])
    parser.add_argument("--base-directory", type=Path, required=True, metavar="DIR")
    parser.add_argument("--output-directory", type=Path, metavar="DIR")
    parser.add_argument("--parent-pid", type=int, metavar="N", help="exit when it is gone")
    parser.add_argument("--idle-exit-s", type=float, metavar="S", help="exit when unused so long")
    parser.add_argument("--step-s", type=float, default=0.05, help="seconds per sampler step")
    parser.add_argument("--max-upload-size", type=float, default=100, metavar="MB")
    parser.add_argument("--fault", action="append", default=[], metavar="NAME[=VALUE]")
    parser.add_argument("--prop", action="append", default=[], metavar="FOLDER/NAME")
    for name, nargs in _COMFYUI_FLAGS:
        if nargs == 0:
            parser.add_argument(name, action="store_true", help=argparse.SUPPRESS)
        else:
            parser.add_argument(name, nargs=nargs, help=argparse.SUPPRESS)
    return parser


def main(argv: Sequence[str]) -> int:
    """Runs a server until it is told to stop. Returns the exit status."""
    parser = _parser()
    args = parser.parse_args(argv)
    faults = Faults()
    try:
        for text in args.fault:
            faults.set_from_text(text)
        for prop in args.prop:
            props.write(args.base_directory / "models", prop)
    except ValueError as error:
        parser.error(str(error))
    options = Options(
        base=args.base_directory,
        output=args.output_directory,
        step_s=args.step_s,
        upload_limit_mb=args.max_upload_size,
        argv=["main.py", *argv],
    )
    if args.parent_pid is not None:
        _end_with(args.parent_pid)
    try:
        asyncio.run(_serve(Rehearsal(options, faults), args))
    except KeyboardInterrupt:
        say("\nStopped server")
    except OSError as error:
        say(f"{type(error).__name__}: {error}")
        return 1
    return 0


async def _serve(rehearsal: Rehearsal, args: argparse.Namespace) -> None:
    runner = web.AppRunner(rehearsal.app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, args.listen, args.port)
        await site.start()
        address = runner.addresses[0]
        say("Starting server\n")
        say(f"To see the GUI go to: http://{args.listen}:{address[1]}")
        if args.idle_exit_s:
            await rehearsal.until_idle(args.idle_exit_s)
        else:
            await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def _end_with(parent_pid: int) -> None:
    """Ends this process soon after another one is gone, however that one ended."""
    is_child = os.getppid() == parent_pid

    def watch() -> None:
        while _is_there(parent_pid, is_child=is_child):
            time.sleep(_PARENT_POLL_S)
        os._exit(0)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()


def _is_there(pid: int, *, is_child: bool) -> bool:
    # A child whose parent is gone gets another one at once; a pid alone could have been reused.
    if is_child:
        return os.getppid() == pid
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
