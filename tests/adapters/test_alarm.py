"""Rings on the event loop, one for however many were missed."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

import pytest

from daemon.adapters.alarm import SchedulerAlarm

pytestmark = pytest.mark.realprocess


def test_it_rings_again_and_again_on_the_loops_own_thread_until_stopped() -> None:
    threads: list[int] = []

    async def main() -> int:
        alarm = SchedulerAlarm()
        alarm.every(0.03, lambda: threads.append(threading.get_ident()))
        alarm.start()
        await asyncio.sleep(0.2)
        await alarm.stop()
        rung = len(threads)
        await asyncio.sleep(0.1)
        return rung

    rung = asyncio.run(main())
    assert rung >= 2
    assert len(threads) == rung
    assert set(threads) == {threading.get_ident()}


def test_rings_that_were_slept_through_are_one_ring_and_it_goes_on() -> None:
    """A Mac that sleeps drops timers; a late tick is one tick, and never none."""
    rings: list[float] = []

    async def main() -> tuple[int, int]:
        alarm = SchedulerAlarm()
        alarm.every(0.02, lambda: rings.append(time.monotonic()))
        alarm.start()
        await asyncio.sleep(0.05)
        before = len(rings)
        time.sleep(0.2)  # noqa: ASYNC251  # The whole process stands still, as in sleep.
        woke = time.monotonic()
        await asyncio.sleep(0.1)
        await alarm.stop()
        at_once = sum(1 for ring in rings[before:] if ring - woke < 0.01)
        return at_once, len(rings) - before

    at_once, after = asyncio.run(main())
    assert at_once <= 2
    assert 1 <= after < 9


def test_a_ring_that_fails_is_logged_and_the_next_one_comes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rings: list[int] = []

    def ring() -> None:
        rings.append(1)
        raise ValueError("a bug")

    async def main() -> None:
        alarm = SchedulerAlarm()
        alarm.every(0.02, ring)
        alarm.start()
        await asyncio.sleep(0.15)
        await alarm.stop()

    with caplog.at_level(logging.ERROR):
        asyncio.run(main())
    assert len(rings) >= 2
    assert "a bug" in caplog.text


def test_an_alarm_that_was_never_started_can_be_stopped() -> None:
    asyncio.run(SchedulerAlarm().stop())
