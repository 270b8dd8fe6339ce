"""Spells the shapes of the documents that programs read: status.json, and the lock of a checkpoint.

Law: tests hold real documents against these; no document has a key that is not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from daemon.core.jobs import Phase

Kind = Literal["panel", "train"]


@dataclass(frozen=True, slots=True)
class StatusDaemon:
    """Who writes; `code` is '' while it works, else why it stays up idle."""

    version: str
    pid: int
    studio: str
    started_at: str | None
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class StatusEngine:
    """What draws; `code` is '' when it is ready."""

    name: Literal["comfyui", "rehearsal", "none"]
    ready: bool
    code: str
    text: str
    first_check: str
    version: str | None
    mode: str | None
    device: str | None
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class Unknown:
    """What cannot be read, and since when."""

    signal: str
    since: str


@dataclass(frozen=True, slots=True)
class Program:
    """A program beside us that takes much memory."""

    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class StatusMemory:
    """The machine's memory; null is unknown, `code` '' while something may start."""

    total_bytes: int | None
    free_bytes: int | None
    ours_bytes: int
    reserve_bytes: int
    need_bytes: int
    level: int | None
    code: str
    text: str
    unknown: list[Unknown]
    programs: list[Program]
    users: int


@dataclass(frozen=True, slots=True)
class Hours:
    """Whether a window is open, and when that turns; null is never."""

    open: bool
    closes: str | None
    opens: str | None


@dataclass(frozen=True, slots=True)
class StatusWindows:
    """The hours of trainings and of panels."""

    training: Hours
    panels: Hours


@dataclass(frozen=True, slots=True)
class Lease:
    """What has the GPU, and how far it is; numbers from 1, 0 is not begun."""

    job: str
    kind: Kind
    stage: str
    ref: str
    attempt: int
    cancelling: bool
    since: str
    image: int
    images: int
    step: int
    steps: int
    epoch: int
    epochs: int
    loss: float | None
    need_bytes: int
    tonight: str | None


@dataclass(frozen=True, slots=True)
class HashingNow:
    """A model that is being hashed."""

    name: str
    bytes_done: int
    bytes: int


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """The memory that a job is predicted to take, term by term."""

    total_bytes: int
    correction_bytes: int
    terms: list[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """An open job, and why it does not run."""

    job: str
    phase: Phase
    priority: int
    ref: str
    code: str
    reason: str
    not_before: str | None
    next_look: str | None
    need: MemoryNeed | None


@dataclass(frozen=True, slots=True)
class EndedJob:
    """A job that has ended; `files` are those in its folder, with their SHA-256."""

    job: str
    phase: Phase
    code: str
    sentence: str
    ref: str
    changed_at: str
    files: dict[str, str]


@dataclass(frozen=True, slots=True)
class RefusedFile:
    """A file that was refused; its answer is in `folder`."""

    job: None
    file: str
    phase: Phase
    code: str
    sentence: str
    ref: str
    changed_at: str
    folder: str


@dataclass(frozen=True, slots=True)
class IncidentNow:
    """Something that a person should know."""

    at: str
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Status:
    """outbox/status.json: where everything stands. Instants are UTC: 2026-11-22T17:50:00.123Z."""

    schema: Literal[1]
    at: str | None
    daemon: StatusDaemon
    engine: StatusEngine
    paused: bool
    memory: StatusMemory
    windows: StatusWindows | None
    lease: Lease | None
    hashing: HashingNow | None
    queue: list[QueuedJob]
    queue_count: int
    recent: list[EndedJob | RefusedFile]
    rejected_count: int
    incidents: list[IncidentNow]


@dataclass(frozen=True, slots=True)
class CheckpointSubject:
    """The checkpoint's file."""

    name: str
    file: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class CheckpointRequest:
    """The job it was made for."""

    id: str
    ref: str
    attempt: int
    request_sha256: str


@dataclass(frozen=True, slots=True)
class CheckpointAt:
    """Where in the training it was saved."""

    step: int
    epoch: int
    loss: float


@dataclass(frozen=True, slots=True)
class LockTrainer:
    """What trained it."""

    name: str
    commit: str
    device: str
    python: str
    args: list[str]
    packages: dict[str, str]
    environment: dict[str, str]


@dataclass(frozen=True, slots=True)
class LockTraining:
    """How it was resolved."""

    trigger: str
    images: int
    repeats: int
    epoch_steps: int
    epochs: int


@dataclass(frozen=True, slots=True)
class LockModel:
    """A file that was loaded."""

    role: str
    name: str
    sha256: str
    bytes: int
    dtype: str


@dataclass(frozen=True, slots=True)
class LockImage:
    """A picture that was learnt from."""

    image: str
    sha256: str
    caption: str
    caption_sha256: str
    source: str


@dataclass(frozen=True, slots=True)
class LockConfig:
    """Both of sd-scripts' documents."""

    config: str
    dataset: str


@dataclass(frozen=True, slots=True)
class LockLedger:
    """The line that vouches for it."""

    host: str
    segment: str
    seq: int
    chain: str


@dataclass(frozen=True, slots=True)
class TrainingLock:
    """The lock file of a checkpoint."""

    lock_version: Literal[1]
    subject: CheckpointSubject
    job: CheckpointRequest
    checkpoint: CheckpointAt
    trainer: LockTrainer
    training: LockTraining
    model: list[LockModel]
    dataset: list[LockImage]
    config: LockConfig
    ledger: LockLedger
