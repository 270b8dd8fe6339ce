"""Laws of the fault switches: each produces the end state that it names, and no other.

They are what the rows about recovery (N1, N5, N6, A3) are proven with.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType
from PIL import Image, ImageStat

from daemon.rehearsal.faults import Faults
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
        await stand.post("/rehearsal/faults", {"mute_socket": True})
        assert _last(await stand.run(flat(), client_id="me")) == "execution_success"
        with pytest.raises(TimeoutError):
            await socket.receive(timeout=0.05)
        await stand.post("/rehearsal/faults", {"mute_socket": False})
        await stand.post("/prompt", {"prompt": flat(1), "client_id": "me"})
        assert await read_to_end(socket)

    _play(tmp_path, story)


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
@pytest.mark.parametrize("fault", ["black", "nan"])
def test_black_and_nan_give_a_black_picture_and_success(tmp_path: Path, fault: str) -> None:
    """A3.1: and only as often as was asked."""

    async def story(stand: Stand) -> None:
        entry = await stand.run(txt2img())
        assert _last(entry) == "execution_success"
        assert (await stand.picture(entry)).getextrema() == ((0, 0),) * 3
        good = await stand.run(txt2img(seed=2))
        assert ImageStat.Stat(await stand.picture(good)).stddev[0] > 20

    _play(tmp_path, story, **{fault: 1})


def test_a_lora_that_fits_nothing_changes_nothing_and_is_no_error(tmp_path: Path) -> None:
    """Only the log tells, as of the real server."""

    async def drawn(stand: Stand, lora: str) -> bytes:
        entry = await stand.run(txt2img(lora_name=lora, width=256, height=256))
        assert _last(entry) == "execution_success"
        return (await stand.picture(entry)).tobytes()

    async def story(stand: Stand) -> None:
        without = await drawn(stand, "tiny-lora.safetensors")
        assert await drawn(stand, "tiny-lora-b.safetensors") == without
        assert await drawn(stand, "tiny-lora.safetensors") != without

    _play(tmp_path, story, lora_unmatched=2)


@pytest.mark.filterwarnings("ignore:The operator:UserWarning")
def test_a_fallback_to_the_cpu_is_a_warning_only(tmp_path: Path) -> None:
    """A1.5."""

    async def story(stand: Stand) -> None:
        assert _last(await stand.run(txt2img())) == "execution_success"

    _play(tmp_path, story, cpu_fallback=True)


def test_switches_act_in_the_profiles_that_are_named() -> None:
    """A3.2."""
    for profile, acts in (("default", True), ("cpu-vae", True), ("fp32-unet", False)):
        faults = Faults(profile)
        faults.set_from_text("black")
        faults.set_from_text("only_in=default,cpu-vae")
        assert (faults.on("black"), faults.take("black")) == (acts, acts)
        assert faults.as_json() == {"black": True, "only_in": "default,cpu-vae"}
        faults.set("only_in", None)
        assert faults.take("black")


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


def test_a_dead_worker_leaves_the_prompt_running_for_ever(tmp_path: Path) -> None:
    """N5.1: HTTP is healthy, POST says 200, nothing runs."""

    async def story(stand: Stand) -> None:
        assert (await stand.post("/prompt", {"prompt": flat(), "prompt_id": "a"}))[0] == 200
        assert (await stand.post("/prompt", {"prompt": flat(1), "prompt_id": "b"}))[0] == 200
        queue = await stand.get("/queue")
        for _ in range(500):
            if queue["queue_running"]:
                break
            await asyncio.sleep(0.01)
            queue = await stand.get("/queue")
        assert [item[1] for item in queue["queue_running"]] == ["a"]
        assert [item[1] for item in queue["queue_pending"]] == ["b"]
        assert await stand.get("/history") == {}

    _play(tmp_path, story, dead_worker=True)


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
        assert (status, text.splitlines()[0]) == (500, "500 Internal Server Error")
        assert _last(await stand.entry("mine")) == "execution_success"

    _play(tmp_path, story, post_500_but_queued=1)


def test_truncate_output_leaves_half_a_png(tmp_path: Path) -> None:
    """A3.1: a file that does not decode, reported as success."""

    async def story(stand: Stand) -> None:
        entry = await stand.run(txt2img())
        assert _last(entry) == "execution_success"
        with pytest.raises(OSError, match=r"(?i)truncated"):
            await stand.picture(entry)

    _play(tmp_path, story, truncate_output=True)


def test_missing_output_is_named_and_not_there(tmp_path: Path) -> None:
    """N3.3."""

    async def story(stand: Stand) -> None:
        image = (await stand.run(flat()))["outputs"]["2"]["images"][0]
        path = f"/view?filename={image['filename']}&subfolder={image['subfolder']}"
        async with stand.client.get(path) as answer:
            assert answer.status == 404

    _play(tmp_path, story, missing_output=True)


def test_gc_stall_holds_up_http_and_the_end_of_the_prompt(tmp_path: Path) -> None:
    """N5.1: a late answer is not a dead server."""

    async def story(stand: Stand) -> None:
        socket = await stand.listen("me")
        began = time.monotonic()
        await stand.post("/prompt", {"prompt": flat(), "client_id": "me"})
        await read_to_end(socket)
        assert time.monotonic() - began >= 0.15

    _play(tmp_path, story, gc_stall=0.15)


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


def test_slow_stretches_the_steps(tmp_path: Path) -> None:
    """N6.3."""

    async def story(stand: Stand) -> None:
        began = time.monotonic()
        await stand.run(txt2img(steps=4))
        assert time.monotonic() - began >= 0.12

    _play(tmp_path, story, step_s=0.001, slow=30)


def test_faults_are_set_and_read_while_the_server_runs(tmp_path: Path) -> None:
    """F: and a wrong name or value is answered with what there is."""

    async def story(stand: Stand) -> None:
        assert await stand.get("/rehearsal/faults") == {}
        wanted = {"black": True, "oom": 2, "slow": 1.5, "die_at": "saving"}
        assert (await stand.post("/rehearsal/faults", wanted))[1] == wanted
        off = dict.fromkeys(wanted, None)
        assert (await stand.post("/rehearsal/faults", off)) == (200, {})
        status, answer = await stand.post("/rehearsal/faults", {"blakc": True})
        assert status == 400
        assert "black" in answer["error"]
        assert (await stand.post("/rehearsal/faults", {"slow": "fast"}))[0] == 400
        assert (await stand.post("/rehearsal/faults", {"die_at": "noon"}))[0] == 400

    _play(tmp_path, story)


def test_a_switch_is_spelt_on_the_command_line_as_name_or_name_and_value() -> None:
    faults = Faults()
    for text in ("black", "oom=2", "late_history=0.5", "die_at=post"):
        faults.set_from_text(text)
    assert faults.as_json() == {"black": True, "oom": 2, "late_history": 0.5, "die_at": "post"}
    assert [faults.take("oom") for _ in range(3)] == [True, True, False]
    assert all(faults.take("black") for _ in range(9))


def test_nothing_is_on_by_itself(tmp_path: Path) -> None:
    """The stand-in is a healthy engine: this is what the demo runs on."""

    async def story(stand: Stand) -> None:
        entry = await stand.run(txt2img(width=512, height=768))
        picture = await stand.picture(entry)
        assert isinstance(picture, Image.Image)
        assert picture.size == (512, 768)

    _play(tmp_path, story)
