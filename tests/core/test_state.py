"""The state is the fold of the ledger, and of nothing else."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.commands import ReportEnded, ReportIncident
from daemon.core.events import (
    AttemptEnded,
    AttemptStarted,
    CalibrationMeasured,
    CheckpointSaved,
    ControlTaken,
    Entry,
    Event,
    Incident,
    JobAccepted,
    JobApproved,
    JobHeld,
    JobRejected,
    LedgerRestored,
    LedgerTorn,
    PictureReproduced,
    PromptSent,
    ResultPublished,
)
from daemon.core.evolve import evolve
from daemon.core.ids import is_rehearsal
from daemon.core.job import Checkpoint, Job
from daemon.core.jobs import FileFacts, JobId, Outcome, Phase
from daemon.core.stages import PROBE, TRAINING
from daemon.core.state import REFUSALS_KEPT, State, apply, drop_of, fold, key_of
from daemon.core.tools import ModelRecorded
from tests.core.asking import (
    KINDS,
    VAE,
    Ask,
    checkpoint,
    control,
    desks,
    ended,
    file,
    panel,
    published,
    serve,
    training,
)
from tests.desk import SEGMENT, Desk
from tests.examples import judged

CH01 = JobId("ch01_v1")


def entry(event: Event, *, seq: int = 1, at: int = 0) -> Entry:
    return Entry(seq, at, event, SEGMENT, "")


def running() -> Desk:
    """A desk at which ch01_v1 is being drawn."""
    desk = Desk()
    desk.do(panel("ch01"))
    return desk


def test_the_commands_drawn_by_chance_reach_every_phase_and_every_kind_of_event() -> None:
    """Else the laws that are tested with them would be laws about nothing."""
    chance = random.Random(1)
    asked = [
        [Ask(chance.choice(KINDS), chance.randint(0, 11), chance.randint(0, 5)) for _ in range(30)]
        for _ in range(200)
    ]
    served = [serve(some) for some in asked]
    phases = {job.phase for desk in served for job in desk.state.jobs.values()}
    assert phases == set(Phase) - {Phase.REJECTED}
    events = {type(entry.event) for desk in served for entry in desk.entries}
    later = {CalibrationMeasured, PictureReproduced, LedgerRestored}
    assert events == set(get_args(Event)) - later


def same(one: State, other: State) -> bool:
    """Equal, the order of the queue included, which ``==`` of dictionaries does not see."""
    return one == other and list(one.queue) == list(other.queue)


@given(desks, st.data())
def test_a_fold_is_the_same_however_its_entries_are_cut_into_batches(
    desk: Desk, data: st.DataObject
) -> None:
    state, rest = State(), desk.entries
    while rest:
        size = data.draw(st.integers(1, len(rest)), label="size of a batch")
        draft = state.draft()
        for each in rest[:size]:
            apply(draft, each)
        state.absorb(draft)
        rest = rest[size:]
    assert same(state, fold(desk.entries))
    assert same(state, desk.state)


@given(desks)
def test_a_draft_that_is_thrown_away_leaves_no_trace(desk: Desk) -> None:
    before = fold(desk.entries)
    draft = desk.state.draft()
    last = draft.seq
    for number, each in enumerate(desk.entries, start=1):
        apply(draft, replace(each, seq=last + number))
    assert same(desk.state, before)


def test_a_draft_shares_nothing_that_it_changes() -> None:
    state = State()
    draft = state.draft()
    for seq, each in enumerate(Desk().do(panel("ch01")), start=1):
        apply(draft, entry(each, seq=seq))
    assert same(state, State())
    assert list(draft.queue) == ["ch01_v1"]


@given(desks, st.integers(0, 100))
def test_a_fold_goes_on_where_another_ended(desk: Desk, cut: int) -> None:
    first = fold(desk.entries[:cut])
    assert same(fold(desk.entries[cut:], first), fold(desk.entries))


def test_the_highest_version_counts_in_whatever_order_they_came() -> None:
    [accepted, _] = Desk().do(panel("ch01"))
    assert isinstance(accepted, JobAccepted)
    jobs = (JobId("ch01_v3"), JobId("ch01_v2"))
    state = fold(entry(replace(accepted, job=job), seq=seq) for seq, job in enumerate(jobs, 1))
    assert state.numbers["ch01", "v"] == 3


def test_an_entry_out_of_its_place_is_a_damaged_history() -> None:
    with pytest.raises(AssertionError, match="seq 3 after 0"):
        fold([entry(Incident("CODE", ""), seq=3)])


def test_an_event_of_a_job_that_was_never_accepted_is_a_damaged_history() -> None:
    with pytest.raises(AssertionError, match="never accepted"):
        fold([entry(AttemptStarted(CH01, 1, "comfyui", "default", 0, ""))])


def test_what_a_person_should_know_of_a_job_is_noted_once_and_forgotten_at_a_retry() -> None:
    """Symptom table 3.9: what was no failure has its first check beside the job too."""
    desk = running()
    desk.do(*[ReportIncident("WS_SILENT", "It was silent.", CH01)] * 2)
    desk.do(ReportIncident("MODEL_LOAD_SLOW", "It took 70 s.", CH01), ReportIncident("X", "", "b"))
    assert desk.state.jobs[CH01].notes == ("WS_SILENT", "MODEL_LOAD_SLOW")
    desk.do(ReportEnded(CH01, 1, Outcome.FAILED, "VALIDATION", "No."))
    desk.do(control("retry", CH01, inode=77))
    assert desk.state.jobs[CH01].notes == ()


def test_an_event_of_no_job_never_reaches_one() -> None:
    job = running().state.jobs[CH01]
    with pytest.raises(AssertionError, match="belongs to no job"):
        evolve(job, entry(LedgerTorn(1, "kept")))


def test_a_job_starts_waiting_with_everything_its_acceptance_says() -> None:
    desk = Desk(at=5_000)
    asked = panel("ch01", priority=3)
    desk.do(control("pause"))
    desk.do(asked)
    job = desk.state.jobs[CH01]
    assert (job.kind, job.name, job.ref, job.priority) == ("panel", "ch01", "ref of ch01", 3)
    assert (job.file, job.request, job.spec) == (asked.file, asked.request, asked.asked.spec)
    assert (job.accepted_seq, job.accepted_at) == (2, 7_000)
    assert (job.attempt, job.unlucky, job.cancelling, job.images) == (0, 0, False, {})


def test_a_started_attempt_takes_the_lease_and_forgets_the_pictures_of_the_last() -> None:
    desk = running()
    prompt = PromptSent(CH01, 1, 1, "prompt")
    job = evolve(desk.state.jobs[CH01], entry(prompt))
    assert job.images[1].prompt_id == "prompt"
    again = evolve(job, entry(AttemptStarted(CH01, 2, "comfyui", "default", 0, "")))
    assert (again.phase, again.attempt, again.images) == (Phase.RUNNING, 2, {})
    assert desk.state.lease == CH01


def test_a_verdict_stays_with_its_prompt_and_with_the_line_that_recorded_it() -> None:
    """S3.2: a lock points at that line."""
    line = entry(judged(CH01, image=2, sha256="d" * 64), seq=9)
    job = evolve(running().state.jobs[CH01], entry(PromptSent(CH01, 1, 2, "prompt")))
    image = evolve(job, line).images[2]
    assert (image.prompt_id, image.verdict, image.sha256) == ("prompt", "good", "d" * 64)
    assert image.judged is line


@pytest.mark.parametrize(
    ("outcome", "phase"),
    [
        (Outcome.SUCCEEDED, Phase.PUBLISHING),
        (Outcome.FAILED, Phase.FAILED),
        (Outcome.LOST, Phase.WAITING),
        (Outcome.STOPPED, Phase.WAITING),
        (Outcome.CANCELLED, Phase.CANCELLED),
    ],
)
def test_an_attempts_end_gives_the_lease_back_and_moves_the_job(
    outcome: Outcome, phase: Phase
) -> None:
    desk = running()
    end = AttemptEnded(CH01, 1, outcome, "CODE", "What was seen.", 0, 0.0)
    state = fold([entry(end, seq=desk.state.seq + 1, at=77)], desk.state)
    job = state.jobs[CH01]
    assert state.lease is None
    assert job.phase is phase
    assert (job.changed_at, job.changed_seq) == (77, state.seq)
    assert job.unlucky == (1 if outcome is Outcome.LOST else 0)


@pytest.mark.parametrize("outcome", Outcome)
def test_a_cancelled_job_is_cancelled_however_its_attempt_ended(outcome: Outcome) -> None:
    desk = running()
    desk.do(control("cancel", "ch01_v1"))
    assert desk.state.jobs[CH01].cancelling
    desk.do(ended("ch01_v1", 1, outcome))
    job = desk.state.jobs[CH01]
    assert (job.phase, job.cancelling, job.code) == (Phase.CANCELLED, False, "CANCELLED")


def test_a_failed_job_keeps_what_was_seen() -> None:
    desk = running()
    desk.do(ended("ch01_v1", 1, Outcome.FAILED, "WRONG_SIZE"))
    job = desk.state.jobs[CH01]
    assert (job.phase, job.code, job.text) == (Phase.FAILED, "WRONG_SIZE", "What was seen.")


def test_a_published_job_knows_its_files() -> None:
    desk = running()
    desk.do(ended("ch01_v1", 1, Outcome.SUCCEEDED))
    desk.do(published("ch01_v1"))
    job = desk.state.jobs[CH01]
    assert job.phase is Phase.PUBLISHED
    assert dict(job.files) == {"ch01_v1.png": "c" * 64}


def test_the_queue_holds_what_is_open_and_a_retried_job_goes_to_its_end() -> None:
    desk = running()
    desk.do(panel("ch02"))
    assert list(desk.state.queue) == ["ch01_v1", "ch02_v1"]
    desk.do(ended("ch01_v1", 1, Outcome.FAILED))
    assert list(desk.state.queue) == ["ch02_v1"]
    desk.do(control("retry", "ch01_v1"))
    assert list(desk.state.queue) == ["ch02_v1", "ch01_v1"]


@given(desks)
def test_the_queue_is_exactly_what_is_open(desk: Desk) -> None:
    assert set(desk.state.queue) == {job.id for job in desk.state.jobs.values() if job.open}


@given(desks)
def test_the_lease_is_held_by_the_one_running_job(desk: Desk) -> None:
    """A2.3: two at once cannot be written down."""
    going = [job.id for job in desk.state.jobs.values() if job.phase is Phase.RUNNING]
    assert going == ([] if desk.state.lease is None else [desk.state.lease])


def test_a_refused_control_changes_no_job() -> None:
    desk = running()
    before = desk.state.jobs[CH01]
    refused = ControlTaken("ch01_v1", "retry", "Not now.", file("retry"))
    state = fold([entry(refused, seq=desk.state.seq + 1)], desk.state)
    assert state.jobs[CH01] == before
    assert drop_of(refused.file) in state.answered


def test_an_approval_is_remembered_and_changes_nothing_else_in_the_life_of_a_job() -> None:
    job = running().state.jobs[CH01]
    approved = evolve(job, entry(JobApproved(CH01, 1, 0), seq=99))
    assert approved == job._replace(approved=(1,), changed_seq=99)
    assert evolve(approved, entry(JobApproved(CH01, 0, 198))).approved == (1, 198)


@given(desks)
def test_the_nonce_of_an_attempt_is_the_chain_of_the_line_that_started_it(desk: Desk) -> None:
    """Nothing else can have it, and a fold finds it again. Of a short run it is forgotten with
    the run, and what draws has none.
    """
    state = fold(desk.entries)
    going = (PROBE, Phase.RUNNING)
    for name, job in state.jobs.items():
        assert job.nonces == {
            each.event.attempt: each.chain
            for each in desk.entries
            if isinstance(each.event, AttemptStarted)
            and each.event.job == name
            and (each.event.stage == TRAINING or (each.event.stage, job.phase) == going)
        }


def test_a_checkpoint_keeps_the_line_that_recorded_it_and_resets_the_bad_luck() -> None:
    job = running().state.jobs[CH01]._replace(unlucky=1)
    line = entry(CheckpointSaved(CH01, 198, "f" * 64, 0.1, 2, 9, "mps", 0.0), seq=9)
    saved = Checkpoint("f" * 64, 0.1, 2, line, 9, "mps")
    assert evolve(job, line) == job._replace(unlucky=0, checkpoints={198: saved})


def test_checkpoints_outlive_the_attempt_that_saved_them() -> None:
    """An attempt is lost, and what it saved is what the next one goes on from."""
    desk = Desk()
    desk.do(training())
    desk.do(checkpoint("spyke_v1", 198))
    desk.do(ended("spyke_v1", 1, Outcome.LOST))
    assert list(desk.state.jobs[JobId("spyke_v1")].checkpoints) == [198]


def test_whoever_gets_on_ends_a_row_of_losses() -> None:
    desk = Desk()
    desk.do(training())
    desk.do(ended("spyke_v1", 1, Outcome.LOST))
    assert desk.state.losses == 1
    desk.do(checkpoint("spyke_v1", 198, attempt=2))
    assert desk.state.losses == 0


@given(desks)
def test_what_is_to_be_installed_was_approved_and_is_no_rehearsal(desk: Desk) -> None:
    for name, step in desk.state.installs:
        assert step in desk.state.jobs[name].approved
        assert step in desk.state.jobs[name].checkpoints
        assert not is_rehearsal(name)


def test_every_answer_is_remembered_by_its_drop() -> None:
    desk = Desk()
    first, again, refused = panel("ch01"), panel("ch01", inode=2), panel("ch02", inode=3)
    desk.do(first)
    desk.do(again)
    assert desk.state.answered[drop_of(first.file)] == "ch01_v1"
    assert desk.state.answered[drop_of(again.file)] == "ch01_v1"
    assert drop_of(refused.file) not in desk.state.answered


def test_the_latest_refusals_can_be_told_of_and_all_are_counted() -> None:
    answer = JobRejected("bad.toml", "a" * 64, "run-7", (), 1, 2, 3)
    entries = [entry(replace(answer, inode=seq), seq=seq) for seq in range(1, 304)]
    state = fold(entries)
    assert state.rejected == 303
    assert state.refusals == tuple(entries[-REFUSALS_KEPT:])


@pytest.mark.parametrize("changed", ["sha256", "inode", "mtime_ns", "size"])
def test_a_file_saved_again_is_another_drop(changed: str) -> None:
    facts = file("text")
    other = {"sha256": "0" * 64, "inode": 99, "mtime_ns": 99, "size": 99}[changed]
    values = {name: getattr(facts, name) for name in FileFacts.__slots__}
    assert drop_of(FileFacts(**{**values, changed: other})) != drop_of(facts)
    assert drop_of(replace(facts, name="renamed.toml")) == drop_of(facts)


def test_a_studio_that_drew_once_with_comfyui_has_drawn_for_real() -> None:
    state = State()
    accepted = Desk().do(panel("ch01"))[0]
    fold(
        [entry(accepted), entry(AttemptStarted(CH01, 1, "rehearsal", "", 0, ""), seq=2)],
        state,
    )
    assert not state.drew_for_real
    apply(state, entry(AttemptStarted(CH01, 2, "comfyui", "", 0, ""), seq=3))
    apply(state, entry(AttemptStarted(CH01, 3, "rehearsal", "", 0, ""), seq=4))
    assert state.drew_for_real


def test_a_model_is_known_as_it_was_last_recorded() -> None:
    """S3.4."""
    old = ModelRecorded("vae", "v.safetensors", "e" * 64, 9, "F32", {})
    new = replace(old, sha256="f" * 64)
    state = fold([entry(old), entry(new, seq=2)])
    old_facts, new_facts = (state.recorded[seq] for seq in (1, 2))
    assert (old_facts, new_facts) == (replace(VAE, sha256="e" * 64), replace(VAE, sha256="f" * 64))
    assert state.latest[key_of(new_facts)] == 2


def test_a_held_job_says_why_and_until_when() -> None:
    job = evolve(running().state.jobs[CH01], entry(JobHeld(CH01, "WINDOW", "At night.", 99)))
    assert (job.phase, job.code, job.text, job.not_before) == (
        Phase.HELD,
        "WINDOW",
        "At night.",
        99,
    )


def test_evolving_a_job_leaves_the_one_before_as_it_was() -> None:
    before: Job = running().state.jobs[CH01]
    kept = before._replace()
    evolve(before, entry(PromptSent(CH01, 1, 1, "prompt")))
    evolve(before, entry(ResultPublished(CH01, {"a": "b"})))
    assert before == kept
