"""Spells the review sheet: status, ledger and outbox on one page, and a page for every month.

Law: a projection. It holds no path of the machine, and costs what it shows, however long the
ledger is; paths in it are relative, so that it opens from the Finder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from daemon.core.job import Job
from daemon.core.jobs import Phase
from daemon.core.policy import Policy
from daemon.core.state import State, last_reference
from daemon.craft.diagnosis import first_check
from daemon.wire.instants import instant_ms
from daemon.wire.sheet_cards import Card, local_text, panel_card, training_card
from daemon.wire.sheet_night import next_day
from daemon.wire.sheet_page import page
from daemon.wire.status import Document

INDEX, PAGES = "outbox/index.html", "outbox/sheet"
PANELS_SHOWN = 60
TRAININGS_SHOWN = 20
_FAILURES_SHOWN = 50
_QUEUE_SHOWN = 100
_GIB = 2**30
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August", "September"),
    *("October", "November", "December"),
)


@dataclass(frozen=True, slots=True)
class Month:
    """A page of a month's jobs: ``month`` as in 2026-11, ``part`` from 1."""

    month: str
    part: int = 1

    @property
    def file(self) -> str:
        """Its file in outbox/sheet/."""
        return f"{self.month}{f'-{self.part}' if self.part > 1 else ''}.html"

    @property
    def name(self) -> str:
        """Its name: November 2026, page 2."""
        year, _, number = self.month.partition("-")
        part = f", page {self.part}" if self.part > 1 else ""
        return f"{_MONTHS[int(number) - 1]} {year}{part}"


@dataclass(frozen=True, slots=True)
class Told:
    """Whose ledger it is and where it ends: its host, the last line's month and chain value."""

    host: str
    segment: str
    chain: str


def index_values(
    state: State,
    document: Document,
    *,
    policy: Policy,
    panels: Iterable[Job],
    trainings: Iterable[Job],
    months: Sequence[Month],
    told: Told,
    alive: bool,
) -> Mapping[str, object]:
    """All that the index says. ``document``: status.json's; jobs newest first; ``alive``: a daemon
    goes on after this.
    """
    zone = policy.training_windows.zone
    at = instant_ms(str(document["at"]))
    drawn = [panel_card(job, state, zone) for job in panels]
    trained = [training_card(job, state, zone) for job in trainings]
    queue = _rows(document, "queue")
    return {
        "title": "nightpress: review sheet",
        "at": local_text(at, zone),
        "zone": str(zone),
        "notes": [*_notes(document, alive=alive), *_choices(trained)],
        "lease": _lease(document),
        "standing": list(_standing(state, document)),
        "queue": [_queued(each, policy) for each in queue[:_QUEUE_SHOWN]],
        "queued": document.get("queue_count", 0),
        "night": next_day(state, policy, at=at),
        "panels": drawn,
        "trainings": trained,
        "months": months,
        "failures": list(_failures(document))[:_FAILURES_SHOWN],
        "ledger": _ledger(state, document, told),
        "incidents": [_incident(each, policy) for each in _rows(document, "incidents")],
    }


def index_html(values: Mapping[str, object]) -> bytes:
    """The page of these values, UTF-8."""
    return page("index", values)


def month_values(
    month: Month,
    jobs: Iterable[Job],
    state: State,
    *,
    policy: Policy,
    older: Month | None,
    newer: Month | None,
) -> Mapping[str, object]:
    """All that a month's page says; jobs newest first, ``older`` and ``newer`` its neighbours."""
    zone = policy.training_windows.zone
    told = list(jobs)
    return {
        "title": month.name,
        "older": older,
        "newer": newer,
        "panels": [panel_card(job, state, zone) for job in told if job.kind == "panel"],
        "trainings": [training_card(job, state, zone) for job in told if job.kind == "train"],
    }


def month_html(values: Mapping[str, object]) -> bytes:
    """The page of these values, UTF-8."""
    return page("month", values)


def _rows(document: Document, key: str) -> Sequence[Document]:
    found = document.get(key)
    return found if isinstance(found, list) else []


def _part(document: Document, key: str) -> Document:
    found = document.get(key)
    return found if isinstance(found, Mapping) else {}


def _notes(document: Document, *, alive: bool) -> Iterator[Mapping[str, object]]:
    """What a person should see first."""
    if not alive:
        yield _note("No daemon is at work here: nothing new is started.", "nightpress run")
    daemon, engine = _part(document, "daemon"), _part(document, "engine")
    for each in (daemon, engine):
        if each.get("code"):
            check = str(each.get("first_check") or first_check(str(each["code"])))
            yield _note(f"{each['code']}: {each['text']} {check}", bad=True)
    if engine.get("name") == "rehearsal":
        yield _note("REHEARSAL: pictures are storyboards; no ComfyUI is set up.")
    if document.get("paused"):
        yield _note("The press is paused.", "nightpress resume")
    memory = _part(document, "memory")
    if memory.get("code"):
        yield _note(f"{memory['code']}: {memory['text']}", bad=True)


def _choices(trainings: Iterable[Card]) -> Iterator[Mapping[str, object]]:
    """The trainings that nobody has chosen a checkpoint of."""
    for card in trainings:
        chosen = any(made.approved for made in card.checkpoints)
        if card.phase == Phase.PUBLISHED and card.checkpoints and not chosen:
            command = f"nightpress approve {card.job} --checkpoint STEP"
            yield _note(f"{card.job} is trained: look at its grid, and choose.", command)


def _note(text: str, command: str = "", *, bad: bool = False) -> Mapping[str, object]:
    return {"text": text, "command": command, "bad": bad}


def _lease(document: Document) -> Mapping[str, object] | None:
    lease = _part(document, "lease")
    if not lease:
        return None
    parts = [f"attempt {lease['attempt']}"]
    parts += [f"stage {lease['stage']}"] if lease["stage"] else []
    parts += [f"picture {lease['image']} of {lease['images']}"] if lease["image"] else []
    parts += [f"epoch {lease['epoch']} of {lease['epochs']}"] if lease["epoch"] else []
    parts += [f"step {lease['step']} of {lease['steps']}"] if lease["steps"] else []
    tonight = f" Tonight: {lease['tonight']}" if lease["tonight"] else ""
    return {**lease, "text": f"{', '.join(parts)}.{tonight}"}


def _standing(state: State, document: Document) -> Iterator[str]:
    engine, memory = _part(document, "engine"), _part(document, "memory")
    if engine.get("version"):
        yield f"Engine: {engine['name']} {engine['version']} on {engine['device']}."
    free, total = memory.get("free_bytes"), memory.get("total_bytes")
    if isinstance(free, int) and isinstance(total, int):
        yield f"Memory: {free / _GIB:.1f} of {total / _GIB:.0f} GB can be had without swapping."
    if run := last_reference(state):
        yield f"Reference run: {run.seconds:.0f} s for 512x512 and 20 steps, {run.verdict}."


def _queued(row: Document, policy: Policy) -> Mapping[str, object]:
    start, zone = row.get("not_before"), policy.training_windows.zone
    return {**row, "start": local_text(instant_ms(str(start)), zone) if start else ""}


def _failures(document: Document) -> Iterator[Mapping[str, object]]:
    for row in _rows(document, "recent"):
        if row["phase"] in (Phase.FAILED, Phase.QUARANTINED, Phase.REJECTED):
            what = row["job"] or f"{row['file']}, now in {str(row['folder']).partition('/')[2]}"
            yield {**row, "what": what, "check": first_check(str(row["code"]))}


def _incident(row: Document, policy: Policy) -> Mapping[str, object]:
    zone = policy.training_windows.zone
    at = local_text(instant_ms(str(row["at"])), zone)
    return {**row, "at": at, "check": first_check(str(row["code"]))}


def _ledger(state: State, document: Document, told: Told) -> Sequence[tuple[str, str]]:
    refused = document.get("rejected_count", 0)
    return [
        ("host", told.host),
        ("segment", f"ledger/{told.host}/{told.segment}.jsonl" if told.segment else "none yet"),
        ("lines", f"{state.seq}, the last with chain {told.chain}"),
        ("jobs", f"{state.accepted} accepted; of files refused: {refused}"),
        ("check it", "nightpress verify"),
    ]
