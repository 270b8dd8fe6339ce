"""The adapter against the rehearsal engine, and against servers that mean no good."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw
from websockets.asyncio.server import ServerConnection, serve

from daemon.adapters import comfyui
from daemon.adapters.comfyui import ComfyRenderer
from daemon.core.ids import file_prefix, prompt_id
from daemon.core.jobs import ControlNetUse, Outcome
from daemon.core.policy import Policy
from daemon.craft.graph import bind, same_graph, with_prefix
from daemon.errors import AskerError, EngineError, PromptRefused
from daemon.shell.whereabouts import Drawn, DrawOrder, Whereabouts
from daemon.wire.addresses import loopback
from daemon.wire.comfyui import Executing, Message, OutputFile, Status, prompt_body
from tests.conversing import Undrawn, draw
from tests.craft.test_graph import CANNY, FULL, PANEL
from tests.rehearsal.stand import Stand, standing, until

QUICK = Policy(history_poll_s=0.05, health_poll_s=0.05, health_limit_s=1.0)
SPEC = replace(
    FULL,
    width=64,
    height=64,
    steps=2,
    checkpoint="tiny-sd15.safetensors",
    loras=(replace(FULL.loras[0], name="tiny-lora.safetensors"),),
    controlnet=None,
)


@dataclass
class Counting:
    """``ports.Entropy`` by counting."""

    numbers: Any = field(default_factory=count)

    def token(self) -> str:
        return f"{next(self.numbers):032x}"


@asynccontextmanager
async def renderer_at(port: int) -> AsyncIterator[ComfyRenderer]:
    renderer = ComfyRenderer(f"http://127.0.0.1:{port}", entropy=Counting())
    try:
        yield renderer
    finally:
        await renderer.close()


@asynccontextmanager
async def rehearsing(
    base: Path, *, step_s: float = 0.0, **faults: Any
) -> AsyncIterator[tuple[ComfyRenderer, Stand]]:
    """A rehearsal server and a renderer that talks to it over a real port."""
    async with standing(base, step_s=step_s, **faults) as stand:
        port = stand.client.port
        assert port is not None
        async with renderer_at(port) as renderer:
            yield renderer, stand


def order(attempt: int = 1, **changes: Any) -> DrawOrder:
    """A picture of the panel template, by its derived id."""
    bound = bind(PANEL, replace(SPEC, **changes), seed=421)
    ours = prompt_id(
        studio="s", job="a_v1", attempt=attempt, image=1, graph_sha256=bound.graph_sha256
    )
    return DrawOrder(
        prompt_id=ours,
        graph=with_prefix(bound, file_prefix(ours)),
        save_node=bound.save_node,
        draw_s=120.0,
        note={"job": "a_v1"},
    )


async def drawn(
    renderer: ComfyRenderer, wanted: DrawOrder, steps: list[tuple[int, int]] | None = None
) -> Drawn | Undrawn:
    def progress(step: int, of: int) -> None:
        if steps is not None:
            steps.append((step, of))

    return await draw(wanted, renderer=renderer, progress=progress, policy=QUICK)


def test_a_panel_s_spec_becomes_a_picture_s_bytes(tmp_path: Path) -> None:
    """N1.1, N3.3, S3.3: template, binding, sending, hearing, history and view in one line."""

    async def story() -> None:
        async with rehearsing(tmp_path, step_s=0.15) as (renderer, _):
            wanted, steps = order(), list[tuple[int, int]]()
            result = await drawn(renderer, wanted, steps)
            assert isinstance(result, Drawn), result
            assert result.png.startswith(b"\x89PNG")
            assert b"nightpress\x00" in result.png
            assert same_graph(wanted.graph, result.graph)
            assert steps == [(1, 2), (2, 2)]

    asyncio.run(story())


def test_a_picture_that_is_there_already_is_fetched_and_not_drawn_again(tmp_path: Path) -> None:
    """N1.4"""

    async def story() -> None:
        async with rehearsing(tmp_path) as (renderer, stand):
            first = await drawn(renderer, order())
            again = await drawn(renderer, order())
            assert isinstance(first, Drawn)
            assert isinstance(again, Drawn)
            assert first.png == again.png
            assert len(await stand.get("/history")) == 1

    asyncio.run(story())


@pytest.mark.parametrize(
    "faults",
    [
        {"drop_socket": True},
        {"mute_socket": True},
        {"post_500_but_queued": 1},
        {"late_history": 0.2},
    ],
)
def test_a_misbehaving_server_does_not_cost_the_picture(
    tmp_path: Path, faults: dict[str, Any]
) -> None:
    """N1.3, N1.4, N6.1"""

    async def story() -> None:
        async with rehearsing(tmp_path, step_s=0.02, **faults) as (renderer, _):
            assert isinstance(await drawn(renderer, order()), Drawn)

    asyncio.run(story())


@pytest.mark.parametrize(
    ("faults", "outcome", "code"),
    [
        ({"oom": True}, Outcome.LOST, "OUT_OF_MEMORY"),
        ({"node_errors_200": True}, Outcome.FAILED, "VALIDATION"),
        ({"missing_output": True}, Outcome.LOST, "OUTPUT_MISSING"),
        ({"refuse_post": 503}, Outcome.LOST, "ENGINE_UNCLEAR"),
    ],
)
def test_what_went_wrong_is_told_by_its_code(
    tmp_path: Path, faults: dict[str, Any], outcome: Outcome, code: str
) -> None:
    """N1.5, N3.3"""

    async def story() -> None:
        async with rehearsing(tmp_path, step_s=0.01, **faults) as (renderer, _):
            result = await drawn(renderer, order())
            assert isinstance(result, Undrawn), result
            assert (result.outcome, result.code) == (outcome, code)

    asyncio.run(story())


def test_a_picture_of_a_server_that_forgot_its_prompt_is_harvested(tmp_path: Path) -> None:
    """W14: it was saved whole under a prefix that no other prompt has."""

    async def story() -> None:
        async with rehearsing(tmp_path, step_s=0.01, lose_history=True) as (renderer, _):
            result = await drawn(renderer, order())
            assert isinstance(result, Drawn), result
            assert same_graph(order().graph, result.graph)

    asyncio.run(story())


def test_a_model_that_is_not_there_is_refused_with_its_name(tmp_path: Path) -> None:
    """N3.2: the server's own refusal is trusted."""

    async def story() -> None:
        async with rehearsing(tmp_path) as (renderer, _):
            result = await drawn(renderer, order(checkpoint="no-such.safetensors"))
            assert isinstance(result, Undrawn)
            assert (result.outcome, result.code) == (Outcome.FAILED, "VALIDATION")
            assert "ckpt_name = 'no-such.safetensors'" in result.text

    asyncio.run(story())


def test_only_our_prompt_is_interrupted(tmp_path: Path) -> None:
    """N6.3: a stranger's prompt runs on, ours is taken out of the queue."""

    async def story() -> None:
        async with rehearsing(tmp_path, step_s=0.05) as (renderer, stand):
            theirs, ours = order(1), order(2)
            for each in (theirs, ours):
                body = prompt_body(each.graph, prompt_id=each.prompt_id, client_id="c", note={})
                assert await renderer.send(body) == {}
            await renderer.interrupt(ours.prompt_id)
            await renderer.interrupt("ffffffff-0000-0000-0000-000000000000")
            entry = await stand.entry(theirs.prompt_id)
            assert entry["status"]["status_str"] == "success"
            assert await renderer.history(ours.prompt_id) is None

    asyncio.run(story())


def test_a_running_prompt_is_interrupted(tmp_path: Path) -> None:
    """N6.3"""

    async def story() -> None:
        async with rehearsing(tmp_path, step_s=0.05) as (renderer, stand):
            ours = order(steps=50)
            body = prompt_body(ours.graph, prompt_id=ours.prompt_id, client_id="c", note={})
            await renderer.send(body)

            async def runs() -> bool:
                return ours.prompt_id in (await renderer.queue()).running

            await until(runs)
            await renderer.interrupt(ours.prompt_id)
            await stand.entry(ours.prompt_id)
            found = await renderer.history(ours.prompt_id)
            assert found is not None
            assert found.ending == "interrupted"

    asyncio.run(story())


def test_a_hint_is_uploaded_and_has_the_server_s_name(tmp_path: Path) -> None:
    async def story() -> None:
        async with rehearsing(tmp_path) as (renderer, _):
            assert await renderer.upload(name="a.png", data=b"one") == "a.png"
            assert await renderer.upload(name="a.png", data=b"one") == "a.png"
            assert await renderer.upload(name="a.png", data=b"two") == "a (1).png"

    asyncio.run(story())


def test_an_output_that_is_not_there_has_a_code_of_its_own(tmp_path: Path) -> None:
    """N3.3"""

    async def story() -> None:
        async with rehearsing(tmp_path) as (renderer, _):
            with pytest.raises(EngineError) as caught:
                await renderer.view(OutputFile("9", "a b&c.png", "nightpress", "output"))
            assert caught.value.code == "OUTPUT_MISSING"

    asyncio.run(story())


# Addresses.


@pytest.mark.parametrize(
    "url",
    [
        "http://192.168.1.20:8188",
        "http://comfy.example:8188",
        "http://127.0.0.1.example.com:8188",
        "http://0.0.0.0:8188",
        "https://127.0.0.1:8188",
        "http://user@127.0.0.1:8188",
        "http://127.0.0.1:8188/elsewhere",
        "http://127.0.0.1:8188?x=1",
        "http://127.0.0.1:99999",
        "http://[::1",
        "127.0.0.1:8188",
        "file:///etc/passwd",
        "",
    ],
)
def test_only_this_machine_s_own_address_is_spoken_to(url: str) -> None:
    """N2.1"""
    with pytest.raises(AskerError, match="Write for example: http://"):
        ComfyRenderer(url, entropy=Counting())


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://127.0.0.1:8188", ("127.0.0.1", 8188)),
        ("http://localhost:9000/", ("localhost", 9000)),
        ("http://[::1]", ("::1", 8188)),
    ],
)
def test_an_address_of_this_machine_is_taken(url: str, place: tuple[str, int]) -> None:
    """N2.1"""
    assert loopback(url) == place


@pytest.mark.parametrize(("host", "reached"), [("127.0.0.1", False), ("0.0.0.0", True)])  # noqa: S104
def test_an_engine_that_others_can_reach_is_found_out(host: str, reached: bool) -> None:
    """N2.2: by asking at this machine's own addresses, at the engine's port."""
    if not comfyui._own_addresses():
        pytest.skip("this machine has no address but loopback")

    async def story() -> None:
        async with (
            await asyncio.start_server(_system_stats, host, 0) as server,
            renderer_at(server.sockets[0].getsockname()[1]) as renderer,
        ):
            assert (await renderer.describe()).version == "0.3.64"
            assert (await renderer.outside() in comfyui._own_addresses()) is reached

    asyncio.run(story())


async def _system_stats(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    body = b'{"system": {"comfyui_version": "0.3.64"}, "devices": []}'
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    writer.close()


# Servers that mean no good.

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def hostile(answer: Answer) -> AsyncIterator[tuple[ComfyRenderer, list[bytes]]]:
    """A server that answers every request in one way, and the request heads that it got."""
    heads: list[bytes] = []

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # That the client has had enough, and goes, is what is tested.
        with closing(writer), suppress(OSError, asyncio.IncompleteReadError):
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            length = re.search(rb"(?i)content-length: *(\d+)", heads[-1])
            await reader.readexactly(int(length[1]) if length else 0)
            await answer(writer)

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    try:
        async with server, renderer_at(server.sockets[0].getsockname()[1]) as renderer:
            yield renderer, heads
    finally:
        server.close()


def says(status: str, body: bytes = b"", *headers: str) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close"]
        writer.write("\r\n".join([*lines, *headers, "", ""]).encode() + body)
        await writer.drain()

    return answer


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
        await writer.drain()


async def trickling(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.01)


async def mute(writer: asyncio.StreamWriter) -> None:
    await writer.drain()
    await asyncio.sleep(5)


async def hangs_up(writer: asyncio.StreamWriter) -> None:
    writer.close()


BOMB = gzip.compress(bytes(10_000_000))


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (says("302 Found", b"", "Location: http://192.0.2.1/queue"), "ENGINE_BAD_ANSWER"),
        (says("200 OK", b"{"), "ENGINE_BAD_ANSWER"),
        (says("200 OK", b"[" * 100_000), "ENGINE_BAD_ANSWER"),
        (says("200 OK", b"[]"), "ENGINE_BAD_ANSWER"),
        (says("200 OK", b"null"), "ENGINE_BAD_ANSWER"),
        (says("200 OK", BOMB, "Content-Encoding: gzip"), "ENGINE_BAD_ANSWER"),
        (says("500 Oops", b"\x1b[31mServer got itself in trouble"), "ENGINE_BAD_ANSWER"),
        (says("204 No Content"), "ENGINE_BAD_ANSWER"),
        (endless, "ENGINE_BAD_ANSWER"),
        (trickling, "ENGINE_SILENT"),
        (mute, "ENGINE_SILENT"),
        (hangs_up, "ENGINE_UNREACHABLE"),
        (says("nonsense"), "ENGINE_UNREACHABLE"),
    ],
)
@pytest.mark.parametrize("method", ["describe", "queue", "history", "send", "interrupt", "upload"])
def test_a_bad_answer_is_an_engine_error_soon(
    answer: Answer, code: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """N6.3, A2.5: no redirect, no size and no silence of a server's gets any further."""
    monkeypatch.setattr(comfyui, "ANSWER_LIMIT_BYTES", 1_000_000)
    # Only a silence is waited out; a loaded machine has time for everything else.
    monkeypatch.setattr(comfyui, "WHOLE_ANSWER_S", 0.15 if code == "ENGINE_SILENT" else 20.0)
    calls: dict[str, Callable[[ComfyRenderer], Awaitable[object]]] = {
        "describe": lambda renderer: renderer.describe(),
        "queue": lambda renderer: renderer.queue(),
        "history": lambda renderer: renderer.history("a"),
        "send": lambda renderer: renderer.send({"prompt": {}}),
        "interrupt": lambda renderer: renderer.interrupt("a"),
        "upload": lambda renderer: renderer.upload(name="a.png", data=b"x"),
    }

    async def story() -> None:
        async with hostile(answer) as (renderer, heads):
            with pytest.raises(EngineError) as caught:
                await calls[method](renderer)
            assert caught.value.code == code
            assert len(heads) <= 2, "nobody is asked again, and no redirect is followed"

    asyncio.run(story())


def test_a_refusal_is_no_engine_error() -> None:
    """Asking again is pointless: that is another type."""

    async def story() -> None:
        body = json.dumps({"error": {"type": "no_prompt", "message": "No prompt"}}).encode()
        async with hostile(says("400 Bad Request", body)) as (renderer, _):
            with pytest.raises(PromptRefused, match="No prompt") as caught:
                await renderer.send({})
            assert caught.value.code == "VALIDATION"

    asyncio.run(story())


def test_nobody_there_is_an_engine_error() -> None:
    async def story() -> None:
        async with renderer_at(await unused_port()) as renderer:
            with pytest.raises(EngineError) as caught:
                await renderer.queue()
            assert caught.value.code == "ENGINE_UNREACHABLE"

    asyncio.run(story())


def test_proxy_settings_of_the_environment_are_not_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """N2.1: what is said to the engine stays on this machine."""
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)

    async def story() -> None:
        answer = says("200 OK", b'{"queue_running": [], "queue_pending": []}')
        async with hostile(answer) as (renderer, heads):
            await renderer.queue()
            assert heads[0].startswith(b"GET /queue HTTP/1.1")
            async with renderer.listen():
                assert heads[1].startswith(b"GET /ws?clientId=")

    asyncio.run(story())


async def unused_port() -> int:
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


# Ears.

Talk = Callable[[ServerConnection], Awaitable[None]]
STATUS = json.dumps({"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 3}}}})


@asynccontextmanager
async def talking(talk: Talk) -> AsyncIterator[tuple[ComfyRenderer, list[str]]]:
    """A server of sockets, and what happened to them: each path opened, each closed."""
    told: list[str] = []

    async def handle(socket: ServerConnection) -> None:
        assert socket.request is not None
        told.append(socket.request.path)
        try:
            await talk(socket)
        finally:
            await socket.close()
            told.append("closed")

    async with serve(handle, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with renderer_at(port) as renderer:
            yield renderer, told


async def until_closed(socket: ServerConnection) -> None:
    await socket.wait_closed()


def test_ears_are_open_under_a_fresh_id_when_they_are_given_out() -> None:
    """N1.1"""

    async def talk(socket: ServerConnection) -> None:
        await socket.send(STATUS)
        await until_closed(socket)

    async def story() -> None:
        async with talking(talk) as (renderer, told):
            async with renderer.listen() as ears:
                assert await ears.hear(timeout_s=5) == Status(3)
                assert told == [f"/ws?clientId={ears.client_id}"]
                assert await ears.hear(timeout_s=0.01) is None
            async with renderer.listen() as others:
                assert others.client_id != ears.client_id

    asyncio.run(story())


def test_a_dropped_socket_is_opened_again_after_it_is_closed_under_another_id(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """N6.1"""
    monkeypatch.setattr(comfyui, "FIRST_PAUSE_S", 0.01)

    async def talk(socket: ServerConnection) -> None:
        await socket.send(STATUS)  # And hang up.

    async def story() -> None:
        async with talking(talk) as (renderer, told), renderer.listen() as ears:
            heard = [await ears.hear(timeout_s=5) for _ in range(6)]
            assert heard == [Status(3), None] * 3, "a drop is told of, once"
            opened = [path for path in told if path != "closed"]
            assert len(set(opened)) == len(opened)
            assert told[:4] == [opened[0], "closed", opened[1], "closed"]

    asyncio.run(story())


def test_a_server_that_moved_is_asked_and_heard_at_its_new_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """N5.1: a socket follows once the old one has dropped."""
    monkeypatch.setattr(comfyui, "FIRST_PAUSE_S", 0.01)
    dropped = asyncio.Event()

    async def talk(socket: ServerConnection) -> None:
        await dropped.wait()

    async def story() -> None:
        async with (
            standing(tmp_path) as stand,
            talking(talk) as (renderer, _),
            renderer.listen() as ears,
        ):
            renderer.move_to(f"http://127.0.0.1:{stand.client.port}")
            assert (await renderer.describe()).name == "rehearsal"
            dropped.set()
            while not isinstance(await ears.hear(timeout_s=5), Status):
                pass

    asyncio.run(story())


def test_reopening_slows_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """N6.1: exponential, with jitter."""
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.Event().wait() if len(pauses) == 12 else await asyncio.tasks.sleep(0)

    async def story() -> None:
        async with renderer_at(await unused_port()) as renderer, renderer.listen():
            while len(pauses) < 12:
                await asyncio.tasks.sleep(0.005)

    monkeypatch.setattr("daemon.adapters.comfyui.asyncio.sleep", pause)
    asyncio.run(story())
    assert pauses == sorted(pauses)
    assert pauses[0] < 2
    assert 15 <= pauses[-1] <= 45


def test_nobody_there_is_deaf_ears_and_no_error() -> None:
    """N1.3: and they wait out the time, so that a poller can lean on them."""

    async def story() -> None:
        loop = asyncio.get_running_loop()
        async with renderer_at(await unused_port()) as renderer, renderer.listen() as ears:
            began = loop.time()
            assert await ears.hear(timeout_s=0.1) is None
            assert await ears.hear(timeout_s=0.05) is None
            assert loop.time() - began >= 0.14

    asyncio.run(story())


def test_previews_and_nonsense_are_no_trouble_and_large_messages_come_through() -> None:
    """N1.5: an execution_error of more than 1 MiB would close a socket of the usual limit."""
    large = {"type": "execution_error", "data": {"prompt_id": "p", "traceback": "x" * 2_000_000}}

    async def talk(socket: ServerConnection) -> None:
        await socket.send(b"\x00\x00\x00\x01 a preview")
        await socket.send("nonsense")
        await socket.send(json.dumps(large))
        await socket.send(json.dumps({"type": "executing", "data": {"node": None}}))
        await until_closed(socket)

    async def story() -> list[Message | None]:
        async with talking(talk) as (renderer, _), renderer.listen() as ears:
            return [await ears.hear(timeout_s=5) for _ in range(3)]

    heard = asyncio.run(story())
    assert [type(message).__name__ for message in heard] == ["Other", "Ended", "Executing"]
    assert heard[2] == Executing(None, None)


def test_a_listener_that_does_not_listen_holds_up_nobody() -> None:
    """N6.1: old messages give way; the server gets rid of all of its own."""
    sent = asyncio.Event()

    async def talk(socket: ServerConnection) -> None:
        for number in range(5_000):
            data = {"value": number, "max": 5_000, "node": "7" * 200, "prompt_id": "p"}
            await socket.send(json.dumps({"type": "progress", "data": data}))
        sent.set()
        await until_closed(socket)

    async def story() -> None:
        async with talking(talk) as (renderer, _), renderer.listen() as ears:
            async with asyncio.timeout(10):
                await sent.wait()
            await asyncio.sleep(0.2)  # What is still on its way is not kept yet.
            kept = 0
            while await ears.hear(timeout_s=0.1) is not None:
                kept += 1
            assert 0 < kept <= comfyui.KEPT_MESSAGES

    asyncio.run(story())


def test_a_socket_follows_no_redirect() -> None:
    """N2.1"""

    async def story() -> None:
        reached: list[bytes] = []

        async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            reached.append(await reader.readline())
            writer.close()

        other = await asyncio.start_server(elsewhere, "127.0.0.1", 0)
        where = f"Location: ws://127.0.0.1:{other.sockets[0].getsockname()[1]}/ws"
        async with other, hostile(says("302 Found", b"", where)) as (renderer, heads):
            async with renderer.listen() as ears:
                assert await ears.hear(timeout_s=0.1) is None
            assert heads[0].startswith(b"GET /ws?clientId=")
        assert reached == []

    asyncio.run(story())


def test_a_broken_socket_library_is_deaf_ears_and_a_line_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """N1.3: whatever becomes of the socket, the poller goes on."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(comfyui, "connect", broken)

    async def story() -> None:
        async with renderer_at(await unused_port()) as renderer, renderer.listen() as ears:
            assert await ears.hear(timeout_s=0.05) is None

    asyncio.run(story())
    assert "a bug" in caplog.text


def test_leaving_the_ears_leaves_no_task_behind() -> None:
    async def story() -> None:
        async with talking(until_closed) as (renderer, _):
            before = asyncio.all_tasks()
            async with renderer.listen():
                assert asyncio.all_tasks() > before
            assert len(asyncio.all_tasks()) <= len(before) + 1  # The server's own handler ends.

    asyncio.run(story())


def test_the_hint_that_a_template_makes_comes_with_the_picture(tmp_path: Path) -> None:
    """C2.3: from the history, and from the server's folder when the history is gone."""
    net = ControlNetUse("tiny-controlnet.safetensors", "poses/a.png", 0.65, 0.0, 1.0)

    async def story() -> None:
        async with rehearsing(tmp_path) as (renderer, _):
            hint = await renderer.upload(name="figure.png", data=figure())
            bound = bind(CANNY, replace(SPEC, controlnet=net), seed=421, hint=hint)
            wanted = replace(
                order(), graph=with_prefix(bound, "nightpress/0b8f"), map_node=bound.map_node
            )
            result = await drawn(renderer, wanted)
            assert isinstance(result, Drawn), result
            assert result.pose_map is not None
            with Image.open(io.BytesIO(result.pose_map)) as lines:
                assert lines.convert("L").getextrema() == (0, 255)
            found = await Whereabouts(wanted, renderer, QUICK).harvest()
            assert found is not None
            assert (found.png, found.pose_map) == (result.png, result.pose_map)

    asyncio.run(story())


def figure() -> bytes:
    """A picture with something in it."""
    page, file = Image.new("RGB", (64, 64), "white"), io.BytesIO()
    ImageDraw.Draw(page).ellipse((10, 10, 50, 50), outline="black", width=4)
    page.save(file, "PNG")
    return file.getvalue()
