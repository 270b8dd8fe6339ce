"""What follows from a command: state and command in, events out.

Law: ``decide`` is total. A command that comes too late, twice, or for something unknown is
answered with no event (or with a sentence in one), never with an exception.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import assert_never

from daemon.core.commands import (
    Command,
    ConfirmInstalled,
    ConfirmPruned,
    ConfirmPublished,
    Observe,
    ObserveMachine,
    ObserveTrainer,
    RecordDataset,
    RecordModels,
    RecordPrompt,
    RecordTrainer,
    Reject,
    ReportCheckpoint,
    ReportEnded,
    ReportImage,
    ReportIncident,
    ReportReference,
    ReportReproduced,
    ReportRestored,
    ReportUnpublishable,
    Start,
    Stop,
    Submit,
    TakeControl,
)
from daemon.core.controls import RETRIABLE, answer_control
from daemon.core.events import (
    AttemptEnded,
    ControlTaken,
    DaemonStarted,
    DaemonStopped,
    DatasetRecorded,
    Event,
    Incident,
    JobAccepted,
    JobDuplicate,
    JobEnded,
    JobHeld,
    JobRejected,
    LedgerRestored,
    LedgerTorn,
    LoraInstalled,
    PromptSent,
    ResultPublished,
)
from daemon.core.ids import derived_seed, is_rehearsal, job_id
from daemon.core.job import Job
from daemon.core.jobs import (
    Complaint,
    FileFacts,
    JobId,
    LoraUse,
    PanelSpec,
    Phase,
    Spec,
    TrainingImage,
    TrainSpec,
)
from daemon.core.ladder import climbed
from daemon.core.making import named
from daemon.core.needs import Weigh, nothing
from daemon.core.policy import Policy
from daemon.core.results import (
    checkpoint_saved,
    current,
    in_phase,
    judged,
    referred,
    reproduced,
    sorted_by_name,
    trainer_used,
)
from daemon.core.state import State, drop_of, key_of

_IMAGES_A_LINE = 100


@dataclass(frozen=True, slots=True)
class Studio:
    """What a decision needs to know of where it is taken: the studio's id, whether its engine only
    rehearses, and the launch profiles beside the default one that it can be started in; none where
    its process is not ours to start. ``weigh`` predicts the memory that a job takes there.
    """

    id: str
    rehearsal: bool
    profiles: tuple[str, ...] = ()
    weigh: Weigh = nothing


def decide(state: State, command: Command, studio: Studio) -> Sequence[Event]:
    """The events that follow, in order; none when there is nothing to say."""
    match command:
        case Submit():
            return _submit(state, command, studio)
        case Reject(file=file):
            known = drop_of(file) in state.answered
            return [] if known else [_rejected(file, command.ref, command.errors)]
        case TakeControl():
            return answer_control(state, command)
        case Start():
            return _start(command)
        case Stop(reason=reason):
            return [DaemonStopped(reason)]
        case RecordPrompt(job, attempt, image, prompt):
            running = current(state, job, attempt)
            drawn = running.images.get(image) if running else None
            if running is None or (drawn is not None and drawn.prompt_id == prompt):
                return []
            return [PromptSent(job, attempt, image, prompt)]
        case RecordModels(models=models):
            return named(state, models)[0]
        case RecordTrainer():
            return trainer_used(state, command)
        case RecordDataset(job, images):
            trained = state.jobs.get(job)
            listed = trained.dataset if trained else images
            return _recorded(job, [image for image in images if image not in listed])
        case ReportImage():
            return judged(state, command)
        case ReportReproduced():
            return reproduced(state, command)
        case ReportReference():
            return referred(state, command)
        case ReportCheckpoint():
            return checkpoint_saved(state, command)
        case ReportEnded():
            return _ended(state, command, studio)
        case ConfirmPublished(job=job, files=files):
            publishing = in_phase(state, job, Phase.PUBLISHING)
            return [ResultPublished(job, sorted_by_name(files))] if publishing else []
        case ConfirmInstalled(job, step, name, sha256):
            return [LoraInstalled(job, name, sha256)] if (job, step) in state.installs else []
        case ConfirmPruned(target):
            asked = state.pruning.get(target)
            return [ControlTaken(target, "prune", "", asked)] if asked else []
        case ReportUnpublishable(job=job, text=text):
            return _unpublishable(in_phase(state, job, Phase.PUBLISHING), text)
        case ReportIncident(code, text, job):
            return [Incident(code, text, job if JobId(job) in state.jobs else "")]
        case ReportRestored(lines, cause):
            return [LedgerRestored(lines, cause)]
        case Observe() | ObserveMachine() | ObserveTrainer():
            return []
        case _:
            assert_never(command)


def settle(state: State, job: JobId, policy: Policy) -> Sequence[Event]:
    """The end of a job that is due but not in the ledger yet.

    Asked after every event of a job and of every queued job at start, so that a power cut between
    an attempt's end and the job's end needs no other cure.
    """
    found = state.jobs.get(job)
    if found is None or job not in state.queue:
        return []
    if found.phase is Phase.WAITING and found.unlucky > policy.max_retries:
        return [JobEnded(job, Phase.QUARANTINED, found.code)]
    return [] if found.open else [JobEnded(job, found.phase, found.code)]


def _start(command: Start) -> Sequence[Event]:
    started = DaemonStarted(command.version, command.engine)
    if not command.torn_kept:
        return [started]
    return [LedgerTorn(command.torn_bytes, command.torn_kept), started]


def _unpublishable(job: Job | None, text: str) -> Sequence[Event]:
    """It is drawn again; but what had failed anyway ends so."""
    if job is None:
        return []
    if job.code:
        return [JobEnded(job.id, Phase.FAILED, job.code)]
    return [JobHeld(job.id, "RESULT_GONE", text, 0)]


def _ended(state: State, command: ReportEnded, studio: Studio) -> Sequence[Event]:
    job = current(state, command.job, command.attempt)
    if job is None:
        return []
    end = climbed(command, job, state, studio.profiles)
    measured = end.peak_bytes, end.step_s
    return [AttemptEnded(job.id, job.attempt, end.outcome, end.code, end.evidence, *measured)]


def _submit(state: State, command: Submit, studio: Studio) -> Sequence[Event]:
    file, asked = command.file, command.asked
    if drop_of(file) in state.answered:
        return []
    twin = _twin(state, file.sha256, studio)
    if twin is not None and not asked.rerun:
        return [JobDuplicate(twin.id, file)]
    complaints = _complaints(state, command, studio)
    if complaints:
        return [_rejected(file, asked.ref, complaints)]
    letter = "r" if studio.rehearsal else "v"
    number = state.numbers.get((asked.name, letter), 0) + 1
    job = job_id(asked.name, number, rehearsal=studio.rehearsal)
    accepted = JobAccepted(
        job=job,
        kind=asked.kind,
        ref=asked.ref,
        priority=asked.priority,
        file=file,
        request=command.request,
        spec=_resolved(state, command, job, studio),
        warnings=asked.warnings,
    )
    # Only what is new: that a file was replaced is noticed by who is about to draw with it.
    fresh = (model for model in command.models if key_of(model) not in state.latest)
    return [*named(state, fresh)[0], accepted, *_recorded(job, command.dataset)]


def _recorded(job: JobId, images: Sequence[TrainingImage]) -> Sequence[DatasetRecorded]:
    pictures = [(each.name, each.sha256, each.caption_sha256, each.source) for each in images]
    return [
        DatasetRecorded(job, tuple(pictures[first : first + _IMAGES_A_LINE]))
        for first in range(0, len(pictures), _IMAGES_A_LINE)
    ]


def _twin(state: State, request_sha256: str, studio: Studio) -> Job | None:
    """The job that has or will have the result of these bytes; a rehearsal is no print."""
    twin = state.jobs.get(state.requests.get(request_sha256, JobId("")))
    if twin is None or twin.phase in RETRIABLE:
        return None
    return twin if is_rehearsal(twin.id) == studio.rehearsal else None


def _complaints(state: State, command: Submit, studio: Studio) -> tuple[Complaint, ...]:
    asked = command.asked
    found = []
    other = state.kinds.get(asked.name, asked.kind)
    if other != asked.kind:
        found.append(
            Complaint(
                0,
                "panel" if asked.kind == "panel" else "lora",
                f'The name "{asked.name}" already belongs to a {other} job, and results are filed '
                f"by name. Choose another name for this {asked.kind}.",
            )
        )
    match asked.spec:
        case TrainSpec(epochs=epochs):
            assert epochs > 0, "a training is resolved before it is submitted"
        case PanelSpec(loras=loras):
            found.extend(_unresolved(lora) for lora in loras if not _known(state, lora, studio))
    return tuple(found)


def _known(state: State, lora: LoraUse, studio: Studio) -> bool:
    """Whether it is a file, or a training of this engine with an approved one."""
    if lora.name.endswith(".safetensors"):
        return True
    return lora.name in state.loras and is_rehearsal(lora.name) == studio.rehearsal


def _unresolved(lora: LoraUse) -> Complaint:
    return Complaint(
        0,
        "lora.name",
        f'"{lora.name}" is no training of this engine with an approved checkpoint that is installed'
        " (`nightpress show` lists them, `nightpress approve` chooses one). A file in the engine's "
        'loras folder is named with its ending: name = "my-lora.safetensors".',
    )


def _resolved(state: State, command: Submit, job: JobId, studio: Studio) -> Spec:
    spec = command.asked.spec
    match spec:
        case TrainSpec():
            return spec
        case PanelSpec(controlnet=controlnet):
            seeds = spec.seeds or tuple(
                derived_seed(studio=studio.id, job=job, index=index)
                for index in range(1, spec.variations + 1)
            )
            if controlnet is not None:
                controlnet = replace(controlnet, sha256=command.hint_sha256)
            return replace(
                spec,
                seeds=seeds,
                variations=len(seeds),
                controlnet=controlnet,
                loras=tuple(
                    replace(lora, name=state.loras.get(JobId(lora.name), lora.name))
                    for lora in spec.loras
                ),
            )
        case _:
            assert_never(spec)


def _rejected(file: FileFacts, ref: str, errors: tuple[Complaint, ...]) -> JobRejected:
    return JobRejected(**asdict(file), ref=ref, errors=errors)
