"""Rehearsal room: the sockets, and the one sender that serves them all in turn.

Its laws, observed: what is sent to a client without a registered socket is gone; nothing is sent
twice; a socket that closes takes the registration of its client id along, whoever holds it now.
"""

import asyncio
import contextlib
import json
import secrets
from typing import Any

from aiohttp import WSMsgType, web

from daemon.rehearsal.faults import Faults

RECEIVE_LIMIT_BYTES = 4 * 1024 * 1024


class Switchboard:
    """Sockets by client id. ``client_id`` and ``node_id`` say whose prompt runs, and where."""

    def __init__(self, faults: Faults, *, upload_limit_bytes: int) -> None:
        self.client_id: Any = None
        self.node_id: str | None = None
        self.features = {
            "supports_preview_metadata": True,
            "max_upload_size": upload_limit_bytes,
        }
        self._faults = faults
        self._sockets: dict[Any, web.WebSocketResponse] = {}
        self._transports: dict[web.WebSocketResponse, asyncio.Transport | None] = {}
        self._messages: asyncio.Queue[tuple[str, Any, Any]] = asyncio.Queue()
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        """Binds the switchboard to the running loop; before that messages are dropped."""
        self._loop = asyncio.get_running_loop()

    def post(self, kind: str, data: Any, client_id: Any = None) -> None:
        """Hands a message to the sender, from any thread. No client id: to every socket."""
        self.call(self._messages.put_nowait, (kind, data, client_id))

    def call(self, function: Any, *args: Any) -> None:
        """Runs a function on the loop, from any thread; not any more when the loop is gone."""
        if self._loop is not None:
            # The loop may close between the question and the call.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(function, *args)

    async def send_forever(self) -> None:
        """The sender. One slow reader holds up everybody; an unhashable client id ends it."""
        while True:
            await self._send(*await self._messages.get())

    async def _send(self, kind: str, data: Any, client_id: Any) -> None:
        if client_id is None:
            receivers = list(self._sockets.values())
        else:
            receivers = [self._sockets[client_id]] if client_id in self._sockets else []
        text = json.dumps({"type": kind, "data": data})
        for socket in receivers:
            await self._send_text(socket, text)

    async def _send_text(self, socket: web.WebSocketResponse, text: str) -> None:
        if self._faults.on("mute_socket"):
            return
        with contextlib.suppress(ConnectionError):
            await socket.send_str(text)

    def cut(self) -> None:
        """Aborts every connection without a close frame, as a lost process does."""
        for transport in self._transports.values():
            if transport is not None:
                transport.abort()

    async def close(self) -> None:
        """Closes what is open, at the end of the server."""
        for socket in list(self._transports):
            with contextlib.suppress(ConnectionError, asyncio.TimeoutError):
                await asyncio.wait_for(socket.close(), timeout=0.1)

    async def serve(self, request: web.Request, status: Any) -> web.WebSocketResponse:
        """One connection, from hello to end. ``status`` is what the hello tells of the queue."""
        socket = web.WebSocketResponse(max_msg_size=RECEIVE_LIMIT_BYTES)
        await socket.prepare(request)
        client_id = request.query.get("clientId") or secrets.token_hex(16)
        self._sockets[client_id] = socket
        self._transports[socket] = request.transport
        try:
            hello = {"type": "status", "data": {"status": status, "sid": client_id}}
            await self._send_text(socket, json.dumps(hello))
            if self.client_id == client_id and self.node_id is not None:
                where = {"type": "executing", "data": {"node": self.node_id}}
                await self._send_text(socket, json.dumps(where))
            await self._listen(socket)
        finally:
            self._sockets.pop(client_id, None)
            del self._transports[socket]
        return socket

    async def _listen(self, socket: web.WebSocketResponse) -> None:
        first = True
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            with contextlib.suppress(ValueError):
                said = json.loads(message.data)
                if first and isinstance(said, dict) and said.get("type") == "feature_flags":
                    answer = {"type": "feature_flags", "data": self.features}
                    await self._send_text(socket, json.dumps(answer))
                first = False
