"""Touches launchd, by `launchctl` and the folder of the user's agents.

Law: `bootout` returns before the agent is gone, and what is loaded too early is refused: gone is
what `print` no longer knows. An agent's file appears whole, or not at all.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from daemon.errors import AskerError, WorldError
from daemon.wire.launch_agent import EXIT_S, Loaded, is_disabled, read_loaded
from daemon.wire.text import excerpt

_PATIENCE_S = EXIT_S + 15.0
"""launchd itself waits ``EXIT_S`` before it kills."""
_LOOK_S = 0.1
_IN_THE_WAY = (5, 36, 37)
"""Exit statuses of `bootstrap` while an agent of that name is still leaving."""


class Launchd:
    """The agents of a user. Raises ``AskerError`` where there is no launchd."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self._folder = home / "Library" / "LaunchAgents"
        self._domain = f"gui/{os.getuid()}"
        self._launchctl = shutil.which("launchctl", path=environment.get("PATH", os.defpath))

    @property
    def here(self) -> bool:
        """Whether this system has launchd, which only macOS has."""
        return self._launchctl is not None

    def file(self, label: str) -> Path:
        """Where the agent's property list lies."""
        return self._folder / f"{label}.plist"

    def loaded(self, label: str) -> Loaded | None:
        """What launchd knows of an agent; None when it is not loaded."""
        code, text = self._run("print", f"{self._domain}/{label}")
        return None if code else read_loaded(text)

    def disabled(self, label: str) -> bool:
        """Whether the user has switched it off, which survives everything but ``install``."""
        return is_disabled(self._run("print-disabled", self._domain)[1], label)

    def install(self, label: str, data: bytes) -> None:
        """Write the file and let launchd start the agent in place of an earlier one of its name.

        Raises ``WorldError``.
        """
        self._write(self.file(label), data)
        self._run("enable", f"{self._domain}/{label}")
        self._unload(label)
        deadline_s = time.monotonic() + _PATIENCE_S
        while True:
            code, text = self._run("bootstrap", self._domain, str(self.file(label)))
            if not code:
                return
            if code not in _IN_THE_WAY or time.monotonic() > deadline_s:
                raise _refused("start", label, code, text)
            self._unload(label)
            time.sleep(_LOOK_S)

    def uninstall(self, label: str) -> bool:
        """Stop the agent, remove its file; False when there was neither. Raises ``WorldError``."""
        found = self._unload(label)
        there = os.path.lexists(self.file(label))
        self.file(label).unlink(missing_ok=True)
        return found or there

    def _unload(self, label: str) -> bool:
        """Have the agent gone; whether there was one."""
        if self.loaded(label) is None:
            return False
        code, text = self._run("bootout", f"{self._domain}/{label}")
        deadline_s = time.monotonic() + _PATIENCE_S
        while self.loaded(label) is not None:
            if time.monotonic() > deadline_s:
                raise _refused("stop", label, code, text)
            time.sleep(_LOOK_S)
        return True

    def _run(self, *words: str) -> tuple[int, str]:
        if self._launchctl is None:
            raise AskerError("There is no launchctl here: only macOS has launchd.")
        try:
            done = subprocess.run(
                [self._launchctl, *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_PATIENCE_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise WorldError("LAUNCHD", f"launchctl {words[0]}: {error}") from error
        return done.returncode, done.stdout + done.stderr

    def _write(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.unlink(missing_ok=True)
        # launchd does not load what others may write.
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        with os.fdopen(fd, "wb") as file:
            os.fchmod(fd, 0o644)
            file.write(data)
            file.flush()
            os.fsync(fd)
        temporary.replace(path)


def _refused(what: str, label: str, code: int, text: str) -> WorldError:
    return WorldError(
        "LAUNCHD",
        f"launchd does not {what} {label} (status {code}: {excerpt(text)}). Log in at the Mac's own"
        " screen, since an agent needs its session, then try again; `nightpress run` works "
        "meanwhile.",
    )
