"""Spells the outbox from the ledger: every file there that the state alone can give again.

Law: the bytes are those that the daemon wrote. A record (a request, a lock) has the hash that the
ledger gave it when it was written; a projection (a status.toml) has none, and may be replaced.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from daemon.core.events import ImageJudged, JobRejected
from daemon.core.job import Job
from daemon.core.making import recorded_making, recorded_trainer
from daemon.core.state import State
from daemon.wire.making import digest, images_of, picture_lock, result_stem
from daemon.wire.rejected import rejected_folder, rejected_status_toml
from daemon.wire.status import Document, job_status_toml
from daemon.wire.training_lock import checkpoint_lock, lock_name

STATUS = "outbox/status.json"
_LEDGERS = ("paused", "queue_count", "recent", "rejected_count")
"""What status.json says by the ledger alone, whoever writes it."""


@dataclass(frozen=True, slots=True)
class View:
    """One file. ``sha256`` '' = a projection; ``data`` None: the ledger does not hold all that is
    in this record (release 0.1.0 recorded less).
    """

    data: bytes | None
    sha256: str = ""


def views(state: State, *, host: str) -> Mapping[str, View]:
    """Each file by its path in the studio; ``host`` is whose ledger this is the state of."""
    found = {path: view for job in state.jobs.values() for path, view in _of_job(state, job, host)}
    for entry in state.refusals:
        if isinstance(entry.event, JobRejected):
            answer = rejected_status_toml(entry.event, at=entry.at)
            found[f"{rejected_folder(entry.event)}/status.toml"] = View(answer)
    return found


def agrees(data: bytes, document: Document) -> bool:
    """Whether a status.json says of the ledger what this document says."""
    try:
        told = json.loads(data)
        return all(told[key] == document[key] for key in _LEDGERS)
    except (ValueError, LookupError, TypeError):
        return False


def _of_job(state: State, job: Job, host: str) -> Iterator[tuple[str, View]]:
    folder = f"outbox/{job.id}"
    yield f"{folder}/job.toml", _record(job.request.encode(), job.file.sha256)
    yield f"{folder}/status.toml", View(job_status_toml(job))
    locks = _picture_locks if job.kind == "panel" else _checkpoint_locks
    for name, lock in locks(state, job, host) if job.files else ():
        if name in job.files:
            yield f"{folder}/{name}", _record(lock, job.files[name])


def _record(data: bytes | None, sha256: str) -> View:
    return View(data if data is not None and digest(data) == sha256 else None, sha256)


def _picture_locks(state: State, job: Job, host: str) -> Iterator[tuple[str, bytes | None]]:
    for image in images_of(job):
        # Of a job that has failed, or is drawn again, some pictures are missing.
        judged = job.images[image].judged if image in job.images else None
        if judged is None:
            continue
        assert isinstance(judged.event, ImageJudged)
        making = recorded_making(state, judged.event)
        lock = picture_lock(job, image, making, host=host) if making else None
        yield f"{result_stem(job, image)}.lock.toml", lock


def _checkpoint_locks(state: State, job: Job, host: str) -> Iterator[tuple[str, bytes | None]]:
    for step, made in job.checkpoints.items():
        trainer = recorded_trainer(state, job, made.attempt)
        lock = None
        if trainer is not None and made.bytes:
            size, device = made.bytes, made.device
            lock = checkpoint_lock(job, step, trainer, size=size, device=device, host=host)
        yield lock_name(job.id, step), lock
