"""A running ComfyUI, and the plain client that ours is measured against.

The plain client is in the style of ComfyUI's own websocket example: POST, wait for
``executing: null``, history, view; one prompt after the other over one socket. It checks nothing,
keeps nothing and writes nothing down.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import httpx
from websockets.sync.client import connect

from bench._studio import ROOT, drawn
from daemon.core.jobs import Asked, PanelSpec
from daemon.core.policy import Policy
from daemon.craft.graph import bind, with_prefix
from daemon.craft.template import read_template
from daemon.wire.job_file import read_job_file

NO_ENGINE = "COMFYUI_BASE_PATH and COMFYUI_URL name no ComfyUI that answers"


@dataclass(frozen=True)
class Engine:
    """The server at ``url``; ``base`` holds its models/."""

    url: str
    base: Path

    def get(self, path: str) -> Any:
        return httpx.get(f"{self.url}{path}", timeout=60, trust_env=False).json()

    def model(self, folder: str) -> str:
        """A model's file: the one that BENCH_<FOLDER> names, or the first there is."""
        found = sorted((self.base / "models" / folder).glob("*.safetensors"))
        return os.environ.get(f"BENCH_{folder.upper()}") or found[0].name

    @property
    def device(self) -> str:
        """Its device's type, as torch names it: cpu, cuda, mps."""
        return str(self.get("/system_stats")["devices"][0]["type"])


def find_engine() -> Engine | None:
    """The server of the environment, if it answers."""
    base, url = os.environ.get("COMFYUI_BASE_PATH"), os.environ.get("COMFYUI_URL")
    if not base or not url:
        return None
    engine = Engine(url.rstrip("/"), Path(base))
    try:
        engine.get("/system_stats")
    except httpx.HTTPError:
        return None
    return engine


@dataclass(frozen=True)
class Panel:
    """What is drawn. ``tables`` are those of a job file that come last, such as ``[[lora]]``;
    ``hint`` is the hint image of a ControlNet, by the studio's name and by the engine's.
    """

    side: tuple[int, int] = (64, 64)
    steps: int = 20
    workflow: str = "panel"
    tables: str = ""
    hint: tuple[str, str] | None = None

    def text(self, engine: Engine, chance: Random) -> str:
        """A job file; each has a seed of its own, for the server answers from its cache."""
        return (
            'kind = "panel"\nprompt = "white cloak, rain"\nquality = "off"\n'
            f"width = {self.side[0]}\nheight = {self.side[1]}\nsteps = {self.steps}\n"
            f"seed = {chance.randrange(2**24)}\n"
            f"checkpoint = {json.dumps(engine.model('checkpoints'))}\n"
            f"vae = {json.dumps(engine.model('vae'))}\n"
            f'workflow = "{self.workflow}"\nend = true\n{self.tables}'
        )

    def graph(self, text: str) -> Mapping[str, object]:
        """The graph that such a job file asks for."""
        asked = read_job_file(text.encode(), stem="x", policy=Policy())
        assert isinstance(asked, Asked)
        assert isinstance(asked.spec, PanelSpec)
        folder, name = ROOT / "workflows", asked.spec.workflow
        template = read_template(
            (folder / f"{name}.json").read_text(), (folder / f"{name}.slots.toml").read_text()
        )
        hint = self.hint[1] if self.hint else None
        bound = bind(template, asked.spec, seed=asked.spec.seeds[0], hint=hint)
        return with_prefix(bound, f"bench/{uuid.uuid4().hex[:12]}")


def by_hand(engine: Engine, graphs: Sequence[Mapping[str, object]]) -> float:
    """Seconds that the plain client takes for them."""
    client = uuid.uuid4().hex
    began = time.perf_counter()
    with (
        httpx.Client(base_url=engine.url, trust_env=False, timeout=60) as http,
        connect(
            f"ws://{engine.url.removeprefix('http://')}/ws?clientId={client}", max_size=None
        ) as socket,
    ):
        for graph in graphs:
            posted = http.post("/prompt", json={"prompt": graph, "client_id": client})
            prompt = posted.json()["prompt_id"]
            while not _says_ended(socket.recv(), prompt):
                pass
            for output in http.get(f"/history/{prompt}").json()[prompt]["outputs"].values():
                for image in output["images"]:
                    http.get("/view", params=image).read()
    return time.perf_counter() - began


def _says_ended(message: str | bytes, prompt: str) -> bool:
    if not isinstance(message, str):
        return False  # A preview.
    said = json.loads(message)
    ended = said["type"] == "executing" and said["data"]["node"] is None
    return ended and said["data"]["prompt_id"] == prompt


def idle_ms(engine: Engine, before: set[str]) -> list[float]:
    """From each success to the next start among the prompts since, by the server's own clock."""
    spans = []
    for prompt, entry in engine.get("/history").items():
        if prompt not in before:
            told = {kind: data["timestamp"] for kind, data in entry["status"]["messages"]}
            spans.append((told["execution_start"], told["execution_success"]))
    spans.sort()
    return [float(after[0] - one[1]) for one, after in pairwise(spans)]


def blocks(
    engine: Engine, studio: Path, panel: Panel, *, panels: int, a_block: int, name: str
) -> tuple[list[float], list[float], list[float], list[float]]:
    """Blocks of both in turns: seconds a panel of ours and of the plain client, then the idle times
    in ms between two panels of a block of ours and of the plain client.
    """
    chance = Random()
    ours: list[float] = []
    plain: list[float] = []
    our_idle: list[float] = []
    their_idle: list[float] = []
    for block in range(panels // a_block):
        for mine in (False, True) if block % 2 else (True, False):
            texts = [panel.text(engine, chance) for _ in range(a_block)]
            before = set(engine.get("/history"))
            if mine:
                ours.append(drawn(studio, texts, name=f"{name}{block}") / a_block)
                our_idle += idle_ms(engine, before)
            else:
                plain.append(by_hand(engine, [panel.graph(text) for text in texts]) / a_block)
                their_idle += idle_ms(engine, before)
    return ours, plain, our_idle, their_idle
