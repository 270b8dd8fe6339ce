"""Keeps an eye on the engine and the disk, and tells the loop what admission has to know of them.

Law: an engine that does not answer is a reason to wait, said in a sentence; it never ends a job.
Where its process is ours, the keeper starts it again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

from daemon.core.commands import Command, Observe, ReportIncident
from daemon.core.environment import Setup, setup_of
from daemon.core.jobs import DEFAULT_PROFILE, Outcome
from daemon.core.plan import engine_wanted, prompts_of
from daemon.core.policy import Policy
from daemon.core.state import State
from daemon.core.world import World
from daemon.craft.engine_concerns import concerns
from daemon.errors import EngineError, WorldError
from daemon.ports import Disk, EngineHost, Renderer
from daemon.shell.engine_keeper import EngineKeeper
from daemon.shell.engine_trouble import Trouble, changed, holds, shared, stuck
from daemon.shell.patience import GivenUp, let_go, now, once
from daemon.wire.comfyui import EngineFacts
from daemon.wire.making import engine_of
from daemon.wire.places import Places, portable_text
from daemon.wire.shim_record import ExitRecord

log = logging.getLogger(__name__)

_READY_POLLS = 5  # An engine that answers is asked this many times less often.
_STOP_S, _TEXT_CHARS = 60.0, 1_000
_ON_CPU = (
    "The engine draws on the CPU of this Mac, which takes minutes a picture, so nothing is sent to"
    " it. Look in its log for why MPS is not used, and take --cpu out of its arguments."
)
_STRANGER = (
    "A server answers at our port that nightpress did not start, so nothing is sent to it. Ours is"
    " started again, at another port."
)
_EXPOSED = (
    "The engine answers at {} too, so everybody in this network can use it and read its pictures."
    " Start it with --listen 127.0.0.1."
)


class EngineWatch:
    """Asks the engine for its health; ``facts`` is its last answer, None before the first.

    ``warnings`` are sentences about how the present server was started. ``host`` None: the engine's
    process is not ours. ``mac``: an engine on the CPU is a mistake. ``rests``: the process is
    switched off for trainings. ``evidence``: what speaks for memory as the cause of a kill.
    """

    def __init__(
        self,
        *,
        world: World,
        renderer: Renderer | None,
        disk: Disk,
        policy: Policy,
        state: Callable[[], State],
        tell: Callable[[Command], None],
        places: Places,
        host: EngineHost | None = None,
        mac: bool = False,
        rests: bool = True,
        evidence: Callable[[ExitRecord], Awaitable[str]] | None = None,
    ) -> None:
        self.facts: EngineFacts | None = None
        self.warnings: tuple[str, ...] = ()
        self._world, self._renderer, self._disk = world, renderer, disk
        self._policy, self._mac, self._rests = policy, mac, rests
        self._state, self._tell, self._places = state, tell, places
        self._keeper: EngineKeeper | None = None
        if host is not None:
            self._keeper = EngineKeeper(
                host, policy=policy, wanted=self._wanted, report=self._report, evidence=evidence
            )
        self._life, self._stuck = "", ""
        self._answers, self._refusals = False, 0
        self._silent_since: float | None = None
        self._probe_at = 0.0
        self._woken, self._passed = asyncio.Event(), asyncio.Event()

    def suspect(self, prompt_id: str) -> None:
        """This prompt may never leave the engine: nothing starts until it has."""
        self._stuck = prompt_id
        self._see(_with(self._world, stuck(prompt_id)))
        self._wake()

    async def ready(self, profile: str) -> None:
        """Return when the engine answers and runs in this profile. Raises ``GivenUp``."""
        until = now() + self._policy.engine_patience_s
        with suppress(TimeoutError):
            await self._until(lambda: self._up() == profile, until=until)
            return
        text = (
            f"The engine was not ready in profile {profile} after"
            f" {self._policy.engine_patience_s:.0f} s. {self._world.engine_text}"
        )
        raise GivenUp(Outcome.LOST, "COMFY_NOT_READY", text)

    async def released(self) -> None:
        """Return when the engine has let go of the GPU, as far as we can have it so (A5.4).

        Raises ``WorldError`` ENGINE_STOP when a server of ours does not end.
        """
        if not self._rests or self._renderer is None:
            return
        if (keeper := self._keeper) is None:
            await let_go(self._renderer)
            return
        with suppress(TimeoutError):
            await self._until(lambda: keeper.off, until=now() + _STOP_S)
            return
        text = (
            f"The engine did not end within {_STOP_S:.0f} s, so the training does not begin."
            f" {self._world.engine_text}"
        )
        raise WorldError("ENGINE_STOP", text)

    async def relieve(self) -> None:
        """Have an idle engine let go of its models: memory is short."""
        if self._renderer and self._answers:
            await let_go(self._renderer)

    async def run(self) -> None:
        """Look until cancelled; the loop is told of changes only."""
        while True:
            self._woken.clear()
            self._see(await self._pass())
            passed, self._passed = self._passed, asyncio.Event()
            passed.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._rest_s()):
                    await self._woken.wait()

    def _rest_s(self) -> float:
        if self._keeper is not None:
            return self._keeper.rest_s()
        return self._policy.health_poll_s * (1 if self._world.engine_code else _READY_POLLS)

    def _wake(self) -> None:
        self._probe_at = 0.0
        self._woken.set()

    async def _until(self, reached: Callable[[], bool], *, until: float) -> None:
        """Wait for a pass after which it is so. Raises ``TimeoutError``."""
        if not reached():
            self._wake()
        async with asyncio.timeout_at(until):
            while not reached():
                await self._passed.wait()

    def _wanted(self) -> str | None:
        wanted = engine_wanted(self._state())
        return wanted if wanted or self._rests else DEFAULT_PROFILE

    def _up(self) -> str | None:
        """The profile in which the engine answers; None when it does not."""
        if not self._answers or self._keeper is None:
            return DEFAULT_PROFILE if self._answers else None
        return self._keeper.serving.profile if self._keeper.serving else None

    def _setup(self) -> Setup:
        """What a reference run would be true for; () while the engine is not seen as it always is:
        in another profile it is that for a picture only.
        """
        if self.facts is None or self._up() != DEFAULT_PROFILE:
            return ()
        return setup_of(engine_of(self.facts, self._places))

    def _see(self, seen: World) -> None:
        seen = replace(seen, engine_text=self._clean(seen.engine_text))
        if seen != self._world:
            self._world = seen
            self._tell(Observe(seen))

    def _report(self, code: str, text: str) -> None:
        self._tell(ReportIncident(code, self._clean(text)))

    def _clean(self, text: str) -> str:
        """As it may stand in the ledger: the engine's own words can be long and name folders."""
        return portable_text(text, self._places)[:_TEXT_CHARS]

    async def _pass(self) -> World:
        world = replace(self._world, free_bytes=await self._free_bytes())
        if self._renderer is None:
            return world
        try:
            trouble = await self._look(self._renderer)
            world = replace(world, setup=self._setup() or world.setup)
            # A suspicion may be younger than what was just seen.
            return _with(world, trouble or (stuck(self._stuck) if self._stuck else None))
        except WorldError as error:
            trouble = Trouble(error.code, error.text)
        except Exception as error:
            # A bug here must not leave the engine unwatched; jobs wait until it shows no more.
            trouble = Trouble("INTERNAL", f"A mistake in nightpress itself: {error!r}")
            if trouble.text != world.engine_text:
                log.exception("the engine could not be looked at")
        self._answers = False
        return _with(world, trouble)

    async def _look(self, renderer: Renderer) -> Trouble | None:
        """One look at the process and at what it answers; None: nothing keeps jobs waiting."""
        if self._keeper is not None:
            trouble = await self._keeper.make_so()
            self._meet(self._keeper)
            if trouble is not None:
                return trouble
        if self._answers and not self._world.engine_code and now() < self._probe_at:
            return None
        began = now()
        try:
            facts = await once(renderer.describe)
            if self._keeper is not None:
                if not self._keeper.owns(facts.argv):
                    raise EngineError("ENGINE_STRANGER", _STRANGER)
                self._keeper.answered()
            trouble = await self._busy(renderer)
        except EngineError as error:
            return await self._unanswered(error, began)
        await self._know(renderer, facts)
        self._silent_since, self._probe_at = None, now() + _READY_POLLS * self._policy.health_poll_s
        on_cpu = self._mac and facts.name == "comfyui" and facts.device_type == "cpu"
        trouble = Trouble("ENGINE_ON_CPU", _ON_CPU) if on_cpu else trouble
        self._answers = trouble is None or trouble.code == "ENGINE_SHARED"
        return trouble

    def _meet(self, keeper: EngineKeeper) -> None:
        """A server that is new to us has a start's time to answer in."""
        if keeper.serving is not None and keeper.serving.life != self._life:
            self._life = keeper.serving.life
            self.facts, self._answers, self._silent_since = None, False, now()

    async def _unanswered(self, error: EngineError, began: float) -> Trouble:
        self._answers = False
        self._refusals += error.code == "ENGINE_UNREACHABLE"
        self._silent_since = began if self._silent_since is None else self._silent_since
        limit_s = self._policy.health_limit_s
        if now() - self._silent_since < limit_s:
            if self._keeper is not None and self._keeper.weary:
                return self._keeper.trouble()
            text = f"The engine does not answer yet: {error.text}"
            return Trouble("ENGINE_STARTING", text)
        text = f"The engine has not answered for {limit_s:.0f} s: {error.text}"
        if self._keeper is not None:
            return await self._keeper.give_up("COMFY_NOT_READY", f"{text} It is started again.")
        return Trouble(
            "COMFY_NOT_READY",
            f"{text} Start ComfyUI, or set [comfyui] url to where it listens. Jobs wait meanwhile.",
        )

    async def _busy(self, renderer: Renderer) -> Trouble | None:
        """What is wrong with its queue: a prompt that never leaves it, or somebody else's."""
        prompt_id, drawing = self._stuck, self._state().lease is not None
        if self._keeper is not None and not prompt_id:
            return None
        queue = await once(renderer.queue)
        if prompt_id and prompt_id in queue.running:
            return await self._replace(self._keeper, renderer) if self._keeper else stuck(prompt_id)
        if self._stuck == prompt_id:
            self._stuck = ""
        if self._keeper is not None or drawing or self._state().lease is not None:
            return None
        others = {*queue.running, *queue.pending} - prompts_of(self._state())
        return shared(len(others)) if others else None

    async def _replace(self, keeper: EngineKeeper, renderer: Renderer) -> Trouble:
        prompt_id, self._stuck = self._stuck, ""
        with suppress(EngineError):
            await once(renderer.free)
        return await keeper.replace("ENGINE_STUCK", f"{holds(prompt_id)} It is started again.")

    async def _know(self, renderer: Renderer, facts: EngineFacts) -> None:
        """Say once what is to be said of a server that is new to us."""
        before, self.facts = self.facts, facts
        # One connection may drop; an address that is refused again has nobody behind it.
        away, self._refusals = self._refusals > 1, 0
        if before is not None and self._keeper is None and (away or facts != before):
            self._report("ENGINE_CHANGED", changed(before, facts))
        elif before is not None:
            return
        if facts.name != "comfyui":
            return
        said = list(concerns(facts.argv, mode=facts.mode))
        with suppress(EngineError):
            if address := await once(renderer.outside):
                said.append(_EXPOSED.format(address))
                self._report("ENGINE_EXPOSED", said[-1])
        self.warnings = tuple(said)
        for warning in said:
            log.warning("%s", warning)
        for code, text in await self._keeper.said_at_start() if self._keeper else ():
            self._report(code, text)

    async def _free_bytes(self) -> int | None:
        """Free space in steps of 64 MiB, so that a file more or less is no news; None = unknown."""
        try:
            free = await self._disk.free_bytes()
        except WorldError:
            return None
        return free >> 26 << 26


def _with(world: World, trouble: Trouble | None) -> World:
    code, text = (trouble.code, trouble.text) if trouble else ("", "")
    return replace(world, engine_code=code, engine_text=text)
