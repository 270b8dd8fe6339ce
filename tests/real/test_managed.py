"""A real ComfyUI that nightpress starts itself: up in each profile, in a folder of its own."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from time import monotonic

import httpx
import pytest

from daemon.adapters.clock import SystemEntropy
from daemon.adapters.comfyui import ComfyRenderer
from daemon.adapters.comfyui_program import launcher
from daemon.adapters.engine_process import EngineProcess, Program
from daemon.adapters.probe.footprint import footprint
from daemon.adapters.weights import ModelFolders
from daemon.errors import EngineError
from daemon.wire.comfyui import EngineFacts
from tests.craft.test_memory import Measured, desk_with, weighed
from tests.real.engine import RealEngine, until

pytestmark = [pytest.mark.real, pytest.mark.realprocess]

START_S = 90.0


@pytest.fixture
def host(alone: None, tmp_path: Path) -> EngineProcess:
    """Of the ComfyUI whose program and interpreter the environment names; on the CPU."""
    named = ("COMFYUI_BASE_PATH", "NIGHTPRESS_TEST_COMFYUI_PROGRAM")
    found = [os.environ.get(name, "") for name in (*named, "NIGHTPRESS_TEST_COMFYUI_PYTHON")]
    if not all(found):
        pytest.skip(f"there is no ComfyUI to start: {', '.join(named)} and _PYTHON name it")
    base, program, python = map(Path, found)
    launch = launcher(
        program,
        python=python,
        base=base,
        own=tmp_path / "engine",
        loras=tmp_path / "loras",
        extra=["--cpu"],
        packs=[],
    )
    # Where it has to be, an interpreter that is no complete environment is helped.
    helped = {key: os.environ[key] for key in ("PYTHONPATH",) if key in os.environ}

    def launched(profile: str, port: int) -> tuple[list[str], dict[str, str]]:
        argv, environment = launch(profile, port)
        return [*argv], {**environment, **helped}

    return EngineProcess(
        tmp_path / "engine",
        Program("ComfyUI", program, launched),
        guard=tmp_path / "guard",
        leave_s=600.0,
        environment=os.environ,
        moved=lambda _: None,
    )


async def up(host: EngineProcess) -> EngineFacts:
    renderer = ComfyRenderer(host.url, entropy=SystemEntropy(), mode="managed")
    deadline = monotonic() + START_S
    try:
        while monotonic() < deadline and await host.look():
            try:
                return await renderer.describe()
            except EngineError:
                await asyncio.sleep(0.2)
    finally:
        await renderer.close()
    raise AssertionError(await host.ending() or await host.log_text(since=0, until=2**20))


@pytest.mark.parametrize("profile", ["default", "fp32-unet", "split-attention", "cpu-vae"])
def test_it_is_started_in_its_profile_and_writes_below_its_own_folder(
    host: EngineProcess, tmp_path: Path, profile: str
) -> None:
    """A3.2, N5.1: it answers, with what it was told, sees our LoRAs, and is ended."""

    async def story() -> None:
        try:
            await host.start(profile)
            facts = await up(host)
            assert f"{tmp_path}/engine/output" in facts.argv
            said = await host.log_text(since=0, until=await host.log_end())
            assert f"Adding extra search path loras {tmp_path}/loras" in said
        finally:
            await host.stop()
        assert await host.look() is None

    before = set(Path(os.environ["COMFYUI_BASE_PATH"]).iterdir())
    asyncio.run(story())
    assert (tmp_path / "engine" / "user" / "comfyui.db").exists()
    assert set(Path(os.environ["COMFYUI_BASE_PATH"]).iterdir()) == before


def test_a_panel_takes_about_what_was_predicted(host: EngineProcess, tmp_path: Path) -> None:
    """A2.7: by the weights in the files that are there, against the process's highest mark."""
    base = Path(os.environ["COMFYUI_BASE_PATH"])
    real = RealEngine(host.url, base)
    spec = real.panel()
    order = real.order(spec)
    files = {"checkpoint": spec.checkpoint, "vae": spec.vae}

    async def story() -> None:
        folders = ModelFolders(base, tmp_path / "hashes.json")
        models = [await folders.facts(role=role, name=name) for role, name in files.items()]
        panel = Measured(0, spec)
        predicted = weighed(panel, desk_with(panel, models)).total
        try:
            await host.start("default")
            await up(host)
            body = {"prompt": dict(order.graph), "prompt_id": order.prompt_id}
            async with httpx.AsyncClient(trust_env=False) as client:
                (await client.post(f"{host.url}/prompt", json=body)).raise_for_status()

            async def drawn() -> object:
                return real.get(f"/history/{order.prompt_id}")

            await until(drawn)
            seen = footprint(await host.pid() or 0)
        finally:
            await host.stop()
        assert seen is not None
        print(f"predicted {predicted / 1e6:.0f} MB, measured {seen[1] / 1e6:.0f} MB")
        assert predicted == pytest.approx(seen[1], rel=0.25)

    asyncio.run(story())
