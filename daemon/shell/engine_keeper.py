"""Conducts the engine's process where it is ours: started, restarted, changed, put to rest.

Law: what is there is compared with what is wanted, over and over, and nothing is remembered that a
fresh daemon could not do without; so a server that lives is found, and gone on with.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

from daemon.core.policy import Policy
from daemon.craft.killing import kill_code
from daemon.errors import WorldError
from daemon.ports import EngineHost, Serving
from daemon.shell.engine_trouble import Trouble
from daemon.shell.patience import now
from daemon.wire.comfyui_log import codes, read_words
from daemon.wire.shim_record import ExitRecord

log = logging.getLogger(__name__)

_FIRST_PAUSE_S = 1.0
_SHORTEST_REST_S = 0.1
_NOTHING_KNOWN = "The engine's server ended, and nothing is known of how."


_RESTING = Trouble(
    "ENGINE_RESTING",
    "The engine is switched off while a training has the GPU and the memory; it is started again"
    " when that has ended.",
)
_STARTED = Trouble("ENGINE_STARTING", "The engine was started and does not answer yet.")


class EngineKeeper:
    """Makes the process be what ``wanted`` says: a launch profile, None = off.

    ``serving`` is the server that was there after the last pass. ``report`` takes a code and a
    sentence for the ledger; ``evidence`` is asked what speaks for memory as the cause of a kill.
    """

    def __init__(
        self,
        host: EngineHost,
        *,
        policy: Policy,
        wanted: Callable[[], str | None],
        report: Callable[[str, str], None],
        evidence: Callable[[ExitRecord], Awaitable[str]] | None = None,
    ) -> None:
        self.serving: Serving | None = None
        self.off = False  # Nothing is there, and nothing is wanted.
        self._host, self._policy = host, policy
        self._wanted, self._report = wanted, report
        self._evidence = evidence
        self._tried: str | None = None
        self._met_at = 0.0
        self._ends = 0
        self._not_before = 0.0
        self._healthy_since: float | None = None
        self._why = ""

    async def make_so(self) -> Trouble | None:
        """One pass; None when the wanted server is there, to be asked for its health.

        Raises what ``EngineHost.look`` and ``stop`` raise.
        """
        there = await self._host.look()
        if self.serving is not None and (there is None or there.life != self.serving.life):
            self.serving = None
            await self._failed(*await self._ended())
        # Nothing is awaited from here until the server is no longer said to be there: who was told
        # that it is up in a profile must not find it stopped for another.
        wanted = self._wanted()
        if wanted != self._tried:
            self._tried, self._ends, self._not_before = wanted, 0, 0.0
        self.off = self.off and wanted is None
        if there is not None and self.serving is None:
            self._met_at = now()
        self.serving = there
        if there is not None and there.profile != wanted:
            await self._stop()
        if wanted is None:
            self.off = True
            return _RESTING
        if self.serving is not None:
            return None
        return self.trouble() if now() < self._not_before else await self._start(wanted)

    def owns(self, argv: Sequence[str]) -> bool:
        """Whether it is our server that answers."""
        return self._host.owns(argv)

    async def said_at_start(self) -> Sequence[tuple[str, str]]:
        """Code and sentence for what went wrong while it woke: packs that could not be imported."""
        end = await self._host.log_end()
        return codes(read_words(await self._host.log_text(since=0, until=end)))

    def rest_s(self) -> float:
        """How long the next pass may wait: who starts quickly is asked soon, and ever later."""
        if self.serving is not None and self._healthy_since is None:
            rest_s = (now() - self._met_at) / 4
        elif self.serving is None and self._not_before > now():
            rest_s = self._not_before - now()
        else:
            return self._policy.health_poll_s
        return min(max(rest_s, _SHORTEST_REST_S), self._policy.health_poll_s)

    def answered(self) -> None:
        """It is healthy."""
        self._healthy_since = now() if self._healthy_since is None else self._healthy_since

    async def give_up(self, code: str, why: str) -> Trouble:
        """The server lives and is of no use: stop it, to be started again by a later pass."""
        await self._stop()
        await self._failed(code, f"{why} {await self._host.ending()}".rstrip())
        return self.trouble()

    async def replace(self, code: str, why: str) -> Trouble:
        """The server's worker is dead, through no fault of its start: another one at once."""
        self._report(code, why)
        await self._stop()
        wanted = self._wanted()
        return _RESTING if wanted is None else await self._start(wanted)

    async def _start(self, profile: str) -> Trouble:
        self._met_at = now()
        try:
            self.serving = await self._host.start(profile)
        except WorldError as error:
            await self._failed(error.code, error.text)
        return self.trouble()

    async def _stop(self) -> None:
        self.serving, self._healthy_since = None, None
        await self._host.stop()

    async def _ended(self) -> tuple[str, str]:
        """By itself, as far as we are concerned: the code and the sentence of it."""
        killed = await self._host.killed()
        evidence = await self._evidence(killed) if killed and self._evidence else ""
        why = await self._host.ending(evidence) or _NOTHING_KNOWN
        return kill_code(evidence) if killed else "ENGINE_ENDED", why

    @property
    def weary(self) -> bool:
        """It ended so often that a start more is no news."""
        return self._ends >= self._policy.max_engine_ends

    def trouble(self) -> Trouble:
        """Why it is not up, after the ends that it had so far."""
        if self.weary:
            pause_s = self._policy.engine_retry_s
            text = (
                f"The engine ended {self._policy.max_engine_ends} times in a row. It is tried again"
                f" every {pause_s / 60:.0f} minutes; jobs wait meanwhile. {self._why}"
            )
            return Trouble("COMFY_NOT_READY", text)
        if self._ends:
            return Trouble("ENGINE_STARTING", f"The engine is started again. {self._why}")
        return _STARTED

    async def _failed(self, code: str, why: str) -> None:
        """One end more. It is said, until it has become a habit."""
        since, self._healthy_since = self._healthy_since, None
        if since is not None and now() - since >= self._policy.engine_useful_s:
            self._ends = 0
        self._ends, self._why = self._ends + 1, why
        limit = self._policy.max_engine_ends
        if self._ends < limit:
            self._not_before = now() + _FIRST_PAUSE_S * 2 ** (self._ends - 1)
            self._report(code, why)
            return
        self._not_before = now() + self._policy.engine_retry_s
        if self._ends > limit:
            log.warning("%s, again: %s", code, why)
            return
        trouble = self.trouble()
        self._report(trouble.code, trouble.text)
