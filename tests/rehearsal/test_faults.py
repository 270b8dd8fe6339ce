"""Laws of the fault switches: each produces the end state that it names, and no other.

They are what the rows about recovery (N1, N5, N6, A3) are proven with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType
from PIL import Image

from tests.rehearsal.stand import PATIENCE_S, Stand, flat, read_to_end, standing, txt2img

Play = Callable[[Stand], Awaitable[None]]


def _play(base: Path, story: Play, *, step_s: float = 0.0, **faults: Any) -> None:
    async def play() -> None:
        async with standing(base, step_s=step_s, **faults) as stand:
            await story(stand)

    asyncio.run(play())


def _last(entry: Any) -> str:
    return str(entry["status"]["messages"][-1][0])


def test_drop_socket_cuts_every_socket_and_the_prompt_still_succeeds(tmp_path: Path) -> None:
    """N6.1, N1.4."""

    async def story(stand: Stand) -> None:
        socket = await stand.listen("me")
        _, answer = await stand.post("/prompt", {"prompt": txt2img(steps=6), "client_id": "me"})
        seen = [(await socket.receive(timeout=PATIENCE_S)).type]
        while seen[-1] is WSMsgType.TEXT:
            seen.append((await socket.receive(timeout=PATIENCE_S)).type)
        assert socket.close_code == 1006
        assert _last(await stand.entry(answer["prompt_id"])) == "execution_success"

    _play(tmp_path, story, step_s=0.01, drop_socket=1)


def test_mute_socket_silences_sockets_and_nothing_else(tmp_path: Path) -> None:
    """N1.3."""

    async def story(stand: Stand) -> None:
        socket = await stand.listen("me")
        stand.rehearsal.faults.set("mute_socket", True)
        assert _last(await stand.run(flat(), client_id="me")) == "execution_success"
        with pytest.raises(TimeoutError):
            await socket.receive(timeout=0.05)
        stand.rehearsal.faults.set("mute_socket", False)
        await stand.post("/prompt", {"prompt": flat(1), "client_id": "me"})
        assert await read_to_end(socket)

    _play(tmp_path, story)


def test_lose_history_runs_the_prompt_and_forgets_it(tmp_path: Path) -> None:
    """N6.2: the picture is there, the entry is not."""

    async def story(stand: Stand) -> None:
        socket = await stand.listen("me")
        await stand.post("/prompt", {"prompt": flat(), "client_id": "me"})
        assert "execution_success" in [m["type"] for m in await read_to_end(socket)]
        assert await stand.get("/history") == {}
        assert (stand.rehearsal.layout.output / "bench/flat_00001_.png").is_file()

    _play(tmp_path, story, lose_history=True)


@pytest.mark.realprocess
def test_late_history_comes_after_the_success_is_told(tmp_path: Path) -> None:
    """N1.4: execution_success is not yet a history entry."""

    async def story(stand: Stand) -> None:
        socket = await stand.listen("me")
        await stand.post("/prompt", {"prompt": flat(), "client_id": "me", "prompt_id": "p"})
        while (await socket.receive_json(timeout=PATIENCE_S))["type"] != "execution_success":
            pass
        assert await stand.get("/history/p") == {}
        assert len((await stand.get("/queue"))["queue_running"]) == 1
        await read_to_end(socket)
        assert await stand.get("/history/p") != {}

    _play(tmp_path, story, late_history=1.5)  # Long, for the questions must fit into it.


def test_node_errors_200_accepts_and_complains(tmp_path: Path) -> None:
    """N1.5: 200 alone is no success."""

    async def story(stand: Stand) -> None:
        status, answer = await stand.post("/prompt", {"prompt": flat()})
        assert status == 200
        assert next(iter(answer["node_errors"].values()))["errors"]

    _play(tmp_path, story, node_errors_200=True)


def test_post_500_but_queued_runs_what_it_seemed_to_refuse(tmp_path: Path) -> None:
    """N6.2: after an unclear answer one looks before sending again."""

    async def story(stand: Stand) -> None:
        status, text = await stand.post("/prompt", {"prompt": flat(), "prompt_id": "mine"})
        assert (status, "Internal Server Error" in text) == (500, True)
        assert _last(await stand.entry("mine")) == "execution_success"

    _play(tmp_path, story, post_500_but_queued=1)


def test_missing_output_is_named_and_not_there(tmp_path: Path) -> None:
    """N3.3."""

    async def story(stand: Stand) -> None:
        image = (await stand.run(flat()))["outputs"]["2"]["images"][0]
        path = f"/view?filename={image['filename']}&subfolder={image['subfolder']}"
        async with stand.client.get(path) as answer:
            assert answer.status == 404

    _play(tmp_path, story, missing_output=True)


def test_refuse_post_answers_with_the_chosen_status(tmp_path: Path) -> None:
    """N6.2: and nothing is queued."""

    async def story(stand: Stand) -> None:
        assert (await stand.post("/prompt", {"prompt": flat()}))[0] == 503
        assert await stand.get("/history") == {}

    _play(tmp_path, story, refuse_post=503)


def test_oom_is_the_error_that_mps_gives(tmp_path: Path) -> None:
    """A2.6: a RuntimeError whose text alone tells; the next prompt runs."""

    async def story(stand: Stand) -> None:
        last, data = (await stand.run(txt2img()))["status"]["messages"][-1]
        assert (last, data["exception_type"]) == ("execution_error", "RuntimeError")
        assert data["node_type"] == "KSampler"
        assert data["exception_message"].startswith("MPS backend out of memory")
        assert _last(await stand.run(txt2img())) == "execution_success"

    _play(tmp_path, story, oom=1)


def test_nothing_is_on_by_itself(tmp_path: Path) -> None:
    """The stand-in is a healthy engine: this is what the demo runs on."""

    async def story(stand: Stand) -> None:
        entry = await stand.run(txt2img(width=512, height=768))
        picture = await stand.picture(entry)
        assert isinstance(picture, Image.Image)
        assert picture.size == (512, 768)

    _play(tmp_path, story)
