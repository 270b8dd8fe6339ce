"""The face: `status` and `why`, from the files alone; a daemon is never asked."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from time import sleep

from daemon.cli import place
from daemon.cli.arguments import Arguments
from daemon.cli.say import (
    aligned,
    bar,
    clock,
    document,
    first_check,
    fitted,
    how_far,
    local,
    paint,
    phase,
    say,
    trains,
)
from daemon.cli.tables import Table, inner, raw, rows, status_file, text, whole
from daemon.cli.weighing import machine_lines, sum_lines

_QUEUE_SHOWN = 20
_RECENT_SHOWN = 10
_INCIDENTS_SHOWN = 3
_LOOK_S = 0.5


def status(arguments: Arguments) -> int:
    """Where everything stands."""
    studio = place.studio(arguments)
    if arguments.json:
        seen, alive = _look(studio)
        document({**seen, "alive": alive})
    elif arguments.watch:
        _watch(studio)
    else:
        say(fitted(_picture(studio)))
    return 0


def why(arguments: Arguments) -> int:
    """Why a job waits, and when it could start."""
    studio = place.studio(arguments)
    seen, alive = _look(studio)
    found = _queued(seen, arguments.job)
    if not found:
        # It has ended, or it was named without its number.
        from daemon.cli import folded

        job = folded.job_document(studio, arguments.job)
        ended = {key: job[key] for key in ("job", "phase", "code")}
        reason = {"reason": job["sentence"], "not_before": None}
        found = _queued(seen, raw(job, "job")) or {**ended, **reason}
    check = first_check(raw(found, "phase"), raw(found, "code"))
    if arguments.json:
        document({**found, "first_check": check, "alive": alive})
        return 0
    if not alive:
        say(paint(place.NO_DAEMON, "yellow"))
    say(f"{text(found, 'job')}  {phase(raw(found, 'phase'))}  {text(found, 'code')}".rstrip())
    for line in _more(seen, found, check=check, alive=alive):
        say(fitted(f"  {line}"))
    return 0


def _more(seen: Table, found: Table, *, check: str, alive: bool) -> Iterator[str]:
    """Why a job waits, the sum that it is weighed by, when it could start and is looked at."""
    lease, need = inner(seen, "lease"), inner(found, "need")
    yield _here(found, "reason")
    if check:
        yield f"First check: {check}"
    if raw(lease, "job") == raw(found, "job") and raw(lease, "tonight"):
        yield f"Tonight: {text(lease, 'tonight')}"
    if need:
        yield "At its peak it needs:"
        reserve = whole(inner(seen, "memory"), "reserve_bytes")
        yield from sum_lines(need, reserve_bytes=reserve)
    if raw(found, "phase") in ("waiting", "held"):
        earliest, look = raw(found, "not_before"), raw(found, "next_look")
        yield f"Earliest start: {local(earliest) if earliest else 'as soon as that is over.'}"
        if alive and look != earliest:
            yield "Next look: within seconds."


def _look(studio: Path) -> tuple[Table, bool]:
    """What status.json says, or the ledger when nobody keeps status.json; and whether one does."""
    alive = place.is_alive(studio)
    seen = status_file(studio)
    if inner(seen, "daemon") and (alive or _is_current(studio)):
        return seen, alive
    from daemon.cli import folded  # The fold is for when nobody keeps status.json.

    return folded.document(studio, alive=alive), alive


def _is_current(studio: Path) -> bool:
    """Whether status.json tells of the ledger's last line, by the note the daemon keeps."""
    try:
        shown = int((studio / ".nightpress" / "shown").read_bytes())
    except (OSError, ValueError):
        return False
    from daemon.cli.lines import last_seq, segments  # While a daemon lives this is not asked.

    hosts = list(segments(studio).values())
    return len(hosts) == 1 and last_seq(hosts[0][-1]) == shown


def _queued(seen: Table, job: str) -> Table:
    return next((each for each in rows(seen, "queue") if raw(each, "job") == job), {})


def _watch(studio: Path) -> None:
    """Show it until interrupted: on a terminal in place, elsewhere whenever it has changed."""
    before = ""
    while not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        shown = _picture(studio)
        if shown != before:
            say(f"{shown}\n")
        before = shown
        sleep(_LOOK_S)
    # rich costs more time than all the rest.
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    with Live(console=Console(highlight=False), screen=True, auto_refresh=False) as live:
        while True:
            live.update(Text.from_ansi(fitted(_picture(studio))), refresh=True)
            sleep(_LOOK_S)


def _picture(studio: Path) -> str:
    """Where everything stands, in lines for a person."""
    seen, alive = _look(studio)
    machine = machine_lines(seen) if alive else ()
    lists = (_lease(seen, alive=alive), _queue(seen), _ended(seen), _incidents(seen))
    shown = ["\n".join(part) for part in ((*_headline(seen, alive=alive), *machine), *lists)]
    return "\n\n".join(part for part in shown if part)


def _headline(seen: Table, *, alive: bool) -> Iterator[str]:
    daemon, engine = inner(seen, "daemon"), inner(seen, "engine")
    if alive and whole(daemon, "pid"):
        since = clock(raw(daemon, "started_at"), beside=raw(seen, "at"))
        known = " ".join(filter(None, (text(engine, "name"), text(engine, "version"))))
        device = f" on {text(engine, 'device')}" if text(engine, "device") else ""
        yield (
            f"nightpress {text(daemon, 'version')}, running since {since} "
            f"(pid {whole(daemon, 'pid')}), engine: {known}{device}"
        )
        if raw(engine, "name") == "rehearsal":
            told = "This is a rehearsal: pictures are storyboards, and LoRAs learn nothing."
            yield paint(told, "yellow")
        for said, colour in ((engine, "yellow"), (daemon, "red")):
            if raw(said, "code"):
                yield f"{paint(text(said, 'code'), colour)}: {text(said, 'text')}"
    else:
        yield paint(place.NO_STATUS if alive else place.NO_DAEMON, "yellow")
        if raw(seen, "at"):
            yield f"This is how things stood at {local(raw(seen, 'at'))}."
    hashing = inner(seen, "hashing")
    if alive and hashing:
        done, size = whole(hashing, "bytes_done") // 10**6, whole(hashing, "bytes") // 10**6
        yield (
            f"{paint('Hashing', 'cyan')} {text(hashing, 'name')}, {done} of {size} MB: jobs that "
            "name it wait in inbox/, the others go on."
        )
    if seen.get("paused") is True:
        yield paint("Paused: nothing new starts. `nightpress resume` lets it go on.", "yellow")


def _lease(seen: Table, *, alive: bool) -> Iterator[str]:
    lease = inner(seen, "lease")
    if lease:
        doing = "TRAINING" if trains(lease) else "DRAWING"
        yield paint(doing if alive else f"WAS {doing}", "bold")
        if not alive and doing == "TRAINING":
            yield "It goes on by itself; the next daemon finds it."
        cancelling = "being cancelled, " if lease.get("cancelling") is True else ""
        yield from aligned([(text(lease, "job"), f"{cancelling}{how_far(lease)}")])
        if shown := alive and bar(*_progress(lease)):
            yield f"  {paint(shown, 'cyan')}"
        if alive and raw(lease, "tonight"):
            yield f"  Tonight: {text(lease, 'tonight')}"


def _progress(lease: Table) -> tuple[int, int]:
    """The steps that are made, and all of them, over the pictures of an attempt."""
    step, steps = whole(lease, "step"), whole(lease, "steps")
    if trains(lease):
        return step, steps
    image, images = max(1, whole(lease, "image")), max(1, whole(lease, "images"))
    return (image - 1) * steps + step, images * steps


def _queue(seen: Table) -> Iterator[str]:
    going = raw(inner(seen, "lease"), "job")
    waiting = [job for job in rows(seen, "queue") if raw(job, "job") != going]
    count = whole(seen, "queue_count") - (1 if going else 0)
    if not waiting:
        yield "Nothing waits. Drop a job file into inbox/, or: nightpress submit FILE"
        return
    yield paint(f"QUEUE ({count})", "bold")
    yield from aligned(
        (text(job, "job"), phase(raw(job, "phase")), _why_here(seen, job))
        for job in waiting[:_QUEUE_SHOWN]
    )
    if count > _QUEUE_SHOWN:
        yield f"  … and {count - _QUEUE_SHOWN} more"


def _why_here(seen: Table, job: Table) -> str:
    """Why a job waits; what is said of the engine or the memory above is not said again."""
    for part in ("engine", "memory"):
        if raw(inner(seen, part), "text") == raw(job, "reason") != "":
            return f"It waits for the {part}."
    return _here(job, "reason")


def _ended(seen: Table) -> Iterator[str]:
    ended = rows(seen, "recent")[:_RECENT_SHOWN]
    if ended:
        yield paint("ENDED", "bold")
    yield from aligned(
        (
            # A refused file has no job.
            text(job, "job") or text(job, "file"),
            phase(raw(job, "phase")),
            clock(raw(job, "changed_at"), beside=raw(seen, "at")),
            _here(job, "sentence"),
        )
        for job in ended
    )
    if whole(seen, "rejected_count"):
        yield ""
        yield "What was refused is in outbox/rejected/, each file with its answer."


def _incidents(seen: Table) -> Iterator[str]:
    for notice in rows(seen, "incidents")[:_INCIDENTS_SHOWN]:
        when = clock(raw(notice, "at"), beside=raw(seen, "at"))
        yield f"{paint(text(notice, 'code'), 'yellow')} at {when}: {text(notice, 'text')}"


def _here(job: Table, key: str) -> str:
    """A sentence for somebody who is in the studio."""
    return text(job, key).replace("$STUDIO/", "")
