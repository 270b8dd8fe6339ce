"""What things are made with, as the ledger records it: the part of its vocabulary that locks need.

Law: an engine or a model is recorded at its first use and when it has changed; later lines name
that line by its seq.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from daemon.core.jobs import JobId


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
