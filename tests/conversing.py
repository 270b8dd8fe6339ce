"""One picture's conversation from beginning to end, as an attempt holds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from daemon.core.jobs import Outcome
from daemon.core.policy import Policy
from daemon.ports import Renderer
from daemon.shell.drawing import Conversation
from daemon.shell.patience import GivenUp
from daemon.shell.whereabouts import Drawn, DrawOrder


@dataclass(frozen=True)
class Undrawn:
    """There is no picture."""

    outcome: Outcome
    code: str
    text: str


def never() -> str:
    """Memory is not short."""
    return ""


async def draw(
    order: DrawOrder,
    *,
    renderer: Renderer,
    policy: Policy,
    progress: Callable[[int, int], None] = lambda step, steps: None,
) -> Drawn | Undrawn:
    """Find the prompt or send it, wait for it, fetch its picture."""
    talk = Conversation(order, renderer=renderer, progress=progress, pressed=never, policy=policy)
    async with renderer.listen() as ears:
        try:
            await talk.until_left(ears, clear=False, accepted=lambda: None)
            return await talk.result()
        except GivenUp as end:
            return Undrawn(end.outcome, end.code, end.text)
