"""A real ComfyUI for tests: where it listens, which models it has, and what it counted."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any, NoReturn

import httpx
import pytest

from daemon.adapters.clock import SystemEntropy
from daemon.core.ids import file_prefix, prompt_id
from daemon.core.jobs import LoraUse, PanelSpec
from daemon.core.policy import Policy, deadline_s
from daemon.craft.graph import bind, with_prefix
from daemon.craft.template import Template
from daemon.shell.whereabouts import DrawOrder
from daemon.wire.addresses import DEFAULT_URL
from tests.craft.test_graph import BLANK, PANEL

PATIENCE_S = 120.0  # The first prompt of a process loads its models.
LONG_STEPS = 2_000  # Nobody waits for the end of a picture of so many steps.
_NO_MODELS = PanelSpec(
    prompt="",
    negative="",
    width=64,
    height=64,
    seeds=(),
    variations=1,
    steps=1,
    cfg=1.0,
    sampler="euler",
    scheduler="normal",
    denoise=1.0,
    clip_skip=1,
    checkpoint="",
    vae="",
    workflow="blank",
    quality=False,
)


@dataclass(frozen=True, slots=True)
class RealEngine:
    """The server at ``url`` with the models below ``base``. ``token`` is fresh in each test.

    Of each kind the first .safetensors is used, or what NIGHTPRESS_TEST_CHECKPOINT, _VAE, _LORA
    and _CONTROLNET name, relative to its folder.
    """

    url: str
    base: Path
    token: str = field(default_factory=lambda: SystemEntropy().token())

    @property
    def seed(self) -> int:
        """Fresh too, for a server answers what it has sampled before from its cache."""
        return int(self.token[:12], 16)

    def model(self, folder: str, variable: str) -> str:
        """The name of a model; skips the test when there is none of that kind."""
        if named := os.environ.get(f"NIGHTPRESS_TEST_{variable}"):
            return named
        models = self.base / "models" / folder
        found = sorted(models.rglob("*.safetensors"))
        return found[0].relative_to(models).as_posix() if found else _skipped(f"no {folder}")

    @property
    def lora(self) -> str:
        return self.model("loras", "LORA")

    @property
    def controlnet(self) -> str:
        return self.model("controlnet", "CONTROLNET")

    def panel(self, **changes: Any) -> PanelSpec:
        """A small and quick panel."""
        spec = PanelSpec(
            prompt="white cloak, red bandana",
            negative="blurry",
            width=64,
            height=64,
            seeds=(self.seed,),
            variations=1,
            steps=3,
            cfg=7.0,
            sampler="euler",
            scheduler="normal",
            denoise=1.0,
            clip_skip=1,
            checkpoint=self.model("checkpoints", "CHECKPOINT"),
            vae=self.model("vae", "VAE"),
            workflow="panel",
            quality=False,
        )
        return replace(spec, **changes)

    def with_lora(self, strength: float = 0.7) -> PanelSpec:
        return self.panel(loras=(LoraUse(self.lora, strength),))

    def order(
        self, spec: PanelSpec | None = None, *, attempt: int = 1, hint: str | None = None
    ) -> DrawOrder:
        """A picture of the panel template, or of the blank one, which needs no model."""
        if spec is not None:
            return self._order(PANEL, spec, attempt, hint)
        blank = replace(_NO_MODELS, seeds=(self.seed % 2**24,))
        return self._order(BLANK, blank, attempt, None)

    def _order(
        self, template: Template, spec: PanelSpec, attempt: int, hint: str | None
    ) -> DrawOrder:
        bound = bind(template, spec, seed=spec.seeds[0], hint=hint)
        ours = prompt_id(
            studio=self.token,
            job="a_v1",
            attempt=attempt,
            image=1,
            graph_sha256=bound.graph_sha256,
        )
        return DrawOrder(
            prompt_id=ours,
            graph=with_prefix(bound, file_prefix(ours)),
            save_node=bound.save_node,
            draw_s=deadline_s(Policy(), width=spec.width, height=spec.height, steps=spec.steps),
            note={"job": "a_v1"},
        )

    def get(self, path: str) -> Any:
        """The JSON of a GET."""
        return httpx.get(f"{self.url}{path}", trust_env=False, timeout=30).json()

    def outputs(self, prefix: str) -> list[Path]:
        """The files that were saved under a prefix, where the server's own folder is used."""
        folder, _, stem = prefix.rpartition("/")
        return sorted((self.base / "output" / folder).glob(f"{stem}_*"))

    def posted(self) -> int:
        """How many prompts were posted before this call, by the server's own count."""
        return posted(self.url)


def panel_file(real: RealEngine, *tables: str, steps: int = 4, seeds: str = "") -> str:
    """A job file for this engine's models. Random weights may draw what no gate would pass."""
    spec = real.panel()
    lines = [
        'kind = "panel"',
        'prompt = "white cloak, red bandana, rain"',
        "width = 64",
        "height = 64",
        seeds or f"seed = {real.seed}",
        f"steps = {steps}",
        'quality = "off"',
        f"checkpoint = {json.dumps(spec.checkpoint)}",
        f"vae = {json.dumps(spec.vae)}",
        *tables,
        "",
    ]
    return "\n".join(lines)


def posted(url: str) -> int:
    """How many prompts a server has been sent before this one, which draws a single pixel.

    Its count goes up with every POST, also of an id that it knows and of what it refuses.
    """
    graph: Mapping[str, Any] = {
        "1": {
            "class_type": "EmptyImage",
            "inputs": {"width": 1, "height": 1, "batch_size": 1, "color": 0},
        },
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }
    answer = httpx.post(f"{url}/prompt", json={"prompt": graph}, trust_env=False, timeout=30)
    return int(answer.json()["number"])


def find() -> RealEngine:
    """The engine of the environment; skips the test, aloud, when there is none.

    Needs COMFYUI_BASE_PATH, the folder that holds models/, and a server at COMFYUI_URL. A skip
    even in CI: nothing here installs a ComfyUI.
    """
    base = os.environ.get("COMFYUI_BASE_PATH")
    if not base:
        _skipped("COMFYUI_BASE_PATH (the folder that holds models/) is not set")
    url = (os.environ.get("COMFYUI_URL") or DEFAULT_URL).rstrip("/")
    try:
        stats = httpx.get(f"{url}/system_stats", trust_env=False, timeout=10).json()
    except (httpx.HTTPError, ValueError):
        _skipped(f"no ComfyUI answers at COMFYUI_URL, {url}")
    if "nightpress_rehearsal" in stats["system"]:
        _skipped(f"at COMFYUI_URL, {url}, the rehearsal answers")
    return RealEngine(url, Path(base).expanduser())


def _skipped(why: str) -> NoReturn:
    pytest.skip(f"needs a real ComfyUI: {why}")


async def until(look: Callable[[], Awaitable[Any]]) -> Any:
    """The first answer that is something; fails when there never is one."""
    deadline_s = monotonic() + PATIENCE_S
    while not (found := await look()):
        assert monotonic() < deadline_s, "it never came to be"
        await asyncio.sleep(0.05)
    return found
