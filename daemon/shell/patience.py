"""Conducts single requests to an engine that may be away: asked again, but not for ever.

Law: one request has one deadline, and an absence has another; which of them passed is in the code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from daemon.core.jobs import Outcome
from daemon.core.policy import Policy
from daemon.errors import EngineError
from daemon.ports import Renderer

CALL_S = 90.0  # Calls have shorter deadlines of their own; this one is for those that forget.

_FREE_AGAIN_S = 1.0
"""Between two requests to free: one that meets the garbage collection waits for a prompt."""

_T = TypeVar("_T")


class GivenUp(Exception):
    """A conversation with the engine has come to an end without a picture."""

    def __init__(self, outcome: Outcome, code: str, text: str) -> None:
        super().__init__(text)
        self.outcome, self.code, self.text = outcome, code, text


class Patience:
    """How long the engine has been away in this conversation; any answer ends an absence."""

    def __init__(self, policy: Policy) -> None:
        self._limit_s = policy.health_limit_s
        self._pause_s = policy.health_poll_s
        self._gone_since: float | None = None

    async def ask(self, request: Callable[[], Awaitable[_T]]) -> _T:
        """Ask until it is answered. Raises ``GivenUp`` when nobody is there for too long."""
        while True:
            began = now()
            try:
                answer = await once(request)
            except EngineError as error:
                if error.code == "OUTPUT_MISSING":  # An answer, and no better one will come.
                    raise GivenUp(Outcome.LOST, error.code, error.text) from None
                self._still_gone(began, error)
                await asyncio.sleep(self._pause_s)
            else:
                self._gone_since = None
                return answer

    def _still_gone(self, began: float, error: EngineError) -> None:
        if self._gone_since is None:
            self._gone_since = began  # One request without an answer is no absence yet.
            return
        gone_s = now() - self._gone_since
        if gone_s >= self._limit_s:
            text = f"The engine gave no answer for {gone_s:.0f} s. {error.text}"
            raise GivenUp(Outcome.LOST, "ENGINE_GONE", text)


async def once(request: Callable[[], Awaitable[_T]]) -> _T:
    """Ask one time. Raises ``EngineError``, also when the request forgot its own deadline."""
    try:
        async with asyncio.timeout(CALL_S):
            return await request()
    except TimeoutError:
        raise EngineError("ENGINE_SILENT", f"There was no answer for {CALL_S:.0f} s.") from None


async def let_go(renderer: Renderer) -> None:
    """Have the engine forget its models, as far as it can be told."""
    for pause_s in (_FREE_AGAIN_S, 0.0):
        try:
            await once(renderer.free)
        except EngineError:
            return  # One that is away has none in its memory when it comes back.
        await asyncio.sleep(pause_s)


def now() -> float:
    """Seconds of the event loop."""
    return asyncio.get_running_loop().time()
