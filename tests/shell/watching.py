"""One studio's watch over its engine, for stories that are told in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from daemon.core.commands import Command, Observe, ReportIncident
from daemon.core.job import Image, Job
from daemon.core.jobs import Kind, Phase
from daemon.core.policy import Policy
from daemon.core.state import State
from daemon.core.world import World
from daemon.shell.engine_watch import EngineWatch
from daemon.wire.shim_record import ExitRecord
from tests.examples import job
from tests.fakes import MemoryDisk
from tests.shell.host_fake import FakeHost, HostedEngine
from tests.virtual_time import run

LIMIT_S = 10_000.0


class Post:
    """``told`` has the engine codes as they changed ('' = ready), ``reports`` the incidents;
    ``evidence`` speaks for memory as the cause of a kill.
    """

    def __init__(self, host: FakeHost | None, *, mac: bool, rests: bool) -> None:
        self.engine = HostedEngine(host=host)
        self.host = host or FakeHost()
        self.state = State()
        self.told: list[str] = []
        self.texts: list[str] = []
        self.reports: list[tuple[str, str]] = []
        self.evidence = ""
        self._daemon = (host, mac, rests)
        self.begin()

    def begin(self) -> None:
        """A daemon that has just started, which knows of nothing."""
        host, mac, rests = self._daemon
        self.watch = EngineWatch(
            world=World("comfyui"),
            renderer=self.engine,
            disk=MemoryDisk(),
            policy=Policy(),
            state=lambda: self.state,
            tell=self._tell,
            places={"$STUDIO": "/somewhere/studio"},
            host=host,
            mac=mac,
            rests=rests,
            evidence=self._found,
        )
        self.watching = asyncio.ensure_future(self.watch.run())

    async def end(self) -> None:
        """The daemon is gone; the server is not."""
        self.watching.cancel()
        await asyncio.wait([self.watching])

    def lease(self, profile: str = "default", *, kind: Kind = "panel") -> None:
        """An attempt of this kind has the GPU."""
        self.open(job(phase=Phase.RUNNING)._replace(profile=profile, kind=kind))
        self.state = replace(self.state, running=tuple(self.state.queue))

    def open(self, kept: Job, *prompts: str) -> None:
        """This job is open, and has sent these prompts."""
        images = {number: Image(prompt) for number, prompt in enumerate(prompts, start=1)}
        self.state = State(jobs={kept.id: kept._replace(images=images)}, queue={kept.id: None})

    def rest(self) -> None:
        """Nobody has the GPU, and nobody waits."""
        self.state = State()

    @property
    def codes(self) -> list[str]:
        """The incidents' codes."""
        return [code for code, _ in self.reports]

    async def _found(self, kill: ExitRecord) -> str:
        assert kill is self.host.kill
        return self.evidence

    def _tell(self, command: Command) -> None:
        match command:
            case Observe(world=world):
                self.texts.append(world.engine_text)
                if self.told[-1:] != [world.engine_code]:
                    self.told.append(world.engine_code)
            case ReportIncident(code=code, text=text):
                self.reports.append((code, text))
            case _:
                raise AssertionError(f"the watch has nothing to do with {command}")


def watched(
    story: Callable[[Post], Awaitable[None]],
    *,
    host: FakeHost | None = None,
    mac: bool = False,
    rests: bool = True,
) -> Post:
    """The post after the story; the watch still ran when it ended, whatever happened."""

    async def main() -> Post:
        post = Post(host, mac=mac, rests=rests)
        async with asyncio.timeout(LIMIT_S):
            await asyncio.sleep(1.0)
            await story(post)
        assert not post.watching.done()
        await post.end()
        return post

    return run(main())
