"""Who gets the GPU next, or the reason why nobody does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.admission import admit, line, nobody, why
from daemon.core.commands import Observe
from daemon.core.events import AttemptStarted, JobHeld
from daemon.core.hurdles import GIB, Scene
from daemon.core.job import Job
from daemon.core.jobs import JobId, LoraUse, Outcome, Phase
from daemon.core.policy import Policy
from daemon.core.state import State
from daemon.core.world import World
from tests.core.asking import (
    BUSY,
    DOWN,
    FULL,
    NONE,
    PANEL,
    Ask,
    asks,
    control,
    desks,
    ended,
    panel,
    training,
)
from tests.desk import READY, REHEARSING, Desk

POLICY = Policy()
REASONS = {
    "COMFY_NOT_READY": DOWN,
    "DISK_LOW": FULL,
    "GPU_BUSY": BUSY,
    "ENGINE_MISSING": NONE,
}


def waiting(*names: str, world: World = DOWN) -> Desk:
    """A desk at which panels of these names wait."""
    desk = Desk(world=world)
    for name in names:
        desk.do(panel(name))
    return desk


def waits(desk: Desk) -> Sequence[Job]:
    """The line at a desk."""
    return line(desk.state, desk.policy, at=desk.at)


def scene(world: World, *, state: State | None = None, policy: Policy = POLICY) -> Scene:
    """What admission sees of this world."""
    return Scene(state or State(), world, policy, Desk().studio)


@given(desks)
def test_at_most_one_attempt_goes_on(desk: Desk) -> None:
    """A2.3."""
    going = 0
    for entry in desk.entries:
        going += entry.event.type == "attempt.started"
        going -= entry.event.type == "attempt.ended"
        assert going in (0, 1)


@given(desks)
def test_while_nothing_runs_the_head_of_the_line_has_a_reason(desk: Desk) -> None:
    queue = waits(desk)
    if desk.state.lease is None and queue:
        assert queue[0].phase is Phase.HELD
        assert queue[0].code
        assert queue[0].code == desk.reasons()[queue[0].id].code


@given(desks)
def test_every_waiting_job_can_be_told_why(desk: Desk) -> None:
    reasons = desk.reasons()
    assert list(reasons) == [job.id for job in waits(desk)]
    assert all(reason.code and reason.text.endswith(".") for reason in reasons.values())


@given(desks, asks)
def test_when_all_is_said_there_is_nothing_more_to_say(desk: Desk, ask: Ask) -> None:
    """A reason is recorded when its code changes, not with each tick."""
    desk.do(ask.of(desk.state))
    assert desk.do() == []


@given(desks)
def test_the_line_is_by_priority_then_by_acceptance(desk: Desk) -> None:
    places = [(-job.priority, job.accepted_seq) for job in waits(desk)]
    assert places == sorted(places)


def test_first_come_first_served() -> None:
    desk = waiting("ch01", "ch02", "ch03")
    [started] = desk.do(Observe(READY))
    assert started == AttemptStarted(JobId("ch01_v1"), 1, "comfyui", "default", 0, "")


def test_a_higher_priority_goes_first_but_interrupts_nothing() -> None:
    desk = Desk()
    for name, priority in (("ch01", 0), ("ch02", -1), ("ch03", 2), ("ch04", 2)):
        desk.do(panel(name, priority=priority))
    order = []
    while desk.state.lease is not None:
        order.append(desk.state.lease)
        desk.do(ended(desk.state.lease, 1, Outcome.FAILED))
    assert order == ["ch01_v1", "ch03_v1", "ch04_v1", "ch02_v1"]


def test_a_job_tried_again_keeps_its_place_by_acceptance() -> None:
    desk = waiting("ch01", "ch02", world=READY)
    desk.do(ended("ch01_v1", 1, Outcome.LOST))
    assert desk.state.lease == "ch01_v1"


@pytest.mark.parametrize("code", REASONS)
def test_a_world_that_cannot_draw_holds_the_head_of_the_line_and_says_so_once(code: str) -> None:
    desk = Desk(world=REASONS[code])
    [_, held] = desk.do(panel("ch01"))
    assert isinstance(held, JobHeld)
    assert (held.job, held.code) == ("ch01_v1", code)
    [_, *more] = desk.do(panel("ch02"))
    assert more == []
    of_the_engine = code in ("COMFY_NOT_READY", "ENGINE_MISSING")
    assert desk.reasons()[JobId("ch02_v1")].code == (code if of_the_engine else "IN_LINE")


@pytest.mark.parametrize("code", REASONS)
def test_what_held_a_job_being_over_it_starts(code: str) -> None:
    desk = Desk(world=REASONS[code])
    desk.do(panel("ch01"))
    assert desk.do(Observe(READY)) == [
        AttemptStarted(JobId("ch01_v1"), 1, "comfyui", "default", 0, "")
    ]


def test_another_reason_is_said_as_well() -> None:
    desk = waiting("ch01")
    [held] = desk.do(Observe(FULL))
    assert isinstance(held, JobHeld)
    assert (held.code, "1.0 GB" in held.text, "10 GB" in held.text) == ("DISK_LOW", True, True)


def test_pause_comes_before_every_other_reason() -> None:
    state = State(paused=True)
    for world in REASONS.values():
        reason = nobody(scene(world, state=state))
        assert reason is not None
        assert reason.code == "PAUSED"


@pytest.mark.parametrize(
    ("free_bytes", "low"),
    [(None, False), (0, True), (10 * GIB - 1, True), (10 * GIB, False)],
)
def test_the_disk_is_low_below_its_floor_and_unknown_is_not_low(
    free_bytes: int | None, low: bool
) -> None:
    reason = nobody(scene(replace(READY, free_bytes=free_bytes)))
    assert (reason is not None) == low


def test_the_floor_of_the_disk_is_the_policys() -> None:
    tight = replace(POLICY, min_free_gb=0.5)
    assert nobody(scene(FULL, policy=tight)) is None


def test_a_rehearsal_job_never_runs_on_comfyui_nor_the_other_way_round() -> None:
    """A studio never falls back by itself."""
    rehearsed = waiting("ch01", world=replace(REHEARSING, gpu_free=False))
    [_, held] = rehearsed.restart(READY)
    assert isinstance(held, JobHeld)
    assert (held.code, "accepted for rehearsal" in held.text) == ("ENGINE_MISSING", True)
    real = waiting("ch01")
    [_, held] = real.restart(REHEARSING)
    assert isinstance(held, JobHeld)
    assert (held.code, "only rehearses" in held.text) == ("ENGINE_MISSING", True)


def test_a_job_that_cannot_run_here_lets_the_next_one_pass() -> None:
    desk = waiting("ch01", world=replace(REHEARSING, gpu_free=False))
    desk.restart(READY)
    [_, started] = desk.do(panel("ch02"))
    assert started == AttemptStarted(JobId("ch02_v1"), 1, "comfyui", "default", 0, "")
    assert desk.reasons()[JobId("ch01_r1")].code == "ENGINE_MISSING"


def test_an_attempt_names_the_engine_it_runs_on() -> None:
    desk = Desk(world=REHEARSING)
    [_, started] = desk.do(panel("ch01"))
    assert started == AttemptStarted(JobId("ch01_r1"), 1, "rehearsal", "default", 0, "")


def test_behind_the_running_job_everyone_knows_his_place() -> None:
    desk = waiting("ch01", "ch02", "ch03", world=READY)
    reasons = desk.reasons()
    first, second = reasons[JobId("ch02_v1")], reasons[JobId("ch03_v1")]
    assert (first.code, "ch01_v1 has the GPU" in first.text) == ("GPU_LEASED", True)
    assert second.code == "IN_LINE"
    assert second.text.startswith("1 ahead of it; next before it is ch02_v1")


def test_a_job_about_to_start_says_so() -> None:
    desk = waiting("ch01")
    assert why(scene(READY, state=desk.state))[JobId("ch01_v1")].code == "STARTING"


def test_nobody_is_admitted_while_the_lease_is_held_or_nobody_waits() -> None:
    assert admit(scene(READY)) == []
    busy = waiting("ch01", "ch02", world=READY)
    assert admit(busy.scene()) == []


def test_a_paused_press_says_so_to_a_job_that_was_held_for_another_reason() -> None:
    desk = waiting("ch01")
    [_, held] = desk.do(control("pause"))
    assert isinstance(held, JobHeld)
    assert held.code == "PAUSED"


def test_one_loss_after_the_other_keeps_the_rest_of_the_queue_until_somebody_looked() -> None:
    """N6.2: an engine that loses everything must not quarantine a whole night in minutes."""
    names = [f"p{number}" for number in range(1, 6)]
    desk = waiting(*names, world=READY)
    for job in range(1, 4):
        for attempt in (1, 2):
            desk.do(ended(f"p{job}_v1", attempt, Outcome.LOST, "ENGINE_UNCLEAR"))
    assert desk.state.jobs[JobId("p4_v1")].code == "ENGINE_TROUBLE"
    assert desk.state.lease is None
    desk.do(control("resume"))
    assert desk.state.lease == "p4_v1"


def test_a_loss_among_successes_keeps_nobody() -> None:
    desk = waiting("a", "b", world=READY)
    desk.do(ended("a_v1", 1, Outcome.LOST, "ENGINE_GONE"))
    desk.do(ended("a_v1", 2, Outcome.SUCCEEDED))
    assert desk.state.losses == 0


def test_a_training_needs_no_comfyui_and_passes_the_panels_that_do() -> None:
    desk = waiting("ch01")
    [*_, started] = desk.do(training())
    assert started == AttemptStarted(JobId("spyke_v1"), 1, "comfyui", "default", 0, "")
    assert desk.reasons()[JobId("ch01_v1")].code == "COMFY_NOT_READY"


def test_without_a_trainer_a_training_is_held_and_the_panels_pass() -> None:
    desk = Desk(world=replace(READY, trainer_text="No sd-scripts is set."))
    [*_, held] = desk.do(training())
    assert held == JobHeld(JobId("spyke_v1"), "TRAINER_MISSING", "No sd-scripts is set.", 0)
    [_, started] = desk.do(panel("ch01"))
    assert started == AttemptStarted(JobId("ch01_v1"), 1, "comfyui", "default", 0, "")
    assert desk.reasons()[JobId("spyke_v1")].code == "TRAINER_MISSING"


def test_a_rehearsed_training_is_not_taken_up_by_a_real_trainer() -> None:
    desk = Desk(world=replace(REHEARSING, gpu_free=False))
    desk.do(training())
    [_, held] = desk.restart(READY)
    assert isinstance(held, JobHeld)
    assert (held.job, held.code) == ("spyke_r1", "ENGINE_MISSING")


def drawn(*wishes: tuple[str, int], few: int) -> Sequence[int]:
    """In which order panels of these checkpoints and priorities are drawn that wait together;
    ``few`` may overtake one.
    """
    desk = Desk(world=DOWN, policy=replace(POLICY, max_overtaking=few))
    for number, (checkpoint, priority) in enumerate(wishes):
        spec = replace(PANEL, checkpoint=checkpoint)
        desk.do(panel(f"p{number}", priority=priority, spec=spec))
    desk.do(Observe(READY))
    order = []
    while desk.state.lease is not None:
        order.append(int(desk.state.lease.removeprefix("p").removesuffix("_v1")))
        desk.do(ended(desk.state.lease, 1, Outcome.FAILED))
    return order


def loads(checkpoints: Iterable[str]) -> int:
    return sum(one != other for one, other in pairwise(checkpoints))


@given(
    wishes=st.lists(st.tuples(st.sampled_from("abc"), st.integers(-1, 1)), min_size=1, max_size=12),
    few=st.integers(0, 4),
)
def test_panels_are_grouped_by_their_models_within_a_bound(
    wishes: list[tuple[str, int]], few: int
) -> None:
    """None is overtaken by more than the policy's few, which were accepted right after it; and
    never by one of a lower priority.
    """
    order = drawn(*wishes, few=few)
    assert sorted(order) == list(range(len(wishes)))
    priorities = [wishes[job][1] for job in order]
    assert priorities == sorted(priorities, reverse=True)
    for place, job in enumerate(order):
        before = [other for other in order[:place] if wishes[other][1] == wishes[job][1]]
        overtaking = [other for other in before if other > job]
        assert len(overtaking) <= few
        assert all(other <= job + few for other in overtaking)
    if few == 0:
        assert order == sorted(range(len(wishes)), key=lambda job: -wishes[job][1])


def test_a_chapter_that_alternates_loads_each_checkpoint_once() -> None:
    wishes = [("a" if page % 2 else "b", 0) for page in range(20)]
    order = drawn(*wishes, few=Policy().max_overtaking)
    assert loads(wishes[page][0] for page in order) == 1
    assert loads(checkpoint for checkpoint, _ in wishes) == 19


def test_another_lora_is_another_model_and_another_strength_is_not() -> None:
    soft, hard = (replace(PANEL, loras=(LoraUse("a.safetensors", it),)) for it in (0.5, 0.8))
    other = replace(PANEL, loras=(LoraUse("b.safetensors", 0.5),))
    desk = Desk(world=DOWN)
    for name, spec in (("p1", soft), ("p2", other), ("p3", hard)):
        desk.do(panel(name, spec=spec))
    desk.do(Observe(READY))
    desk.do(ended("p1_v1", 1, Outcome.FAILED))
    assert desk.state.lease == "p3_v1"


def test_no_panel_overtakes_a_training() -> None:
    desk = Desk(world=BUSY)
    desk.do(panel("p1"), training(), panel("p2"))
    desk.do(Observe(READY))
    desk.do(ended("p1_v1", 1, Outcome.FAILED))
    assert desk.state.lease == "spyke_v1"
