"""Touches a studio's folders before anything is made in them: are they its own, and ours to use?"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from daemon.errors import PersonNeeded

_FOLDERS = ("inbox", "outbox", "ledger", ".nightpress")


def check(folder: Path) -> None:
    """List what is there, and write and read a file. Raises ``PersonNeeded`` for a link in place of
    a folder, and where the system does not let us.
    """
    for name in _FOLDERS:
        if (folder / name).is_symlink():
            raise PersonNeeded(
                f"{folder / name} is a link. What is written there must stay in the studio: put a "
                "folder in its place."
            )
    try:
        (folder / ".nightpress").mkdir(exist_ok=True)
        for name in _FOLDERS:
            if (folder / name).is_dir():
                next((folder / name).iterdir(), None)
        with tempfile.TemporaryFile(dir=folder / ".nightpress") as probe:
            probe.write(b"written")
    except PermissionError as error:
        python = Path(os.path.realpath(sys.executable))
        raise PersonNeeded(
            f"{error.filename or folder}: {error.strerror}. See that it is yours to read and write."
            " Below Documents, Desktop, Downloads, iCloud Drive and on other volumes macOS refuses "
            "a program that launchd starts, without a question: move the studio, for example to "
            f"~/farm, and `nightpress service install` there; or give {python} Full Disk Access "
            "(System Settings, Privacy & Security), again whenever Python is upgraded."
        ) from error
