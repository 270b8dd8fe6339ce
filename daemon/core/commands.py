"""What is asked or reported, imperative: everything that can reach the one writer.

Commands carry no time; the loop stamps it once a batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from daemon.core.jobs import (
    Asked,
    Complaint,
    Control,
    FileFacts,
    JobId,
    ModelFacts,
    Outcome,
    TrainingImage,
)
from daemon.core.tools import Making, TrainerUse
from daemon.core.world import Machine, World


@dataclass(frozen=True, slots=True)
class Start:
    """The daemon is up; ``torn_bytes`` and ``torn_kept`` tell of a last line that was set aside."""

    version: str
    engine: str
    torn_bytes: int = 0
    torn_kept: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    reason: str


@dataclass(frozen=True, slots=True)
class Submit:
    """A settled job file that could be read. ``request`` is its text, ``hint_sha256`` that of its
    hint image or '', ``dataset`` what a training learns from, copied aside, ``models`` the files
    that it names, as far as they were looked at.
    """

    file: FileFacts
    request: str
    asked: Asked
    hint_sha256: str = ""
    dataset: tuple[TrainingImage, ...] = ()
    models: tuple[ModelFacts, ...] = ()


@dataclass(frozen=True, slots=True)
class Reject:
    """A settled file that asks for nothing that can be done. ``request`` is None when it was too
    large to be read.
    """

    file: FileFacts
    request: bytes | None
    ref: str
    errors: tuple[Complaint, ...]


@dataclass(frozen=True, slots=True)
class TakeControl:
    file: FileFacts
    control: Control


@dataclass(frozen=True, slots=True)
class RecordPrompt:
    """Answered when it is durable; only then may the prompt be sent."""

    job: JobId
    attempt: int
    image: int
    prompt_id: str


@dataclass(frozen=True, slots=True)
class RecordModels:
    """Models about to be used; only those that are new or have changed become events."""

    models: tuple[ModelFacts, ...]


@dataclass(frozen=True, slots=True)
class RecordDataset:
    """All pictures of an accepted training; only those that are not recorded become events."""

    job: JobId
    images: tuple[TrainingImage, ...]


@dataclass(frozen=True, slots=True)
class RecordTrainer:
    """An attempt at a training is about to be started with this."""

    job: JobId
    attempt: int
    trainer: TrainerUse


@dataclass(frozen=True, slots=True)
class ReportImage:
    job: JobId
    attempt: int
    image: int
    sha256: str
    verdict: str
    scores: Mapping[str, float]
    making: Making


@dataclass(frozen=True, slots=True)
class ReportCheckpoint:
    """A checkpoint of the running attempt is kept, whole. ``step`` counts over all attempts,
    ``bytes`` is its size, ``device`` as the trainer said it; ``step_s`` how long a step of it took
    (awake seconds, 0 = not measured).
    """

    job: JobId
    attempt: int
    step: int
    sha256: str
    loss: float
    bytes: int
    device: str
    step_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ReportEnded:
    """``evidence`` is a sentence: what was seen; ``peak_bytes``, ``step_s``: 0 = not measured."""

    job: JobId
    attempt: int
    outcome: Outcome
    code: str = ""
    evidence: str = ""
    peak_bytes: int = 0
    step_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """One seed drawn several times: how long each took in seconds, the largest mean difference
    between two of them (0..255), and where that is so.
    """

    times: tuple[float, ...]
    variance: float
    environment: Mapping[str, str]
    steps_s: tuple[float, ...] = ()
    verdict: str = ""


@dataclass(frozen=True, slots=True)
class ReportReference:
    """The reference run is over, with this."""

    job: JobId
    attempt: int
    calibration: Calibration


@dataclass(frozen=True, slots=True)
class ReportReproduced:
    """A picture was drawn again, or could not be; ``distance`` is the mean difference (0..255)."""

    job: JobId
    attempt: int
    lock_sha256: str
    verdict: str
    distance: float
    differences: tuple[str, ...]
    calibration: Calibration | None = None


@dataclass(frozen=True, slots=True)
class ConfirmPublished:
    job: JobId
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ConfirmInstalled:
    """An approved checkpoint is in the engine's loras folder under the name ``file``."""

    job: JobId
    checkpoint: int
    file: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ConfirmPruned:
    """What was to go for a job, or for one of the studio's own leavings, is gone."""

    target: str


@dataclass(frozen=True, slots=True)
class ReportUnpublishable:
    """What was made is no longer there: it has to be made again."""

    job: JobId
    text: str


@dataclass(frozen=True, slots=True)
class ReportRestored:
    """Lines of the ledger that something had taken away were put back; ``cause`` says which."""

    lines: int
    cause: str


@dataclass(frozen=True, slots=True)
class ReportIncident:
    """``job``: whom it concerns, '' = no single one."""

    code: str
    text: str
    job: str = ""


@dataclass(frozen=True, slots=True)
class Observe:
    """The world as it is seen now; nothing is recorded of it but what it changes for the queue.

    Its machine and its trainer are others' to see, and its time the loop's.
    """

    world: World


@dataclass(frozen=True, slots=True)
class ObserveMachine:
    """The machine's memory and power as they are seen now."""

    machine: Machine


@dataclass(frozen=True, slots=True)
class ObserveTrainer:
    """Why nothing can be trained just now, as it is seen; ``text`` '' = it can."""

    code: str
    text: str


Command = (
    Start
    | Stop
    | Submit
    | Reject
    | TakeControl
    | RecordPrompt
    | RecordModels
    | RecordDataset
    | RecordTrainer
    | ReportImage
    | ReportCheckpoint
    | ReportEnded
    | ReportReference
    | ReportReproduced
    | ConfirmPublished
    | ConfirmInstalled
    | ConfirmPruned
    | ReportUnpublishable
    | ReportRestored
    | ReportIncident
    | Observe
    | ObserveMachine
    | ObserveTrainer
)
