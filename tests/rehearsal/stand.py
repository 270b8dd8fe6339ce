"""A rehearsal server inside the test's own process, with props and two nodes of a test pack."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientWebSocketResponse, FormData
from aiohttp.test_utils import TestClient, TestServer
from PIL import Image

from daemon.rehearsal import actions, nodes
from daemon.rehearsal.faults import Faults
from daemon.rehearsal.server import MIB, Rehearsal
from tests.rehearsal import props

PATIENCE_S = 5.0
BENCH_PACE = 0.12  # A recorded second of a sleeping test node lasts so many of ours.
Json = dict[str, Any]


def lay_out_props(base: Path) -> None:
    """The models of the recordings, by name: good, broken, and of every kind."""
    models = base / "models"
    for name in ("nan-sd15", "tiny-sd15"):
        props.write(models, f"checkpoints/{name}.safetensors")
    for name in ("tiny-lora", "tiny-lora-b"):
        props.write(models, f"loras/{name}.safetensors")
    props.write(models, "vae/vae-ft-mse-840000-ema-pruned.safetensors")
    props.write_zeros(
        models / "vae/tiny-taesd.safetensors", {"taesd_decoder.1.weight": ("F32", (64, 4, 3, 3))}
    )
    props.write(models, "controlnet/tiny-controlnet.safetensors")
    (models / "checkpoints/corrupt.safetensors").write_bytes(b"\x09" + bytes(7) + b"{garbage}")
    (models / "loras/corrupt.safetensors").write_bytes(b"oops")


def add_bench_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pack of test nodes that the recordings were made with, at our pace."""
    sleep = {
        "image": ["IMAGE"],
        "seconds": ["FLOAT", {"default": 1.0, "min": 0.0, "max": 3600.0}],
        "steps": ["INT", {"default": 10, "min": 0, "max": 1000}],
        "tag": ["STRING", {"default": ""}],
    }
    bench = {"input": {"required": sleep}, "output": ["IMAGE"], "output_node": False}
    monkeypatch.setitem(nodes.CLASSES, "BenchSleep", bench)
    monkeypatch.setitem(actions._ACTIONS, "BenchSleep", _bench_sleep)


def _bench_sleep(call: actions.Call) -> actions.Done:
    steps = call["steps"]
    for step in range(1, steps + 1):
        time.sleep(call["seconds"] * BENCH_PACE / steps)
        call.tick(step, steps)
    if not steps:
        time.sleep(call["seconds"] * BENCH_PACE)
    return actions.Done((call["image"],))


@dataclass(slots=True)
class Stand:
    """A running server, its folders, and a client of it."""

    rehearsal: Rehearsal
    client: TestClient[Any, Any]
    base: Path

    async def get(self, path: str) -> Any:
        """The JSON of a GET, whatever its status."""
        async with self.client.get(path) as answer:
            return await answer.json()

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        """Status and body of a POST; None for an empty body, text where it is no JSON."""
        content = io.BytesIO(json.dumps(body).encode())
        async with self.client.post(path, data=content) as answer:
            if answer.content_type == "application/json":
                return answer.status, await answer.json()
            return answer.status, await answer.text() or None

    async def run(self, prompt: Json, **more: Any) -> Json:
        """Posts a prompt, waits for its end, gives its history entry."""
        status, answer = await self.post("/prompt", {"prompt": prompt, **more})
        assert status == 200, answer
        return await self.entry(answer["prompt_id"])

    async def entry(self, prompt_id: str) -> Json:
        """The history entry of a prompt, when it is there."""
        entry = await until(lambda: self.get(f"/history/{prompt_id}"))
        return dict(entry[prompt_id])

    async def idle(self) -> None:
        """Waits until nothing is queued or running."""

        async def done() -> bool:
            queue = await self.get("/prompt")
            return bool(queue["exec_info"]["queue_remaining"] == 0)

        await until(done)

    async def picture(self, entry: Json, node: str = "9") -> Image.Image:
        """The first picture that a history entry names, loaded."""
        image = entry["outputs"][node]["images"][0]
        return _loaded(self.rehearsal.layout.output / image["subfolder"] / image["filename"])

    async def upload(self, name: str, content: bytes, **fields: str) -> tuple[int, Any]:
        """Uploads an image; status and body of the answer."""
        form = FormData(quote_fields=False)
        for key, value in fields.items():
            form.add_field(key, value)
        form.add_field("image", io.BytesIO(content), filename=name, content_type="image/png")
        async with self.client.post("/upload/image", data=form) as answer:
            body = await answer.json() if answer.content_type == "application/json" else None
            return answer.status, body

    async def listen(self, client_id: str) -> ClientWebSocketResponse:
        """An open socket; its hello was read."""
        socket = await self.client.ws_connect(f"/ws?clientId={client_id}")
        assert (await socket.receive_json(timeout=PATIENCE_S))["type"] == "status"
        return socket


def _loaded(path: Path) -> Image.Image:
    with Image.open(path) as opened:
        opened.load()
        return opened


async def until(ask: Any) -> Any:
    """Asks until the answer is true; fails when it takes too long."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while not (answer := await ask()):
        assert asyncio.get_running_loop().time() < deadline, "it never came about"
        await asyncio.sleep(0.002)
    return answer


async def read_to_end(socket: ClientWebSocketResponse) -> list[Json]:
    """The messages of a socket up to and including the end of a prompt."""
    messages: list[Json] = []
    while True:
        messages.append(await socket.receive_json(timeout=PATIENCE_S))
        if messages[-1]["type"] == "executing" and messages[-1]["data"]["node"] is None:
            return messages


@asynccontextmanager
async def standing(
    base: Path, *, step_s: float = 0.0, upload_limit_mb: int = 100, **faults: Any
) -> AsyncIterator[Stand]:
    """A server on a folder, with props laid out and faults switched on."""
    lay_out_props(base)
    base = base.resolve()  # noqa: ASYNC240 - nothing else runs yet.
    switched = Faults()
    for name, value in faults.items():
        switched.set(name, value)
    limit = upload_limit_mb * MIB
    rehearsal = Rehearsal(base, switched, step_s=step_s, upload_limit_bytes=limit)
    async with TestClient(TestServer(rehearsal.app())) as client:
        yield Stand(rehearsal, client, base)


def txt2img(**changes: Any) -> Json:
    """The nine-node graph of the recordings; ``changes`` by input name, wherever it occurs."""
    graph: Json = {
        "1": ("CheckpointLoaderSimple", {"ckpt_name": "tiny-sd15.safetensors"}),
        "2": ("VAELoader", {"vae_name": "vae-ft-mse-840000-ema-pruned.safetensors"}),
        "3": (
            "LoraLoader",
            {
                "model": ["1", 0],
                "clip": ["1", 1],
                "lora_name": "tiny-lora.safetensors",
                "strength_model": 0.8,
                "strength_clip": 0.8,
            },
        ),
        "4": ("CLIPTextEncode", {"clip": ["3", 1], "text": changes.pop("text", "1girl, rain")}),
        "5": ("CLIPTextEncode", {"clip": ["3", 1], "text": "lowres, bad anatomy"}),
        "6": ("EmptyLatentImage", {"width": 64, "height": 64, "batch_size": 1}),
        "7": (
            "KSampler",
            {
                "model": ["3", 0],
                "positive": ["4", 0],
                "negative": ["5", 0],
                "latent_image": ["6", 0],
                "seed": 1,
                "steps": 2,
                "cfg": 7.0,
                "sampler_name": "euler_ancestral",
                "scheduler": "normal",
                "denoise": 1.0,
            },
        ),
        "8": ("VAEDecode", {"samples": ["7", 0], "vae": ["2", 0]}),
        "9": ("SaveImage", {"images": ["8", 0], "filename_prefix": "bench/txt2img"}),
    }
    for _, inputs in graph.values():
        inputs.update({name: value for name, value in changes.items() if name in inputs})
    return {key: {"class_type": name, "inputs": inputs} for key, (name, inputs) in graph.items()}


def flat(color: int = 0, prefix: str = "bench/flat", **size: Any) -> Json:
    """The two-node graph of the recordings: a picture of one colour."""
    inputs = {"width": 64, "height": 64, "batch_size": 1, "color": color, **size}
    return {
        "1": {"class_type": "EmptyImage", "inputs": inputs},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": prefix}},
    }
