"""The face: what the ledger alone says, of the whole studio and of one job.

Law: it only reads, and folds this machine's own host, as the daemon does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from os import SEEK_END
from pathlib import Path
from typing import BinaryIO

from daemon.adapters.machine import machine_id, own_host
from daemon.cli.lines import segments
from daemon.cli.place import NO_DAEMON, NO_STATUS, Bad, no_job
from daemon.cli.tables import inner
from daemon.core.admission import line
from daemon.core.events import AttemptEnded, AttemptStarted, DaemonStarted, Entry, JobApproved
from daemon.core.hurdles import Reason
from daemon.core.job import Image, Job
from daemon.core.jobs import JobId, PanelSpec
from daemon.core.policy import Policy
from daemon.core.state import State, apply
from daemon.core.world import World
from daemon.craft.diagnosis import first_check
from daemon.errors import LedgerDamaged
from daemon.wire.instants import instant_text
from daemon.wire.ledger_line import Head, read_lines
from daemon.wire.provenance import Chronicle
from daemon.wire.sentence import sentence
from daemon.wire.status import DaemonFacts, Document, Notice, notice_of, status_document


def entries(studio: Path, host: str, state: State) -> Iterator[Entry]:
    """Every entry of a host, verified and applied to ``state``; a torn last line is left out.

    Raises ``LedgerDamaged``.
    """
    head = Head()
    files = segments(studio).get(host, [])
    for file in files:
        name, number = str(file.relative_to(studio)), 0
        with file.open("rb") as lines:
            whole = (line[:-1] for line in lines if line.endswith(b"\n"))
            for number, entry in enumerate(read_lines(whole, head=head, segment=name), start=1):
                try:
                    apply(state, entry)
                except AssertionError as error:
                    raise LedgerDamaged.at(name, number, f"it cannot follow: {error}") from error
                head = Head(entry.seq, entry.chain, file.stem)
                yield entry
            if file != files[-1] and _is_torn(lines):
                raise LedgerDamaged.at(
                    name, number + 1, "it is cut off, yet a later segment exists"
                )


def _is_torn(file: BinaryIO) -> bool:
    """Whether something follows the last newline."""
    file.seek(-min(1, file.seek(0, SEEK_END)), SEEK_END)
    return file.read() not in (b"", b"\n")


def own_entries(studio: Path, state: State) -> Iterator[Entry]:
    """``entries`` of the host that is ``own``. Raises as it does."""
    return entries(studio, own(studio), state)


def own(studio: Path) -> str:
    """This machine's host, or the only one there is, '' for none. Raises ``Bad`` for a choice."""
    hosts = list(segments(studio))
    ours = machine_id(Path.home() / ".config" / "nightpress")
    host = own_host(studio / "ledger", machine=ours)
    if host not in hosts and len(hosts) > 1:
        raise Bad(
            f"None of this studio's ledgers ({', '.join(hosts)}) is this machine's own, so there "
            "is no one state to show. `nightpress log` shows the events of all."
        )
    return host if host in hosts and host else "".join(hosts)


def fold(studio: Path) -> State:
    """The state by this machine's ledger."""
    state = State()
    for _ in own_entries(studio, state):
        pass
    return state


def chronicles(studio: Path) -> Sequence[Chronicle]:
    """Every host's ledger, folded by itself. Raises ``LedgerDamaged``."""
    found = []
    for host in segments(studio):
        state, approved = State(), dict[tuple[JobId, int], int]()
        for entry in entries(studio, host, state):
            event = entry.event
            if isinstance(event, JobApproved):
                approved.setdefault((event.job, event.image or event.checkpoint), entry.at)
        found.append(Chronicle(host, state, approved))
    return found


def find(state: State, name: str) -> Job:
    """The job of this id, or the newest of this name. Raises ``Bad`` when there is none."""
    named = [job for job in state.jobs.values() if job.name == name]
    job = state.jobs.get(JobId(name)) or max(named, key=lambda job: job.accepted_seq, default=None)
    if job is None:
        raise no_job(name)
    return job


def document(studio: Path, *, alive: bool) -> Document:
    """What status.json would say, by the ledger alone; ``alive``: whether a daemon knows more.

    Where nothing has happened yet, ``at`` and the daemon's ``started_at`` are None.
    """
    state, incidents, last = State(), list[Notice](), 0
    daemon = DaemonFacts("", 0, "", 0)
    for entry in own_entries(studio, state):
        last = entry.at
        if notice := notice_of(entry):
            incidents.append(notice)
        elif isinstance(entry.event, DaemonStarted):
            daemon = DaemonFacts(entry.event.version, 0, "", entry.at)
    reason = Reason("NO_STATUS", NO_STATUS) if alive else Reason("NO_DAEMON", NO_DAEMON)
    seen = status_document(
        state,
        at=last,
        daemon=daemon,
        world=World("none", reason.code, reason.text),
        engine=None,
        reasons={job.id: reason for job in line(state, Policy(), at=last)},
        progress=None,
        incidents=incidents,
    )
    never = {"at": None, "daemon": {**inner(seen, "daemon"), "started_at": None}}
    return seen if last else {**seen, **never}


def job_document(studio: Path, name: str) -> Document:
    """All that is known of a job, found as ``find`` does."""
    state, attempts = State(), list[Entry]()
    for entry in own_entries(studio, state):
        if isinstance(entry.event, AttemptStarted | AttemptEnded):
            attempts.append(entry)
    job = find(state, name)
    return {
        "job": job.id,
        "kind": job.kind,
        "phase": job.phase.value,
        "code": job.code,
        "sentence": sentence(job),
        "first_check": first_check(job.code),
        "notes": [{"code": code, "first_check": first_check(code)} for code in job.notes],
        "warnings": list(job.warnings),
        "ref": job.ref,
        "priority": job.priority,
        "accepted_at": instant_text(job.accepted_at),
        "changed_at": instant_text(job.changed_at),
        "folder": f"outbox/{job.id}",
        "file": asdict(job.file),
        # Through JSON, so that the document looks the same before and after it.
        "spec": json.loads(json.dumps(asdict(job.spec))),
        "request": job.request,
        "attempts": _attempts(attempts, job.id),
        "images": list(_images(job)),
        "dataset": [asdict(image) for image in job.dataset],
        "checkpoints": [
            {
                "step": step,
                "loss": made.loss,
                "sha256": made.sha256,
                "attempt": made.attempt,
                "approved": step in job.approved,
            }
            for step, made in sorted(job.checkpoints.items())
        ],
        "files": dict(job.files),
    }


def _attempts(told: Iterable[Entry], job: JobId) -> list[dict[str, object]]:
    """Each attempt's two events as one."""
    found: dict[int, dict[str, object]] = {}
    for entry in told:
        event, at = entry.event, instant_text(entry.at)
        if isinstance(event, AttemptStarted) and event.job == job:
            found[event.attempt] = {**asdict(event), "started_at": at}
        elif isinstance(event, AttemptEnded) and event.job == job:
            found.setdefault(event.attempt, {}).update(asdict(event), ended_at=at)
    return list(found.values())


def _images(job: Job) -> Iterator[Document]:
    seeds = job.spec.seeds if isinstance(job.spec, PanelSpec) else ()
    for number, seed in enumerate(seeds, start=1):
        image = job.images.get(number, Image(""))
        yield {
            "image": number,
            "seed": seed,
            "prompt_id": image.prompt_id,
            "verdict": image.verdict,
            "sha256": image.sha256,
            "approved": number in job.approved,
        }
