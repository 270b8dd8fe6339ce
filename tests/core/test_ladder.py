"""A spoilt picture is drawn again from its seed, a rung at a time, the likeliest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.commands import Observe, ReportEnded
from daemon.core.environment import environment_of
from daemon.core.events import AttemptEnded, AttemptStarted, ControlTaken, Event
from daemon.core.jobs import QUALITY_CODES, JobId, Outcome, Phase
from daemon.core.ladder import profile_for, spoken
from daemon.core.policy import LADDER
from daemon.core.state import State, apply, fold
from daemon.wire.sentence import sentence
from tests.core.asking import (
    DOWN,
    ENGINE,
    MAKING,
    PANEL,
    SEEN,
    control,
    desks,
    ended,
    image,
    panel,
    spoilt,
)
from tests.desk import READY, Desk

P1, P2 = JobId("p1_v1"), JobId("p2_v1")
PROFILES = ("default", *LADDER)
HERE = environment_of(ENGINE)
STEPS = (
    "judged",
    "spoilt",
    "spoilt",
    "spoilt",
    "lost",
    "stopped",
    "good",
    "again",
    "closing",
    "restart",
)


def take(desk: Desk, step: str, *, torch: str = ENGINE.torch) -> Sequence[Event]:
    """One step of the job that has the lease, or of the one that was asked for first."""
    name = desk.state.lease or P1
    attempt = desk.state.jobs[name].attempt
    match step:
        case "judged":
            making = replace(MAKING, engine=replace(ENGINE, torch=torch))
            return desk.do(image(name, 1, attempt=attempt, making=making))
        case "spoilt":
            return desk.do(spoilt(name, attempt, sorted(QUALITY_CODES)[attempt % 2]))
        case "lost":
            return desk.do(ended(name, attempt, Outcome.LOST))
        case "stopped":
            return desk.do(ended(name, attempt, Outcome.STOPPED, "DISK_FULL"))
        case "good":
            return desk.do(ended(name, attempt, Outcome.SUCCEEDED, ""))
        case "closing":
            return desk.do(Observe(replace(READY, closing=(name, attempt))))
        case "again":
            return desk.do(control("retry", P1, inode=len(desk.entries)))
        case _:
            return desk.restart()


def climb(steps: Sequence[str], *, profiles: Sequence[str] = LADDER) -> Desk:
    """The desk after these steps of two panels."""
    desk = Desk(profiles=tuple(profiles))
    desk.do(panel("p1"), panel("p2"))
    for step in steps:
        take(desk, step)
    return desk


climbs = st.lists(st.sampled_from(STEPS), max_size=40).map(climb)


def started(desk: Desk, job: str = P1) -> list[str]:
    """The profiles of its attempts, in their order."""
    told = (entry.event for entry in desk.entries)
    return [
        event.profile for event in told if isinstance(event, AttemptStarted) if event.job == job
    ]


def last_end(desk: Desk) -> AttemptEnded:
    told = (entry.event for entry in desk.entries)
    return [event for event in told if isinstance(event, AttemptEnded)][-1]


def spoilt_between_retries(desk: Desk, job: JobId) -> list[list[str]]:
    """The profiles in which its pictures were spoilt, a list for each time it was asked for."""
    profile, found = "", list[list[str]]([[]])
    for event in (entry.event for entry in desk.entries):
        match event:
            case AttemptStarted(job=name) if name == job:
                profile = event.profile
            case AttemptEnded(job=name, code=code) if name == job and code in QUALITY_CODES:
                if event.outcome in (Outcome.STOPPED, Outcome.FAILED):
                    found[-1].append(profile)
            case ControlTaken(job=name, kind="retry", error="") if name == job:
                found.append([])
            case _:
                pass
    return found


@given(st.one_of(desks, climbs))
def test_no_profile_spoils_a_job_twice_before_a_person_asks_again(desk: Desk) -> None:
    """A3.2: so the ladder gives a job at most one attempt a profile."""
    for job in desk.state.jobs:
        for profiles in spoilt_between_retries(desk, job):
            assert len(profiles) == len(set(profiles)) <= len(PROFILES)
        assert tuple(spoilt_between_retries(desk, job)[-1]) == desk.state.jobs[job].rungs


@given(st.one_of(desks, climbs))
def test_who_waits_after_a_spoilt_picture_is_drawn_on_a_rung_that_is_left(desk: Desk) -> None:
    for name in desk.state.queue:
        job = desk.state.jobs[name]
        if job.phase is Phase.PUBLISHING:
            continue
        profile = profile_for(job, desk.state, LADDER)
        assert (profile in job.rungs) is False
        assert (profile == "default") is (not job.rungs)
        if job.phase is Phase.RUNNING:
            assert job.profile not in job.rungs


def test_a_draft_that_is_thrown_away_teaches_nothing() -> None:
    desk = climb(["judged", "spoilt", "judged"])
    end = climb(["judged", "spoilt", "judged", "spoilt"]).entries[len(desk.entries) :]
    draft = desk.state.draft()
    for each in end:
        apply(draft, each)
    assert draft.learnt
    assert not desk.state.learnt


@given(climbs, st.data())
def test_what_was_learnt_is_the_same_however_the_ledger_is_cut(
    desk: Desk, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(desk.entries)), label="cut")
    state = fold(desk.entries[:cut])
    draft = state.draft()
    for each in desk.entries[cut:]:
        apply(draft, each)
    state.absorb(draft)
    assert state == fold(desk.entries) == desk.state


@given(climbs)
def test_all_attempts_that_run_at_once_draw_in_one_profile(desk: Desk) -> None:
    """A server has one launch profile, and there is one server."""
    assert len({desk.state.jobs[job].profile for job in desk.state.running}) <= 1


def test_only_an_attempt_in_the_same_profile_is_made_ready_while_another_draws() -> None:
    desk = climb(["closing"])
    assert desk.state.running == (P1, P2)
    desk = climb(["spoilt", "closing"])
    assert desk.state.running == (P1,)
    take(desk, "good")
    assert desk.state.running == (P2,)


def test_who_was_spoilt_while_the_next_was_made_ready_waits_for_its_end() -> None:
    desk = climb(["closing", "spoilt"])
    assert (desk.state.running, desk.state.jobs[P1].phase) == ((P2,), Phase.WAITING)
    assert "Next: the same seed in profile fp32-unet." in sentence(desk.state.jobs[P1])
    take(desk, "closing")
    assert desk.state.running == (P2,)
    take(desk, "good")
    assert (desk.state.running, started(desk)) == ((P1,), ["default", "fp32-unet"])


def test_a_black_picture_is_drawn_again_in_fp32_and_the_end_says_that_it_was_fp16() -> None:
    """A3.2."""
    desk = climb(["spoilt"])
    assert started(desk) == ["default", "fp32-unet"]
    stopped = last_end(desk)
    assert stopped.outcome is Outcome.STOPPED
    assert stopped.evidence == f"{SEEN} Next: the same seed in profile fp32-unet."
    take(desk, "good")
    assert last_end(desk).outcome is Outcome.SUCCEEDED
    assert "fp16-related: yes: spoilt in default, good in fp32-unet" in last_end(desk).evidence


def test_what_another_rung_mends_was_not_fp16() -> None:
    """A3.2."""
    desk = climb(["spoilt", "spoilt", "good"])
    said = "fp16-related: no: spoilt in default and fp32-unet, good in split-attention, same seed."
    assert last_end(desk).evidence == f"{SEEN} {said}"


def test_when_no_rung_is_left_the_job_has_failed_and_says_what_was_tried() -> None:
    """A3.2."""
    desk = climb(["spoilt"] * len(PROFILES))
    job = desk.state.jobs[P1]
    assert started(desk) == list(PROFILES)
    assert (job.phase, job.rungs, job.unlucky) == (Phase.FAILED, PROFILES, 0)
    assert f"fp16-related: no: spoilt in {spoken(PROFILES)}" in job.text


def test_whoever_tries_it_again_begins_at_the_default_profile() -> None:
    desk = climb([*["spoilt"] * len(PROFILES), "good", "again"])
    assert started(desk)[-1] == "default"
    assert desk.state.jobs[P1].rungs == ()


def test_an_engine_that_is_not_ours_has_no_other_precision_and_that_is_said() -> None:
    """A3.2."""
    desk = climb(["spoilt"], profiles=())
    job = desk.state.jobs[P1]
    assert (job.phase, started(desk)) == (Phase.FAILED, ["default"])
    assert "not nightpress's to start" in job.text
    assert "fp16" not in job.text


def test_a_ladder_that_was_lost_with_the_engine_ends_after_one_more_attempt() -> None:
    desk = climb(["spoilt"])
    desk.profiles = ()
    take(desk, "lost")
    assert started(desk) == ["default", "fp32-unet", "default"]
    take(desk, "judged")
    good = replace(desk, entries=list(desk.entries), state=fold(desk.entries))
    take(desk, "spoilt")
    # The picture that was judged is kept in the outbox first.
    assert (desk.state.jobs[P1].phase, desk.state.learnt) == (Phase.PUBLISHING, {})
    take(good, "good")
    assert (last_end(good).evidence, good.state.learnt) == (SEEN, {})


@pytest.mark.parametrize("between", ["lost", "stopped", "restart"])
def test_what_comes_between_does_not_lose_the_place_in_the_ladder(between: str) -> None:
    desk = climb(["spoilt", "spoilt", between])
    job = desk.state.jobs[P1]
    assert (job.profile, job.rungs) == ("split-attention", ("default", "fp32-unet"))


def test_a_spoilt_picture_is_no_bad_luck() -> None:
    desk = climb(["lost", "spoilt", "spoilt"])
    assert desk.state.jobs[P1].unlucky == 1
    assert desk.state.losses == 0


def test_a_picture_that_is_meant_to_be_black_climbs_nothing() -> None:
    desk = Desk()
    desk.do(panel("p1", spec=replace(PANEL, quality=False)))
    take(desk, "spoilt")
    assert (desk.state.jobs[P1].phase, last_end(desk).evidence) == (Phase.FAILED, SEEN)


def test_who_is_being_cancelled_is_promised_nothing() -> None:
    desk = climb([])
    desk.do(control("cancel", P1))
    take(desk, "spoilt")
    assert desk.state.jobs[P1].phase is Phase.CANCELLED
    assert last_end(desk).evidence == SEEN


def test_another_fault_than_a_spoilt_picture_is_no_reason_to_climb() -> None:
    desk = climb([])
    desk.do(ended(P1, 1, Outcome.FAILED, "WASHED_OUT"))
    assert (desk.state.jobs[P1].phase, last_end(desk).evidence) == (Phase.FAILED, SEEN)


@pytest.mark.parametrize("outcome", [Outcome.LOST, Outcome.CANCELLED])
def test_only_a_judged_failure_takes_a_rung(outcome: Outcome) -> None:
    desk = climb([])
    desk.do(ended(P1, 1, outcome, "BLACK_OR_GRAY"))
    assert (last_end(desk).outcome, last_end(desk).evidence) == (outcome, SEEN)
    assert desk.state.jobs[P1].rungs == ()


def test_one_rung_is_a_ladder_too() -> None:
    desk = climb(["spoilt", "spoilt"], profiles=["cpu-vae"])
    assert desk.state.jobs[P1].phase is Phase.FAILED
    assert "fp16-related: no: spoilt in default and cpu-vae" in last_end(desk).evidence


def test_the_sentence_is_kept_where_what_was_seen_fills_the_line() -> None:
    desk = climb([])
    desk.do(ReportEnded(P1, 1, Outcome.FAILED, "BLACK_OR_GRAY", "x" * 1000))
    said = last_end(desk).evidence
    assert len(said) < 1000
    assert said.endswith("x Next: the same seed in profile fp32-unet.")
    desk.do(ReportEnded(P1, 2, Outcome.SUCCEEDED))
    assert last_end(desk).evidence.startswith("fp16-related: yes")


def test_between_two_rungs_a_job_is_held_like_every_other() -> None:
    desk = climb([])
    desk.do(Observe(DOWN))
    take(desk, "spoilt")
    assert desk.state.jobs[P1].phase is Phase.HELD
    desk.do(Observe(READY))
    assert started(desk) == ["default", "fp32-unet"]


# What was learnt.


def learnt(*tried: tuple[str, int, int]) -> State:
    """A state whose last engine is ENGINE, with (rung, tries, good) in its environment."""
    state = climb(["judged"]).state
    state.learnt.update({(HERE, rung): (tries, good) for rung, tries, good in tried})
    return state


@pytest.mark.parametrize(
    ("tried", "order"),
    [
        ((), LADDER),
        ((("cpu-vae", 3, 1),), ("cpu-vae", "fp32-unet", "split-attention")),
        ((("fp32-unet", 2, 0),), ("split-attention", "cpu-vae", "fp32-unet")),
        (
            (("fp32-unet", 9, 2), ("split-attention", 1, 1)),
            ("split-attention", "fp32-unet", "cpu-vae"),
        ),
        ((("fp32-unet", 9, 0), ("cpu-vae", 1, 0)), ("split-attention", "fp32-unet", "cpu-vae")),
    ],
)
def test_what_helped_goes_first_and_what_only_failed_goes_last(
    tried: Sequence[tuple[str, int, int]], order: Sequence[str]
) -> None:
    state = learnt(*tried)
    climbed = ["default"]
    for _ in LADDER:
        job = state.jobs[P1]._replace(rungs=tuple(climbed))
        climbed.append(profile_for(job, state, LADDER))
    assert climbed[1:] == list(order)


def test_only_what_the_engine_can_be_started_in_is_a_rung() -> None:
    state = learnt(("cpu-vae", 1, 1))
    job = state.jobs[P1]._replace(rungs=("default",))
    assert profile_for(job, state, ("split-attention", "a-profile-of-tomorrow")) == (
        "split-attention"
    )


def test_a_rung_is_counted_by_what_its_attempt_drew() -> None:
    desk = climb(["judged", "spoilt", "judged", "spoilt", "judged", "good"])
    assert desk.state.learnt == {(HERE, "fp32-unet"): (1, 0), (HERE, "split-attention"): (1, 1)}


@pytest.mark.parametrize(
    "steps",
    [
        ["judged", "good"],
        ["judged", "spoilt", "judged", "lost"],
        ["judged", "spoilt", "judged", "stopped"],
        ["judged", "spoilt", "spoilt"],
    ],
)
def test_neither_the_default_profile_nor_an_attempt_that_drew_nothing_is_counted(
    steps: Sequence[str],
) -> None:
    assert climb(steps).state.learnt == {}


def test_a_picture_that_an_earlier_attempt_left_says_nothing_of_this_one() -> None:
    desk = Desk()
    desk.do(panel("p1", spec=replace(PANEL, seeds=(1, 2), variations=2)))
    desk.do(image(P1, 2), image(P1, 1))
    desk.do(spoilt(P1, 1))
    take(desk, "judged", torch="9.9.9")
    take(desk, "spoilt")
    assert list(desk.state.learnt) == [((*HERE[:2], "9.9.9", *HERE[3:]), "fp32-unet")]


def test_another_torch_is_another_environment() -> None:
    desk = climb(["judged", "spoilt", "judged", "spoilt"])
    job = desk.state.jobs[P1]._replace(rungs=("default",))
    assert profile_for(job, desk.state, LADDER) == "split-attention"
    take(desk, "judged", torch="9.9.9")
    assert profile_for(job, desk.state, LADDER) == "fp32-unet"


@pytest.mark.parametrize(
    ("names", "said"),
    [("a", "a"), ("ab", "a and b"), ("abc", "a, b and c")],
)
def test_names_are_listed_as_in_a_sentence(names: str, said: str) -> None:
    assert spoken(tuple(names)) == said
