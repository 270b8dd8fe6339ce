"""What has happened: the ledger's vocabulary, past tense, one frozen record a type.

Law: the field names are the ledger's keys, in the ledger's order. A type may gain a field, and
``wire/upcast.py`` a step for the lines without it; none is ever renamed or removed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from daemon.core.jobs import Complaint, FileFacts, JobId, Kind, Outcome, Phase, Spec
from daemon.core.tools import EngineRecorded, ModelRecorded, TrainerRecorded


@dataclass(frozen=True, slots=True)
class DaemonStarted:
    type: ClassVar[str] = "daemon.started"
    version: str
    engine: str


@dataclass(frozen=True, slots=True)
class DaemonStopped:
    type: ClassVar[str] = "daemon.stopped"
    reason: str


@dataclass(frozen=True, slots=True)
class JobAccepted:
    """``request`` is the file's text, embedded once; ``spec`` is complete (seeds, steps, LoRA
    files resolved).
    """

    type: ClassVar[str] = "job.accepted"
    job: JobId
    kind: Kind
    ref: str
    priority: int
    file: FileFacts
    request: str
    spec: Spec
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JobRejected:
    """``name`` is the file's; the request itself is kept in outbox/rejected/."""

    type: ClassVar[str] = "job.rejected"
    name: str
    sha256: str
    ref: str
    errors: tuple[Complaint, ...]
    inode: int
    mtime_ns: int
    size: int


@dataclass(frozen=True, slots=True)
class JobDuplicate:
    type: ClassVar[str] = "job.duplicate"
    of: JobId
    file: FileFacts


@dataclass(frozen=True, slots=True)
class JobHeld:
    """Why the job that is next cannot start; ``not_before`` in ms since 1970, 0 = unknown."""

    type: ClassVar[str] = "job.held"
    job: JobId
    code: str
    text: str
    not_before: int


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """The GPU lease is taken. ``attempt`` counts from 1 in each job; ``need_bytes`` is the memory
    that it was predicted to take, 0 = not predicted, and before release 0.2.0. ``stage`` is what
    of a training it is for: '' = the training itself, and all that a panel has.
    """

    type: ClassVar[str] = "attempt.started"
    job: JobId
    attempt: int
    engine: str
    profile: str
    need_bytes: int
    stage: str


@dataclass(frozen=True, slots=True)
class PromptSent:
    """Recorded before the prompt is sent. ``image`` counts from 1, in the order of the seeds."""

    type: ClassVar[str] = "prompt.sent"
    job: JobId
    attempt: int
    image: int
    prompt_id: str


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """The lease is given back. ``evidence`` says what was seen, ``peak_bytes`` the most memory that
    it took, ``step_s`` how long a training's step took at last, awake; 0 = not measured.
    """

    type: ClassVar[str] = "attempt.ended"
    job: JobId
    attempt: int
    outcome: Outcome
    code: str
    evidence: str
    peak_bytes: int
    step_s: float


@dataclass(frozen=True, slots=True)
class ImageJudged:
    """A picture is here, whole, and was looked at. ``scores`` are the judge's numbers by name.

    ``engine`` and ``models`` are the seqs of the lines that say what drew it; 0 and none before
    release 0.2.0. ``bytes`` is the picture's size, ``rung`` that of the precision ladder.
    ``map_sha256`` is the kept pose map's, '' where there is none, and before release 0.2.0.
    """

    type: ClassVar[str] = "image.judged"
    job: JobId
    attempt: int
    image: int
    sha256: str
    verdict: str
    scores: Mapping[str, float]
    engine: int
    models: tuple[int, ...]
    template: str
    template_sha256: str
    workflow_sha256: str
    bytes: int
    perceptual_hash: str
    rung: str
    map_sha256: str


@dataclass(frozen=True, slots=True)
class CheckpointSaved:
    """A checkpoint is here, whole. ``step`` is the true optimizer step, over all attempts.

    ``bytes`` is its size, ``device`` as the trainer said it; 0 and '' before release 0.2.0.
    ``step_s`` is how long a step took, in seconds that the machine was awake; 0 = not measured.
    ``loss`` 0 = not known: the file was found after the log was lost.
    """

    type: ClassVar[str] = "checkpoint.saved"
    job: JobId
    step: int
    sha256: str
    loss: float
    attempt: int
    bytes: int
    device: str
    step_s: float


@dataclass(frozen=True, slots=True)
class DatasetRecorded:
    """At most 100 images a line, as (file name, its sha256, its caption's sha256, where it is
    from); before release 0.2.0 nobody said where.
    """

    type: ClassVar[str] = "dataset.recorded"
    job: JobId
    images: tuple[tuple[str, str, str, str], ...]


@dataclass(frozen=True, slots=True)
class ResultPublished:
    """``files`` in the job's outbox folder: name -> sha256."""

    type: ClassVar[str] = "result.published"
    job: JobId
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class JobEnded:
    type: ClassVar[str] = "job.ended"
    job: JobId
    phase: Phase
    code: str


@dataclass(frozen=True, slots=True)
class JobApproved:
    """``image`` or ``checkpoint`` is 0 where the other is meant."""

    type: ClassVar[str] = "job.approved"
    job: JobId
    image: int
    checkpoint: int


@dataclass(frozen=True, slots=True)
class LoraInstalled:
    type: ClassVar[str] = "lora.installed"
    job: JobId
    file: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ControlTaken:
    """A control file was obeyed or answered: ``error`` is '' or the sentence why it could not be
    done.

    ``job`` is as it was asked for, '' for pause and resume.
    """

    type: ClassVar[str] = "control.taken"
    job: str
    kind: str
    error: str
    file: FileFacts


@dataclass(frozen=True, slots=True)
class CalibrationMeasured:
    type: ClassVar[str] = "calibration.measured"
    times: tuple[float, ...]
    variance: float
    environment: Mapping[str, str]
    steps_s: tuple[float, ...] = ()  # Of the reference run, each step from the second on.
    verdict: str = ""


@dataclass(frozen=True, slots=True)
class PictureReproduced:
    type: ClassVar[str] = "picture.reproduced"
    job: JobId
    lock_sha256: str
    verdict: str
    distance: float
    differences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LedgerTorn:
    """A torn last line was set aside: ``bytes`` of it, ``kept`` names the file."""

    type: ClassVar[str] = "ledger.torn"
    bytes: int
    kept: str


@dataclass(frozen=True, slots=True)
class LedgerRestored:
    type: ClassVar[str] = "ledger.restored"
    lines: int
    cause: str


@dataclass(frozen=True, slots=True)
class Incident:
    type: ClassVar[str] = "incident"
    code: str
    text: str
    job: str = ""  # Whom it concerns, and whose files say so.


Event = (
    DaemonStarted
    | DaemonStopped
    | JobAccepted
    | JobRejected
    | JobDuplicate
    | JobHeld
    | AttemptStarted
    | PromptSent
    | AttemptEnded
    | ImageJudged
    | CheckpointSaved
    | DatasetRecorded
    | ModelRecorded
    | EngineRecorded
    | TrainerRecorded
    | ResultPublished
    | JobEnded
    | JobApproved
    | LoraInstalled
    | ControlTaken
    | CalibrationMeasured
    | PictureReproduced
    | LedgerTorn
    | LedgerRestored
    | Incident
)


@dataclass(frozen=True, slots=True)
class Entry:
    """An event in its place: ``seq`` from 1 per host, ``at`` in ms since 1970 (UTC), the segment's
    month, its chain.
    """

    seq: int
    at: int
    event: Event
    segment: str
    chain: str
