"""One job: all that is known of where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from daemon.core.events import (
    Entry,
    PictureReproduced,
)
from daemon.core.jobs import (
    NO_PICTURE,
    OPEN_PHASES,
    FileFacts,
    JobId,
    Kind,
    PanelSpec,
    Phase,
    Spec,
    TrainingImage,
    passes,
)
from daemon.core.stages import DRAWN, TRAINING
from daemon.core.tools import TrainerRecorded


@dataclass(frozen=True, slots=True)
class Image:
    """One picture of the current attempt, or of one before it until it is drawn again. ``judged``
    is the entry that recorded its verdict.
    """

    prompt_id: str
    verdict: str = ""
    sha256: str = ""
    judged: Entry | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that a training has saved. ``saved`` is the entry that recorded it; ``bytes``
    0 and ``device`` '' where release 0.1.0 wrote that.
    """

    sha256: str
    loss: float
    attempt: int
    saved: Entry
    bytes: int
    device: str


_NONE: Mapping[Any, Any] = {}


class Job(NamedTuple):
    """A job as its events left it. Times in ms since 1970; ``attempt`` 0 = none yet.

    A tuple, since nearly every line of a ledger copies one: ``_replace`` takes 1.3 µs where
    ``dataclasses.replace`` takes 8, half of the time that a line takes in all.

    ``profile`` is the launch profile of the current attempt; ``rungs`` are those in which its
    pictures came out spoilt since it was last asked for, in their order.
    ``unlucky`` counts the attempts lost since it was last asked for or last got on. ``lost`` are
    those of the present profile: what they had drawn may be on the engine still. ``nonces`` has
    each attempt's: the chain value of the line that started it, which nothing else can have;
    ``trainers`` what each was started with.
    ``checkpoints`` are by step; ``approved`` are pictures, or the steps of checkpoints.
    ``stage`` is what the current attempt at a training is for, ``stages`` those that are over, and
    ``series`` the pictures that they have drawn. ``pruned``: only what was approved is left.
    ``notes`` are the codes of what a person should know of it, though it was no failure.
    ``place`` counts the acceptances of the studio up to its own; ``need_bytes`` is what the current
    attempt was predicted to take. A job that publishes with a
    ``code`` publishes what there is of it, and has failed all the same.
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
    profile: str = ""
    rungs: tuple[str, ...] = ()
    unlucky: int = 0
    lost: tuple[int, ...] = ()
    cancelling: bool = False
    images: Mapping[int, Image] = _NONE
    files: Mapping[str, str] = _NONE
    nonces: Mapping[int, str] = _NONE
    trainers: Mapping[int, TrainerRecorded] = _NONE
    dataset: tuple[TrainingImage, ...] = ()
    checkpoints: Mapping[int, Checkpoint] = _NONE
    approved: tuple[int, ...] = ()
    place: int = 0
    reproduced: PictureReproduced | None = None
    need_bytes: int = 0
    stage: str = TRAINING
    stages: tuple[str, ...] = ()
    series: Mapping[str, Mapping[int, Image]] = _NONE
    pruned: bool = False
    notes: tuple[str, ...] = ()

    @property
    def draws(self) -> bool:
        """Whether the current attempt draws pictures; else it trains."""
        return self.kind == "panel" or self.stage in DRAWN

    @property
    def open(self) -> bool:
        """Whether something is still to be done for it."""
        return self.phase in OPEN_PHASES

    @property
    def pictures(self) -> range:
        """The numbers of a panel's pictures, from 1 in the order of its seeds."""
        seeds = self.spec.seeds if isinstance(self.spec, PanelSpec) else ()
        return range(1, len(seeds) + 1)

    def stands(self, image: Image) -> bool:
        """Whether a picture of it is a result, so that it need not be drawn again."""
        if isinstance(self.spec, PanelSpec):
            return passes(image.verdict, self.spec)
        return image.verdict not in NO_PICTURE

    @property
    def on_a_rung(self) -> bool:
        """Whether its attempt draws in a profile that none of its spoilt pictures was drawn in."""
        return bool(self.rungs) and self.profile not in self.rungs
