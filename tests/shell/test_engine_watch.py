"""The watch over a server of somebody else: what it tells of an engine that is away, back, or
there without working."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from daemon.shell.patience import GivenUp, now
from tests.examples import job
from tests.shell.engine_fake import FACTS
from tests.shell.watching import Post, watched

STUCK = "0b8f0c52-6a0a-4a35-8f0e-6f1f6b1f2a10"


def test_an_engine_that_stays_away_is_said_to_be_starting_and_after_a_minute_not_ready() -> None:
    """N5.1: polled every 2 s, for 60 s, then loudly."""

    async def story(post: Post) -> None:
        post.engine.there = False
        await asyncio.sleep(90.0)
        post.engine.there = True
        await asyncio.sleep(3.0)

    assert watched(story).told == ["", "ENGINE_STARTING", "COMFY_NOT_READY", ""]


def test_a_stall_of_three_seconds_is_nothing() -> None:
    async def story(post: Post) -> None:
        post.engine.slow_s = [3.0] * 100
        await asyncio.sleep(200.0)

    assert watched(story).told == [""]


def test_an_engine_that_holds_on_to_a_prompt_gets_no_other_until_it_lets_go() -> None:
    """N6.3: healthy HTTP over a dead worker."""

    async def story(post: Post) -> None:
        post.open(job(), STUCK)
        post.engine.running = [STUCK]
        post.watch.suspect(STUCK)
        await asyncio.sleep(600.0)
        post.engine.running = []
        await asyncio.sleep(3.0)

    assert watched(story).told == ["", "ENGINE_STUCK", ""]


def test_a_suspicion_that_is_not_true_is_gone_at_the_next_look() -> None:
    async def story(post: Post) -> None:
        post.watch.suspect(STUCK)
        await asyncio.sleep(11.0)

    assert watched(story).told == ["", "ENGINE_STUCK", ""]


@pytest.mark.parametrize("within_s", [0.1, 0.3])
def test_a_suspicion_in_the_middle_of_a_look_is_not_forgotten(within_s: float) -> None:
    async def story(post: Post) -> None:
        post.engine.running = [STUCK]
        post.open(job(), STUCK)
        post.engine.slow_s = [0.2, 0.2]
        await asyncio.sleep(post.engine.asked[-1] + 10.02 - now())  # A look has just begun.
        await asyncio.sleep(within_s)
        post.watch.suspect(STUCK)
        await asyncio.sleep(5.0)

    assert watched(story).told == ["", "ENGINE_STUCK"]


def test_prompts_of_somebody_else_keep_jobs_waiting_and_are_not_touched() -> None:
    """A2.3."""

    async def story(post: Post) -> None:
        post.engine.running, post.engine.waiting = [STUCK], ["another"]
        await asyncio.sleep(100.0)
        assert post.texts[-1].startswith("2 prompts of somebody else")
        post.engine.running, post.engine.waiting = [], []
        await asyncio.sleep(2.5)

    post = watched(story)
    assert post.told == ["", "ENGINE_SHARED", ""]
    assert not [call for call in post.engine.calls if call.startswith("interrupt")]


def test_a_prompt_of_ours_is_nobody_elses_nor_is_any_while_we_have_the_lease() -> None:
    async def story(post: Post) -> None:
        post.open(job(), STUCK)
        post.engine.running = [STUCK]
        await asyncio.sleep(100.0)
        post.lease()
        post.engine.waiting = ["another"]
        await asyncio.sleep(100.0)

    assert watched(story).told == [""]


def test_a_mistake_of_ours_is_said_and_the_watch_goes_on() -> None:
    async def story(post: Post) -> None:
        for odd in (KeyError("devices"), RecursionError(), TypeError("none")):
            post.engine.odd = odd
            await asyncio.sleep(30.0)
        post.engine.odd = None
        await asyncio.sleep(3.0)

    assert watched(story).told == ["", "INTERNAL", ""]


def test_a_restart_and_another_version_are_told_once_each_and_a_first_contact_is_not() -> None:
    async def story(post: Post) -> None:
        post.engine.there = False
        await asyncio.sleep(30.0)
        post.engine.there = True
        await asyncio.sleep(30.0)
        post.engine.facts = replace(FACTS, version="0.3.65")
        await asyncio.sleep(30.0)

    restarted, changed = watched(story).reports
    assert restarted[0] == changed[0] == "ENGINE_CHANGED"
    assert "0.3.64 and is 0.3.65 now" in changed[1]
    assert "started again" in restarted[1]


def test_an_engine_that_answers_outside_this_machine_is_told_once() -> None:
    """N2.2."""

    async def story(post: Post) -> None:
        await post.end()
        post.engine.exposed = "192.0.2.7:8188"
        post.begin()
        await asyncio.sleep(100.0)
        assert "192.0.2.7:8188" in post.watch.warnings[0]

    assert watched(story).codes == ["ENGINE_EXPOSED"]


@pytest.mark.parametrize("mac", [True, False])
def test_the_cpu_is_no_engine_on_a_mac(mac: bool) -> None:
    """A1.7."""

    async def story(post: Post) -> None:
        post.engine.facts = replace(FACTS, device_type="cpu")
        await asyncio.sleep(30.0)

    assert watched(story, mac=mac).told == (["", "ENGINE_ON_CPU"] if mac else [""])


def test_who_waits_for_the_engine_goes_on_with_its_first_answer() -> None:
    async def story(post: Post) -> None:
        post.engine.there = False
        await asyncio.sleep(20.0)
        waiting = asyncio.ensure_future(post.watch.ready("default"))
        await asyncio.sleep(100.0)
        assert not waiting.done()
        post.engine.there = True
        async with asyncio.timeout(2.5):
            await waiting

    watched(story)


@pytest.mark.parametrize("profile", ["default", "fp32-unet"])
def test_who_waits_for_what_does_not_come_is_told_so(profile: str) -> None:
    async def story(post: Post) -> None:
        post.engine.there = profile != "default"
        await asyncio.sleep(20.0)
        began = now()
        with pytest.raises(GivenUp) as given_up:
            await post.watch.ready(profile)
        assert given_up.value.code == "COMFY_NOT_READY"
        assert now() - began == pytest.approx(180.0)

    watched(story)


def test_an_engine_that_is_not_ours_is_freed_twice_for_a_training_or_is_away() -> None:
    """A5.4."""

    async def story(post: Post) -> None:
        began = now()
        await post.watch.released()
        first, second = post.engine.freed
        assert first == began
        assert second - first == pytest.approx(1.01)
        post.engine.there = False
        await post.watch.released()

    watched(story)
