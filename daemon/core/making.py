"""How a thing was made: facts that are recorded once, and found again by the seq of their line.

Law: a line names another by its seq, so what was true then is found however it changed later.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields

from daemon.core.events import Event, ImageJudged
from daemon.core.job import Job
from daemon.core.jobs import Engine, ModelFacts
from daemon.core.state import Fact, State, key_of
from daemon.core.tools import EngineRecorded, Making, ModelRecorded, TrainerUse


def recorded_making(state: State, judged: ImageJudged) -> Making | None:
    """How a picture was made, by its line and by those that it names; None: release 0.1.0 wrote
    it, which recorded less.
    """
    engine = state.recorded.get(judged.engine)
    if not isinstance(engine, Engine):
        return None
    return Making(
        engine=engine,
        models=_models(state, judged.models),
        template=judged.template,
        template_sha256=judged.template_sha256,
        workflow_sha256=judged.workflow_sha256,
        bytes=judged.bytes,
        perceptual_hash=judged.perceptual_hash,
        rung=judged.rung,
        map_sha256=judged.map_sha256,
    )


def recorded_trainer(state: State, job: Job, attempt: int) -> TrainerUse | None:
    """What an attempt was started with, by its line; None: release 0.1.0 started it, which did
    not record it.
    """
    recorded = job.trainers.get(attempt)
    if recorded is None:
        return None
    told = {field.name: getattr(recorded, field.name) for field in fields(TrainerUse)}
    return TrainerUse(**{**told, "models": _models(state, recorded.models)})


def _models(state: State, seqs: Iterable[int]) -> tuple[ModelFacts, ...]:
    found = (state.recorded.get(seq) for seq in seqs)
    return tuple(fact for fact in found if isinstance(fact, ModelFacts))


def named(state: State, facts: Iterable[Fact]) -> tuple[Sequence[Event], Sequence[int]]:
    """The lines that are due for facts that are new or have changed, and the seq of each fact's.

    What is decided together is written together, so the seqs of those lines are known.
    """
    new: list[Event] = []
    seqs = []
    for fact in facts:
        seq = state.latest.get(key_of(fact), 0)
        if state.recorded.get(seq) != fact:
            new.append(_line(fact))
            seq = state.seq + len(new)
        seqs.append(seq)
    return new, seqs


def _line(fact: Fact) -> Event:
    if isinstance(fact, Engine):
        return EngineRecorded(**asdict(fact))
    return ModelRecorded(fact.role, fact.name, fact.sha256, fact.bytes, fact.dtype, fact.parts)
