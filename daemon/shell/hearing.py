"""Conducts the one socket that attempts at panels share while they follow one another.

Law: it is open before anything is sent, and closed when nobody needs it; what is heard for another
prompt says nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from daemon.ports import Ears, Renderer


class Hearing:
    """Opened by the first who needs it, closed by the last."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._stack = AsyncExitStack()
        self._ears: Ears | None = None
        self._users = 0

    @asynccontextmanager
    async def ears(self) -> AsyncIterator[Ears]:
        """The socket, for as long as it is needed."""
        self._users += 1
        try:
            ears = self._ears
            if ears is None:
                # Who comes while it is being opened opens another; the last of them is shared.
                ears = await self._stack.enter_async_context(self._renderer.listen())
                self._ears = ears
            yield ears
        finally:
            self._users -= 1
            if not self._users:
                self._ears = None
                await self._stack.aclose()
