"""Rehearsal room: the HTTP side of prompts, queue and history, and how one server is put together.

Every route also exists below /api. Unhandled exceptions become aiohttp's 500 text, as they do in
the real server, so a handler that fails where ComfyUI fails needs no code of its own.
"""

import asyncio
import contextlib
import logging
import shutil
import urllib.parse
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from daemon.rehearsal.actions import Stage
from daemon.rehearsal.execute import Worker
from daemon.rehearsal.faults import Faults
from daemon.rehearsal.files import FileRoutes, Handler
from daemon.rehearsal.folders import Layout
from daemon.rehearsal.queue import PromptQueue
from daemon.rehearsal.sockets import Switchboard
from daemon.rehearsal.validate import missing, validate_prompt, whole_prompt_error

MIB = 1024 * 1024
_log = logging.getLogger(__name__)


class Rehearsal:
    """One server: folders, queue, worker, sockets. ``app`` is what aiohttp serves.

    ``step_s``: seconds a sampler step takes. ``argv``: what it says it was started with.
    """

    def __init__(
        self,
        base: Path,
        faults: Faults | None = None,
        *,
        step_s: float = 0.0,
        upload_limit_bytes: int = 100 * MIB,
        argv: Sequence[str] = (),
    ) -> None:
        self.layout = Layout(base.resolve())
        self.faults = faults or Faults()
        self.switchboard = Switchboard(self.faults, upload_limit_bytes=upload_limit_bytes)
        self.queue = PromptQueue(self._tell_status)
        stage = Stage(self.layout, self.faults, self.switchboard, step_s)
        self._worker = Worker(stage, self.queue)
        self._limit = upload_limit_bytes
        self._number = 0
        self._files = FileRoutes(self.layout, self.switchboard.features, ["main.py", *argv])

    def app(self) -> web.Application:
        """The application; starting it starts the worker, cleaning it up ends both."""
        app = web.Application(client_max_size=self._limit, middlewares=[_check_origin])
        for method, path, handler in [*self._routes(), *self._files.routes()]:
            for prefix in ("", "/api"):
                app.router.add_route(method, prefix + path, handler)
        app.router.add_get("/{tail:.*}", _nothing_here)
        app.cleanup_ctx.append(self._live)
        return app

    async def _live(self, _: web.Application) -> Any:
        shutil.rmtree(self.layout.temp, ignore_errors=True)
        self.layout.input.mkdir(parents=True, exist_ok=True)
        self.switchboard.open()
        sender = asyncio.create_task(self.switchboard.send_forever())
        sender.add_done_callback(_end_with_sender)
        self._worker.start()
        yield
        await self.switchboard.close()
        sender.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sender
        await asyncio.to_thread(self._worker.stop, 1.0)
        shutil.rmtree(self.layout.temp, ignore_errors=True)

    def _routes(self) -> list[tuple[str, str, Handler]]:
        return [
            ("GET", "/ws", self._socket),
            ("GET", "/prompt", self._get_prompt),
            ("POST", "/prompt", self._post_prompt),
            ("GET", "/queue", self._get_queue),
            ("POST", "/queue", self._post_queue),
            ("POST", "/interrupt", self._post_interrupt),
            ("POST", "/free", self._post_free),
            ("GET", "/history", self._get_history),
            ("GET", "/history/{prompt_id}", self._get_history_entry),
            ("GET", "/rehearsal/faults", self._get_faults),
            ("POST", "/rehearsal/faults", self._post_faults),
        ]

    def _status(self) -> dict[str, Any]:
        return {"exec_info": {"queue_remaining": self.queue.remaining()}}

    def _tell_status(self) -> None:
        self.switchboard.post("status", {"status": self._status()})

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        return await self.switchboard.serve(request, self._status())

    async def _get_prompt(self, _: web.Request) -> web.StreamResponse:
        return web.json_response(self._status())

    async def _post_prompt(self, request: web.Request) -> web.StreamResponse:
        self.faults.die_if("post")
        if status := int(self.faults.number("refuse_post")):
            return web.Response(status=status, text=f"{status}: refused by the rehearsal")
        _log.info("got prompt")
        body = await request.json()
        number = self._next_number(body)
        if "prompt" not in body:
            text = "No prompt provided"
            return _refusal(whole_prompt_error("no_prompt", text, text), {})
        prompt = body["prompt"]
        prompt_id = str(body.get("prompt_id", uuid.uuid4()))
        verdict = validate_prompt(prompt, body.get("partial_execution_targets"), self.layout)
        if verdict.error is not None:
            _log.info("invalid prompt: %s", verdict.error)
            return _refusal(verdict.error, verdict.node_errors)
        extra = body.get("extra_data", {})
        if "client_id" in body:
            extra["client_id"] = body["client_id"]
        self.queue.put((number, prompt_id, prompt, extra, verdict.outputs))
        if self.faults.take("post_500_but_queued"):
            raise web.HTTPInternalServerError(text=_ERROR_TEXT)
        if self.faults.take("node_errors_200"):
            verdict.node_errors = _INVENTED_NODE_ERRORS
        answer = {"prompt_id": prompt_id, "number": number, "node_errors": verdict.node_errors}
        return web.json_response(answer)

    def _next_number(self, body: dict[str, Any]) -> float:
        if "number" in body:
            return float(body["number"])
        number, self._number = self._number, self._number + 1
        return -number if body.get("front") else number

    async def _get_queue(self, _: web.Request) -> web.StreamResponse:
        return web.json_response(self.queue.as_json())

    async def _post_queue(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if body.get("clear"):
            self.queue.clear()
        for prompt_id in body.get("delete", ()):
            self.queue.delete(prompt_id)
        return web.Response()

    async def _post_interrupt(self, request: web.Request) -> web.StreamResponse:
        body: Any = {}
        with contextlib.suppress(ValueError):
            body = await request.json()
        wanted = body.get("prompt_id") if isinstance(body, dict) else None
        if not wanted or wanted == self.queue.running_id:
            self._worker.interrupt()
        return web.Response()

    async def _get_history(self, _: web.Request) -> web.StreamResponse:
        return web.json_response(self.queue.history())

    async def _get_history_entry(self, request: web.Request) -> web.StreamResponse:
        wanted = request.match_info["prompt_id"]
        found = {key: entry for key, entry in self.queue.history().items() if key == wanted}
        return web.json_response(found)

    async def _post_free(self, request: web.Request) -> web.StreamResponse:
        # unload_models alone leaves the results where they are, and there are no models here.
        if (await request.json()).get("free_memory"):
            self._worker.forget()
        return web.Response()

    async def _get_faults(self, _: web.Request) -> web.StreamResponse:
        return web.json_response(self.faults.as_json())

    async def _post_faults(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        try:
            for name, value in body.items():
                self.faults.set(name, value)
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(self.faults.as_json())


_ERROR_TEXT = "500 Internal Server Error\n\nServer got itself in trouble"
_INVENTED_NODE_ERRORS = {
    "rehearsal-fault": {
        "errors": [missing("filename_prefix")],
        "dependent_outputs": ["rehearsal-fault"],
        "class_type": "SaveImage",
    }
}


def _refusal(error: dict[str, Any], node_errors: dict[str, Any]) -> web.Response:
    return web.json_response({"error": error, "node_errors": node_errors}, status=400)


def _end_with_sender(sender: asyncio.Task[None]) -> None:
    # The real process does not survive the death of its message loop either.
    if not sender.cancelled() and sender.exception() is not None:
        asyncio.get_running_loop().stop()


async def _nothing_here(_: web.Request) -> web.StreamResponse:
    return web.Response(status=404, headers={"Content-Type": "application/octet-stream"})


@web.middleware
async def _check_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
    origin, host = request.headers.get("Origin"), request.headers.get("Host", "")
    if origin is not None and not _same_place(origin, host):
        return web.Response(status=403)
    return await handler(request)


def _same_place(origin: str, host: str) -> bool:
    """Whether an Origin may talk to a loopback Host; a Host elsewhere is not judged."""
    here = urllib.parse.urlsplit(f"//{host.lower()}")
    there = urllib.parse.urlsplit(origin.lower())
    if here.hostname not in ("localhost", "127.0.0.1", "::1"):
        return True
    if there.port is None:
        return here.hostname == there.hostname
    return here.netloc == there.netloc
