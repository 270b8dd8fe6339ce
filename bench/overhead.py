"""Measures what nightpress costs a page: panels through inbox and outbox against a plain client.

Needs a running ComfyUI (COMFYUI_BASE_PATH and COMFYUI_URL). Blocks of both in turns, so that
whatever else the machine does meets both alike; every run has seeds of its own, for the server
answers what it has drawn before from its cache.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import httpx
from websockets.sync.client import connect

from daemon.bootstrap import make_studio
from daemon.core.jobs import Asked, PanelSpec
from daemon.core.policy import Policy
from daemon.craft.graph import bind, with_prefix
from daemon.craft.template import read_template
from daemon.wire.job_file import read_job_file

PANELS = 60
A_BLOCK = 10
LIMIT = 1.05
GAP_LIMIT_MS = 15.0
RESAMPLES = 2_000
_ROOT = Path(__file__).resolve().parent.parent
_PATIENCE_S = 300.0


@dataclass(frozen=True)
class Engine:
    """The server at ``url``; names of its models."""

    url: str
    base: Path
    checkpoint: str
    vae: str

    def get(self, path: str) -> Any:
        return httpx.get(f"{self.url}{path}", timeout=60, trust_env=False).json()


def main() -> int:
    """Prints both tables; 1 when a limit is not kept, 0 also where there is no server."""
    engine = _engine()
    if engine is None:
        print("skipped: COMFYUI_BASE_PATH and COMFYUI_URL name no ComfyUI that answers")
        return 0
    with tempfile.TemporaryDirectory() as folder, _daemon(Path(folder) / "studio") as studio:
        drawn = _drawn_panels(engine, studio)
        gaps = _gaps(engine, studio)
    return max(drawn, gaps)


def _drawn_panels(engine: Engine, studio: Path) -> int:
    """Panels of a second and more: wall time of blocks of ten."""
    chance = Random()
    ours, plain = [], []
    _by_hand(engine, [_panel(engine, chance, steps=1)])  # The models are loaded now.
    for block in range(PANELS // A_BLOCK):
        texts = [_panel(engine, chance, steps=20) for _ in range(A_BLOCK)]
        plain.append(_by_hand(engine, texts))
        texts = [_panel(engine, chance, steps=20) for _ in range(A_BLOCK)]
        ours.append(_by_inbox(studio, texts, name=f"b{block}"))
    low, high = _interval(ours, plain, chance)
    ratio = sum(ours) / sum(plain)
    print(f"{PANELS} panels each, in blocks of {A_BLOCK}; seconds a panel, median of the blocks")
    print(f"  inbox to outbox     {_row(ours)}")
    print(f"  plain client        {_row(plain)}")
    print(f"  ratio               {ratio:7.3f}   (95 %: {low:.3f}..{high:.3f}; limit {LIMIT:g})")
    return 0 if high < LIMIT else 1


def _gaps(engine: Engine, studio: Path) -> int:
    """Pictures that need no model: for how long the server does nothing between two."""
    chance = Random()
    before = set(engine.get("/history"))
    texts = [_panel(engine, chance, steps=1, workflow="blank") for _ in range(PANELS)]
    _by_inbox(studio, texts, name="g")
    ours = _idle_ms(engine, before)
    before = set(engine.get("/history"))
    _by_hand(engine, [_panel(engine, chance, steps=1, workflow="blank") for _ in range(PANELS)])
    plain = _idle_ms(engine, before)
    print(f"idle between two of {PANELS} pictures that need no model, in ms")
    print(f"  inbox to outbox     median {median(ours):.0f}, 90 % {_ninety(ours):.0f}")
    print(f"  plain client        median {median(plain):.0f}, 90 % {_ninety(plain):.0f}")
    print(f"  limit               median {GAP_LIMIT_MS:.0f}")
    return 0 if median(ours) <= GAP_LIMIT_MS else 1


def _panel(engine: Engine, chance: Random, *, steps: int, workflow: str = "panel") -> str:
    return (
        'kind = "panel"\nprompt = "white cloak, rain"\nwidth = 64\nheight = 64\n'
        f'seed = {chance.randrange(2**24)}\nsteps = {steps}\nquality = "off"\n'
        f"checkpoint = {json.dumps(engine.checkpoint)}\nvae = {json.dumps(engine.vae)}\n"
        f'workflow = "{workflow}"\nend = true\n'
    )


def _by_inbox(studio: Path, texts: Sequence[str], *, name: str) -> float:
    """Seconds from the first drop to the last result in the outbox."""
    began = time.perf_counter()
    for number, text in enumerate(texts):
        hidden = studio / "inbox" / f".{name}_{number:02}.tmp"
        hidden.write_text(text)
        hidden.rename(studio / "inbox" / f"{name}_{number:02}.toml")
    wanted = [
        studio / "outbox" / f"{name}_{n:02}_v1" / f"{name}_{n:02}_v1.lock.toml"
        for n in range(len(texts))
    ]
    while not all(path.exists() for path in wanted):
        assert time.perf_counter() - began < _PATIENCE_S, "the press does not come to an end"
        time.sleep(0.005)
    return time.perf_counter() - began


def _by_hand(engine: Engine, texts: Sequence[str]) -> float:
    """Seconds for the same graphs, in the way of ComfyUI's own websocket example."""
    graphs = [_graph(text) for text in texts]
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


def _graph(text: str) -> Mapping[str, object]:
    asked = read_job_file(text.encode(), stem="x", policy=Policy())
    assert isinstance(asked, Asked)
    assert isinstance(asked.spec, PanelSpec)
    folder = _ROOT / "workflows"
    name = asked.spec.workflow
    template = read_template(
        (folder / f"{name}.json").read_text(), (folder / f"{name}.slots.toml").read_text()
    )
    bound = bind(template, asked.spec, seed=asked.spec.seeds[0])
    return with_prefix(bound, f"bench/{uuid.uuid4().hex[:12]}")


def _idle_ms(engine: Engine, before: set[str]) -> list[float]:
    """From each success to the next start, by the server's own clock."""
    spans = []
    for prompt, entry in engine.get("/history").items():
        if prompt not in before:
            told = {kind: data["timestamp"] for kind, data in entry["status"]["messages"]}
            spans.append((told["execution_start"], told["execution_success"]))
    spans.sort()
    return [float(after[0] - one[1]) for one, after in pairwise(spans)]


def _interval(ours: Sequence[float], plain: Sequence[float], chance: Random) -> tuple[float, float]:
    """The 95 % bootstrap interval of the ratio of wall times, over pairs of blocks."""
    pairs = list(zip(ours, plain, strict=True))
    ratios = []
    for _ in range(RESAMPLES):
        sample = chance.choices(pairs, k=len(pairs))
        ratios.append(sum(one for one, _ in sample) / sum(other for _, other in sample))
    ratios.sort()
    return ratios[RESAMPLES // 40], ratios[-RESAMPLES // 40]


def _row(blocks: Sequence[float]) -> str:
    each = [block / A_BLOCK for block in blocks]
    return f"{median(each):7.3f}   ({min(each):.3f}..{max(each):.3f})"


def _ninety(values: Sequence[float]) -> float:
    return sorted(values)[int(len(values) * 0.9)]


def _engine() -> Engine | None:
    base, url = os.environ.get("COMFYUI_BASE_PATH"), os.environ.get("COMFYUI_URL")
    if not base or not url:
        return None

    def model(folder: str, variable: str) -> str:
        found = sorted((Path(base) / "models" / folder).glob("*.safetensors"))
        return os.environ.get(variable) or found[0].name

    engine = Engine(
        url.rstrip("/"),
        Path(base),
        model("checkpoints", "NIGHTPRESS_TEST_CHECKPOINT"),
        model("vae", "NIGHTPRESS_TEST_VAE"),
    )
    try:
        engine.get("/system_stats")
    except OSError:
        return None
    return engine


@contextmanager
def _daemon(studio: Path) -> Iterator[Path]:
    environment = {**os.environ, "HOME": str(studio.parent / "home")}
    make_studio(studio, environment)
    (studio / "nightpress.toml").write_text("[disk]\nmin_free_gb = 0\n")
    command = [sys.executable, "-m", "daemon", "--studio", str(studio), "run"]
    nothing = subprocess.DEVNULL
    child = subprocess.Popen(command, env=environment, stdout=nothing, stderr=nothing)
    try:
        deadline = time.monotonic() + _PATIENCE_S
        while not _ready(studio):
            assert child.poll() is None, "the daemon does not start"
            assert time.monotonic() < deadline, "the daemon does not come up"
            time.sleep(0.1)
        yield studio
    finally:
        child.terminate()
        child.wait(30)


def _ready(studio: Path) -> bool:
    try:
        return bool(json.loads((studio / "outbox" / "status.json").read_bytes())["engine"]["ready"])
    except (OSError, ValueError):
        return False


if __name__ == "__main__":
    sys.exit(main())
