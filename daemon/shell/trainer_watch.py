"""Sees, while a training waits, whether its trainer could train: in the evening, not at 22:00."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from daemon.core.commands import Command, ObserveTrainer
from daemon.core.jobs import TrainSpec
from daemon.core.policy import Policy
from daemon.core.state import State
from daemon.craft.preflight import TrainerFacts, unfit
from daemon.errors import WorldError
from daemon.ports import Trainer
from daemon.wire import sd_scripts

log = logging.getLogger(__name__)

_ANYWHERE = sd_scripts.Whereabouts("c", "v", "d", "r", "o", "t", "s")


class TrainerWatch:
    """Tells the loop why nothing can be trained (K1.3)."""

    def __init__(
        self,
        trainer: Trainer,
        policy: Policy,
        *,
        state: Callable[[], State],
        tell: Callable[[Command], None],
    ) -> None:
        self._trainer, self._policy = trainer, policy
        self._state, self._tell = state, tell

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.look()
            except Exception:
                # What nobody could find out keeps nobody waiting.
                log.exception("the trainer could not be looked at")
            await asyncio.sleep(self._policy.trainer_look_s)

    async def look(self) -> None:
        """One look, where a training waits and none runs, which would lack the memory."""
        state = self._state()
        running = state.jobs[state.lease] if state.lease else None
        waiting = [state.jobs[job].spec for job in state.queue]
        specs = [spec for spec in waiting if isinstance(spec, TrainSpec)]
        if specs and (running is None or running.draws):
            self._tell(await why_unfit(self._trainer, specs[0], self._policy))


async def why_unfit(trainer: Trainer, spec: TrainSpec, policy: Policy) -> ObserveTrainer:
    """Why a training like this one could not be done on this machine, as the world is told it."""
    try:
        facts = await trainer.describe()
    except WorldError as error:
        return ObserveTrainer(error.code, error.text)
    return ObserveTrainer("TRAINER_UNFIT", _unfit(facts, spec, policy))


def _unfit(facts: TrainerFacts, spec: TrainSpec, policy: Policy) -> str:
    config = sd_scripts.config_document(
        spec, _ANYWHERE, name="a", attempt=1, done_epochs=0, probe_steps=0
    )
    dataset = sd_scripts.dataset_document(spec, _ANYWHERE, policy)
    return unfit(facts, config=config, dataset=dataset)
