"""The face: `init` and `run`, how a studio begins and how its daemon lives."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from daemon.bootstrap import make_studio, run_daemon
from daemon.cli import place
from daemon.cli.arguments import Arguments
from daemon.cli.say import aligned, paint, say
from daemon.service import keep
from daemon.wire.launch_agent import SERVICE

_NEXT = (
    ("nightpress run", "leave it running; without ComfyUI it rehearses with storyboards"),
    ("nightpress submit FILE", "in another terminal, or put the file into inbox/"),
    ("nightpress status", ""),
)


def run(arguments: Arguments) -> int:
    """The daemon, in the foreground."""
    if SERVICE not in os.environ:
        return run_daemon(place.studio(arguments), os.environ)
    folder = Path(os.environ.get("NIGHTPRESS_STUDIO", ""))
    return keep(lambda: run_daemon(place.studio(arguments), os.environ), folder)


def init(arguments: Arguments) -> int:
    """Make a studio and say what comes next."""
    folder = Path(arguments.dir).expanduser().resolve()
    kept = make_studio(folder, os.environ)
    say(f"{paint('A studio', 'bold')} is at {folder}")
    for name in kept:
        say(f"  kept as it was: {name}")
    if ".gitignore" in kept:
        say("  Add to it:  .nightpress/  inbox/*.toml  outbox/status.json  outbox/rejected/")
    if ".gitattributes" in kept:
        say("  Add to it:  ledger/** -text   (git must not change the ledger's line ends)")
    say(f"\nNext:\n  cd {shlex.quote(str(folder))}")
    for line in aligned(_NEXT):
        say(line)
    say(
        "\nFor real pictures: start ComfyUI, and set COMFYUI_BASE_PATH to the folder that holds its"
    )
    say("models/, before `nightpress run`. nightpress.toml says what else can be set.")
    return 0
