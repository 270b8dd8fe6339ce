"""Has the reference run begin by itself when what draws is another than it was measured for.

Law: asked for once in a life of the daemon and once for each engine; by a file in the inbox, like
anybody.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from daemon.core.environment import Setup
from daemon.core.jobs import PanelSpec
from daemon.core.policy import Policy
from daemon.core.state import State, latest_model
from daemon.core.world import World
from daemon.errors import WorldError
from daemon.ports import Disk
from daemon.shell.loop import Believed
from daemon.wire.calibrate_file import calibrate_file

log = logging.getLogger(__name__)

_FILE = "inbox/nightpress-canary.toml"
_AGAIN_S = 10.0


class Canary:
    """Watches what is believed; ``run`` drops the file when it is time."""

    def __init__(
        self,
        disk: Disk,
        policy: Policy,
        *,
        state: Callable[[], State],
        world: Callable[[], World],
    ) -> None:
        self._disk, self._policy = disk, policy
        self._state, self._world = state, world
        self._asked: set[Setup] = set()
        self._due = asyncio.Event()

    def believe(self, _: Believed) -> None:
        """Look whether a reference run is due."""
        if self._setup() and self._models():
            self._due.set()

    async def run(self) -> None:
        """Ask for each that is due, until cancelled."""
        while True:
            await self._due.wait()
            self._due.clear()
            setup, models = self._setup(), self._models()
            if not setup or not models:
                continue
            try:
                data = calibrate_file(checkpoint=models[0], vae=models[1])
                await self._disk.write(_FILE, data, synced=True)
            except WorldError as error:
                log.warning("the reference run could not be asked for: %s", error.text)
                await asyncio.sleep(_AGAIN_S)
            else:
                self._asked.add(setup)

    def _setup(self) -> Setup:
        """What is to be measured, () = nothing."""
        setup, state = self._world().setup, self._state()
        if not self._policy.canary or setup in self._asked or setup in state.references:
            return ()
        specs = (state.jobs[name].spec for name in state.queue)
        under_way = any(isinstance(spec, PanelSpec) and spec.measures for spec in specs)
        return () if under_way else setup

    def _models(self) -> tuple[str, str] | None:
        """The checkpoint and the VAE that a job asked for last; None while none has."""
        checkpoint, vae = (latest_model(self._state(), role) for role in ("checkpoint", "vae"))
        return (checkpoint, vae) if checkpoint and vae else None
