"""Tells what a press is given: the world by its ports, and how it is set up."""

from __future__ import annotations

from dataclasses import dataclass, field

from daemon.core.policy import Policy
from daemon.core.world import EngineName
from daemon.craft.dataset import Vocabulary
from daemon.ports import (
    Alarm,
    Clock,
    Disk,
    EngineHost,
    Git,
    GpuLock,
    Notifier,
    Pixels,
    Probe,
    Renderer,
    Trainer,
    Weights,
)
from daemon.wire.notices import Telling
from daemon.wire.places import Places
from daemon.wire.status import DaemonFacts


@dataclass(frozen=True, slots=True)
class Ports:
    """The world, as this press has it. ``renderer`` None: a studio that draws for real has no
    engine now. ``host`` None: its process is not ours; ``probe`` None: nobody looks at the machine.
    """

    disk: Disk
    clock: Clock
    gpu: GpuLock
    alarm: Alarm
    renderer: Renderer | None
    pixels: Pixels
    weights: Weights
    trainer: Trainer
    git: Git | None = None
    host: EngineHost | None = None
    probe: Probe | None = None
    notifier: Notifier | None = None


@dataclass(frozen=True, slots=True)
class Setup:
    """What the press is told once, at start. ``studio`` and ``host`` are ids; times in seconds.

    ``engine`` none: ``Ports.renderer`` is None. ``checkpoints``: the ledger is committed to git
    once a day. ``trainer_text``: why there is no trainer, '' when there is. ``profiles``: those an
    engine of ours can be started in; ``mac``: a CPU is no engine; ``rests``: it is off during
    trainings. ``packs``: the custom nodes that may draw.
    ``known``: the words by which captions are judged. ``sheet``: the review sheet is written.
    ``telling``: of what a person is told.
    """

    studio: str
    host: str
    version: str
    daemon: DaemonFacts
    engine: EngineName
    places: Places
    policy: Policy
    settle_s: float
    rescan_s: float
    tick_s: float = 2.0
    trainer_text: str = ""
    checkpoints: bool = False
    profiles: tuple[str, ...] = ()
    mac: bool = False
    rests: bool = True
    packs: frozenset[str] = frozenset()
    known: Vocabulary = field(default_factory=Vocabulary)
    sheet: bool = False
    telling: Telling = field(default_factory=Telling)
