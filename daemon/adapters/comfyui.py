"""Touches ComfyUI: its HTTP requests through httpx, its WebSocket through websockets.

Law: only a loopback address is ever spoken to; no redirect, no proxy, no answer without a limit on
its size and its time. What was answered is taken apart in ``wire``.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from daemon.errors import AskerError, EngineError, PromptRefused
from daemon.ports import Ears, Entropy
from daemon.wire.comfyui import (
    EngineFacts,
    HistoryEntry,
    Message,
    OutputFile,
    QueueView,
    a_mapping,
    read_facts,
    read_history,
    read_json,
    read_queue,
    read_uploaded,
    text,
)
from daemon.wire.comfyui_blame import accepted_node_errors, refusal
from daemon.wire.comfyui_socket import read_message

ANSWER_LIMIT_BYTES = 64 * 1024 * 1024
SAID_LIMIT_CHARS = 200
CONNECT_S = 5.0
# The server stalls for up to 3 s in its garbage collection, so a silence of 10 s is the least.
READ_S = 10.0
WHOLE_ANSWER_S = 60.0
PING_S = 30.0
KEPT_MESSAGES = 256
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0

_log = logging.getLogger(__name__)


class ComfyRenderer:
    """``ports.Renderer`` for the server at ``url``, such as ``http://127.0.0.1:8188``.

    ``mode`` (managed, external) is known to the caller; the server does not tell. A silence of
    ``timeout_s`` in an answer ends it. Raises ``AskerError`` for an address that is not this
    machine's own.
    """

    def __init__(
        self, url: str, *, entropy: Entropy, mode: str = "external", timeout_s: float = READ_S
    ) -> None:
        self._entropy = entropy
        self._mode = mode
        self._slowness = timeout_s / READ_S
        self._http = httpx.AsyncClient(
            # A compressed answer could be small on the wire and without end in memory.
            headers={"Accept-Encoding": "identity"},
            timeout=httpx.Timeout(timeout_s, connect=CONNECT_S),
            follow_redirects=False,
            trust_env=False,
        )
        self.move_to(url)

    def move_to(self, url: str) -> None:
        """From now on the server is at ``url``; a socket goes there once the old one has dropped.

        Raises ``AskerError`` as the constructor does.
        """
        self._address = loopback(url)
        self._http.base_url = httpx.URL(f"http://{_place(self._address)}")

    async def close(self) -> None:
        """Close the connections that are kept open."""
        await self._http.aclose()

    async def describe(self) -> EngineFacts:
        return read_facts(await self._json("/system_stats"), mode=self._mode)

    async def history(self, prompt_id: str) -> HistoryEntry | None:
        return read_history(await self._json(f"/history/{prompt_id}"), prompt_id)

    async def queue(self) -> QueueView:
        return read_queue(await self._json("/queue"))

    async def send(self, body: Mapping[str, object]) -> Mapping[str, str]:
        status, data = await self._ask("POST", "/prompt", json=body)
        if status == 400:
            raise PromptRefused("VALIDATION", refusal(data))
        answer = read_json(_expected("POST /prompt", status, data), what="/prompt")
        return accepted_node_errors(a_mapping(answer, "/prompt"))

    async def interrupt(self, prompt_id: str) -> None:
        await self._done("POST", "/queue", json={"delete": [prompt_id]})
        # Old servers do not look at the id and stop whatever runs, so theirs must be ours.
        if prompt_id in (await self.queue()).running:
            await self._done("POST", "/interrupt", json={"prompt_id": prompt_id})

    async def upload(self, *, name: str, data: bytes) -> str:
        form = {"files": {"image": (name, data, "image/png")}, "data": {"type": "input"}}
        answer = await self._done("POST", "/upload/image", **form)
        return read_uploaded(read_json(answer, what="/upload/image"))

    async def view(self, file: OutputFile) -> bytes:
        where = {"filename": file.filename, "subfolder": file.subfolder, "type": file.kind}
        status, data = await self._ask("GET", "/view", params=where)
        if status == 404:
            why = f"The engine reported {file.filename!r} but has no such file any more."
            raise EngineError("OUTPUT_MISSING", why)
        return _expected("GET /view", status, data)

    async def free(self) -> None:
        await self._done("POST", "/free", json={"unload_models": True, "free_memory": True})

    async def modules(self, classes: Collection[str]) -> Mapping[str, str]:
        found = {}
        for name in sorted(classes):
            path = f"/object_info/{quote(name, safe='')}"
            told = a_mapping(await self._json(path), path)
            if name in told:
                found[name] = text(a_mapping(told[name], path).get("python_module"))
        return found

    async def outside(self) -> str:
        return ""

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[Ears]:
        ears = _ComfyEars(lambda: self._address, self._entropy)
        listening = asyncio.create_task(ears.keep_open())
        try:
            await ears.tried.wait()  # The connection has its own deadline.
            yield ears
        finally:
            listening.cancel()
            (error,) = await asyncio.gather(listening, return_exceptions=True)
            if isinstance(error, Exception):
                _log.error("The engine's socket was given up for good: %r", error)

    async def _json(self, path: str) -> object:
        return read_json(await self._done("GET", path), what=path)

    async def _done(self, method: str, path: str, **request: Any) -> bytes:
        return _expected(f"{method} {path}", *await self._ask(method, path, **request))

    async def _ask(self, method: str, path: str, **request: Any) -> tuple[int, bytes]:
        """Status and body. Raises ``EngineError`` when no whole answer came in time."""
        where = f"{method} {path} at {_place(self._address)}"
        try:
            async with (
                asyncio.timeout(WHOLE_ANSWER_S * self._slowness),
                self._http.stream(method, path, **request) as response,
            ):
                return response.status_code, await _body(response, where)
        except (TimeoutError, httpx.TimeoutException):
            raise EngineError("ENGINE_SILENT", f"{where} was not answered in time.") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            said = str(error) or type(error).__name__
            raise EngineError("ENGINE_UNREACHABLE", f"{where} failed: {said}.") from None


class _ComfyEars:
    """``ports.Ears``. One task reads and never waits for anything else, for a client that stops
    reading silences the server for everybody.
    """

    def __init__(self, address: Callable[[], tuple[str, int]], entropy: Entropy) -> None:
        self._address, self._entropy = address, entropy
        self._client_id = entropy.token()
        # None tells a listener that the socket has just gone; old messages make room for new ones.
        self._heard: deque[Message | None] = deque(maxlen=KEPT_MESSAGES)
        self._any = asyncio.Event()
        self.tried = asyncio.Event()

    @property
    def client_id(self) -> str:
        return self._client_id

    async def hear(self, *, timeout_s: float) -> Message | None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._any.wait()
        except TimeoutError:
            return None
        message = self._heard.popleft()
        if not self._heard:
            self._any.clear()
        return message

    async def keep_open(self) -> None:
        """Read, and open the socket again when it drops, more slowly each time, until cancelled."""
        pause, loop = FIRST_PAUSE_S, asyncio.get_running_loop()
        while True:
            opened = loop.time()
            try:
                if await self._read_until_gone():
                    self._put(None)
            finally:
                self.tried.set()
            lasted = loop.time() - opened
            pause = FIRST_PAUSE_S if lasted > LONGEST_PAUSE_S else min(pause * 2, LONGEST_PAUSE_S)
            await asyncio.sleep(pause * self._jitter())
            # The old socket is closed by now. A fresh id all the same: when a server notices the
            # end of an old connection late, it would unregister the new one of the same id.
            self._client_id = self._entropy.token()

    async def _read_until_gone(self) -> bool:
        """Whether there was a connection at all."""
        host, port = address = self._address()
        opened = False
        # Why it ended changes nothing: the poller goes on, and we try again.
        with suppress(OSError, TimeoutError, ValueError, WebSocketException):
            async with connect(
                f"ws://{_place(address)}/ws?clientId={self._client_id}",
                # Naming host and port makes the library refuse a redirect to any other place.
                host=host,
                port=port,
                proxy=None,
                compression=None,
                open_timeout=CONNECT_S,
                ping_interval=PING_S,
                ping_timeout=PING_S,
                close_timeout=1,
                max_size=ANSWER_LIMIT_BYTES,
            ) as socket:
                opened = True
                self.tried.set()
                async for raw in socket:
                    if isinstance(raw, str):  # Binary messages are previews.
                        self._put(read_message(raw))
        return opened

    def _put(self, message: Message | None) -> None:
        self._heard.append(message)
        self._any.set()

    def _jitter(self) -> float:
        """0.5 .. 1.5, so that several studios do not knock at the same moment."""
        return 0.5 + int(self._entropy.token()[:4], 16) / 0xFFFF


def _place(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def loopback(url: str) -> tuple[str, int]:
    """Host and port of a plain address of this machine. Raises ``AskerError`` for any other."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 8188
    except ValueError as error:
        raise AskerError(f"[comfyui] url = {url!r} is no address: {error}.") from None
    bare = parts.path in ("", "/") and not (parts.query or parts.fragment or parts.username)
    if parts.scheme != "http" or not bare:
        raise AskerError(f"[comfyui] url = {url!r}: write it as http://127.0.0.1:8188.")
    try:
        ours = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        ours = False
    if not ours:
        raise AskerError(
            f"[comfyui] url = {url!r} is another machine. ComfyUI asks nobody who they are, so it"
            " must stay on 127.0.0.1; reach another machine's through a tunnel that ends here."
        )
    return host, port


async def _body(response: httpx.Response, where: str) -> bytes:
    if response.headers.get("content-encoding", "identity") != "identity":
        raise EngineError("ENGINE_BAD_ANSWER", f"{where} was answered compressed, unasked.")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > ANSWER_LIMIT_BYTES:
            why = f"{where} was answered with more than {ANSWER_LIMIT_BYTES} bytes."
            raise EngineError("ENGINE_BAD_ANSWER", why)
    return bytes(body)


def _expected(where: str, status: int, data: bytes) -> bytes:
    if status == 200:
        return data
    said = text(data[:SAID_LIMIT_CHARS].decode("utf-8", "replace"))
    raise EngineError("ENGINE_BAD_ANSWER", f"{where} was answered with HTTP {status}: {said!r}.")
