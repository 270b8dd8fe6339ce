"""The face: where everything stands by the ledger alone, for when no daemon's status can be asked.

Law: it only reads, and folds this machine's own host, as the daemon does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from daemon.adapters.machine import machine_id, own_host
from daemon.cli.lines import segments
from daemon.cli.place import NO_DAEMON, Bad
from daemon.core.admission import Reason, line
from daemon.core.events import DaemonStarted, Entry, Incident
from daemon.core.jobs import JobId
from daemon.core.state import Job, State, apply
from daemon.core.world import World
from daemon.errors import LedgerDamaged
from daemon.wire.ledger_line import Head, read_lines
from daemon.wire.status import DaemonFacts, Document, Notice, status_document


def entries(studio: Path, host: str) -> Iterator[Entry]:
    """Every entry of a host, verified. Raises ``LedgerDamaged``; a torn last line is left out."""
    head = Head()
    files = segments(studio).get(host, [])
    for file in files:
        data = file.read_bytes()
        end = data.rfind(b"\n") + 1
        name = str(file.relative_to(studio))
        if end < len(data) and file != files[-1]:
            raise LedgerDamaged(f"{name}: its last line is cut off, yet a later segment exists.")
        for entry in read_lines(data[:end].split(b"\n")[:-1], head=head, segment=name):
            head = Head(entry.seq, entry.chain, file.stem)
            yield entry


def host_of(studio: Path) -> str:
    """The host whose ledger is meant: this machine's, or the only one there is; '' for none."""
    hosts = list(segments(studio))
    ours = machine_id(Path.home() / ".config" / "nightpress")
    own = own_host(studio / "ledger", machine=ours)
    if own is not None and own in hosts:
        return own
    if len(hosts) > 1:
        raise Bad(
            f"None of this studio's ledgers ({', '.join(hosts)}) is this machine's own, so there "
            "is no one state to show. `nightpress log` shows the events of all."
        )
    return hosts[0] if hosts else ""


def fold(studio: Path) -> State:
    """The state by this machine's ledger."""
    state = State()
    for entry in entries(studio, host_of(studio)):
        apply(state, entry)
    return state


def find(state: State, name: str) -> Job:
    """The job of this id, or the newest of this name. Raises ``Bad`` when there is none."""
    job = state.jobs.get(JobId(name))
    if job is None:
        named = [each for each in state.jobs.values() if each.name == name]
        job = max(named, key=lambda each: each.accepted_seq, default=None)
    if job is None:
        raise Bad(
            f"There is no job {name} in this studio's ledger. `nightpress status` shows the jobs."
        )
    return job


def document(studio: Path) -> Document:
    """What status.json would say, by the ledger alone, of a studio without a daemon."""
    state, incidents = State(), list[Notice]()
    last, started, version = 0, 0, ""
    for entry in entries(studio, host_of(studio)):
        apply(state, entry)
        last = entry.at
        match entry.event:
            case Incident(code=code, text=text):
                incidents.append(Notice(entry.at, code, text))
            case DaemonStarted():
                started, version = entry.at, entry.event.version
            case _:
                pass
    return status_document(
        state,
        at=last,
        daemon=DaemonFacts(version, 0, "", started),
        world=World("none", "NO_DAEMON", NO_DAEMON),
        engine=None,
        reasons={job.id: Reason("NO_DAEMON", NO_DAEMON) for job in line(state)},
        progress=None,
        incidents=incidents,
    )


def matching(state: State, pattern: str) -> Sequence[Job]:
    """The jobs whose id matches a shell pattern, in the order of their acceptance."""
    jobs = sorted(state.jobs.values(), key=lambda each: each.accepted_seq)
    return [job for job in jobs if fnmatchcase(job.id, pattern)]
