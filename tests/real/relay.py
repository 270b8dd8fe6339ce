"""A wire to a real server that can be cut: what goes through it, and when it does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

CHUNK_BYTES = 65_536


def _nothing() -> None:
    return None


@dataclass
class Relay:
    """Passes connections on to ``target``. While ``down``, none is taken; while ``mute``, sockets
    bring nothing. ``before_post`` and ``after_post`` are done when a prompt is about to arrive and
    when it was answered.
    """

    target: int
    down: bool = False
    mute: bool = False
    before_post: Callable[[], None] = _nothing
    after_post: Callable[[], None] = _nothing
    writers: set[asyncio.StreamWriter] = field(default_factory=set)
    port: int = 0

    def cut(self) -> None:
        """All connections of this moment."""
        for writer in self.writers:
            writer.transport.abort()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Relay]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut()
            await asyncio.sleep(0.05)  # Those who passed on notice it.

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.down:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        asked = list[bytes]()
        pumps = [
            asyncio.ensure_future(self._pump(reader, back, asked, up=True)),
            asyncio.ensure_future(self._pump(there, writer, asked, up=False)),
        ]
        ends = {writer, back}
        self.writers |= ends
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.transport.abort()
            await asyncio.gather(*pumps, return_exceptions=True)
            self.writers -= ends

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        asked: list[bytes],
        *,
        up: bool,
    ) -> None:
        """``asked`` is how the last request of this connection begins."""
        while data := await reader.read(CHUNK_BYTES):
            if up and data.startswith((b"GET ", b"POST ")):
                asked[:] = [data.split(b"?")[0].split(b" HTTP")[0]]
                if asked == [b"POST /prompt"]:
                    self.before_post()
            elif not up and asked == [b"POST /prompt"]:
                self.after_post()
            elif not up and asked == [b"GET /ws"] and self.mute:
                continue
            writer.write(data)
            await writer.drain()
