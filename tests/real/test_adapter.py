"""The adapter against a real ComfyUI: what the rehearsal taught it holds there too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from daemon.adapters.clock import SystemEntropy
from daemon.adapters.comfyui import ComfyRenderer
from daemon.craft.graph import same_graph
from daemon.errors import EngineError, PromptRefused
from daemon.ports import Ears
from daemon.shell.whereabouts import DrawOrder
from daemon.wire.comfyui import Ended, Executing, HistoryEntry, Message, OutputFile, Progress
from daemon.wire.comfyui import prompt_body as body_of
from tests.real.engine import LONG_STEPS, PATIENCE_S, RealEngine, until

pytestmark = pytest.mark.real

STRANGE = "ffffffff-0000-0000-0000-000000000000"
Story = Callable[[ComfyRenderer], Awaitable[None]]


@asynccontextmanager
async def rendering(real: RealEngine) -> AsyncIterator[ComfyRenderer]:
    renderer = ComfyRenderer(real.url, entropy=SystemEntropy())
    try:
        yield renderer
    finally:
        await renderer.close()


def told(real: RealEngine, story: Story) -> None:
    """Run a story with a renderer that talks to the server."""

    async def tell() -> None:
        async with rendering(real) as renderer:
            await story(renderer)

    asyncio.run(tell())


async def send(renderer: ComfyRenderer, order: DrawOrder, *, client_id: str = "") -> None:
    body = body_of(
        order.graph, prompt_id=order.prompt_id, client_id=client_id or "nobody", note=order.note
    )
    assert await renderer.send(body) == {}


async def ended(renderer: ComfyRenderer, order: DrawOrder) -> HistoryEntry:
    entry = await until(lambda: renderer.history(order.prompt_id))
    assert isinstance(entry, HistoryEntry)
    return entry


async def runs(renderer: ComfyRenderer, order: DrawOrder) -> bool:
    return order.prompt_id in (await renderer.queue()).running


async def heard(ears: Ears, order: DrawOrder) -> list[Message]:
    """All messages up to the one that says that the prompt has ended."""
    messages: list[Message] = []
    async with asyncio.timeout(PATIENCE_S):
        while not messages or not (
            isinstance(messages[-1], Ended) and messages[-1].prompt_id == order.prompt_id
        ):
            message = await ears.hear(timeout_s=PATIENCE_S)
            if message is not None:
                messages.append(message)
    return messages


def test_it_says_what_it_is(real: RealEngine) -> None:
    """S3.2: what the lock file tells of the engine."""

    async def story(renderer: ComfyRenderer) -> None:
        facts = await renderer.describe()
        assert facts.name == "comfyui"
        assert facts.version.count(".") == 2
        assert facts.python.startswith("3.")
        assert "main.py" in facts.argv[0]
        assert facts.torch
        assert facts.device_type
        assert facts.mode == "external"

    told(real, story)


def test_an_unknown_prompt_is_in_no_history_and_an_unknown_output_has_a_code(
    real: RealEngine,
) -> None:
    """N3.3"""

    async def story(renderer: ComfyRenderer) -> None:
        assert await renderer.history(STRANGE) is None
        with pytest.raises(EngineError) as caught:
            await renderer.view(OutputFile("9", "a b&c.png", "nightpress", "output"))
        assert caught.value.code == "OUTPUT_MISSING"

    told(real, story)


def test_a_prompt_keeps_our_id_our_graph_our_file_name_and_our_note(real: RealEngine) -> None:
    """N1.4, N3.3"""

    async def story(renderer: ComfyRenderer) -> None:
        order = real.order()
        await send(renderer, order)
        entry = await ended(renderer, order)
        assert (entry.ending, entry.failure) == ("success", None)
        assert same_graph(order.graph, entry.graph)
        stem = order.prompt_id.replace("-", "")[:12]
        file = OutputFile(order.save_node, f"{stem}_00001_.png", "nightpress", "output")
        assert list(entry.outputs) == [file]
        png = await renderer.view(file)
        assert png.startswith(b"\x89PNG")
        assert b'nightpress\x00{"job": "a_v1"}' in png

    told(real, story)


def test_ears_hear_each_step_and_the_end(real: RealEngine) -> None:
    """N1.3"""

    async def story(renderer: ComfyRenderer) -> None:
        order = real.order(real.with_lora())
        async with renderer.listen() as ears:
            await send(renderer, order, client_id=ears.client_id)
            messages = await heard(ears, order)
        steps = [
            (message.value, message.max)
            for message in messages
            if isinstance(message, Progress) and message.prompt_id == order.prompt_id
        ]
        assert list(dict.fromkeys(steps)) == [(1, 3), (2, 3), (3, 3)]
        begun = [message.node for message in messages if isinstance(message, Executing)]
        assert begun[-1] == order.save_node
        assert messages[-1] == Ended(order.prompt_id)

    told(real, story)


def test_the_queue_shows_what_runs_and_what_waits_and_only_ours_is_taken_out(
    real: RealEngine,
) -> None:
    """N6.3: first a waiting prompt, then a strange id, then the running one."""

    async def story(renderer: ComfyRenderer) -> None:
        theirs = real.order(real.panel(steps=LONG_STEPS), attempt=1)
        ours = real.order(real.panel(steps=LONG_STEPS), attempt=2)
        await send(renderer, theirs)
        await until(lambda: runs(renderer, theirs))
        try:
            await send(renderer, ours)
            queue = await renderer.queue()
            assert same_graph(theirs.graph, queue.running[theirs.prompt_id])
            assert same_graph(ours.graph, queue.pending[ours.prompt_id])
            await renderer.interrupt(ours.prompt_id)
            await renderer.interrupt(STRANGE)
            queue = await renderer.queue()
            assert list(queue.running) == [theirs.prompt_id]
            assert not queue.pending
        finally:
            await renderer.interrupt(theirs.prompt_id)
        entry = await ended(renderer, theirs)
        assert (entry.ending, entry.outputs) == ("interrupted", ())
        assert await renderer.history(ours.prompt_id) is None

    told(real, story)


def test_a_refusal_names_input_and_value(real: RealEngine) -> None:
    """N3.2"""

    async def story(renderer: ComfyRenderer) -> None:
        order = real.order(replace(real.panel(), checkpoint="no-such.safetensors"))
        with pytest.raises(PromptRefused) as caught:
            await send(renderer, order)
        assert caught.value.code == "VALIDATION"
        assert "ckpt_name = 'no-such.safetensors'" in caught.value.text

    told(real, story)


def test_an_upload_keeps_its_name_until_other_bytes_come_under_it(real: RealEngine) -> None:
    """N3.3: hint images of two jobs never mix."""
    name = f"nightpress-test-{real.token}.png"
    stored = [real.base / "input" / each for each in (name, name.replace(".png", " (1).png"))]

    async def story(renderer: ComfyRenderer) -> None:
        assert await renderer.upload(name=name, data=b"one") == name
        assert await renderer.upload(name=name, data=b"one") == name
        assert await renderer.upload(name=name, data=b"two") == stored[1].name

    try:
        told(real, story)
    finally:
        for path in stored:
            path.unlink(missing_ok=True)


def test_a_node_that_raises_is_named_with_what_it_said(real: RealEngine) -> None:
    """N1.5: a hint image that is no picture passes the server's validation and fails later."""
    name = f"nightpress-test-{real.token}.png"

    async def story(renderer: ComfyRenderer) -> None:
        assert await renderer.upload(name=name, data=b"no picture") == name
        blank = real.order()
        graph = {
            **blank.graph,
            "1": {"class_type": "LoadImage", "inputs": {"image": name}},
        }
        await send(renderer, replace(blank, graph=graph))
        entry = await ended(renderer, blank)
        assert entry.ending == "error"
        assert entry.failure is not None
        assert (entry.failure.node, entry.failure.node_type) == ("1", "LoadImage")
        assert "UnidentifiedImageError" in entry.failure.exception_type

    try:
        told(real, story)
    finally:
        (real.base / "input" / name).unlink(missing_ok=True)
