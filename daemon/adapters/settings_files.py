"""Touches the settings' files: their text, and whether the user's own are the user's alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from daemon.errors import AskerError


def text(path: Path) -> str | None:
    """A settings file's text, None when there is none. Raises ``AskerError``."""
    try:
        if path.exists() and not path.is_file():  # A FIFO would never end.
            raise AskerError(f"{path} is no file. Move it away; settings are a text in UTF-8.")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise AskerError(f"{path} cannot be read as a text in UTF-8: {error}.") from None


def own_text(path: Path) -> str | None:
    """The user's own settings, which may name programs: only as long as nobody else can write."""
    found = text(path)
    if found is not None:
        facts = path.stat()
        if facts.st_uid != os.getuid() or facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise AskerError(
                f"{path} could have been written by others, so it is not believed. "
                f"Make it yours alone: chown $USER {path}; chmod 600 {path}"
            )
    return found
