"""The face: `log` and `show`, what happened and what came of it, from the ledger's files."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import sleep

from daemon.cli import place
from daemon.cli.arguments import Arguments
from daemon.cli.lines import Line, Tail, is_about, segments, seq, what
from daemon.cli.say import complain, document, local, paint, phase, say
from daemon.cli.tables import Table, inner, raw, rows, text, whole

_POLL_S = 0.25
_TYPES: Mapping[str, str] = {
    "result.published": "green",
    "job.rejected": "red",
    "job.held": "yellow",
    "incident": "yellow",
    "ledger.torn": "yellow",
}


def log(arguments: Arguments) -> int:
    """The ledger's events."""
    studio = place.studio(arguments)
    tail = Tail(studio, damaged=lambda text: complain(f"nightpress: {text}; see `verify`."))
    since = arguments.since or "0"
    if not since.isdecimal():
        tail.skip_until(since)
    after = int(since) if since.isdecimal() else 0
    job = _job(studio, arguments.job) if arguments.job else ""
    while True:
        hosts = len(segments(studio))
        for line in tail.lines():
            if seq(line) > after and (not job or is_about(line, job)):
                _print(line, json=arguments.json, hosts=hosts)
        if not arguments.follow:
            return 0
        sys.stdout.flush()
        sleep(_POLL_S)


def _job(studio: Path, name: str) -> str:
    """The job's id; a bare name means its newest job."""
    newest = ""
    for line in Tail(studio).lines():
        job = raw(line.table, "job")
        if job == name:
            return job
        if raw(line.table, "type") == "job.accepted" and job[: job.rfind("_")] == name:
            newest = job
    if not newest:
        raise place.Bad(
            f"There is no job {name} in this studio's ledger. `nightpress status` shows the jobs."
        )
    return newest


def _print(line: Line, *, json: bool, hosts: int) -> None:
    if json:
        sys.stdout.write(line.data.decode("ascii", errors="backslashreplace") + "\n")
        return
    table = line.table
    kind = text(table, "type")
    host = f"{line.host}  " if hosts > 1 else ""
    shown = f"{kind:<17}"
    about = "  ".join(part for part in (text(table, "job"), what(table)) if part)
    colour = _TYPES.get(kind)
    shown = paint(shown, colour) if colour else shown
    say(f"{paint(local(raw(table, 'at')), 'dim')}  {host}{shown}  {about}".rstrip())


def show(arguments: Arguments) -> int:
    """One job: what was asked, where it stands, what it made."""
    studio = place.studio(arguments)
    from daemon.cli.job_view import job_document  # `log` needs no fold.

    answer = job_document(studio, arguments.job)
    if arguments.json:
        document(answer)
        return 0
    for line in _job_lines(answer):
        say(line)
    return 0


def _job_lines(job: Table) -> Iterator[str]:
    yield f"{paint(text(job, 'job'), 'bold')}  {phase(raw(job, 'phase'))}  {text(job, 'code')}"
    yield f"  {text(job, 'sentence')}"
    if raw(job, "first_check"):
        yield f"  First check: {text(job, 'first_check')}"
    for warning in _texts(job, "warnings"):
        yield f"  Warning: {warning}"
    yield ""
    yield from _facts(job)
    yield from _asked(inner(job, "spec"))
    yield from _attempts(job)
    yield from _pictures(job)
    files = inner(job, "files")
    if files:
        yield ""
        yield paint(f"FILES in {text(job, 'folder')}", "bold")
        for name in sorted(files):
            yield f"  {text(files, name)[:12]}  {text({'name': name}, 'name')}"


def _facts(job: Table) -> Iterator[str]:
    for label, value in (
        ("accepted", local(raw(job, "accepted_at"))),
        ("changed", local(raw(job, "changed_at"))),
        ("from", text(inner(job, "file"), "name")),
        ("ref", text(job, "ref")),
        ("priority", str(whole(job, "priority") or "")),
    ):
        if value:
            yield f"  {label:<12} {value}"


def _asked(spec: Table) -> Iterator[str]:
    yield ""
    yield paint("ASKED", "bold")
    for key, value in spec.items():
        if value in (None, "", [], {}):
            continue
        shown = text({"value": _plain(value)}, "value")
        yield f"  {text({'key': key}, 'key'):<12} {shown}"


def _plain(value: object) -> str:
    match value:
        case list():
            return ", ".join(_plain(item) for item in value)
        case dict():
            return " ".join(f"{key}={_plain(item)}" for key, item in value.items() if item)
        case _:
            return str(value)


def _attempts(job: Table) -> Iterator[str]:
    attempts = rows(job, "attempts")
    if attempts:
        yield ""
        yield paint("ATTEMPTS", "bold")
    for attempt in attempts:
        ended = ", ".join(
            filter(None, (text(attempt, key) for key in ("outcome", "code", "evidence")))
        )
        yield (
            f"  {whole(attempt, 'attempt')}  {local(raw(attempt, 'started_at'))}  "
            f"on {text(attempt, 'engine')}  {ended or 'still going on'}"
        )


def _pictures(job: Table) -> Iterator[str]:
    pictures = rows(job, "images")
    if pictures:
        yield ""
        yield paint("PICTURES", "bold")
    for picture in pictures:
        yield (
            f"  {whole(picture, 'image')}  seed {whole(picture, 'seed')}  "
            f"{text(picture, 'verdict') or 'not drawn yet'}"
        )
    models = rows(job, "models")
    if models:
        yield ""
        yield paint("MODELS", "bold")
    for model in models:
        yield f"  {text(model, 'sha256')[:12]}  {text(model, 'role'):<10}  {text(model, 'name')}"


def _texts(job: Table, key: str) -> Iterator[str]:
    value = job.get(key)
    for item in value if isinstance(value, list) else ():
        if isinstance(item, str):
            yield text({"value": item}, "value")
