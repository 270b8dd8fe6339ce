"""Laws of the stand-in's protocol that no recording can be replayed for.

Each was observed on ComfyUI 0.3.64. They support the rows N1 to N6, which the daemon proves
against this server.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.rehearsal.stand import PATIENCE_S, Stand, flat, read_to_end, standing, txt2img

Play = Callable[[Stand], Awaitable[None]]


def _play(base: Path, story: Play, **options: Any) -> None:
    async def play() -> None:
        async with standing(base, **options) as stand:
            await story(stand)

    asyncio.run(play())


def test_the_last_of_two_sockets_with_one_id_is_mute_once_the_first_has_closed(
    tmp_path: Path,
) -> None:
    """N6.1: why a fresh id is used and the old socket closed first."""

    async def story(stand: Stand) -> None:
        first = await stand.listen("twin")
        second = await stand.listen("twin")
        await stand.post("/prompt", {"prompt": flat(1), "client_id": "twin"})
        assert [m["type"] for m in await read_to_end(second)][-1] == "executing"
        await first.close()
        await stand.run(flat(2), client_id="twin")
        with pytest.raises(TimeoutError):
            await second.receive(timeout=0.1)
        assert not second.closed

    _play(tmp_path, story)


def test_the_history_has_the_prompt_when_its_end_is_told(tmp_path: Path) -> None:
    """N1.4: asked on ``executing`` with no node, the entry is always there."""

    async def story(stand: Stand) -> None:
        socket = await stand.listen("me")
        for color in range(20):
            await stand.post("/prompt", {"prompt": flat(color), "client_id": "me"})
            prompt_id = (await read_to_end(socket))[-1]["data"]["prompt_id"]
            assert prompt_id in await stand.get(f"/history/{prompt_id}")

    _play(tmp_path, story)


def test_freeing_memory_empties_the_cache_and_unloading_models_does_not(tmp_path: Path) -> None:
    """N1.5: what is served from the cache after each."""

    async def story(stand: Stand) -> None:
        def cached(entry: dict[str, Any]) -> list[str]:
            return list(entry["status"]["messages"][1][1]["nodes"])

        assert cached(await stand.run(txt2img())) == []
        assert len(cached(await stand.run(txt2img()))) == 9
        await stand.post("/free", {"unload_models": True})
        assert len(cached(await stand.run(txt2img()))) == 9
        await stand.post("/free", {"free_memory": True})
        assert cached(await stand.run(txt2img())) == []
        async with stand.client.post("/free") as answer:
            assert answer.status == 500

    _play(tmp_path, story)


def test_only_what_the_latest_prompt_could_use_stays_in_the_cache(tmp_path: Path) -> None:
    """N3.3: alternating prompts run again and write new files."""

    async def story(stand: Stand) -> None:
        names = []
        for color in (1, 2, 1):
            entry = await stand.run(flat(color))
            names.append(entry["outputs"]["2"]["images"][0]["filename"])
        assert names == ["flat_00001_.png", "flat_00002_.png", "flat_00003_.png"]

    _play(tmp_path, story)


def test_an_overwritten_input_image_is_loaded_again(tmp_path: Path) -> None:
    """F: an input is known by its bytes, a model by its name."""

    async def story(stand: Stand) -> None:
        graph = {
            "1": {"class_type": "LoadImage", "inputs": {"image": "pose.png"}},
            "2": flat()["2"],
        }
        seen = []
        for color in ("red", "blue"):
            Image.new("RGB", (8, 8), color).save(stand.rehearsal.layout.input / "pose.png")
            seen.append((await stand.picture(await stand.run(graph), "2")).getpixel((0, 0)))
        assert seen == [(255, 0, 0), (0, 0, 255)]

    _play(tmp_path, story)


def test_twin_outputs_of_one_prompt_share_one_file(tmp_path: Path) -> None:
    """N3.3: equal nodes have one result."""

    async def story(stand: Stand) -> None:
        graph = flat(3)
        graph["3"] = json.loads(json.dumps(graph["2"]))
        entry = await stand.run(graph)
        assert entry["outputs"]["2"] == entry["outputs"]["3"]
        assert len(list((stand.rehearsal.layout.output / "bench").iterdir())) == 1

    _play(tmp_path, story)


def test_a_counter_goes_on_after_the_highest_name_of_its_prefix(tmp_path: Path) -> None:
    """N3.3: holes stay, other files count, and a deleted newest name is given again."""

    async def story(stand: Stand) -> None:
        folder = stand.rehearsal.layout.output / "gap"
        folder.mkdir(parents=True)
        (folder / "g_00041_.png").touch()
        (folder / "g_00099_foo.txt").touch()
        (folder / "g_extra_00500_.png").touch()

        async def saved(color: int) -> str:
            entry = await stand.run(flat(color, prefix="gap/g"))
            return str(entry["outputs"]["2"]["images"][0]["filename"])

        assert await saved(1) == "g_00100_.png"
        (folder / "g_00100_.png").unlink()
        assert await saved(2) == "g_00100_.png"

    _play(tmp_path, story)


def test_a_png_carries_the_prompt_and_what_the_client_gave_along(tmp_path: Path) -> None:
    """N3.3: after coercion, as tEXt chunks in ASCII, eight bits of RGB."""

    async def story(stand: Stand) -> None:
        prompt = flat(7, width="64", prefix="meta/コマ")
        extra = {"extra_pnginfo": {"manga": {"job": "42", "panel": 3}}, "mine": 1}
        entry = await stand.run(prompt, extra_data=extra)
        picture = await stand.picture(entry, "2")
        assert isinstance(picture, Image.Image)
        texts = picture.info
        assert picture.mode == "RGB"
        assert json.loads(texts["prompt"])["1"]["inputs"]["width"] == 64
        assert texts["prompt"].isascii()
        assert json.loads(texts["manga"]) == {"job": "42", "panel": 3}
        assert entry["prompt"][2]["1"]["inputs"]["width"] == 64
        assert entry["prompt"][3]["mine"] == 1

    _play(tmp_path, story)


def test_only_the_chosen_outputs_run(tmp_path: Path) -> None:
    """F: partial_execution_targets."""

    async def story(stand: Stand) -> None:
        graph = flat(1, prefix="p1")
        graph["9"] = flat(1, prefix="p2")["2"]
        entry = await stand.run(graph, partial_execution_targets=["9"])
        assert list(entry["outputs"]) == ["9"]

    _play(tmp_path, story)


def test_a_page_of_another_origin_is_refused(tmp_path: Path) -> None:
    """N2.1: no page in a browser may drive the engine; the socket is refused too."""

    async def story(stand: Stand) -> None:
        here = f"http://127.0.0.1:{stand.client.port}"
        cases = {
            here: 200,
            "http://evil.example": 403,
            f"http://localhost:{stand.client.port}": 403,
            "http://127.0.0.1:1": 403,
        }
        for origin, expected in cases.items():
            for path in ("/system_stats", "/api/system_stats"):
                async with stand.client.get(path, headers={"Origin": origin}) as answer:
                    assert answer.status == expected, origin
        async with stand.client.get("/ws", headers={"Origin": "http://evil.example"}) as answer:
            assert answer.status == 403

    _play(tmp_path, story)


def test_a_body_beyond_the_limit_is_refused_with_the_recorded_text(tmp_path: Path) -> None:
    """F: the limit holds for prompts and for uploads."""

    async def story(stand: Stand) -> None:
        long = {"prompt": flat(), "extra_data": {"pad": "x" * 1_200_000}}
        status, text = await stand.post("/prompt", long)
        assert (status, text) == (413, "Maximum request body size 1048576 exceeded.")
        status, _ = await stand.upload("big.png", bytes(1_500_000))
        assert status == 413
        assert (await stand.get("/features"))["max_upload_size"] == 1048576

    _play(tmp_path, story, upload_limit_mb=1)


def test_an_upload_never_leaves_its_folder(tmp_path: Path) -> None:
    """F: neither by the subfolder nor by the file name."""

    async def story(stand: Stand) -> None:
        for name, subfolder in (("../../x.png", ""), ("x.png", "../.."), ("x.png", "/tmp")):  # noqa: S108
            status, _ = await stand.upload(name, b"x", subfolder=subfolder)
            assert status == 400, (name, subfolder)
        assert not list(stand.base.parent.glob("x.png"))

    _play(tmp_path, story)


def test_a_picture_can_be_had_in_parts_and_in_other_forms(tmp_path: Path) -> None:
    """N3.3: /view as a browser or a client uses it."""

    async def story(stand: Stand) -> None:
        await stand.run(flat(3368601, prefix="v"))
        path = "/view?filename=v_00001_.png"
        async with stand.client.get(path, headers={"Range": "bytes=0-9"}) as answer:
            assert (answer.status, len(await answer.read())) == (206, 10)
        async with stand.client.get(path) as answer:
            assert answer.headers["Content-Disposition"] == 'filename="v_00001_.png"'
            assert "Etag" in answer.headers
        async with stand.client.get(f"{path}&preview=webp;90") as answer:
            assert answer.content_type == "image/webp"

    _play(tmp_path, story)


def test_it_says_of_itself_that_it_is_the_rehearsal(tmp_path: Path) -> None:
    """N5.1: everything else in the answer is as the real one's."""

    async def story(stand: Stand) -> None:
        stats = await stand.get("/system_stats")
        assert stats["system"]["nightpress_rehearsal"] == "1"
        assert stats["system"]["comfyui_version"] == "0.3.64"
        assert (stats["devices"][0]["name"], stats["devices"][0]["type"]) == ("rehearsal", "cpu")

    _play(tmp_path, story)


def test_extra_data_that_is_no_object_ends_the_worker_and_nothing_else(tmp_path: Path) -> None:
    """N5.1: health is more than an answer of /system_stats."""

    async def story(stand: Stand) -> None:
        assert (await stand.post("/prompt", {"prompt": flat(), "extra_data": None}))[0] == 200
        status, answer = await stand.post("/prompt", {"prompt": flat(2), "prompt_id": "next"})
        await asyncio.sleep(0.05)
        queue = await stand.get("/queue")
        assert (status, answer["node_errors"]) == (200, {})
        assert len(queue["queue_running"]) == 1
        assert [item[1] for item in queue["queue_pending"]] == ["next"]
        assert await stand.get("/system_stats")

    _play(tmp_path, story)


@pytest.mark.parametrize(
    ("place", "name", "kind", "text"),
    [
        ("ckpt_name", "x-lora", "RuntimeError", "Could not detect model type of"),
        ("vae_name", "x-ckpt", "RuntimeError", "ERROR: VAE is invalid: None"),
        ("lora_name", "x-ckpt", None, ""),
        ("ckpt_name", "x-empty", "SafetensorError", "header too small"),
        ("ckpt_name", "x-cut", "SafetensorError", "file not fully covered"),
    ],
)
def test_a_model_file_of_the_wrong_kind_fails_as_the_real_loaders_fail(
    tmp_path: Path, place: str, name: str, kind: str | None, text: str
) -> None:
    """N1.5: and a checkpoint in the place of a LoRA is reported as success."""

    async def story(stand: Stand) -> None:
        _lay_out_wrong_files(tmp_path / "models", place, name)
        entry = await stand.run(txt2img(**{place: f"{name}.safetensors"}))
        last, data = entry["status"]["messages"][-1]
        if kind is None:
            assert last == "execution_success"
            return
        assert last == "execution_error"
        assert data["exception_type"].rpartition(".")[2] == kind
        assert text in data["exception_message"]
        assert data["exception_message"].endswith("\n")

    _play(tmp_path, story)


def _lay_out_wrong_files(models: Path, place: str, name: str) -> None:
    folder = {"ckpt_name": "checkpoints", "vae_name": "vae", "lora_name": "loras"}[place]
    checkpoint = (models / "checkpoints/tiny-sd15.safetensors").read_bytes()
    files = {
        "x-lora": (models / "loras/tiny-lora.safetensors").read_bytes(),
        "x-ckpt": checkpoint,
        "x-empty": b"",
        "x-cut": checkpoint[:-100],
    }
    (models / folder / f"{name}.safetensors").write_bytes(files[name])


def test_new_model_files_are_offered_at_once(tmp_path: Path) -> None:
    """N3.2: no restart is needed, subfolders and links are followed."""

    async def story(stand: Stand) -> None:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "late.safetensors").touch()
        (tmp_path / "models/loras/sub").symlink_to(elsewhere)
        assert "sub/late.safetensors" in await stand.get("/models/loras")

    _play(tmp_path, story)


def test_a_slow_reader_does_not_stop_the_execution(tmp_path: Path) -> None:
    """N1.3: silence on a socket proves nothing; the history goes on."""

    async def story(stand: Stand) -> None:
        socket = await stand.listen("slow")
        for seed in range(3):
            await stand.run(txt2img(seed=seed, steps=3), client_id="slow")
        first = await socket.receive_json(timeout=PATIENCE_S)
        assert first["type"] == "status"

    _play(tmp_path, story)
