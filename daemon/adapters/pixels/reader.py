"""Adapters room: ``ports.Pixels`` through a worker process with a deadline.

Law: a picture can at worst cost its worker. The next picture gets a new one, and a worker whose
daemon is gone ends by itself, because its input ends.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from daemon.adapters.pixels.composing import compose
from daemon.craft.dataset import PixelFacts
from daemon.craft.grid import Sheet
from daemon.craft.picture import PictureDistance, PictureStats
from daemon.errors import WorldError
from daemon.wire.text import excerpt

_WORKER = Path(__file__).with_name("worker.py")
_START_S = 60.0


class PictureReader:
    """Implements ``ports.Pixels``. The worker starts at the first picture (about half a second).

    ``deadline_s`` is for one picture; a real one takes a tenth of a second. To be used and closed
    in one event loop.
    """

    def __init__(self, *, deadline_s: float = 20.0) -> None:
        self._deadline_s = deadline_s
        self._worker: Process | None = None
        self._turn = asyncio.Lock()

    async def measure(self, png: bytes) -> PictureStats:
        """Raises ``WorldError`` PICTURE_BROKEN; PIXELS_FAILED when no worker can be started."""
        return PictureStats(**await self._answer(b"s", png))

    async def examine(self, data: bytes) -> PixelFacts:
        """Raises as ``measure`` does."""
        return PixelFacts(**await self._answer(b"f", data))

    async def grid(self, sheet: Sheet) -> bytes:
        """In a process of its own, which takes a few seconds and its memory with it. Raises
        ``WorldError`` GRID_FAILED.
        """
        return await compose(sheet)

    async def compare(self, one: bytes, other: bytes) -> PictureDistance:
        """Raises as ``measure`` does, of either."""
        return PictureDistance(**await self._answer(b"d", one, other))

    async def _answer(self, question: bytes, *pngs: bytes) -> Mapping[str, Any]:
        async with self._turn:
            # A worker that died may have died before: the second one is fresh and decides.
            line = await self._ask(question, *pngs) or await self._ask(question, *pngs)
        if line is None:
            text = "The picture brought down the process that decodes it, twice."
            raise WorldError("PICTURE_BROKEN", text)
        return _fields(json.loads(line))

    async def close(self) -> None:
        """End the worker; a later picture would start another."""
        async with self._turn:
            worker, self._worker = self._worker, None
            if worker is not None:
                await _end(worker)

    async def _ask(self, question: bytes, *pngs: bytes) -> bytes | None:
        """A worker's line about the pictures; None when the worker died of it."""
        # Until it has answered the worker is not kept: late or cancelled, its line would be taken
        # for the next picture's.
        worker, self._worker = self._worker or await _start(), None
        line = None
        try:
            async with asyncio.timeout(self._deadline_s):
                line = await _exchange(worker, question, *pngs)
        except TimeoutError as error:
            text = f"The picture could not be decoded within {self._deadline_s:g} s."
            raise WorldError("PICTURE_BROKEN", text) from error
        finally:
            if line is None:
                await _end(worker)
            else:
                self._worker = worker
        return line


async def _start() -> Process:
    """A worker that has said that it is ready. A session of its own keeps Ctrl-C from it."""
    command = (sys.executable, "-I", str(_WORKER))
    worker, ready, why = None, b"", "it ended or hung at its start"
    try:
        async with asyncio.timeout(_START_S):
            worker = await asyncio.create_subprocess_exec(
                *command, stdin=PIPE, stdout=PIPE, start_new_session=True
            )
            ready = await _line_of(worker)
    except OSError as error:  # A timeout is one too.
        why = error.strerror or why
    finally:
        if worker is not None and not ready:
            await _end(worker)
    if worker is not None and ready:
        return worker
    raise WorldError(
        "PIXELS_FAILED",
        f"The process that decodes pictures did not start: {why}. Its reason is in the daemon's"
        " log; install the packages of requirements.lock again.",
    )


async def _exchange(worker: Process, question: bytes, *pngs: bytes) -> bytes | None:
    assert worker.stdin is not None, "it was started with a pipe"
    try:
        pictures = b"".join(struct.pack("<Q", len(png)) + png for png in pngs)
        worker.stdin.write(question + pictures)
        await worker.stdin.drain()
        return await _line_of(worker) or None
    except ConnectionError:
        return None


async def _line_of(worker: Process) -> bytes:
    """Its next whole line; empty when it has died."""
    assert worker.stdout is not None, "it was started with a pipe"
    line = await worker.stdout.readline()
    return line if line.endswith(b"\n") else b""


async def _end(worker: Process) -> None:
    """It holds nothing that would have to be put in order, so it is killed, and buried."""
    with suppress(ProcessLookupError):
        worker.kill()
    with suppress(ConnectionError):
        await worker.communicate()


def _fields(answer: Any) -> Mapping[str, Any]:
    match answer:
        case {"told": dict(told)}:
            return told
        case {"broken": str(why)}:
            raise WorldError("PICTURE_BROKEN", f"The picture {excerpt(why, limit=300)}.")
    raise AssertionError(f"the worker answers in no other way: {answer!r}")
