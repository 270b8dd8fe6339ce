"""The keeper of a server of ours: whatever becomes of it, it is what is wanted again in time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise

import pytest

from daemon.errors import WorldError
from daemon.shell.patience import GivenUp, now
from daemon.wire.shim_record import ExitRecord
from tests.shell.engine_fake import FACTS
from tests.shell.host_fake import FakeHost
from tests.shell.watching import Post, watched

STUCK = "0b8f0c52-6a0a-4a35-8f0e-6f1f6b1f2a10"
UP_S = 10.0
"""From nothing to a healthy server: its start, and a look."""


def profiles(host: FakeHost) -> list[str]:
    """Those of all starts."""
    return [profile for _, profile in host.started]


def test_a_server_is_started_at_once_and_is_ready_when_it_answers() -> None:
    async def story(post: Post) -> None:
        await post.watch.ready("default")
        assert now() < 7.5

    post = watched(story, host=FakeHost())
    assert (post.told, profiles(post.host), post.reports) == (
        ["ENGINE_STARTING", ""],
        ["default"],
        [],
    )


@pytest.mark.parametrize("after_s", [0.01, 2.0, 4.9, 5.1, 30.0, 300.0])
def test_a_server_that_dies_at_any_stage_is_started_again_and_that_is_told_once(
    after_s: float,
) -> None:
    """N5.2."""

    async def story(post: Post) -> None:
        await asyncio.sleep(after_s + UP_S)
        assert len(post.host.started) == 2
        await post.watch.ready("default")
        await asyncio.sleep(60.0)

    post = watched(story, host=FakeHost(lasts=[after_s]))
    assert post.told[-1] == ""
    assert post.reports == [("ENGINE_ENDED", "It was ended by signal 9. Its log ends: 'oops'.")]


@pytest.mark.parametrize(("evidence", "code"), [("", "KILLED"), ("it swapped", "OOM_KILL")])
def test_a_server_that_was_killed_is_told_by_what_speaks_for_it(evidence: str, code: str) -> None:
    """N4.3."""

    async def story(post: Post) -> None:
        post.evidence = evidence
        await asyncio.sleep(30.0)

    kill = ExitRecord("n", None, 9, "", started=1, ended=2)
    post = watched(story, host=FakeHost(lasts=[10.0], kill=kill))
    assert post.codes == [code]
    assert evidence in post.reports[0][1]


def test_a_server_that_starts_quickly_is_not_waited_for_longer_than_it_takes() -> None:
    async def story(post: Post) -> None:
        assert post.told[-1] == ""
        post.host.die()
        await asyncio.sleep(2.0 + 1.1 + 0.5)
        assert post.host.living() is not None
        assert post.told[-1] == ""

    watched(story, host=FakeHost(wakes_s=0.3))


def test_ends_in_a_row_are_started_again_ever_later_and_five_are_the_limit() -> None:
    """N5.2: told loudly, tried every ten minutes, and well again when it is."""

    async def story(post: Post) -> None:
        await asyncio.sleep(300.0)
        assert (len(post.host.started), post.told[-1]) == (5, "COMFY_NOT_READY")
        assert "5 times in a row" in post.texts[-1]
        assert "oops" in post.texts[-1]
        await asyncio.sleep(950.0)
        assert len(post.host.started) == 7
        post.host.lasts = []
        await asyncio.sleep(600.0)
        assert post.told[-1] == ""

    post = watched(story, host=FakeHost(lasts=[1.0] * 7))
    times = [time for time, _ in post.host.started]
    gaps = [later - earlier - 1.0 for earlier, later in pairwise(times)]
    for gap, pause_s in zip(gaps, [1.0, 2.0, 4.0, 8.0, 600.0, 600.0], strict=False):
        assert pause_s <= gap <= pause_s + 4.5
    assert post.codes == ["ENGINE_ENDED"] * 4 + ["COMFY_NOT_READY"]


def test_a_minute_of_health_forgives_the_ends_before_it() -> None:
    async def story(post: Post) -> None:
        await asyncio.sleep(2_000.0)

    post = watched(story, host=FakeHost(lasts=[80.0] * 10))
    assert "COMFY_NOT_READY" not in post.told
    assert len(post.host.started) == 11


def test_starts_that_are_refused_count_and_say_why() -> None:
    async def story(post: Post) -> None:
        await asyncio.sleep(60.0)

    post = watched(story, host=FakeHost(refusals=["There is no main.py."] * 5))
    assert post.told == ["ENGINE_STARTING", "COMFY_NOT_READY"]
    assert "There is no main.py." in post.texts[-1]


@pytest.mark.parametrize(("wakes_s", "starts"), [(58.0, 1), (63.0, 2)])
def test_a_port_that_is_closed_for_less_than_a_minute_is_a_start_and_longer_is_none(
    wakes_s: float, starts: int
) -> None:
    """N5.1."""

    async def story(post: Post) -> None:
        await asyncio.sleep(30.0)
        asked = post.engine.asked
        assert max(later - earlier for earlier, later in pairwise(asked)) < 2.1
        await asyncio.sleep(40.0)

    post = watched(story, host=FakeHost(wakes_s=wakes_s))
    assert len(post.host.started) == starts
    assert (post.told[-1] == "") == (starts == 1)


def test_stalls_of_three_seconds_and_one_late_answer_are_no_death() -> None:
    async def story(post: Post) -> None:
        await post.watch.ready("default")
        post.engine.slow_s = [3.0] * 20
        await asyncio.sleep(200.0)
        assert post.told == ["ENGINE_STARTING", ""]
        post.engine.hung = True
        await asyncio.sleep(15.0)
        post.engine.hung = False
        await asyncio.sleep(200.0)

    post = watched(story, host=FakeHost())
    assert (len(post.host.started), post.told[-1]) == (1, "")


def test_a_server_that_hangs_for_a_minute_is_started_again() -> None:
    async def story(post: Post) -> None:
        await post.watch.ready("default")
        post.engine.hung, began = True, now()
        await asyncio.sleep(90.0)
        again, _ = post.host.started[1]
        assert again - began >= 60.0
        post.engine.hung = False
        await asyncio.sleep(UP_S)

    post = watched(story, host=FakeHost())
    assert len(post.host.started) == 2
    assert (post.codes, post.told[-1]) == (["COMFY_NOT_READY"], "")


def test_a_server_that_lives_when_the_daemon_starts_is_gone_on_with() -> None:
    async def story(post: Post) -> None:
        await post.watch.ready("default")
        await post.end()
        await asyncio.sleep(100.0)
        post.begin()
        await post.watch.ready("default")
        await asyncio.sleep(100.0)

    post = watched(story, host=FakeHost())
    assert (len(post.host.started), post.host.stopped, post.reports) == (1, [], [])


def test_the_words_of_a_log_are_told_short_and_without_the_folders_of_this_machine() -> None:
    async def story(post: Post) -> None:
        await asyncio.sleep(1.0)

    said = "/somewhere/studio/.nightpress is not there. " * 100
    post = watched(story, host=FakeHost(refusals=[said]))
    for text in (post.reports[0][1], post.texts[0]):
        assert "$STUDIO/.nightpress" in text
        assert "/somewhere" not in text
        assert len(text) == 1_000


def test_the_server_is_in_the_profile_of_the_attempt_that_has_the_lease() -> None:
    """A3.2."""

    async def story(post: Post) -> None:
        await post.watch.ready("default")
        post.lease("fp32-unet")
        await post.watch.ready("fp32-unet")
        assert post.host.living() == post.host.serving
        await asyncio.sleep(100.0)
        post.rest()
        await post.watch.ready("default")

    post = watched(story, host=FakeHost())
    assert profiles(post.host) == ["default", "fp32-unet", "default"]
    assert post.reports == []


def test_a_profile_that_does_not_start_keeps_only_itself_waiting() -> None:
    async def story(post: Post) -> None:
        await post.watch.ready("default")
        post.lease("fp32-unet")
        post.host.lasts = [1.0] * 5
        with pytest.raises(GivenUp):
            await post.watch.ready("fp32-unet")
        post.rest()
        began = now()
        await post.watch.ready("default")
        assert now() - began < UP_S

    watched(story, host=FakeHost())


def test_who_was_told_that_it_is_up_never_finds_it_stopped_for_another_profile() -> None:
    """An attempt in another profile is given up at any moment of the change."""

    async def story(post: Post) -> None:
        await post.watch.ready("default")
        for tick in range(1, 250):
            post.lease("fp32-unet")
            climbing = asyncio.ensure_future(post.watch.ready("fp32-unet"))
            await asyncio.sleep(tick * 0.003)
            climbing.cancel()
            post.lease("default")
            await post.watch.ready("default")
            serving = post.host.living()
            await asyncio.sleep(3.0)
            assert serving == post.host.living()
            assert serving is not None
            assert serving.profile == "default"

    watched(story, host=FakeHost(wakes_s=0.2))


def test_the_server_is_off_before_a_training_begins_and_on_again_after_it() -> None:
    """A5.4."""

    async def story(post: Post) -> None:
        await post.watch.ready("default")
        post.lease(kind="train")
        await post.watch.released()
        assert post.host.living() is None
        await asyncio.sleep(3_600.0)
        assert (len(post.host.started), post.told[-1]) == (1, "ENGINE_RESTING")
        post.rest()
        await post.watch.ready("default")
        post.lease(kind="train")
        began = now()
        await post.watch.released()
        assert post.host.living() is None
        assert now() - began < 1.0

    post = watched(story, host=FakeHost())
    assert (profiles(post.host), post.reports) == (["default"] * 2, [])


def test_a_daemon_that_starts_during_a_training_starts_no_server() -> None:
    async def story(post: Post) -> None:
        post.lease(kind="train")
        await post.watch.released()
        await post.end()
        starts = len(post.host.started)
        post.begin()
        await asyncio.sleep(100.0)
        assert len(post.host.started) == starts
        assert post.told[-1] == "ENGINE_RESTING"

    watched(story, host=FakeHost())


def test_a_rehearsal_that_need_not_rest_stays_up_for_a_training() -> None:
    async def story(post: Post) -> None:
        await post.watch.ready("default")
        post.lease(kind="train")
        await post.watch.released()
        await asyncio.sleep(100.0)
        assert post.host.living() is not None

    watched(story, host=FakeHost(), rests=False)


def test_a_training_does_not_begin_beside_a_server_that_does_not_end() -> None:
    async def story(post: Post) -> None:
        await post.watch.ready("default")
        post.host.obeys, began = False, now()
        post.lease(kind="train")
        with pytest.raises(WorldError) as failed:
            await post.watch.released()
        assert failed.value.code == "ENGINE_STOP"
        assert now() - began == pytest.approx(60.0)
        assert post.told[-1] == "ENGINE_STOP"
        post.host.obeys = True
        await post.watch.released()

    watched(story, host=FakeHost())


def test_a_dead_worker_behind_a_healthy_server_is_replaced_at_once() -> None:
    """N6.3."""

    async def story(post: Post) -> None:
        await post.watch.ready("default")
        post.engine.running = [STUCK]
        post.watch.suspect(STUCK)
        await asyncio.sleep(1.0)
        assert len(post.host.started) == 2
        post.engine.running = []
        await post.watch.ready("default")

    post = watched(story, host=FakeHost())
    assert (post.told[1:], post.codes) == (
        ["", "ENGINE_STUCK", "ENGINE_STARTING", ""],
        ["ENGINE_STUCK"],
    )
    assert len(post.engine.freed) == 1


def test_a_stranger_at_our_port_is_sent_nothing_and_ours_is_started_again() -> None:
    async def story(post: Post) -> None:
        post.host.ours = False
        await asyncio.sleep(50.0)
        assert "nothing is sent to it" in post.texts[-1]
        await asyncio.sleep(20.0)
        post.host.ours = True
        await post.watch.ready("default")

    post = watched(story, host=FakeHost())
    assert "" not in post.told[:-1]
    assert len(post.host.started) == 2


def test_a_suspicion_that_is_not_true_stops_nothing() -> None:
    async def story(post: Post) -> None:
        await post.watch.ready("default")
        post.watch.suspect(STUCK)
        await asyncio.sleep(5.0)

    post = watched(story, host=FakeHost())
    assert (len(post.host.started), post.told[-1]) == (1, "")


def test_a_mistake_of_ours_never_ends_the_watch() -> None:
    async def story(post: Post) -> None:
        await post.watch.ready("default")
        post.engine.odd = ZeroDivisionError()
        await asyncio.sleep(100.0)
        assert post.told[-1] == "INTERNAL"
        post.engine.odd = None
        await asyncio.sleep(3.0)

    assert watched(story, host=FakeHost()).told[-1] == ""


def test_our_own_server_on_the_cpu_of_a_mac_draws_nothing() -> None:
    """A1.7."""

    async def story(post: Post) -> None:
        post.engine.facts = replace(FACTS, device_type="cpu")
        with pytest.raises(GivenUp) as given_up:
            await post.watch.ready("default")
        assert "CPU of this Mac" in given_up.value.text

    assert watched(story, host=FakeHost(), mac=True).told == ["ENGINE_STARTING", "ENGINE_ON_CPU"]


def test_a_server_that_dies_under_every_prompt_keeps_nobody_waiting_for_ever() -> None:
    """The engine answers and ends within the minute, again and again: the limit counts it."""

    async def story(post: Post) -> None:
        for _ in range(5):
            await post.watch.ready("default")
            post.host.die()
            await asyncio.sleep(2.1)
        with pytest.raises(GivenUp):
            await post.watch.ready("default")

    assert watched(story, host=FakeHost()).codes[-1] == "COMFY_NOT_READY"
