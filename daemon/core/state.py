"""Where every job stands: a fold of the ledger, and of nothing else.

Law: ``fold(entries)`` is the same however the entries are cut into batches, and needs no settings.
``evolve`` copies one job, never the dictionary of jobs.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field, fields, replace
from typing import assert_never

from daemon.core.events import (
    AttemptEnded,
    AttemptStarted,
    CalibrationMeasured,
    CheckpointSaved,
    ControlTaken,
    DaemonStarted,
    DaemonStopped,
    DatasetRecorded,
    Entry,
    ImageJudged,
    Incident,
    JobAccepted,
    JobApproved,
    JobDuplicate,
    JobEnded,
    JobHeld,
    JobRejected,
    LedgerRestored,
    LedgerTorn,
    LoraInstalled,
    ModelRecorded,
    PictureReproduced,
    PromptSent,
    ResultPublished,
)
from daemon.core.ids import is_rehearsal, split_job
from daemon.core.jobs import (
    OPEN_PHASES,
    FileFacts,
    JobId,
    Kind,
    ModelFacts,
    Outcome,
    Phase,
    Spec,
    TrainingImage,
)

REFUSALS_KEPT = 200
"""How many of the latest refused files status can still tell of."""


@dataclass(frozen=True, slots=True)
class Image:
    """One picture of the current attempt. ``judged`` is the entry that recorded its verdict."""

    prompt_id: str
    verdict: str = ""
    sha256: str = ""
    judged: Entry | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that a training has saved. ``saved`` is the entry that recorded it."""

    sha256: str
    loss: float
    attempt: int
    saved: Entry


@dataclass(frozen=True, slots=True)
class Job:
    """A job as its events left it. Times in ms since 1970; ``attempt`` 0 = none yet.

    ``unlucky`` counts the attempts lost since it was last asked for or last got on. ``nonces`` has
    each attempt's: the chain value of the line that started it, which nothing else can have.
    ``checkpoints`` are by step; ``approved`` are pictures, or the steps of checkpoints.
    """

    id: JobId
    kind: Kind
    name: str
    ref: str
    priority: int
    file: FileFacts
    request: str
    spec: Spec
    warnings: tuple[str, ...]
    accepted_seq: int
    accepted_at: int
    phase: Phase
    changed_at: int
    changed_seq: int
    code: str = ""
    text: str = ""
    not_before: int = 0
    attempt: int = 0
    engine: str = ""
    unlucky: int = 0
    cancelling: bool = False
    images: Mapping[int, Image] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    nonces: Mapping[int, str] = field(default_factory=dict)
    dataset: tuple[TrainingImage, ...] = ()
    checkpoints: Mapping[int, Checkpoint] = field(default_factory=dict)
    approved: tuple[int, ...] = ()

    @property
    def open(self) -> bool:
        """Whether something is still to be done for it."""
        return self.phase in OPEN_PHASES


Drop = tuple[str, int, int, int]
"""What makes a drop the same drop: sha256, inode, mtime in ns, size in bytes."""


def drop_of(file: FileFacts) -> Drop:
    """The identity of a drop: a file saved again is another one."""
    return (file.sha256, file.inode, file.mtime_ns, file.size)


@dataclass(slots=True)
class State:
    """The fold. Only the loop changes one, by absorbing a draft whose entries are on the disk.

    ``losses`` counts the attempts lost in a row, whosever they were, since a person last acted.
    ``installs`` are the approved checkpoints that the engine's folder is still to get.
    """

    jobs: MutableMapping[JobId, Job] = field(default_factory=dict)
    queue: dict[JobId, None] = field(default_factory=dict)
    answered: MutableMapping[Drop, str] = field(default_factory=dict)
    numbers: MutableMapping[tuple[str, str], int] = field(default_factory=dict)
    kinds: MutableMapping[str, Kind] = field(default_factory=dict)
    requests: MutableMapping[str, JobId] = field(default_factory=dict)
    models: MutableMapping[tuple[str, str], ModelFacts] = field(default_factory=dict)
    lease: JobId | None = None
    paused: bool = False
    drew_for_real: bool = False
    losses: int = 0
    installs: dict[tuple[JobId, int], None] = field(default_factory=dict)
    rejected: int = 0
    refusals: tuple[Entry, ...] = ()
    seq: int = 0

    def draft(self) -> State:
        """A working copy that shares what it does not change: O(open jobs), not O(jobs)."""
        return replace(
            self,
            queue=dict(self.queue),
            installs=dict(self.installs),
            jobs=ChainMap({}, self.jobs),
            answered=ChainMap({}, self.answered),
            numbers=ChainMap({}, self.numbers),
            kinds=ChainMap({}, self.kinds),
            requests=ChainMap({}, self.requests),
            models=ChainMap({}, self.models),
        )

    def absorb(self, draft: State) -> None:
        """Believe a draft of this state, once its entries are durable."""
        for part in fields(self):
            ours, theirs = getattr(self, part.name), getattr(draft, part.name)
            if isinstance(theirs, ChainMap):
                ours.update(theirs.maps[0])
            else:
                setattr(self, part.name, theirs)


def fold(entries: Iterable[Entry], state: State | None = None) -> State:
    """The state after these entries."""
    state = state or State()
    for entry in entries:
        apply(state, entry)
    return state


def apply(state: State, entry: Entry) -> None:
    """Carry one entry into a state (a fresh one, or a draft)."""
    assert entry.seq == state.seq + 1, f"seq {entry.seq} after {state.seq}"
    state.seq = entry.seq
    event = entry.event
    match event:
        case JobAccepted(job=job, kind=kind, file=file):
            _number(state, job, kind)
            state.requests[file.sha256] = job
            state.answered[drop_of(file)] = job
        case JobRejected():
            state.answered[(event.sha256, event.inode, event.mtime_ns, event.size)] = "rejected"
            state.rejected += 1
            state.refusals = (*state.refusals[1 - REFUSALS_KEPT :], entry)
        case JobDuplicate(of=of, file=file):
            state.answered[drop_of(file)] = of
        case ControlTaken(file=file):
            state.answered[drop_of(file)] = "control"
            if not event.error and event.kind in ("pause", "resume"):
                state.paused = event.kind == "pause"
            state.losses = 0
        case AttemptStarted(job=job, engine=engine):
            state.lease = job
            state.drew_for_real = state.drew_for_real or engine == "comfyui"
        case AttemptEnded(outcome=outcome):
            state.lease = None
            state.losses = state.losses + 1 if outcome is Outcome.LOST else 0
        case DaemonStarted():
            state.losses = 0
        case CheckpointSaved():
            state.losses = 0
        case JobApproved(job=job, checkpoint=step) if step and not is_rehearsal(job):
            state.installs[job, step] = None
        case LoraInstalled(job=job, sha256=sha256):
            for step, checkpoint in state.jobs[job].checkpoints.items():
                if checkpoint.sha256 == sha256:
                    state.installs.pop((job, step), None)
        case ModelRecorded(role, name, sha256, size, dtype):
            state.models[(role, name)] = ModelFacts(role, name, sha256, size, dtype)
        case _:
            pass
    _apply_to_job(state, entry)


def _apply_to_job(state: State, entry: Entry) -> None:
    event = entry.event
    name = JobId(getattr(event, "job", ""))
    if not name or (isinstance(event, ControlTaken) and event.error):
        return
    job = evolve(state.jobs.get(name), entry)
    state.jobs[job.id] = job
    if isinstance(event, JobEnded):
        state.queue.pop(job.id, None)
    elif job.id not in state.queue and (job.open or isinstance(event, JobAccepted)):
        state.queue[job.id] = None


def _number(state: State, job: JobId, kind: Kind) -> None:
    parts = split_job(job)
    assert parts is not None, f"not a job id: {job}"
    name, letter, number = parts
    state.numbers[(name, letter)] = max(number, state.numbers.get((name, letter), 0))
    state.kinds[name] = kind


def evolve(job: Job | None, entry: Entry) -> Job:
    """The job after an event of its own. Events of jobs that were never accepted are a damaged
    history.
    """
    event = entry.event
    if isinstance(event, JobAccepted):
        return _accepted(event, entry)
    assert job is not None, f"{event.type} for a job that was never accepted"
    match event:
        case JobHeld(code=code, text=text, not_before=not_before):
            return _moved(job, entry, Phase.HELD, code=code, text=text, not_before=not_before)
        case AttemptStarted(attempt=attempt, engine=engine):
            started = _moved(job, entry, Phase.RUNNING)
            nonces = {**job.nonces, attempt: entry.chain}
            return replace(started, attempt=attempt, engine=engine, images={}, nonces=nonces)
        case PromptSent(image=image, prompt_id=prompt_id):
            return replace(job, images={**job.images, image: Image(prompt_id)})
        case ImageJudged(image=image):
            drawn = replace(
                job.images.get(image, Image("")),
                verdict=event.verdict,
                sha256=event.sha256,
                judged=entry,
            )
            return replace(job, images={**job.images, image: drawn})
        case CheckpointSaved(step=step):
            saved = Checkpoint(event.sha256, event.loss, event.attempt, entry)
            return replace(job, checkpoints={**job.checkpoints, step: saved}, unlucky=0)
        case DatasetRecorded(images=images):
            return replace(job, dataset=(*job.dataset, *(TrainingImage(*i) for i in images)))
        case JobApproved(image=image, checkpoint=step):
            return replace(job, approved=(*job.approved, image or step))
        case AttemptEnded():
            return _attempt_ended(job, entry, event)
        case ResultPublished(files=files):
            return replace(_moved(job, entry, Phase.PUBLISHED), files=files)
        case JobEnded(phase=phase, code=code):
            return _moved(job, entry, phase, code=code, text=job.text)
        case ControlTaken(kind="cancel"):
            if job.phase is Phase.RUNNING:
                return replace(job, cancelling=True)
            return _moved(job, entry, Phase.CANCELLED, code="CANCELLED", text="Cancelled by you.")
        case ControlTaken(kind="retry"):
            return replace(_moved(job, entry, Phase.WAITING), unlucky=0, cancelling=False)
        case ControlTaken() | LoraInstalled() | PictureReproduced():
            return job
        case (
            JobRejected()
            | JobDuplicate()
            | DaemonStarted()
            | DaemonStopped()
            | ModelRecorded()
            | CalibrationMeasured()
            | LedgerTorn()
            | LedgerRestored()
            | Incident()
        ):
            raise AssertionError(f"{event.type} belongs to no job")
        case _:
            assert_never(event)


def _accepted(event: JobAccepted, entry: Entry) -> Job:
    parts = split_job(event.job)
    assert parts is not None, f"not a job id: {event.job}"
    return Job(
        id=event.job,
        kind=event.kind,
        name=parts[0],
        ref=event.ref,
        priority=event.priority,
        file=event.file,
        request=event.request,
        spec=event.spec,
        warnings=event.warnings,
        accepted_seq=entry.seq,
        accepted_at=entry.at,
        phase=Phase.WAITING,
        changed_at=entry.at,
        changed_seq=entry.seq,
    )


def _moved(
    job: Job, entry: Entry, phase: Phase, *, code: str = "", text: str = "", not_before: int = 0
) -> Job:
    return replace(
        job,
        phase=phase,
        code=code,
        text=text,
        not_before=not_before,
        changed_at=entry.at,
        changed_seq=entry.seq,
    )


def _attempt_ended(job: Job, entry: Entry, event: AttemptEnded) -> Job:
    code, text = event.code, event.evidence
    if job.cancelling or event.outcome is Outcome.CANCELLED:
        stopped = _moved(job, entry, Phase.CANCELLED, code="CANCELLED", text="Cancelled by you.")
        return replace(stopped, cancelling=False)
    match event.outcome:
        case Outcome.SUCCEEDED:
            return _moved(job, entry, Phase.PUBLISHING)
        case Outcome.FAILED:
            return _moved(job, entry, Phase.FAILED, code=code, text=text)
        case Outcome.STOPPED:
            return _moved(job, entry, Phase.WAITING, code=code, text=text)
        case Outcome.LOST:
            lost = _moved(job, entry, Phase.WAITING, code=code, text=text)
            return replace(lost, unlucky=job.unlucky + 1)
        case _:
            assert_never(event.outcome)
