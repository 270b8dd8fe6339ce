"""Keeps an eye on the engine and the disk, and tells the loop what admission has to know of them.

Law: an engine that does not answer is a reason to wait, said in a sentence; it never ends a job.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from daemon.core.policy import Policy
from daemon.core.world import World
from daemon.errors import WorldError
from daemon.ports import Disk, Renderer
from daemon.wire.comfyui import EngineFacts

_READY_POLLS = 5
"""An engine that answers is asked this many times less often."""


class EngineWatch:
    """Asks the engine for its health; ``facts`` is its last answer, None before the first."""

    def __init__(
        self,
        *,
        world: World,
        renderer: Renderer | None,
        disk: Disk,
        policy: Policy,
        tell: Callable[[World], None],
    ) -> None:
        self.facts: EngineFacts | None = None
        self._world = world
        self._renderer = renderer
        self._disk = disk
        self._policy = policy
        self._tell = tell
        self._silent_since: float | None = None
        self._stuck = ""

    def suspect(self, prompt_id: str) -> None:
        """This prompt may never leave the engine: nothing starts until it has."""
        self._stuck = prompt_id
        self._world = _stuck(self._world, prompt_id)
        self._tell(self._world)

    async def ready(self, profile: str) -> None:
        """Return when the engine answers."""

    async def run(self) -> None:
        """Look until cancelled; the loop is told of changes only."""
        while True:
            seen = await self._look()
            if seen != self._world:
                self._world = seen
                self._tell(seen)
            rest_s = self._policy.health_poll_s * (1 if seen.engine_code else _READY_POLLS)
            await asyncio.sleep(rest_s)

    async def _look(self) -> World:
        world = replace(self._world, free_bytes=await self._free_bytes())
        if self._renderer is None:
            return world
        try:
            self.facts = await self._renderer.describe()
            if self._stuck and self._stuck in (await self._renderer.queue()).running:
                return _stuck(world, self._stuck)
        except WorldError as error:
            return self._silent(world, error)
        self._silent_since, self._stuck = None, ""
        return replace(world, engine_code="", engine_text="")

    def _silent(self, world: World, error: WorldError) -> World:
        now = asyncio.get_running_loop().time()
        if self._silent_since is None:
            self._silent_since = now
        limit_s = self._policy.health_limit_s
        if now - self._silent_since < limit_s:
            text = f"The engine does not answer yet: {error.text}"
            return replace(world, engine_code="ENGINE_STARTING", engine_text=text)
        remedy = (
            "It is started again by itself; .nightpress/logs/rehearsal.log tells why it ended."
            if world.engine == "rehearsal"
            else "Start ComfyUI, or set [comfyui] url to where it listens."
        )
        text = (
            f"The engine has not answered for {limit_s:.0f} s: {error.text} {remedy} Jobs wait "
            "meanwhile."
        )
        return replace(world, engine_code="COMFY_NOT_READY", engine_text=text)

    async def _free_bytes(self) -> int | None:
        """Free space in steps of 64 MiB, so that a file more or less is no news; None = unknown."""
        try:
            free = await self._disk.free_bytes()
        except WorldError:
            return None
        return free >> 26 << 26


def _stuck(world: World, prompt_id: str) -> World:
    text = (
        f"The engine holds on to prompt {prompt_id}, which neither ends nor obeys an interrupt: "
        "its worker is dead though it answers. Restart the engine; jobs wait meanwhile."
    )
    return replace(world, engine_code="ENGINE_STUCK", engine_text=text)
