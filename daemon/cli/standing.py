"""The face: `status` and `why`, from the files alone; a daemon is never asked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from daemon.cli import place
from daemon.cli.arguments import Arguments
from daemon.cli.say import clock, document, local, paint, phase, say
from daemon.cli.tables import Table, as_table, inner, raw, rows, text, whole

_QUEUE_SHOWN = 20
_RECENT_SHOWN = 10
_INCIDENTS_SHOWN = 3
_WIDEST = 40


def status(arguments: Arguments) -> int:
    """Where everything stands."""
    studio = place.studio(arguments)
    if arguments.watch and not arguments.json:
        from daemon.cli.watch import watch  # rich costs more time than all the rest.

        return watch(studio)
    seen, alive = look(studio)
    if arguments.json:
        document({**seen, "alive": alive})
    else:
        for line in picture(seen, alive=alive):
            say(line)
    return 0


def why(arguments: Arguments) -> int:
    """Why a job waits, and when it could start."""
    studio = place.studio(arguments)
    seen, alive = look(studio)
    found = _queued(seen, arguments.job) or _by_ledger(studio, seen, arguments.job)
    if arguments.json:
        document({**found, "alive": alive})
        return 0
    if not alive:
        say(paint(place.NO_DAEMON, "yellow"))
    say(f"{text(found, 'job')}  {phase(raw(found, 'phase'))}  {text(found, 'code')}".rstrip())
    say(f"  {text(found, 'reason')}")
    earliest = raw(found, "not_before")
    if raw(found, "phase") in ("waiting", "held"):
        say(f"  Earliest start: {local(earliest) if earliest else 'as soon as that is over.'}")
    return 0


def look(studio: Path) -> tuple[Table, bool]:
    """What status.json says, or the ledger when nobody keeps status.json; and whether one does."""
    alive = place.is_alive(studio)
    seen = _read(studio / "outbox" / "status.json")
    if seen and (alive or _is_current(studio)):
        return seen, alive
    from daemon.cli import folded  # The fold is for when nobody keeps status.json.

    return folded.document(studio), alive


def picture(seen: Table, *, alive: bool) -> Iterator[str]:
    """The document in lines for a person."""
    yield from _headline(seen, alive=alive)
    lease = inner(seen, "lease")
    if lease:
        yield ""
        yield paint("DRAWING" if alive else "WAS DRAWING", "bold")
        yield f"  {text(lease, 'job')}   {_progress(lease)}"
    yield from _queue(seen)
    yield from _recent(seen)
    for notice in rows(seen, "incidents")[:_INCIDENTS_SHOWN]:
        when = clock(raw(notice, "at"), beside=raw(seen, "at"))
        yield ""
        yield f"{paint(text(notice, 'code'), 'yellow')} at {when}: {text(notice, 'text')}"


def _headline(seen: Table, *, alive: bool) -> Iterator[str]:
    daemon, engine = inner(seen, "daemon"), inner(seen, "engine")
    if alive:
        since = clock(raw(daemon, "started_at"), beside=raw(seen, "at"))
        yield (
            f"nightpress {text(daemon, 'version')}, running since {since} "
            f"(pid {whole(daemon, 'pid')}), engine: {_engine(engine)}"
        )
        if raw(engine, "name") == "rehearsal":
            yield paint("This is a rehearsal: pictures are storyboards, no model draws.", "yellow")
        if raw(engine, "code"):
            yield f"{paint(text(engine, 'code'), 'yellow')}: {text(engine, 'text')}"
        if raw(daemon, "code"):
            yield f"{paint(text(daemon, 'code'), 'red')}: {text(daemon, 'text')}"
    else:
        yield paint(place.NO_DAEMON, "yellow")
        if raw(seen, "at")[:4] > "1970":
            yield f"This is how things stood at {local(raw(seen, 'at'))}."
    if seen.get("paused") is True:
        yield paint("Paused: nothing new starts. `nightpress resume` lets it go on.", "yellow")


def _engine(engine: Table) -> str:
    known = " ".join(filter(None, (text(engine, "name"), text(engine, "version"))))
    device = text(engine, "device")
    return f"{known} on {device}" if device else known


def _progress(lease: Table) -> str:
    shown = "being cancelled, " if lease.get("cancelling") is True else ""
    if whole(lease, "images") > 1:
        shown += f"picture {max(1, whole(lease, 'image'))} of {whole(lease, 'images')}, "
    return f"{shown}step {whole(lease, 'step')} of {whole(lease, 'steps')}"


def _queue(seen: Table) -> Iterator[str]:
    drawing = raw(inner(seen, "lease"), "job")
    waiting = [job for job in rows(seen, "queue") if raw(job, "job") != drawing]
    count = whole(seen, "queue_count") - (1 if drawing else 0)
    yield ""
    if not waiting:
        yield "Nothing waits. Drop a job file into inbox/, or: nightpress submit FILE"
        return
    yield paint(f"QUEUE ({count})", "bold")
    width = _width(waiting[:_QUEUE_SHOWN])
    for job in waiting[:_QUEUE_SHOWN]:
        name, state = text(job, "job"), phase(raw(job, "phase"), width=10)
        yield f"  {name:<{width}}  {state}  {_here(job, 'reason')}"
    if count > _QUEUE_SHOWN:
        yield f"  … and {count - _QUEUE_SHOWN} more"


def _recent(seen: Table) -> Iterator[str]:
    ended = rows(seen, "recent")[:_RECENT_SHOWN]
    if ended:
        yield ""
        yield paint("ENDED", "bold")
        width = _width(ended)
        for job in ended:
            name, state = _called(job), phase(raw(job, "phase"), width=11)
            when = clock(raw(job, "changed_at"), beside=raw(seen, "at"))
            yield f"  {name:<{width}}  {state}  {when}  {_here(job, 'sentence')}"
    if whole(seen, "rejected_count"):
        yield ""
        yield "What was refused is in outbox/rejected/, each file with its answer."


def _here(job: Table, key: str) -> str:
    """A sentence for somebody who is in the studio."""
    return text(job, key).replace("$STUDIO/", "")


def _width(jobs: Sequence[Table]) -> int:
    return min(_WIDEST, max(len(_called(job)) for job in jobs))


def _called(job: Table) -> str:
    """A job by its id, a refused file by its name."""
    return text(job, "job") or text(job, "file")


def _queued(seen: Table, job: str) -> Table:
    return next((each for each in rows(seen, "queue") if raw(each, "job") == job), {})


def _by_ledger(studio: Path, seen: Table, name: str) -> Table:
    """A job that is not among those shown: it has ended, or it was named without its number."""
    from daemon.cli import folded  # See ``look``.
    from daemon.wire.status import sentence

    job = folded.find(folded.fold(studio), name)
    shown = _queued(seen, job.id)
    return shown or {
        "job": job.id,
        "phase": job.phase.value,
        "code": job.code,
        "reason": sentence(job),
        "not_before": None,
    }


def _read(path: Path) -> Table:
    try:
        return as_table(json.loads(path.read_bytes()))
    except (OSError, ValueError):
        return {}


def _is_current(studio: Path) -> bool:
    """Whether status.json tells of the ledger's last line, by the note the daemon keeps."""
    try:
        shown = int((studio / ".nightpress" / "shown").read_bytes())
    except (OSError, ValueError):
        return False
    from daemon.cli.lines import last_seq, segments  # While a daemon lives this is not asked.

    hosts = list(segments(studio).values())
    return len(hosts) == 1 and last_seq(hosts[0][-1]) == shown
