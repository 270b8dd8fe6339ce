"""What may be asked of the press: specifications of jobs, their phases and outcomes.

Everything here is a frozen value. A specification is complete: no default is looked up later, so
an old ledger means the same after a default has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NewType

JobId = NewType("JobId", str)
"""A job's name, ``_v`` (``_r`` in rehearsal) and its number: ``ch01_p003_v1``."""

Kind = Literal["panel", "train"]


class Phase(StrEnum):
    """Where a job stands. The last five are final until a retry."""

    WAITING = "waiting"
    HELD = "held"
    RUNNING = "running"
    PUBLISHING = "publishing"
    PUBLISHED = "published"
    FAILED = "failed"
    CANCELLED = "cancelled"
    QUARANTINED = "quarantined"
    REJECTED = "rejected"


OPEN_PHASES = frozenset({Phase.WAITING, Phase.HELD, Phase.RUNNING, Phase.PUBLISHING})

GOOD = "good"
"""The verdict on a picture that is a result."""

NO_PICTURE = ("", "WRONG_SIZE")
"""Verdicts on what nobody can take for the picture that was asked for."""

OVERRIDDEN = "overridden"
"""The verdict of a person on a picture that the judge had refused."""


class Outcome(StrEnum):
    """How one attempt ended. ``lost``: the world took it away and nobody knows; retried once."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LOST = "lost"
    STOPPED = "stopped"
    CANCELLED = "cancelled"


QUALITY_CODES = frozenset({"BLACK_OR_GRAY", "NAN_IN_PICTURE"})
"""Verdicts that another precision may mend: the picture is spoilt, and the engine is well."""

DEFAULT_PROFILE = "default"
"""The launch profile in which every job is drawn first."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A dropped file as it was seen: the same facts mean the same drop. ``mtime_ns`` in ns,
    ``size`` in bytes.
    """

    name: str
    sha256: str
    inode: int
    mtime_ns: int
    size: int


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing wrong with a job file: ``line`` from 1 (0 = the whole), ``key`` dotted or ''."""

    line: int
    key: str
    text: str


@dataclass(frozen=True, slots=True)
class LoraUse:
    """A LoRA in a panel: ``name`` below the engine's loras folder, ``job`` its training or ''."""

    name: str
    strength: float
    job: str = ""


@dataclass(frozen=True, slots=True)
class ControlNetUse:
    """The ControlNet of a panel. ``image`` is relative to the studio; ``sha256`` is that of the
    hint as taken.
    """

    model: str
    image: str
    strength: float
    start: float
    end: float
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Reproduction:
    """Which published picture is drawn again: by its ``lock`` in the folder of ``job``, the lock's
    ``sha256``, and its launch profile. ``calibrates``: to learn how a machine repeats itself."""

    job: str
    lock: str
    sha256: str
    rung: str
    calibrates: bool = False


@dataclass(frozen=True, slots=True)
class PanelSpec:
    """A panel, complete. ``width`` and ``height`` in pixels; ``seeds`` has one entry a picture.

    Before acceptance ``seeds`` may be empty: then ``variations`` are derived from the job's id.
    What ``reproduces`` a picture is drawn by that picture's graph, not by a template; what
    ``measures`` is the reference run, by which a machine is known (A1.3).
    """

    prompt: str
    negative: str
    width: int
    height: int
    seeds: tuple[int, ...]
    variations: int
    steps: int
    cfg: float
    sampler: str
    scheduler: str
    denoise: float
    clip_skip: int
    checkpoint: str
    vae: str
    workflow: str
    quality: bool
    loras: tuple[LoraUse, ...] = ()
    controlnet: ControlNetUse | None = None
    reproduces: Reproduction | None = None
    measures: Literal["", "reference"] = ""

    @property
    def anew(self) -> bool:
        """Whether each of its pictures has to be drawn now, and not come out of a cache."""
        return self.reproduces is not None or bool(self.measures)


def passes(verdict: str, spec: PanelSpec) -> bool:
    """Whether a picture with this verdict is a result; a panel may be meant to be black."""
    # What is drawn again is compared with the first; nobody judges it anew.
    none = NO_PICTURE if spec.reproduces else (*NO_PICTURE, "EMPTY_POSE_MAP")
    return verdict in (GOOD, OVERRIDDEN) or (verdict not in none and not spec.quality)


@dataclass(frozen=True, slots=True)
class Grid:
    """Prompts and seeds by which the checkpoints of a training are compared."""

    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    strength: float


@dataclass(frozen=True, slots=True)
class Regularization:
    """Pictures of what the character is one of, drawn without a LoRA (D3): how many, by which
    prompt, and the words that stand for a caption.
    """

    count: int
    prompt: str
    class_tokens: str


@dataclass(frozen=True, slots=True)
class TrainSpec:
    """A training. Before acceptance ``steps`` may be 0 (by the policy from the number of images).

    ``images`` to ``epochs`` are resolved at acceptance: ``steps`` is then ``epochs`` whole epochs
    of ``epoch_steps`` optimizer steps, in which each image is seen ``repeats`` times, and as many
    of the ``regularization`` beside them. ``probe``: a short run tries it before its first night.
    """

    trigger: str
    dataset: str
    checkpoint: str
    vae: str
    steps: int
    network_dim: int
    network_alpha: float
    learning_rate: float
    optimizer: str
    lr_scheduler: str
    gradient_accumulation: int
    gradient_checkpointing: bool
    unet_only: bool
    mixed_precision: str
    save_every: int
    seed: int
    clip_skip: int
    features: tuple[str, ...]
    when: str
    resume: bool
    force: bool
    allow_overfit: bool
    waive_trigger_probe: bool
    grid: Grid | None
    images: int = 0
    repeats: int = 0
    epoch_steps: int = 0
    epochs: int = 0
    regularization: Regularization | None = None
    probe: bool = False


Spec = PanelSpec | TrainSpec


@dataclass(frozen=True, slots=True)
class Asked:
    """A job as one file asks for it, before it has a number."""

    kind: Kind
    name: str
    ref: str
    priority: int
    rerun: bool
    spec: Spec
    warnings: tuple[str, ...] = ()


ControlKind = Literal[
    "cancel", "retry", "approve", "pause", "resume", "reproduce", "calibrate", "prune"
]


@dataclass(frozen=True, slots=True)
class Control:
    """A control file: ``job`` is a job's id, or '' for pause and resume.

    What is approved is an ``image`` (from 1) or a ``checkpoint`` (its step); the other is 0. What
    is reproduced is named by its ``lock``, relative to the studio; ``ref`` is its asker's.
    """

    kind: ControlKind
    job: str = ""
    image: int = 0
    checkpoint: int = 0
    lock: str = ""
    ref: str = ""


@dataclass(frozen=True, slots=True)
class TrainingImage:
    """A picture of a dataset and its caption, as copied: file name and both hashes; ``source`` is
    where the maker has it from (K4.3), '' = not told. One with source ``regularization`` was drawn
    for the training, and has no caption.
    """

    name: str
    sha256: str
    caption_sha256: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model file as the engine will load it. ``bytes`` of the whole file; ``dtype`` of most
    of it; ``parts``: how many numbers each part has that is loaded (release 0.1.0 told none).
    """

    role: str
    name: str
    sha256: str
    bytes: int
    dtype: str
    parts: Mapping[str, int] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What draws, as a lock says it. ``args`` and ``custom_nodes`` name no path; ``commit`` '' =
    unknown.
    """

    name: str
    version: str
    commit: str = ""
    mode: str
    args: tuple[str, ...]
    device: str
    python: str
    torch: str
    os: str
    custom_nodes: tuple[str, ...]
