"""The face: `log` and `show`, what happened."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import sleep

from daemon.cli import place
from daemon.cli.arguments import Arguments
from daemon.cli.lines import Line, Tail, segments, seq, what
from daemon.cli.revision import Known, known_at
from daemon.cli.say import (
    aligned,
    columns,
    complain,
    document,
    instant_of,
    local,
    paint,
    phase,
    say,
)
from daemon.cli.symptom import Symptom, in_json, in_words
from daemon.cli.tables import Table, decimal, inner, raw, rows, text, texts, whole
from daemon.wire.phrases import counted, joined
from daemon.wire.text import visible

_POLL_S = 0.25
_COLOURS = {"result.published": "green", "job.rejected": "red"}
_EMPTY = "The ledger is empty: nothing has happened in this studio yet."
# What the seeds and the schedule say already.
_TOLD = frozenset({"variations", "images", "repeats", "epoch_steps", "epochs", "steps"})
_NOTHING = "Nothing has happened since {}."
_REVIEW_LINES = 48
_TITLES = {
    **dict.fromkeys(("Asked", "Drawn", "Trained", "Cancelled", "Open"), "bold"),
    **dict.fromkeys(("Refused", "Failed"), "red"),
    "Noted": "yellow",
}
_WARNINGS = ("job.held", "incident", "ledger.torn", "ledger.restored")


def log(arguments: Arguments) -> int:
    """The ledger's events; those since a point as a review, unless one asks for the events."""
    studio = place.studio(arguments)
    since = arguments.since or "0"
    is_new, known = _since(studio, since)
    tail = Tail(
        studio,
        read=known.sizes,
        damaged=lambda text: complain(f"nightpress: {text}; see `verify`."),
    )
    for doubt in known.doubts:
        complain(f"nightpress: {doubt}")
    as_events = arguments.job or arguments.follow or arguments.json or arguments.code
    if arguments.since and not as_events:
        _print_review(tail, is_new, since)
        return 1 if known.doubts else 0
    job = _job(studio, arguments.job) if arguments.job else ""
    symptom = Symptom(arguments.code)
    for line in tail.skipped() if arguments.code else ():
        symptom.see(line)
    silent = True
    while True:
        hosts = len(segments(studio))
        for line in tail.lines():
            about = (raw(line.table, "job"), raw(line.table, "of"))
            symptom.see(line)
            if is_new(line) and (not job or job in about) and symptom.is_in(line):
                _print_line(line, symptom.asked(line), json=arguments.json, hosts=hosts)
                silent = False
        sys.stdout.flush()
        if not arguments.follow:
            if silent:
                complain(_silence(arguments))
            return 1 if known.doubts else 0
        sleep(_POLL_S)


def _silence(arguments: Arguments) -> str:
    """Why there is nothing to show."""
    if arguments.code:
        return f"No event that was asked for has the code or verdict {visible(arguments.code)}."
    return _NOTHING.format(visible(arguments.since)) if arguments.since else _EMPTY


def _since(studio: Path, since: str) -> tuple[Callable[[Line], bool], Known]:
    """Which lines are new, of those that git did not know. Raises ``WrongCommand``."""
    nothing = Known({}, ())
    if since.isdecimal():
        return (lambda line: seq(line) > int(since)), nothing
    day = instant_of(since)
    if day:
        return (lambda line: raw(line.table, "at") >= day), nothing
    return (lambda _: True), known_at(studio, since)


def _print_review(tail: Tail, is_new: Callable[[Line], bool], since: str) -> None:
    """What happened since then, in words."""
    from daemon.wire.review import review  # The list of events needs no words for them.
    from daemon.wire.review_text import TITLE_WIDTH, Page, review_lines

    before: dict[str, list[Table]] = {}
    new: dict[str, list[Table]] = {}
    for line in tail.skipped():
        before.setdefault(line.host, []).append(line.table)
    for line in tail.lines():
        (new if is_new(line) else before).setdefault(line.host, []).append(line.table)
    if not new:
        say(_NOTHING.format(visible(since)))
    told = review(new, before=before)
    for shown in review_lines(told, Page(columns(), _REVIEW_LINES, local=local)):
        title = shown[:TITLE_WIDTH]
        colour = _TITLES.get(title.strip())
        say(f"{paint(title, colour)}{shown[TITLE_WIDTH:]}" if colour else shown)


def _job(studio: Path, name: str) -> str:
    """The job's id; a bare name means its newest job."""
    tables = [line.table for line in Tail(studio).lines()]
    jobs = [raw(table, "job") for table in tables if raw(table, "type") == "job.accepted"]
    named = [job for job in jobs if job.rpartition("_")[0] == name]
    if name not in jobs and not named:
        raise place.no_job(name)
    return name if name in jobs else named[-1]


def _print_line(line: Line, asked: Table, *, json: bool, hosts: int) -> None:
    if json:
        own = line.data.decode("ascii", errors="backslashreplace")
        sys.stdout.write((in_json(line, asked) if asked else own) + "\n")
        return
    table, kind = line.table, text(line.table, "type")
    colour = "yellow" if kind in _WARNINGS else _COLOURS.get(kind)
    shown = paint(f"{kind:<17}", colour) if colour else f"{kind:<17}"
    host = visible(line.host) if hosts > 1 else ""
    said = joined((what(table), in_words(asked)))
    parts = (paint(local(raw(table, "at")), "dim"), host, shown, text(table, "job"), said)
    say("  ".join(filter(None, parts)).rstrip())


def show(arguments: Arguments) -> int:
    """One job: what was asked, where it stands, what it made."""
    from daemon.cli.folded import job_document  # `log` needs no fold.

    job = job_document(place.studio(arguments), arguments.job)
    if arguments.json:
        document(job)
        return 0
    name, code = paint(text(job, "job"), "bold"), text(job, "code")
    say(f"{name}  {phase(raw(job, 'phase'))}  {code}".rstrip())
    say(f"  {text(job, 'sentence').replace('$STUDIO/', '')}")
    if raw(job, "first_check"):
        say(f"  First check: {text(job, 'first_check')}")
    for note in rows(job, "notes"):
        say(f"  {paint('note', 'yellow')}: {text(note, 'code')}. {text(note, 'first_check')}")
    for warning in texts(job, "warnings"):
        say(f"  {paint('warning', 'yellow')}: {warning}")
    files = inner(job, "files")
    for title, cells in (
        ("", _facts(job)),
        ("ASKED", _asked(inner(job, "spec"))),
        ("ATTEMPTS", [_attempt(each, raw(job, "kind")) for each in rows(job, "attempts")]),
        ("PICTURES", map(_picture, rows(job, "images"))),
        ("CHECKPOINTS", map(_checkpoint, rows(job, "checkpoints"))),
        (
            f"FILES in {text(job, 'folder')}",
            ((text(files, key)[:12], visible(key)) for key in files),
        ),
    ):
        lines = list(aligned(cells))
        if lines:
            say("\n" + "\n".join([paint(title, "bold"), *lines] if title else lines))
    return 0


def _facts(job: Table) -> Iterator[Sequence[str]]:
    for label, value in (
        ("accepted", local(raw(job, "accepted_at"))),
        ("changed", local(raw(job, "changed_at"))),
        ("from", text(inner(job, "file"), "name")),
        ("ref", text(job, "ref")),
        ("priority", str(whole(job, "priority") or "")),
        ("schedule", _schedule(inner(job, "spec"))),
    ):
        if value:
            yield f"{label:<11}", value


def _schedule(spec: Table) -> str:
    """How a training is cut into epochs; '' for a panel."""
    if not whole(spec, "epochs"):
        return ""
    steps, epochs, epoch_steps = (whole(spec, key) for key in ("steps", "epochs", "epoch_steps"))
    pictures = counted(whole(spec, "images"), "picture")
    return (
        f"{steps} steps: {counted(epochs, 'epoch')} of {epoch_steps}, each with {pictures} "
        f"shown {counted(whole(spec, 'repeats'), 'time')}"
    )


def _asked(spec: Table) -> Iterator[Sequence[str]]:
    for key, value in spec.items():
        if key not in _TOLD and value not in (None, "", [], {}):
            yield f"{visible(key):<11}", visible(_plain(value))


def _plain(value: object) -> str:
    match value:
        case bool():
            return "on" if value else "off"
        case list():
            return ", ".join(map(_plain, value))
        case dict():
            return " ".join(f"{key}={_plain(item)}" for key, item in value.items() if item)
        case _:
            return str(value)


def _attempt(attempt: Table, kind: str) -> Sequence[str]:
    number, started = str(whole(attempt, "attempt")), local(raw(attempt, "started_at"))
    said = [text(attempt, key) for key in ("outcome", "code", "evidence")]
    ended = ", ".join(filter(None, said)) or "still going on"
    stage = text(attempt, "stage")
    trained = kind == "train" and stage in ("", "probe")
    real = trained and raw(attempt, "engine") != "rehearsal"
    engine = "sd-scripts" if real else text(attempt, "engine")
    return number, started, f"{stage} on {engine}".lstrip(), ended


def _picture(picture: Table) -> Sequence[str]:
    verdict = text(picture, "verdict") or "not drawn yet"
    number, seed = str(whole(picture, "image")), f"seed {whole(picture, 'seed')}"
    return number, seed, verdict + _approved(picture)


def _checkpoint(checkpoint: Table) -> Sequence[str]:
    step, loss = whole(checkpoint, "step"), decimal(checkpoint, "loss")
    return f"step {step}", f"loss {loss}{_approved(checkpoint)}"


def _approved(result: Table) -> str:
    return paint(", approved", "green") if result.get("approved") is True else ""
