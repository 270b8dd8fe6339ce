"""The fault matrix on the wire: one picture through the real adapter, and something in between that
tampers with what the engine answers, and lets no socket through.

Law: each row has one outcome, nothing is posted more often than written down, and no row waits for
ever.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from daemon.adapters import comfyui
from daemon.shell.whereabouts import Drawn
from daemon.wire.png_text import prompt_of
from tests.adapters.test_comfyui import drawn, order, renderer_at
from tests.rehearsal.stand import standing

Tamper = Callable[[bytes], bytes]
"""What is answered instead of what was; nothing = the connection is closed."""


def says(status: str, body: bytes = b"", *headers: str) -> Tamper:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return lambda _: "\r\n".join([*lines, "", ""]).encode() + body


def cut_in_half(answer: bytes) -> bytes:
    return answer[: (len(answer) + answer.index(b"\r\n\r\n")) // 2]


def hang_up(_: bytes) -> bytes:
    return b""


BAD_GATEWAY = says("502 Bad Gateway", b"<html>nginx</html>", "Content-Type: text/html")
PAGE = says("200 OK", b"<!doctype html><title>Another program</title>")
ELSEWHERE = says("302 Found", b"", "Location: http://192.0.2.1/")
OVERSIZED = says("200 OK", b" " * 300_000 + b"{}")
ZIPPED = says("200 OK", b"\x1f\x8b", "Content-Encoding: gzip")
EMPTY = says("200 OK", b"{}")


@dataclass(frozen=True)
class Row:
    """The first answers to ``request``, ``times`` of them, are tampered with; ``unheard``: it never
    reaches the engine. Ends as ``drawn`` or with a code; ``posts`` get there.
    """

    fault: str
    request: str
    tamper: Tamper
    outcome: str = "drawn"
    posts: int = 1
    times: int = 1
    unheard: bool = False

    @property
    def name(self) -> str:
        often = "once" if self.times == 1 else "always"
        return f"{self.fault} at {self.request}{' before it arrives' * self.unheard}, {often}"


ALWAYS = 10**9
FAULTS: dict[str, Tamper] = {
    "500": says("500 Internal Server Error", b"Server got itself in trouble"),
    "502": BAD_GATEWAY,
    "403": says("403 Forbidden", b""),
    "404": says("404 Not Found", b"404: Not Found"),
    "a redirect": ELSEWHERE,
    "no HTTP": lambda _: b"SSH-2.0-OpenSSH_9.6\r\n",
    "bad JSON": says("200 OK", b'{"queue_running": ['),
    "a page of another program": PAGE,
    "an oversized answer": OVERSIZED,
    "a compressed answer": ZIPPED,
    "half an answer": cut_in_half,
    "a closed connection": hang_up,
}
GETS = ("GET /history", "GET /queue", "GET /view")
ONCE: Sequence[Row] = (
    *(Row(fault, "POST /prompt", tamper) for fault, tamper in FAULTS.items()),
    *(Row(fault, GETS[place % 3], tamper) for place, (fault, tamper) in enumerate(FAULTS.items())),
)
ODD: Sequence[Row] = (
    Row("an empty object", "POST /prompt", EMPTY),
    Row("an empty object", "GET /history", EMPTY),
    Row("an empty object", "GET /queue", EMPTY),
    Row("404", "GET /view", FAULTS["404"], "OUTPUT_MISSING", 1, ALWAYS),
    Row("a closed connection", "POST /prompt", hang_up, posts=1, unheard=True),
    Row("500", "POST /prompt", FAULTS["500"], posts=1, unheard=True),
    Row("500", "POST /prompt", FAULTS["500"], "ENGINE_UNCLEAR", 0, ALWAYS, unheard=True),
    Row("500", "POST /prompt", FAULTS["500"], "drawn", 1, ALWAYS),
    Row("500", "GET /view", FAULTS["500"], "ENGINE_GONE", 1, ALWAYS),
    Row("a page of another program", "GET /history", PAGE, "ENGINE_GONE", 1, ALWAYS),
    Row("400", "POST /prompt", says("400 Bad Request", b"{}"), "VALIDATION", 0, unheard=True),
    Row("a page of another program", "GET /view", PAGE, "other bytes"),
    Row("half an answer", "GET /view", cut_in_half),
    Row("413", "POST /prompt", says("413 Payload Too Large"), "ENGINE_UNCLEAR", 0, ALWAYS, True),
)


@dataclass
class Between:
    """A proxy for one engine that closes each connection; ``posted`` counts what got through."""

    row: Row
    port: int
    seen: Counter[str] = field(default_factory=Counter)
    posts: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: *(\d+)", head)
            body = await reader.readexactly(int(length[1]) if length else 0)
            writer.write(await self._answer(head, body))
            await writer.drain()
        writer.close()

    async def _answer(self, head: bytes, body: bytes) -> bytes:
        asked = head.decode("latin-1").startswith(self.row.request)
        self.seen["it"] += asked
        tampers = asked and self.seen["it"] <= self.row.times
        if tampers and self.row.unheard:
            return self.row.tamper(b"")
        answer = await self._pass_on(head, body)
        return self.row.tamper(answer) if tampers else answer

    async def _pass_on(self, head: bytes, body: bytes) -> bytes:
        self.posts += head.startswith(b"POST /prompt")
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        head = re.sub(rb"(?i)\r\nconnection: [^\r]*", b"", head)
        writer.write(head[:-2] + b"Connection: close\r\n\r\n" + body)
        answer = await reader.read()
        writer.close()
        return answer


async def picture(row: Row, base: Path) -> tuple[str, int]:
    """How one picture goes, and how many prompts reached the engine."""
    async with standing(base, step_s=0.0) as stand:
        assert stand.client.port is not None
        between = Between(row, stand.client.port)
        server = await asyncio.start_server(between.serve, "127.0.0.1", 0)
        async with server, renderer_at(server.sockets[0].getsockname()[1]) as renderer:
            result = await drawn(renderer, replace(order(), fresh=True))
            server.close()
    if not isinstance(result, Drawn):
        return result.code, between.posts
    return "drawn" if prompt_of(result.png) else "other bytes", between.posts


@pytest.mark.parametrize("row", [*ONCE, *ODD], ids=lambda row: row.name)
def test_a_fault_on_the_wire_ends_as_it_is_written_down(
    row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """N1.3, N1.4, N6.1, N6.3"""
    monkeypatch.setattr(comfyui, "ANSWER_LIMIT_BYTES", 200_000)

    async def story() -> tuple[str, int]:
        async with asyncio.timeout(20):
            return await picture(row, tmp_path)

    assert asyncio.run(story()) == (row.outcome, row.posts)
