"""Reads the notes of release 0.1.0, which told of a making what its ledger did not record.

Law: a note is believed for the very bytes it was written for, or for its own attempt's nonce.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from daemon.core.jobs import Engine, ModelFacts
from daemon.core.tools import Making, TrainerUse
from daemon.wire.making import digest


@dataclass(frozen=True, slots=True)
class _Making:
    engine: Engine
    models: tuple[ModelFacts, ...]
    template: str
    template_sha256: str
    rung: str
    perceptual_hash: str


@dataclass(frozen=True, slots=True)
class _Picture:
    sha256: str
    workflow_sha256: str
    making: _Making


@dataclass(frozen=True, slots=True)
class _Attempt:
    nonce: str


_PICTURE, _ATTEMPT, _TRAINER = TypeAdapter(_Picture), TypeAdapter(_Attempt), TypeAdapter(TrainerUse)


def read_making(data: bytes | None, *, png: bytes, workflow: bytes) -> Making | None:
    """How a staged picture was made, None where there is no note of these very bytes."""
    try:
        note = _PICTURE.validate_json(data or b"")
    except ValidationError:
        return None
    if (note.sha256, note.workflow_sha256) != (digest(png), digest(workflow)):
        return None
    told = note.making
    return Making(
        engine=told.engine,
        models=told.models,
        template=told.template,
        template_sha256=told.template_sha256,
        workflow_sha256=note.workflow_sha256,
        bytes=len(png),
        perceptual_hash=told.perceptual_hash,
        rung=told.rung,
    )


def read_trainer(data: bytes | None, *, nonce: str) -> TrainerUse | None:
    """What the attempt of this nonce was started with, None where there is no note of it."""
    try:
        its_own = _ATTEMPT.validate_json(data or b"").nonce == nonce
        return _TRAINER.validate_json(data or b"") if its_own else None
    except ValidationError:
        return None
