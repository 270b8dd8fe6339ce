"""When a person is told: together, not in her quiet hours, and never at anybody's cost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC

from daemon.core.events import Entry, JobEnded
from daemon.core.jobs import JobId, Phase
from daemon.core.state import State
from daemon.core.windows import Span, Windows
from daemon.errors import WorldError
from daemon.shell.loop import Believed
from daemon.shell.notices import Notices
from daemon.wire.notices import Message, Telling
from daemon.wire.notify_keys import Kind
from tests.virtual_time import run

NIGHT = Windows((Span(frozenset(range(7)), 22 * 60, 8 * 60),), UTC)
NEVER = Windows((), UTC)
ALL: tuple[Kind, ...] = ("done", "failed", "needs_you")
HOUR_MS = 3_600_000


@dataclass
class Shown:
    """Notes what is shown, and when; ``fails`` so many times first."""

    fails: int = 0
    messages: list[tuple[float, Message]] = field(default_factory=list)
    asked: int = 0

    async def show(self, message: Message) -> None:
        self.asked += 1
        if self.asked <= self.fails:
            raise WorldError("NOTIFY_FAILED", "It hangs.")
        self.messages.append((asyncio.get_running_loop().time(), message))


def believed(*names: str, phase: Phase = Phase.FAILED) -> Believed:
    events = [JobEnded(JobId(name), phase, "STALLED") for name in names]
    return Believed([Entry(1, 0, event, "2026-11", "") for event in events], world_changed=False)


def told(
    shown: Shown,
    story: Callable[[Notices], None],
    *,
    kinds: tuple[Kind, ...] = ALL,
    quiet: Windows = NEVER,
    at_hour: float = 12,
    for_s: float = 300.0,
) -> list[tuple[float, Message]]:
    async def live() -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()

        def now() -> int:
            return round(at_hour * HOUR_MS + (loop.time() - began) * 1000)

        notices = Notices(shown, Telling(kinds, quiet), state=State, now=now)
        task = asyncio.ensure_future(notices.run())
        story(notices)
        await asyncio.sleep(for_s)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(live())
    return shown.messages


def test_what_happens_together_is_told_together() -> None:
    def story(notices: Notices) -> None:
        notices.believe(believed("a_v1", "b_v1"))
        asyncio.get_running_loop().call_later(2.0, notices.believe, believed("c_v1"))

    [(at, message)] = told(Shown(), story)
    assert len(message.events) == 3
    assert at < 10.0


def test_what_nobody_asked_for_is_not_told() -> None:
    def story(notices: Notices) -> None:
        notices.believe(believed("a_v1"))

    assert told(Shown(), story, kinds=("done",)) == []


def test_what_happens_in_quiet_hours_is_told_once_they_are_over() -> None:
    def story(notices: Notices) -> None:
        notices.believe(believed("a_v1"))
        asyncio.get_running_loop().call_later(3_600.0, notices.believe, believed("b_v1"))

    [(at, message)] = told(Shown(), story, quiet=NIGHT, at_hour=23, for_s=10 * 3_600.0)
    assert len(message.events) == 2
    assert 9 * 3_600 <= at < 9 * 3_600 + 120


def test_one_that_cannot_be_shown_is_not_told_again_and_the_next_one_is() -> None:
    def story(notices: Notices) -> None:
        notices.believe(believed("a_v1"))
        asyncio.get_running_loop().call_later(100.0, notices.believe, believed("b_v1"))

    [(_, message)] = told(Shown(fails=1), story)
    assert [event.job for event in message.events] == ["b_v1"]
