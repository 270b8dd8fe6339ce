"""What things are made with, as the ledger records it: the part of its vocabulary that locks need.

Law: an engine or a model is recorded at its first use and when it has changed; later lines name
that line by its seq.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from daemon.core.jobs import DEFAULT_PROFILE, Engine, JobId, ModelFacts


@dataclass(frozen=True, slots=True)
class ModelRecorded:
    """A model file as it was when a job first asked for it, or at the first use after it changed.
    ``parts``: how many numbers each part that is loaded has; none where release 0.1.0 wrote it.
    """

    type: ClassVar[str] = "model.recorded"
    role: str
    name: str
    sha256: str
    bytes: int
    dtype: str
    parts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class EngineRecorded:
    """The engine as it was at its first use, or at the first use after it changed."""

    type: ClassVar[str] = "engine.recorded"
    name: str
    version: str
    commit: str
    mode: str
    args: tuple[str, ...]
    device: str
    python: str
    torch: str
    os: str
    custom_nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrainerRecorded:
    """What an attempt at a training is about to be started with; ``models`` are the seqs of their
    lines.
    """

    type: ClassVar[str] = "trainer.recorded"
    job: JobId
    attempt: int
    trainer: str
    commit: str
    python: str
    packages: Mapping[str, str]
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    models: tuple[int, ...]
    config: str
    dataset: str


@dataclass(frozen=True, slots=True)
class TrainerUse:
    """What an attempt at a training was started with, as its locks say it.

    ``config`` and ``dataset`` are its documents with names for folders; ``packages`` are versions
    by name.
    """

    trainer: str
    commit: str
    python: str
    packages: Mapping[str, str]
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    models: tuple[ModelFacts, ...]
    config: str
    dataset: str


@dataclass(frozen=True, slots=True)
class Making:
    """All that a picture's lock says of how it was made, beside its job.

    ``workflow_sha256`` is that of the executed graph's file, ``bytes`` the picture's size;
    ``perceptual_hash`` 16 hexadecimal digits or '', ``rung`` that of the precision ladder,
    ``map_sha256`` of the hint that the graph made for itself ('' = it makes none).
    """

    engine: Engine
    models: tuple[ModelFacts, ...]
    template: str
    template_sha256: str
    workflow_sha256: str
    bytes: int
    perceptual_hash: str = ""
    rung: str = DEFAULT_PROFILE
    map_sha256: str = ""
