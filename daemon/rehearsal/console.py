"""Rehearsal room: what the process says on stderr, where ComfyUI's log goes too."""

import contextlib
import sys


def say(text: str) -> None:
    """Writes a line. A reader that is gone, like a daemon that was killed, is no reason to fail."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
