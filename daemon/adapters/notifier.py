"""Touches the desktop: shows a message by a command of the maker's, by macOS, or by notify-send.

Law: texts are arguments or standard input, never a part of a script; a command that does not end is
ended. Has never run on a Mac.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict

from daemon.errors import WorldError
from daemon.wire.notices import Message

_LIMIT_S = 10.0
_OSASCRIPT = "/usr/bin/osascript"
_SCRIPT = (
    "on run argv",
    "display notification (item 2 of argv) with title (item 1 of argv)",
    "end run",
)


class CommandNotifier:
    """Implements ``ports.Notifier``. ``command`` is the maker's own, () = what the system has."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        system: str = sys.platform,
        limit_s: float = _LIMIT_S,
    ) -> None:
        self._command, self._environment = tuple(command), dict(environment)
        self._system, self._limit_s = system, limit_s

    async def show(self, message: Message) -> None:
        words = self._words(message)
        if not words:
            return
        document = {"title": message.title, "text": message.text}
        events = [asdict(each) for each in message.events]
        data = json.dumps({**document, "events": events}).encode() + b"\n"
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.PIPE if self._command else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env=self._environment,
                start_new_session=True,
            )
        except OSError as error:
            raise WorldError("NOTIFY_FAILED", f"{words[0]}: {error.strerror}") from error
        try:
            async with asyncio.timeout(self._limit_s):
                await process.communicate(data if self._command else None)
        except TimeoutError:
            raise WorldError(
                "NOTIFY_FAILED", f"{words[0]} did not end in {self._limit_s:.0f} s, and was ended"
            ) from None
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.returncode:
            raise WorldError("NOTIFY_FAILED", f"{words[0]} ended with {process.returncode}")

    def _words(self, message: Message) -> tuple[str, ...]:
        """The command line; () where there is nothing to show it with."""
        if self._command:
            return self._command
        if self._system == "darwin":
            script = [word for line in _SCRIPT for word in ("-e", line)]
            return (_OSASCRIPT, *script, "--", message.title, message.text)
        path = self._environment.get("PATH", "")
        if program := shutil.which("notify-send", path=path):
            return (program, "--app-name=nightpress", "--", message.title, message.text)
        return ()
