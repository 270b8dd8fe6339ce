"""The face: `status --watch`, the picture of `status` kept up to date until Ctrl-C."""

from __future__ import annotations

import sys
from pathlib import Path
from time import sleep

from rich.console import Console
from rich.live import Live
from rich.text import Text

from daemon.cli.say import say
from daemon.cli.standing import look, picture

_LOOK_S = 0.5


def watch(studio: Path) -> int:
    """Show until interrupted: on a terminal in place, elsewhere whenever something has changed."""
    if not sys.stdout.isatty():
        return _print_changes(studio)
    with Live(console=Console(highlight=False), screen=True, auto_refresh=False) as live:
        while True:
            live.update(Text.from_ansi(_shown(studio)), refresh=True)
            sleep(_LOOK_S)


def _print_changes(studio: Path) -> int:
    before = ""
    while True:
        shown = _shown(studio)
        if shown != before:
            say(shown + "\n")
        before = shown
        sleep(_LOOK_S)


def _shown(studio: Path) -> str:
    seen, alive = look(studio)
    return "\n".join(picture(seen, alive=alive))
