"""Spells where everything stands: status.toml of a job and the status.json that programs read.

Law: both are projections. They are rewritten from the state at any time, hold no path of the
machine, and cost the open jobs plus those it tells of, however long the ledger is.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from daemon.core.events import Entry, Incident, JobRejected, LedgerRestored
from daemon.core.hurdles import Reason
from daemon.core.job import Job
from daemon.core.jobs import JobId, Phase
from daemon.core.needs import NO_NEED, Need
from daemon.core.policy import Policy
from daemon.core.state import State
from daemon.core.world import World
from daemon.craft.diagnosis import first_check
from daemon.wire.comfyui import EngineFacts
from daemon.wire.instants import instant_text
from daemon.wire.machine_status import (
    instant_or_none,
    memory_document,
    need_document,
    tonight_or_none,
    windows_document,
)
from daemon.wire.rejected import rejected_folder
from daemon.wire.sentence import sentence
from daemon.wire.toml_text import Section, toml_bytes

STATUS_SCHEMA = 1
QUEUE_SHOWN = 200
RECENT_SHOWN = 200
INCIDENTS_SHOWN = 50

Document = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class DaemonFacts:
    """Who writes. ``studio`` is its id, ``started_at`` in ms since 1970.

    ``code`` and ``text`` are '' while it works, else why it stays up idle.
    """

    version: str
    pid: int
    studio: str
    started_at: int
    code: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Drawing:
    """How far the running attempt is. ``image`` (of ``images``), ``step`` and ``epoch`` count from
    1; 0 = not begun. Steps of a training are true ones, over all attempts; ``loss`` is its running
    average.
    """

    job: JobId
    attempt: int
    image: int
    step: int
    steps: int
    epoch: int = 0
    epochs: int = 0
    loss: float | None = None
    images: int = 0


@dataclass(frozen=True, slots=True)
class Hashing:
    """How far the hashing of a model file is, in bytes; the jobs that name it wait in the inbox."""

    name: str
    bytes_done: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Notice:
    """An incident: ``at`` in ms since 1970."""

    at: int
    code: str
    text: str


def notice_of(entry: Entry) -> Notice | None:
    """The incident that an entry tells of, None for the ordinary."""
    match entry.event:
        case Incident(code=code, text=text):
            return Notice(entry.at, code, text)
        case LedgerRestored(cause=cause):
            return Notice(entry.at, "LEDGER_RESTORED", cause)
        case _:
            return None


def job_status_toml(job: Job) -> bytes:
    """A job's status.toml: where it stands, why, and what to look at first."""
    top: dict[str, object] = {
        "phase": job.phase.value,
        "code": job.code,
        "sentence": sentence(job),
        "first_check": first_check(job.code),
        "job": job.id,
        "ref": job.ref,
        "attempt": job.attempt,
        "warnings": list(job.warnings),
        "accepted_at": instant_text(job.accepted_at),
        "changed_at": instant_text(job.changed_at),
    }
    if job.not_before:
        # Until then nothing can be different.
        top["not_before"] = top["next_look"] = instant_text(job.not_before)
    notes = [{"code": code, "first_check": first_check(code)} for code in job.notes]
    sections: list[Section] = [("note", notes)] if notes else []
    return toml_bytes(top, [*sections, *([("files", dict(job.files))] if job.files else [])])


def status_document(
    state: State,
    *,
    at: int,
    daemon: DaemonFacts,
    world: World,
    engine: EngineFacts | None,
    reasons: Mapping[JobId, Reason],
    progress: Drawing | None,
    incidents: Iterable[Notice] = (),
    warnings: Sequence[str] = (),
    hashing: Hashing | None = None,
    policy: Policy | None = None,
    next_tick: int = 0,
) -> Document:
    """status.json as a document. ``at`` in ms since 1970; ``reasons`` are ``admission.why``'s, in
    the order of the line; ``warnings`` tell of how the engine was started. ``policy`` None: by the
    ledger alone, which knows no hours. ``next_tick``: when admission looks again, 0 = nobody does.

    ``queue`` holds open jobs, what runs before what waits; ``recent`` ended ones, newest first.
    """
    return {
        "schema": STATUS_SCHEMA,
        "at": instant_text(at),
        "daemon": {**asdict(daemon), "started_at": instant_text(daemon.started_at)},
        "engine": {**_engine(world, engine), "warnings": list(warnings)},
        "paused": state.paused,
        "memory": memory_document(world, policy or Policy(), _next_need(reasons)),
        "windows": windows_document(policy, at) if policy else None,
        "lease": _lease(state, progress, policy),
        "hashing": asdict(hashing) if hashing else None,
        "queue": _queue(state, reasons, next_tick),
        "queue_count": len(state.queue),
        "recent": _recent(state),
        "rejected_count": state.rejected,
        "incidents": _latest(incidents),
    }


def _next_need(reasons: Mapping[JobId, Reason]) -> Need:
    """Of the job that is first in line."""
    return next((reason.need for reason in reasons.values()), NO_NEED)


def _queue(state: State, reasons: Mapping[JobId, Reason], next_tick: int) -> list[Document]:
    shown = _head_of_queue(state, reasons)
    return [_queued(job, reasons.get(job.id), next_tick) for job in shown]


def _latest(incidents: Iterable[Notice]) -> list[Document]:
    latest = heapq.nlargest(INCIDENTS_SHOWN, incidents, key=lambda notice: notice.at)
    return [{**asdict(notice), "at": instant_text(notice.at)} for notice in latest]


def status_json(document: Document) -> bytes:
    """The file: ASCII, so that text from outside cannot reorder or hide anything."""
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def _engine(world: World, engine: EngineFacts | None) -> Document:
    return {
        "name": world.engine,
        "ready": not world.engine_code,
        "code": world.engine_code,
        "text": world.engine_text,
        "first_check": first_check(world.engine_code),
        "version": engine.version if engine else None,
        "mode": engine.mode if engine else None,
        "device": engine.device_type if engine else None,
    }


def _lease(state: State, progress: Drawing | None, policy: Policy | None) -> Document | None:
    if state.lease is None:
        return None
    # The one that is drawn; what is before it is only looked at, what is after it made ready.
    drawn = progress.job if progress and progress.job in state.running else state.lease
    job = state.jobs[drawn]
    here = progress is not None and (progress.job, progress.attempt) == (job.id, job.attempt)
    # Until the trainer says how far it is, a training stands where it was last saved.
    saved = max(job.checkpoints, default=0)
    seen = progress if here and progress else Drawing(job.id, job.attempt, 0, saved, 0)
    return {
        "job": job.id,
        "kind": job.kind,
        "stage": job.stage,
        "ref": job.ref,
        "attempt": job.attempt,
        "cancelling": job.cancelling,
        "since": instant_text(job.changed_at),
        "image": seen.image,
        "images": seen.images or len(getattr(job.spec, "seeds", ())),
        "step": seen.step,
        "steps": seen.steps or (0 if job.stage else getattr(job.spec, "steps", 0)),
        "epoch": seen.epoch,
        "epochs": seen.epochs or getattr(job.spec, "epochs", 0),
        "loss": seen.loss,
        "need_bytes": job.need_bytes,
        "tonight": tonight_or_none(job, state, policy) if policy else None,
    }


def _head_of_queue(state: State, reasons: Mapping[JobId, Reason]) -> Iterable[Job]:
    """The first of what is open; of what waits in the order of the line, which reasons have."""
    places = {job: place for place, job in enumerate(reasons)}
    return heapq.nsmallest(
        QUEUE_SHOWN,
        map(state.jobs.__getitem__, state.queue),
        key=lambda job: (
            job.phase in (Phase.WAITING, Phase.HELD),
            places.get(job.id, len(places)),
            -job.priority,
            job.accepted_seq,
        ),
    )


def _recent(state: State) -> list[Document]:
    """Ended jobs and refused files, newest first."""
    ended = [(job.changed_seq, _ended(job)) for job in _last_ended(state)]
    refused = [(entry.seq, _refused(entry)) for entry in state.refusals]
    latest = heapq.nlargest(RECENT_SHOWN, [*ended, *refused], key=lambda item: item[0])
    return [document for _, document in latest]


def _last_ended(state: State) -> Iterable[Job]:
    ended = map(state.jobs.__getitem__, state.ended)
    return heapq.nlargest(RECENT_SHOWN, ended, key=lambda job: job.changed_seq)


def _refused(entry: Entry) -> Document:
    rejected = entry.event
    assert isinstance(rejected, JobRejected), "state keeps refusals only"
    folder = rejected_folder(rejected)
    return {
        "job": None,
        "file": rejected.name,
        "phase": Phase.REJECTED.value,
        "code": "REJECTED",
        "sentence": rejected.errors[0].text if rejected.errors else "",
        "ref": rejected.ref,
        "changed_at": instant_text(entry.at),
        "folder": f"$STUDIO/{folder}",
    }


def _queued(job: Job, reason: Reason | None, next_tick: int) -> Document:
    not_before = reason.not_before if reason else job.not_before
    return {
        "job": job.id,
        "phase": job.phase.value,
        "priority": job.priority,
        "ref": job.ref,
        "code": reason.code if reason else job.code,
        "reason": reason.text if reason else sentence(job),
        "not_before": instant_or_none(not_before),
        "next_look": instant_or_none(reason.next_look or next_tick) if reason else None,
        "need": need_document(reason.need) if reason else None,
    }


def _ended(job: Job) -> Document:
    return {
        "job": job.id,
        "phase": job.phase.value,
        "code": job.code,
        "sentence": sentence(job),
        "ref": job.ref,
        "changed_at": instant_text(job.changed_at),
        "files": dict(job.files),
    }
