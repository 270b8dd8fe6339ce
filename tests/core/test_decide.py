"""What follows from a command; too late, twice or for nothing known, then nothing or a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

import pytest
from hypothesis import given

from daemon.core.commands import (
    Command,
    ConfirmInstalled,
    Observe,
    RecordDataset,
    RecordModels,
    RecordPrompt,
    RecordTrainer,
    Reject,
    ReportCheckpoint,
    ReportEnded,
    ReportImage,
    ReportIncident,
    ReportUnpublishable,
    Start,
    Stop,
    Submit,
    TakeControl,
)
from daemon.core.decide import Studio, decide, settle
from daemon.core.events import (
    AttemptEnded,
    AttemptStarted,
    CheckpointSaved,
    ControlTaken,
    DaemonStarted,
    DaemonStopped,
    DatasetRecorded,
    Event,
    ImageJudged,
    Incident,
    JobAccepted,
    JobApproved,
    JobDuplicate,
    JobEnded,
    JobHeld,
    JobRejected,
    LedgerTorn,
    LoraInstalled,
    PromptSent,
    ResultPublished,
)
from daemon.core.ids import derived_seed, split_job
from daemon.core.jobs import (
    OPEN_PHASES,
    Complaint,
    ControlKind,
    ControlNetUse,
    JobId,
    Kind,
    LoraUse,
    ModelFacts,
    Outcome,
    PanelSpec,
    Phase,
    TrainingImage,
)
from daemon.core.making import recorded_making, recorded_trainer
from daemon.core.policy import Policy
from daemon.core.state import State, fold
from daemon.core.tools import Making, ModelRecorded
from tests.core.asking import (
    DATASET,
    DOWN,
    ENGINE,
    MAKING,
    PANEL,
    TRAIN,
    TRAINER,
    VAE,
    Ask,
    approve,
    asks,
    checkpoint,
    control,
    desks,
    ended,
    file,
    image,
    panel,
    published,
    trained,
    training,
)
from tests.desk import READY, REHEARSING, Desk

CH01, SPYKE = JobId("ch01_v1"), JobId("spyke_v1")
STUDIO = Studio("studio", rehearsal=False)


E = TypeVar("E")


def only(events: Iterable[object], kind: type[E]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


def desk_with(phase: Phase) -> Desk:
    """A desk at which ch01_v1 is in this phase; where it waits, behind ch00_v1."""
    desk = Desk(world=DOWN if phase is Phase.HELD else READY)
    if phase is Phase.WAITING:
        desk.do(panel("ch00"))
    desk.do(panel("ch01"))
    match phase:
        case Phase.WAITING | Phase.HELD | Phase.RUNNING:
            pass
        case Phase.CANCELLED:
            desk.do(ended("ch01_v1", 1, Outcome.CANCELLED))
        case Phase.FAILED:
            desk.do(ended("ch01_v1", 1, Outcome.FAILED))
        case Phase.QUARANTINED:
            desk.do(ended("ch01_v1", 1, Outcome.LOST))
            desk.do(ended("ch01_v1", 2, Outcome.LOST))
        case Phase.PUBLISHING | Phase.PUBLISHED:
            desk.do(ended("ch01_v1", 1, Outcome.SUCCEEDED))
            if phase is Phase.PUBLISHED:
                desk.do(published("ch01_v1"))
        case Phase.REJECTED:
            raise AssertionError("a refused file is no job")
    assert desk.state.jobs[CH01].phase is phase
    return desk


PHASES = [phase for phase in Phase if phase is not Phase.REJECTED]
ENDED_BADLY = (Phase.FAILED, Phase.CANCELLED, Phase.QUARANTINED)


# Total, pure, and deaf to what comes too late.


@given(desks, asks)
def test_any_command_at_any_time_has_an_answer_and_changes_nothing_by_itself(
    desk: Desk, ask: Ask
) -> None:
    before = fold(desk.entries)
    first = decide(desk.state, ask.of(desk.state), STUDIO)
    again = decide(desk.state, ask.of(desk.state), STUDIO)
    assert first == again
    assert desk.state == before


@given(desks, asks)
def test_what_was_decided_can_always_be_carried_into_the_state(desk: Desk, ask: Ask) -> None:
    desk.do(ask.of(desk.state))
    assert fold(desk.entries) == desk.state


@given(desks, asks)
def test_a_drop_is_answered_once(desk: Desk, ask: Ask) -> None:
    command = ask.of(desk.state)
    desk.do(command)
    if ask.kind in ("panel", "training", "refused", "about one", "about all", "approve"):
        assert decide(desk.state, command, STUDIO) == []


@given(desks, asks)
def test_a_report_of_another_attempt_than_the_running_one_says_nothing(
    desk: Desk, ask: Ask
) -> None:
    """N6.2."""
    command = ask.of(desk.state)
    match command:
        case (
            ReportEnded(job=job, attempt=attempt)
            | RecordPrompt(job=job, attempt=attempt)
            | ReportImage(job=job, attempt=attempt)
            | RecordTrainer(job=job, attempt=attempt)
            | ReportCheckpoint(job=job, attempt=attempt)
        ):
            found = desk.state.jobs.get(job)
            going = found is not None and (found.phase, found.attempt) == (Phase.RUNNING, attempt)
            assert going or decide(desk.state, command, STUDIO) == []
        case _:
            pass


@pytest.mark.parametrize("phase", PHASES)
def test_only_a_publishing_job_can_be_published_or_have_lost_its_pictures(phase: Phase) -> None:
    desk = desk_with(phase)
    gone = ReportUnpublishable(CH01, "Picture 1 is gone.")
    files = {"ch01_v1.png": "c" * 64}
    expected = phase is Phase.PUBLISHING
    assert decide(desk.state, published("ch01_v1"), STUDIO) == (
        [ResultPublished(CH01, files)] if expected else []
    )
    assert decide(desk.state, gone, STUDIO) == (
        [JobHeld(CH01, "RESULT_GONE", "Picture 1 is gone.", 0)] if expected else []
    )


# What a file asks for.


def test_a_panel_is_accepted_whole() -> None:
    asked = panel("ch01", priority=4)
    [event] = decide(State(), asked, STUDIO)
    assert event == JobAccepted(
        job=CH01,
        kind="panel",
        ref="ref of ch01",
        priority=4,
        file=asked.file,
        request=asked.request,
        spec=PANEL,
        warnings=(),
    )


def test_warnings_are_kept_with_the_job() -> None:
    asked = panel("ch01")
    warned = replace(asked, asked=replace(asked.asked, warnings=("Strong.",)))
    [event] = decide(State(), warned, STUDIO)
    assert isinstance(event, JobAccepted)
    assert event.warnings == ("Strong.",)


def accepted(state: State, asked: Submit, studio: Studio = STUDIO) -> JobAccepted:
    [event] = decide(state, asked, studio)
    assert isinstance(event, JobAccepted)
    return event


@given(desks)
def test_a_version_is_greater_than_every_one_seen(desk: Desk) -> None:
    seen: dict[tuple[str, str], int] = {}
    for entry in desk.entries:
        if isinstance(entry.event, JobAccepted):
            parts = split_job(entry.event.job)
            assert parts is not None
            assert parts[2] > seen.get(parts[:2], 0)
            seen[parts[:2]] = parts[2]


def test_a_version_is_greater_than_those_of_other_hosts() -> None:
    state = State(numbers={("ch01", "v"): 7})
    assert accepted(state, panel("ch01")).job == "ch01_v8"


def test_a_version_is_greater_than_a_failed_ones() -> None:
    desk = desk_with(Phase.FAILED)
    assert accepted(desk.state, panel("ch01", inode=2)).job == "ch01_v2"


def test_rehearsals_are_numbered_for_themselves() -> None:
    desk = Desk(world=REHEARSING)
    desk.do(panel("ch01", text="one"))
    desk.do(panel("ch01", text="two"))
    assert list(desk.state.jobs) == ["ch01_r1", "ch01_r2"]
    assert accepted(desk.state, panel("ch01", text="three")).job == "ch01_v1"


def test_seeds_that_were_not_given_are_derived_and_recorded() -> None:
    """S3.2."""
    asked = panel("ch01", spec=replace(PANEL, seeds=(), variations=3))
    spec = accepted(State(), asked).spec
    assert isinstance(spec, PanelSpec)
    assert spec.variations == 3
    assert spec.seeds == tuple(
        derived_seed(studio="studio", job="ch01_v1", index=index) for index in (1, 2, 3)
    )


def test_seeds_that_were_given_are_kept_in_their_order() -> None:
    spec = accepted(State(), panel("ch01", spec=replace(PANEL, seeds=(9, 3, 9)))).spec
    assert isinstance(spec, PanelSpec)
    assert (spec.seeds, spec.variations) == ((9, 3, 9), 3)


def test_the_hint_image_is_recorded_as_it_was_examined() -> None:
    hint = ControlNetUse("openpose.safetensors", "poses/a.png", 0.65, 0.0, 1.0)
    asked = replace(panel("ch01", spec=replace(PANEL, controlnet=hint)), hint_sha256="b" * 64)
    spec = accepted(State(), asked).spec
    assert isinstance(spec, PanelSpec)
    assert spec.controlnet == replace(hint, sha256="b" * 64)


def refused(state: State, asked: Submit) -> Complaint:
    """The one complaint with which it is refused."""
    [event] = decide(state, asked, STUDIO)
    assert isinstance(event, JobRejected)
    assert (event.name, event.sha256, event.ref) == (
        asked.file.name,
        asked.file.sha256,
        asked.asked.ref,
    )
    [complaint] = event.errors
    return complaint


def test_a_training_is_accepted_whole_and_its_dataset_with_it() -> None:
    asked = training("spyke")
    first, *rest = decide(State(), asked, STUDIO)
    assert isinstance(first, JobAccepted)
    assert (first.job, first.kind, first.spec) == ("spyke_v1", "train", TRAIN)
    pictures = tuple((image.name, image.sha256, image.caption_sha256, "") for image in DATASET)
    assert rest == [DatasetRecorded(first.job, pictures)]


@pytest.mark.parametrize("count", [1, 99, 100, 101, 200, 300])
def test_a_dataset_is_recorded_in_lines_of_at_most_100_and_folds_back_whole(count: int) -> None:
    images = tuple(TrainingImage(f"{n}.png", f"{n:064x}", "e" * 64) for n in range(count))
    desk = Desk()
    recorded = only(desk.do(replace(training(), dataset=images)), DatasetRecorded)
    assert [len(line.images) for line in recorded[:-1]] == [100] * (len(recorded) - 1)
    assert 1 <= len(recorded[-1].images) <= 100
    assert fold(desk.entries).jobs[SPYKE].dataset == images


def test_a_training_that_was_not_cut_into_epochs_is_a_bug() -> None:
    asked = training()
    uncut = replace(asked, asked=replace(asked.asked, spec=replace(TRAIN, epochs=0)))
    with pytest.raises(AssertionError, match="resolved before"):
        decide(State(), uncut, STUDIO)


@pytest.mark.parametrize("taken_by", ["panel", "train"])
def test_a_name_that_the_other_kind_uses_is_refused(taken_by: Kind) -> None:
    state = State(kinds={"ch01": taken_by})
    if taken_by == "panel":
        [event] = decide(state, training("ch01"), STUDIO)
        assert isinstance(event, JobRejected)
        complaint = event.errors[0]
        assert complaint.key == "lora"
    else:
        complaint = refused(state, panel("ch01"))
        assert complaint.key == "panel"
    assert f"already belongs to a {taken_by} job" in complaint.text


def test_a_lora_that_names_a_training_is_refused_until_there_are_trainings() -> None:
    spec = replace(PANEL, loras=(LoraUse("a.safetensors", 0.7), LoraUse("spyke_v1", 0.7)))
    assert '"spyke_v1" is no training' in refused(State(), panel("ch01", spec=spec)).text


def test_a_file_that_was_refused_is_answered_with_every_reason() -> None:
    errors = (Complaint(1, "width", "Too wide."), Complaint(2, "steps", "Too many."))
    command = Reject(file("bad", inode=5, name="bad.toml"), b"bad", "run-7", errors)
    [event] = decide(State(), command, STUDIO)
    assert event == JobRejected(
        "bad.toml", command.file.sha256, "run-7", errors, 5, 1_005, command.file.size
    )


# The same file twice.


@pytest.mark.parametrize("phase", PHASES)
def test_the_same_bytes_are_a_duplicate_until_their_job_ended_without_a_result(
    phase: Phase,
) -> None:
    desk = desk_with(phase)
    again = panel("ch01", inode=2)
    [event] = decide(desk.state, again, STUDIO)
    if phase in ENDED_BADLY:
        assert isinstance(event, JobAccepted)
        assert event.job == "ch01_v2"
    else:
        assert event == JobDuplicate(CH01, again.file)


@pytest.mark.parametrize("phase", PHASES)
def test_rerun_runs_the_same_bytes_whatever_became_of_them(phase: Phase) -> None:
    asked = panel("ch01", inode=2, rerun=True)
    assert accepted(desk_with(phase).state, asked).job == "ch01_v2"


def test_a_duplicate_is_measured_against_the_latest_job_of_these_bytes() -> None:
    desk = desk_with(Phase.FAILED)
    desk.do(panel("ch01", inode=2))
    again = panel("ch01", inode=3)
    assert decide(desk.state, again, STUDIO) == [JobDuplicate(JobId("ch01_v2"), again.file)]


def test_the_same_drop_is_the_same_even_when_its_job_failed() -> None:
    """A crash between the line and the inbox's emptying never runs one drop twice."""
    assert decide(desk_with(Phase.FAILED).state, panel("ch01"), STUDIO) == []


# Controls.


@pytest.mark.parametrize("phase", PHASES)
def test_only_a_waiting_held_or_running_job_can_be_cancelled(phase: Phase) -> None:
    desk = desk_with(phase)
    [taken, *rest] = desk.do(control("cancel", "ch01_v1"))
    assert isinstance(taken, ControlTaken)
    if phase in (Phase.WAITING, Phase.HELD):
        assert taken.error == ""
        assert rest == [JobEnded(CH01, Phase.CANCELLED, "CANCELLED")]
    elif phase is Phase.RUNNING:
        assert taken.error == ""
        assert (rest, desk.state.jobs[CH01].cancelling) == ([], True)
    else:
        assert taken.error.startswith(f"ch01_v1 is {phase}: only a waiting")
        assert rest == []


@pytest.mark.parametrize("phase", PHASES)
def test_only_a_job_that_ended_without_a_result_can_be_tried_again(phase: Phase) -> None:
    desk = desk_with(phase)
    before = desk.state.jobs[CH01]
    taken, *rest = desk.do(control("retry", "ch01_v1"))
    assert isinstance(taken, ControlTaken)
    if phase in ENDED_BADLY:
        assert taken.error == ""
        assert rest == [AttemptStarted(CH01, before.attempt + 1, "comfyui", "default", 0, stage="")]
    else:
        assert taken.error.startswith(f"ch01_v1 is {phase}: only a failed")
        assert ("rerun = true" in taken.error) == (phase is Phase.PUBLISHED)
        assert (rest, desk.state.jobs[CH01]) == ([], before)


@pytest.mark.parametrize("kind", ["cancel", "retry", "approve"])
def test_a_control_of_a_job_that_is_not_there_is_answered_with_a_sentence(
    kind: ControlKind,
) -> None:
    [taken] = decide(State(), control(kind, "ch09_v1"), STUDIO)
    assert isinstance(taken, ControlTaken)
    assert taken.error.startswith("There is no job ch09_v1")
    assert (taken.kind, taken.job) == (kind, "ch09_v1")


def test_pause_lets_the_running_job_go_on_and_nothing_new_start() -> None:
    desk = desk_with(Phase.RUNNING)
    desk.do(control("pause"))
    assert desk.state.jobs[CH01].phase is Phase.RUNNING
    desk.do(panel("ch02"))
    ending = desk.do(ended("ch01_v1", 1, Outcome.FAILED))
    assert only(ending, AttemptStarted) == []
    [held] = only(ending, JobHeld)
    assert (held.job, held.code) == ("ch02_v1", "PAUSED")


def test_pause_survives_a_restart_and_resume_ends_it() -> None:
    desk = Desk()
    desk.do(control("pause"))
    desk.do(panel("ch01"))
    assert only(desk.restart(), AttemptStarted) == []
    resumed = desk.do(control("resume"))
    assert resumed[1:] == [AttemptStarted(CH01, 1, "comfyui", "default", 0, stage="")]


# Attempts.


def test_an_attempt_lost_once_is_tried_again_and_the_second_time_quarantined() -> None:
    """N6: the table's row "retries of an attempt"."""
    desk = desk_with(Phase.RUNNING)
    once = desk.do(ended("ch01_v1", 1, Outcome.LOST, "ENGINE_DIED"))
    assert [event.type for event in once] == ["attempt.ended", "attempt.started"]
    twice = desk.do(ended("ch01_v1", 2, Outcome.LOST, "ENGINE_DIED"))
    assert twice[1:] == [JobEnded(CH01, Phase.QUARANTINED, "ENGINE_DIED")]
    assert desk.state.jobs[CH01].text == "What was seen."


def test_a_retry_gives_a_quarantined_job_its_two_lives_back() -> None:
    desk = desk_with(Phase.QUARANTINED)
    desk.do(control("retry", "ch01_v1"))
    desk.do(ended("ch01_v1", 3, Outcome.LOST))
    assert desk.state.jobs[CH01].phase is Phase.RUNNING
    desk.do(ended("ch01_v1", 4, Outcome.LOST))
    assert desk.state.jobs[CH01].phase is Phase.QUARANTINED


def test_a_stopped_attempt_costs_no_life() -> None:
    desk = desk_with(Phase.RUNNING)
    for attempt in range(1, 6):
        desk.do(ended("ch01_v1", attempt, Outcome.STOPPED))
    assert desk.state.jobs[CH01].phase is Phase.RUNNING
    assert desk.state.jobs[CH01].attempt == 6


@pytest.mark.parametrize(
    ("outcome", "phase"),
    [
        (Outcome.FAILED, Phase.FAILED),
        (Outcome.CANCELLED, Phase.CANCELLED),
        (Outcome.SUCCEEDED, Phase.PUBLISHED),
    ],
)
def test_every_job_has_one_line_for_its_end(outcome: Outcome, phase: Phase) -> None:
    desk = desk_with(Phase.RUNNING)
    desk.do(ended("ch01_v1", 1, outcome))
    desk.do(published("ch01_v1"))
    [end] = only([entry.event for entry in desk.entries], JobEnded)
    assert end.phase is phase
    assert settle(desk.state, CH01, Policy()) == []


@given(desks)
def test_no_job_is_over_without_a_line_that_says_so(desk: Desk) -> None:
    for job in desk.state.jobs:
        assert settle(desk.state, job, Policy()) == []


def test_pictures_that_are_gone_are_drawn_again() -> None:
    desk = desk_with(Phase.PUBLISHING)
    events = desk.do(ReportUnpublishable(CH01, "Picture 1 is gone."))
    assert [event.type for event in events] == ["job.held", "attempt.started"]
    assert desk.state.jobs[CH01].attempt == 2


# What is recorded on the way.


def test_a_prompt_is_recorded_once_and_another_prompt_anew() -> None:
    desk = desk_with(Phase.RUNNING)
    record = RecordPrompt(CH01, 1, 1, "prompt-a")
    assert desk.do(record) == [PromptSent(CH01, 1, 1, "prompt-a")]
    assert desk.do(record) == []
    assert desk.do(replace(record, prompt_id="prompt-b")) == [PromptSent(CH01, 1, 1, "prompt-b")]


def test_a_verdict_is_recorded_as_it_was_reported() -> None:
    desk = desk_with(Phase.RUNNING)
    *_, judged = desk.do(image(CH01, 2))
    assert isinstance(judged, ImageJudged)
    assert (judged.image, judged.sha256, judged.verdict) == (2, "d" * 64, "good")
    assert recorded_making(desk.state, judged) == MAKING


def test_an_engine_is_recorded_at_its_first_use_and_when_it_changed() -> None:
    """S3.2: a verdict names the lines that say what drew it, however it is called later."""
    desk = desk_with(Phase.RUNNING)
    assert kinds(desk.do(image(CH01, 1))) == ["engine.recorded", "model.recorded", "image.judged"]
    assert kinds(desk.do(image(CH01, 2))) == ["image.judged"]
    newer = replace(MAKING, engine=replace(ENGINE, version="0.4.0"))
    newer = replace(newer, models=(replace(VAE, sha256="e" * 64),))
    assert kinds(desk.do(image(CH01, 3, making=newer))) == kinds(desk.do(image(CH01, 1)))
    assert makings(desk) == [MAKING, MAKING, newer, MAKING]


def test_what_is_decided_in_one_turn_names_the_right_lines() -> None:
    desk = desk_with(Phase.RUNNING)
    other = replace(MAKING, models=(replace(VAE, name="other.safetensors"), VAE))
    desk.do(ReportIncident("CODE", "First."), image(CH01, 1), image(CH01, 2, making=other))
    assert makings(desk) == [MAKING, other]


def test_what_an_attempt_is_started_with_is_recorded_once_and_anew_when_it_is_another() -> None:
    desk = Desk()
    desk.do(training())
    record = RecordTrainer(SPYKE, 1, TRAINER)
    assert kinds(desk.do(record)) == ["model.recorded", "trainer.recorded"]
    assert desk.do(record) == []
    newer = replace(record, trainer=replace(TRAINER, commit="11111111"))
    assert kinds(desk.do(newer)) == ["trainer.recorded"]
    assert recorded_trainer(desk.state, desk.state.jobs[SPYKE], 1) == newer.trainer
    assert desk.do(replace(record, attempt=2)) == []


def makings(desk: Desk) -> list[Making | None]:
    """How each picture was made, by its line."""
    judged = only((entry.event for entry in desk.entries), ImageJudged)
    return [recorded_making(desk.state, each) for each in judged]


def kinds(events: Iterable[Event]) -> list[str]:
    return [event.type for event in events]


def test_an_end_is_recorded_as_it_was_reported() -> None:
    desk = desk_with(Phase.RUNNING)
    report = ReportEnded(CH01, 1, Outcome.FAILED, "WRONG_SIZE", "Too small.", 123)
    assert desk.do(report) == [
        AttemptEnded(CH01, 1, Outcome.FAILED, "WRONG_SIZE", "Too small.", 123, 0.0),
        JobEnded(CH01, Phase.FAILED, "WRONG_SIZE"),
    ]


def test_a_model_is_recorded_at_its_first_use_and_when_it_changed() -> None:
    """S3.4."""
    vae = ModelFacts("vae", "v.safetensors", "e" * 64, 9, "F32")
    lora = ModelFacts("lora", "v.safetensors", "e" * 64, 9, "F32")
    desk = Desk()
    recorded = ModelRecorded("vae", "v.safetensors", "e" * 64, 9, "F32", {})
    assert desk.do(RecordModels((vae,))) == [recorded]
    assert desk.do(RecordModels((vae, lora))) == [replace(recorded, role="lora")]
    changed = desk.do(RecordModels((replace(vae, sha256="f" * 64), lora)))
    assert changed == [replace(recorded, sha256="f" * 64)]


def test_a_model_that_no_line_tells_of_is_recorded_before_the_job_that_names_it() -> None:
    """A2.7: what a job needs is known when it waits; what was replaced is for its first user to
    notice.
    """
    vae = ModelFacts("vae", "v.safetensors", "e" * 64, 9, "F32", {"vae": 3})
    desk = Desk()
    first, accepted, *_ = desk.do(replace(panel(), models=(vae,)))
    assert first == ModelRecorded("vae", "v.safetensors", "e" * 64, 9, "F32", {"vae": 3})
    assert isinstance(accepted, JobAccepted)
    assert desk.state.recorded[desk.state.latest["vae", "v.safetensors"]] == vae
    other = replace(vae, sha256="f" * 64)
    again = replace(panel("ch02", inode=2), models=(other,))
    assert "model.recorded" not in kinds(desk.do(again))
    [changed] = desk.do(RecordModels((other,)))
    assert changed.type == "model.recorded"


def test_a_model_of_which_release_0_1_0_did_not_tell_the_parts_has_not_changed() -> None:
    vae = ModelFacts("vae", "v.safetensors", "e" * 64, 9, "F32")
    desk = Desk()
    desk.do(RecordModels((vae,)))
    assert desk.do(RecordModels((replace(vae, parts={"vae": 3}),))) == []


def test_pictures_of_a_dataset_that_a_power_cut_has_left_out_are_recorded_once() -> None:
    """N6.2: the lines of one acceptance can be torn apart."""
    desk = Desk()
    desk.do(training())
    known = desk.state.jobs[SPYKE].dataset
    new = tuple(TrainingImage(f"{number}.png", "e" * 64, "f" * 64) for number in range(101))
    events = desk.do(RecordDataset(SPYKE, (*known, *new)))
    assert [len(event.images) for event in events if isinstance(event, DatasetRecorded)] == [100, 1]
    assert desk.do(RecordDataset(SPYKE, (*known, *new))) == []
    assert desk.do(RecordDataset(JobId("nobody_v1"), new)) == []


def test_a_checkpoint_is_recorded_once_and_other_bytes_anew() -> None:
    desk = Desk()
    desk.do(training())
    report = checkpoint(SPYKE, 198)
    assert desk.do(report) == [CheckpointSaved(SPYKE, 198, f"{198:064x}", 0.1, 1, 9, "mps", 0.0)]
    assert desk.do(report) == []
    other = replace(report, sha256="f" * 64)
    assert desk.do(other) == [CheckpointSaved(SPYKE, 198, "f" * 64, 0.1, 1, 9, "mps", 0.0)]


def test_a_checkpoint_gives_a_training_its_two_lives_back() -> None:
    """A training of many nights may be lost in each of them, as long as it gets on."""
    desk = Desk()
    desk.do(training())
    for attempt in range(1, 6):
        desk.do(checkpoint(SPYKE, 198 * attempt, attempt=attempt))
        desk.do(ended(SPYKE, attempt, Outcome.LOST))
        assert desk.state.jobs[SPYKE].phase is Phase.RUNNING
    desk.do(ended(SPYKE, 6, Outcome.LOST))
    assert desk.state.jobs[SPYKE].phase is Phase.QUARANTINED


# Approval.


def answer(desk: Desk, approval: TakeControl) -> str:
    """The sentence of a refused approval; '' when it was taken."""
    [taken, *approved] = desk.do(approval)
    assert isinstance(taken, ControlTaken)
    assert bool(approved) != bool(taken.error)
    return taken.error


def test_a_checkpoint_is_approved_and_then_installed() -> None:
    desk = trained()
    [taken, approved] = desk.do(approve(SPYKE, checkpoint=198))
    assert isinstance(taken, ControlTaken)
    assert (taken.error, approved) == ("", JobApproved(SPYKE, 0, 198))
    assert desk.state.jobs[SPYKE].approved == (198,)
    confirm = ConfirmInstalled(SPYKE, 198, "spyke_v1-000198.safetensors", f"{198:064x}")
    assert desk.do(confirm) == [LoraInstalled(SPYKE, confirm.file, confirm.sha256)]
    assert desk.do(confirm) == []


def test_what_is_approved_already_is_answered_and_not_approved_again() -> None:
    desk = trained()
    desk.do(approve(SPYKE, checkpoint=198))
    [taken] = desk.do(approve(SPYKE, checkpoint=198, inode=2))
    assert isinstance(taken, ControlTaken)
    assert taken.error == ""
    assert desk.state.jobs[SPYKE].approved == (198,)


@pytest.mark.parametrize("chosen", [{"checkpoint": 200}, {"image": 1}])
def test_what_a_training_has_not_made_cannot_be_approved(chosen: Mapping[str, int]) -> None:
    said = answer(trained(), approve(SPYKE, **chosen))
    assert "(it has 198, 396)" in said
    assert "checkpoint = 396" in said


@pytest.mark.parametrize("chosen", [{"image": 2}, {"checkpoint": 198}])
def test_a_picture_is_approved_by_its_number(chosen: Mapping[str, int]) -> None:
    desk = desk_with(Phase.PUBLISHED)
    assert "(it has 1)" in answer(desk, approve(CH01, **chosen))
    assert answer(desk, approve(CH01, image=1)) == ""
    assert desk.state.jobs[CH01].approved == (1,)


@pytest.mark.parametrize("phase", PHASES)
def test_only_a_published_panel_has_a_picture_to_approve(phase: Phase) -> None:
    said = answer(desk_with(phase), approve(CH01, image=1))
    if phase in OPEN_PHASES:
        assert said.startswith(f"ch01_v1 is {phase}: approve what it made when it has ended")
    else:
        assert (said == "") == (phase is Phase.PUBLISHED)


def test_the_checkpoints_of_a_training_that_failed_can_be_approved() -> None:
    """The night is lost, the epochs before are not."""
    desk = Desk()
    desk.do(training())
    desk.do(checkpoint(SPYKE, 198))
    desk.do(ended(SPYKE, 1, Outcome.FAILED, "LOSS_NAN"))
    assert answer(desk, approve(SPYKE, checkpoint=198)) == ""


def test_a_start_tells_first_of_the_line_that_was_torn() -> None:
    assert decide(State(), Start("1.0.0", "comfyui", 17, "kept"), STUDIO) == [
        LedgerTorn(17, "kept"),
        DaemonStarted("1.0.0", "comfyui"),
    ]
    assert decide(State(), Start("1.0.0", "comfyui"), STUDIO) == [DaemonStarted("1.0.0", "comfyui")]


@pytest.mark.parametrize(
    ("command", "event"),
    [
        (Stop("asked to stop"), DaemonStopped("asked to stop")),
        (ReportIncident("INBOX_UNREADABLE", "Why."), Incident("INBOX_UNREADABLE", "Why.")),
    ],
)
def test_what_is_told_is_written_down(command: Command, event: Event) -> None:
    assert decide(State(), command, STUDIO) == [event]


def test_the_world_is_looked_at_and_not_recorded() -> None:
    assert decide(State(), Observe(DOWN), STUDIO) == []


def test_a_rehearsed_file_is_no_duplicate_once_the_studio_prints_for_real() -> None:
    desk = Desk()
    desk.world = replace(desk.world, engine="rehearsal")
    desk.do(panel())
    printing = decide(desk.state, panel(inode=2), Studio("studio", rehearsal=False))
    assert [event.type for event in printing] == ["job.accepted"]


def test_a_training_is_named_by_a_panel_once_a_checkpoint_is_installed() -> None:
    """The panel's specification, and so its lock, names the file and the training it came from."""
    named = replace(PANEL, loras=(LoraUse("spyke_v1", 0.7, "spyke_v1"),))
    desk = trained()
    [refused] = desk.do(panel("early", spec=named))
    assert isinstance(refused, JobRejected)
    assert "nightpress approve" in refused.errors[0].text
    desk.do(approve("spyke_v1", checkpoint=198))
    assert isinstance(desk.do(panel("soon", spec=named))[0], JobRejected)
    desk.do(ConfirmInstalled(SPYKE, 198, "spyke_v1-000198.safetensors", f"{198:064x}"))
    accepted = desk.do(panel("now", spec=named))[0]
    assert isinstance(accepted, JobAccepted)
    assert isinstance(accepted.spec, PanelSpec)
    assert accepted.spec.loras == (LoraUse("spyke_v1-000198.safetensors", 0.7, "spyke_v1"),)


def test_a_rehearsed_lora_is_named_in_rehearsal_only() -> None:
    named = replace(PANEL, loras=(LoraUse("spyke_r1", 0.7, "spyke_r1"),))
    desk = trained(REHEARSING)
    desk.do(approve("spyke_r1", checkpoint=396))
    accepted = desk.do(panel("now", spec=named))[0]
    assert isinstance(accepted, JobAccepted)
    assert isinstance(accepted.spec, PanelSpec)
    assert accepted.spec.loras[0].name == "spyke_r1-000396.safetensors"
    desk.world = READY
    assert isinstance(desk.do(panel("real", spec=named))[0], JobRejected)
