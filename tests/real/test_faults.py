"""The likeliest cells of the fault matrix, lived with a real ComfyUI: one picture each, through a
wire that fails, or a server that is killed.

The cells that kill need NIGHTPRESS_TEST_COMFYUI_START: a command that starts a ComfyUI with the
same models in the foreground, on the port that is its one argument.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.asyncio.client import connect

from daemon.adapters.clock import SystemEntropy
from daemon.adapters.comfyui import ComfyRenderer
from daemon.core.ids import file_prefix
from daemon.core.policy import Policy
from daemon.errors import EngineError
from daemon.shell.whereabouts import Drawn, DrawOrder
from daemon.wire.comfyui import prompt_body
from daemon.wire.png_text import prompt_of
from tests.adapters.test_comfyui import renderer_at
from tests.adapters.test_comfyui_faults import ALWAYS, FAULTS, Between, Row, hang_up
from tests.conversing import draw
from tests.real.engine import LONG_STEPS, PATIENCE_S, RealEngine, until
from tests.real.relay import Relay
from tests.real.test_adapter import runs, send

pytestmark = pytest.mark.real

QUICK = Policy(history_poll_s=0.2, health_poll_s=0.2, health_limit_s=45.0)
STEPS = 40
"""A picture of some seconds."""


async def outcome(renderer: ComfyRenderer, order: DrawOrder) -> str:
    """``drawn``, ``broken`` or a code; in time."""
    async with asyncio.timeout(PATIENCE_S):
        result = await draw(order, renderer=renderer, policy=QUICK)
    if not isinstance(result, Drawn):
        return result.code
    return "drawn" if prompt_of(result.png) else "broken"


# Answers that are tampered with.

TAMPERED = [
    Row("500", "POST /prompt", FAULTS["500"]),
    Row("500", "POST /prompt", FAULTS["500"], unheard=True),
    Row("500", "POST /prompt", FAULTS["500"], "ENGINE_UNCLEAR", 0, ALWAYS, unheard=True),
    Row("a closed connection", "POST /prompt", hang_up),
    Row("a closed connection", "POST /prompt", hang_up, unheard=True),
    Row("bad JSON", "GET /history", FAULTS["bad JSON"]),
    Row("a page of another program", "GET /queue", FAULTS["a page of another program"]),
    Row("half an answer", "GET /view", FAULTS["half an answer"]),
    Row("404", "GET /view", FAULTS["404"], "OUTPUT_MISSING", 1, ALWAYS),
]


@pytest.mark.parametrize("row", TAMPERED, ids=lambda row: row.name)
def test_an_answer_that_is_tampered_with_costs_no_picture(real: RealEngine, row: Row) -> None:
    """N1.4, N6.1"""

    async def story() -> tuple[str, int]:
        between = Between(row, urlsplit(real.url).port or 0)
        server = await asyncio.start_server(between.serve, "127.0.0.1", 0)
        async with server, renderer_at(server.sockets[0].getsockname()[1]) as renderer:
            order = replace(real.order(real.panel()), fresh=True)
            seen = await outcome(renderer, order)
            server.close()
        return seen, between.posts

    before = real.posted()
    seen = asyncio.run(story())
    assert seen == (row.outcome, row.posts)
    assert real.posted() == before + 1 + row.posts


# A wire that is cut, and others on the server.


@dataclass
class Scene:
    """One picture that is asked for through a relay; ``direct`` is a way beside it."""

    real: RealEngine
    relay: Relay
    direct: ComfyRenderer
    order: DrawOrder
    later: list[asyncio.Task[None]] = field(default_factory=list)

    def when_it_runs(self, act: Callable[[], Awaitable[None]]) -> None:
        async def waits() -> None:
            await until(lambda: runs(self.direct, self.order))
            await act()

        self.later.append(asyncio.ensure_future(waits()))


Act = Callable[[Scene], Awaitable[None]]


async def nothing(scene: Scene) -> None:
    """All goes well."""


async def cut_before_post(scene: Scene) -> None:
    def once() -> None:
        scene.relay.before_post = scene.relay.after_post
        scene.relay.cut()

    scene.relay.before_post = once


async def cut_after_post(scene: Scene) -> None:
    def once() -> None:
        scene.relay.after_post = scene.relay.before_post
        scene.relay.cut()

    scene.relay.after_post = once


async def cut_while_drawing(scene: Scene) -> None:
    async def act() -> None:
        for _ in range(3):
            scene.relay.cut()
            await asyncio.sleep(0.5)

    scene.when_it_runs(act)


async def refused_for_a_while(scene: Scene) -> None:
    async def act() -> None:
        scene.relay.down = True
        scene.relay.cut()
        await asyncio.sleep(10.0)
        scene.relay.down = False

    scene.when_it_runs(act)


async def mute_while_drawing(scene: Scene) -> None:
    async def act() -> None:
        scene.relay.mute = True

    scene.when_it_runs(act)


async def taken_over(scene: Scene) -> None:
    """Another socket comes under our client id; the server speaks to that one only."""

    async def act() -> None:
        (running,) = scene.real.get("/queue")["queue_running"]
        url = scene.real.url.replace("http", "ws", 1)
        async with connect(
            f"{url}/ws?clientId={running[3]['client_id']}", proxy=None, close_timeout=0.1
        ):
            await asyncio.Event().wait()

    scene.when_it_runs(act)


async def blocked_reader(scene: Scene) -> None:
    """Somebody has a socket and never reads it."""
    place = urlsplit(scene.real.url)
    _, writer = await asyncio.open_connection(place.hostname, place.port, limit=1)
    key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
    writer.write(
        f"GET /ws?clientId=deaf HTTP/1.1\r\nHost: {place.netloc}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\n{key}\r\n".encode()
    )
    await writer.drain()
    scene.relay.writers.add(writer)


async def foreign_prompt_before_ours(scene: Scene) -> None:
    theirs = scene.real.order(scene.real.panel(steps=STEPS), attempt=2)
    await send(scene.direct, theirs)


async def history_cleared(scene: Scene) -> None:
    """When the prompt has ended, and before anybody looked: its picture is found in the output."""
    scene.relay.mute = True

    async def act() -> None:
        scene.relay.down = True
        scene.relay.cut()
        await until(lambda: scene.direct.history(scene.order.prompt_id))
        await asyncio.to_thread(clear_history, scene.real.url)
        scene.relay.down = False

    scene.when_it_runs(act)


def clear_history(url: str) -> None:
    httpx.post(f"{url}/history", json={"clear": True}, trust_env=False)


def spoilt(spoil: Callable[[RealEngine, DrawOrder], None]) -> Act:
    async def act_on(scene: Scene) -> None:
        async def act() -> None:
            scene.relay.down = True
            scene.relay.cut()
            await until(lambda: scene.direct.history(scene.order.prompt_id))
            spoil(scene.real, scene.order)
            scene.relay.down = False

        scene.when_it_runs(act)

    return act_on


def delete_output(real: RealEngine, order: DrawOrder) -> None:
    (path,) = real.outputs(file_prefix(order.prompt_id))
    path.unlink()


def truncate_output(real: RealEngine, order: DrawOrder) -> None:
    (path,) = real.outputs(file_prefix(order.prompt_id))
    path.write_bytes(path.read_bytes()[:500])


async def interrupted(scene: Scene) -> None:
    scene.when_it_runs(lambda: scene.direct.interrupt(scene.order.prompt_id))


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (nothing, "drawn"),
        (cut_before_post, "drawn"),
        (cut_after_post, "drawn"),
        (cut_while_drawing, "drawn"),
        (refused_for_a_while, "drawn"),
        (mute_while_drawing, "drawn"),
        (taken_over, "drawn"),
        (blocked_reader, "drawn"),
        (foreign_prompt_before_ours, "drawn"),
        (history_cleared, "drawn"),
        (spoilt(delete_output), "OUTPUT_MISSING"),
        (spoilt(truncate_output), "broken"),
        (interrupted, "INTERRUPTED"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_wire_that_fails_costs_no_picture_and_sends_nothing_twice(
    real: RealEngine, act: Act, expected: str
) -> None:
    """N1.3, N1.5, N6.1, N6.3"""
    foreign = act is foreign_prompt_before_ours
    before = real.posted()
    assert asyncio.run(_scene(real, act)) == expected
    assert real.posted() == before + 2 + foreign, "ours, theirs, and the one it was counted by"


async def _scene(real: RealEngine, act: Act) -> str:
    steps = LONG_STEPS if act is interrupted else STEPS
    order = replace(real.order(real.panel(steps=steps)), fresh=True)
    relay = Relay(urlsplit(real.url).port or 0)
    async with relay.open(), renderer_at(relay.port) as renderer:
        direct = ComfyRenderer(real.url, entropy=SystemEntropy())
        scene = Scene(real, relay, direct, order)
        try:
            await act(scene)
            return await outcome(renderer, order)
        finally:
            for task in scene.later:
                task.cancel()
            await asyncio.gather(*scene.later, return_exceptions=True)
            await direct.close()


# A server that is killed.


@dataclass
class Server:
    """A server of this test's own, which can be killed and started again."""

    command: str
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [*shlex.split(self.command), str(self.port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def kill(self) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def restart(self) -> None:
        self.kill()
        self.start()


@pytest.fixture
def server(real: RealEngine) -> Iterator[Server]:
    command = os.environ.get("NIGHTPRESS_TEST_COMFYUI_START")
    if not command:
        pytest.skip("needs a ComfyUI to kill: NIGHTPRESS_TEST_COMFYUI_START is not set")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Server(command, port)
    server.start()
    try:
        yield server
    finally:
        server.kill()


Stage = Callable[[Scene, Server], Awaitable[None]]


async def killed_before_post(scene: Scene, server: Server) -> None:
    def once() -> None:
        scene.relay.before_post = scene.relay.after_post
        server.restart()

    scene.relay.before_post = once


async def killed_after_post(scene: Scene, server: Server) -> None:
    """And nobody has heard its answer."""

    def once() -> None:
        scene.relay.after_post = scene.relay.before_post
        server.restart()
        scene.relay.cut()

    scene.relay.after_post = once


async def killed_while_drawing(scene: Scene, server: Server) -> None:
    async def act() -> None:
        server.restart()

    scene.when_it_runs(act)


async def killed_after_saving(scene: Scene, server: Server) -> None:
    """Nobody has looked yet, and the history is gone."""

    async def act() -> None:
        scene.relay.down = True
        scene.relay.cut()
        await until(lambda: scene.direct.history(scene.order.prompt_id))
        server.restart()
        scene.relay.down = False

    scene.when_it_runs(act)


async def killed_with_a_queue(scene: Scene, server: Server) -> None:
    """Ours waits behind somebody else's."""

    async def act() -> None:
        await until(waits)
        server.restart()

    async def waits() -> bool:
        return scene.order.prompt_id in (await scene.direct.queue()).pending

    def once() -> None:
        scene.relay.before_post = scene.relay.after_post
        theirs = scene.real.order(scene.real.panel(steps=LONG_STEPS), attempt=2)
        body = prompt_body(theirs.graph, prompt_id=theirs.prompt_id, client_id="", note={})
        httpx.post(f"{scene.real.url}/prompt", json=body, trust_env=False)

    scene.relay.before_post = once
    scene.later.append(asyncio.ensure_future(act()))


@pytest.mark.realprocess
@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        (killed_before_post, "drawn"),
        (killed_after_post, "drawn"),
        (killed_while_drawing, "PROMPT_LOST"),
        (killed_after_saving, "drawn"),
        (killed_with_a_queue, "PROMPT_LOST"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_server_that_is_killed_costs_at_most_what_it_was_drawing(
    real: RealEngine, server: Server, stage: Stage, expected: str
) -> None:
    """N5.2, N6.1: another attempt draws what was lost; nothing else is drawn again."""

    async def story() -> str:
        own = replace(real, url=f"http://127.0.0.1:{server.port}")
        async with renderer_at(server.port) as direct:
            await until(lambda: answers(direct))

            async def act(scene: Scene) -> None:
                await stage(scene, server)

            return await _scene(own, act)

    assert asyncio.run(story()) == expected


async def answers(renderer: ComfyRenderer) -> bool:
    try:
        return bool(await renderer.describe())
    except EngineError:
        return False
