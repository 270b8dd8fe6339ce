"""Spells what happened in a stretch of the ledger, for a person: asked, drawn, trained, refused,
failed, and why.

Law: it never raises, whatever the lines hold: a line that is not understood is passed over. Every
text of an item is visible, short, and one line.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

from daemon.core.ids import is_rehearsal
from daemon.craft.diagnosis import diagnosis, first_check
from daemon.wire.night import Job, Line, Night, fold, fresh
from daemon.wire.text import counted, excerpt

Key = TypeVar("Key")

_MANY = 4
"""So many jobs of one chapter are told in one item, and so many items are summed up first."""
_NAMES_SHOWN = 3
_TEXT_CHARS = 400
_SUBJECT_CHARS = 64
_OPEN = {"running": 0, "publishing": 1, "held": 2, "waiting": 3}
_FAILED = frozenset({"failed", "quarantined", "rejected"})


@dataclass(frozen=True, slots=True)
class Item:
    """What is told of a job, a file, a chapter or so many of them. ``check`` is what to look at
    first, '' where nothing is wrong.
    """

    subject: str
    text: str
    check: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """The items under one word; where there are several, the first may sum up the others."""

    title: str
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Tally:
    """How many: panels and LoRAs that were published, jobs that were asked for and that failed,
    files that were refused, incidents.
    """

    drawn: int
    trained: int
    failed: int
    refused: int
    asked: int
    incidents: int


@dataclass(frozen=True, slots=True)
class HostReview:
    """One host's part. ``first_at`` and ``last_at`` are as the ledger has them, or ''."""

    host: str
    events: int
    first_at: str
    last_at: str
    tally: Tally
    sections: tuple[Section, ...]


@dataclass(frozen=True, slots=True)
class Review:
    """The hosts that have written something, by name."""

    hosts: tuple[HostReview, ...]


def review(
    lines: Mapping[str, Iterable[Line]], *, before: Mapping[str, Iterable[Line]] | None = None
) -> Review:
    """What each host's ``lines`` tell, as json.loads gives them, in the ledger's order.

    ``before`` are the hosts' earlier lines: without them, a job that was asked for earlier is
    known by what is told of it now only.
    """
    earlier = before or {}
    hosts = (_host(host, lines[host], earlier.get(host, ())) for host in sorted(lines))
    return Review(tuple(host for host in hosts if host.events))


def _host(host: str, lines: Iterable[Line], before: Iterable[Line]) -> HostReview:
    night = fresh(fold(before))
    fold(lines, night)
    sections = (
        Section("Asked", tuple(_asked(night))),
        Section("Drawn", tuple(_drawn(night))),
        Section("Trained", tuple(_trained(night))),
        Section("Refused", tuple(_refused(night))),
        Section("Failed", tuple(_failed(night))),
        Section("Cancelled", tuple(_cancelled(night))),
        Section("Open", tuple(_open(night))),
        Section("Noted", tuple(_noted(night))),
    )
    return HostReview(
        host=_line(host, _SUBJECT_CHARS),
        events=night.events,
        first_at=night.first_at,
        last_at=night.last_at,
        tally=Tally(
            drawn=len(_published(night, training=False)),
            trained=len(_published(night, training=True)),
            failed=len(_ended(night, _FAILED)),
            refused=len(night.refused),
            asked=len(night.asked),
            incidents=len(night.incidents) + len(night.restored),
        ),
        sections=tuple(section for section in sections if section.items),
    )


def _line(text: str, limit: int) -> str:
    return excerpt(text.replace("$STUDIO/", ""), limit=limit)


def _item(subject: str, text: str, check: str = "") -> Item:
    return Item(_line(subject, _SUBJECT_CHARS), _line(text, _TEXT_CHARS), check)


def _published(night: Night, *, training: bool) -> Sequence[Job]:
    jobs = map(night.jobs.__getitem__, night.published)
    return [job for job in jobs if job.training is training]


def _ended(night: Night, phases: Iterable[str]) -> Sequence[Job]:
    """The jobs that ended like this and were not asked for again since."""
    jobs = map(night.jobs.__getitem__, night.ended)
    return [job for job in jobs if job.phase in phases]


def _asked(night: Night) -> Iterator[Item]:
    jobs = [night.jobs[name] for name in night.asked]
    trainings = [job for job in jobs if job.training]
    panels = [job for job in jobs if not job.training]
    items = [_panels_asked(*chapter) for chapter in _chapters(panels)]
    items += [_item(job.id, _joined(_training_asked(job))) for job in trainings]
    if len(items) >= _MANY:
        both = ((panels, "panel"), (trainings, "training"))
        parts = [counted(len(some), one) for some, one in both if some]
        yield _item(counted(len(jobs), "job"), " and ".join(parts))
    yield from items
    for of, files in _grouped((of, name) for name, of in night.duplicates):
        yield _item(
            _who(files, "file"), f"the same request as {of}, so not run again{_list(files)}"
        )


def _panels_asked(chapter: str, jobs: Sequence[Job]) -> Item:
    pictures = counted(sum(job.pictures for job in jobs), "picture")
    refs = _some(job.ref for job in jobs if job.ref)
    told = [refs and f"ref {refs}"]
    if len(jobs) == 1:
        return _item(jobs[0].id, _joined([pictures, f"from {jobs[0].file}", *told]))
    panels = f"{counted(len(jobs), 'panel')}, {pictures}: {_some(job.id for job in jobs)}"
    return _item(chapter, _joined([panels, *told], "; "))


def _training_asked(job: Job) -> Iterator[str]:
    yield f"a training of {job.steps} steps on {counted(job.pictures, 'picture')}"
    yield f"from {job.file}"
    if job.ref:
        yield f"ref {job.ref}"


def _drawn(night: Night) -> Iterator[Item]:
    jobs = _published(night, training=False)
    items = [_panels_drawn(*chapter) for chapter in _chapters(jobs)]
    if len(items) >= _MANY:
        pictures = counted(sum(job.pictures for job in jobs), "picture")
        worked = _duration(sum(job.gpu_ms for job in jobs))
        yield _item(counted(len(jobs), "panel"), f"{pictures}; the GPU worked {worked}")
    yield from items
    yield from _tried_again(jobs)
    chosen = [f"{name} picture {image}" for name, image in night.chosen if image]
    if chosen:
        yield _item("approved", _some(chosen))


def _panels_drawn(chapter: str, jobs: Sequence[Job]) -> Item:
    pictures = counted(sum(job.pictures for job in jobs), "picture")
    told = f"{pictures} in {_duration(sum(job.gpu_ms for job in jobs))}"
    models = _some(chain.from_iterable(job.models for job in jobs))
    with_ = f", with {models}" if models else ""
    if len(jobs) == 1:
        return _item(jobs[0].id, told + with_)
    return _item(chapter, f"{counted(len(jobs), 'panel')}, {told}{with_}")


def _tried_again(jobs: Iterable[Job]) -> Iterator[Item]:
    """The jobs that succeeded in the end, by what their first attempts met with."""
    for code, names in _grouped((job.troubles[-1], job.id) for job in jobs if job.troubles):
        yield _item(_who(names, "panel"), f"took several attempts: {_title(code)}{_list(names)}")


def _trained(night: Night) -> Iterator[Item]:
    """What was published, and what was chosen of trainings published earlier."""
    told = {job.id: job for job in _published(night, training=True)}
    for name, image in night.chosen:
        if not image:
            told.setdefault(name, night.jobs[name])
    for job in told.values():
        parts = [
            f"{job.step} steps" if job.step else "",
            f"last loss {job.loss:.3g}" if job.loss is not None else "",
            counted(len(job.saved), "checkpoint") if job.saved else "",
            f"{_duration(job.gpu_ms)} of the GPU" if job.gpu_ms else "",
        ]
        again = f"; several attempts: {_title(job.troubles[-1])}" if job.troubles else ""
        yield _item(job.id, f"{_joined(parts)}{again}; {_choice(job)}")


def _choice(job: Job) -> str:
    if not job.approved:
        return f"none approved yet: nightpress approve {job.id} --checkpoint STEP"
    approved = f"step {job.approved[-1]} approved"
    return f"{approved} and installed as {job.installed}" if job.installed else approved


def _refused(night: Night) -> Iterator[Item]:
    for why, files in _grouped((why, name) for name, why in night.refused):
        yield _item(_who(files, "file"), f"{why}{_list(files)}")


def _failed(night: Night) -> Iterator[Item]:
    jobs = _ended(night, _FAILED)
    for (phase, code), names in _grouped(((job.phase, job.code), job.id) for job in jobs):
        said = night.jobs[names[0]].text
        twice = " (lost twice, so it is not started a third time)" if phase == "quarantined" else ""
        text = f"{_title(code)}{twice}{': ' if said else ''}{said}{_list(names)}"
        yield _item(_who(names, "job"), text, first_check(code))


def _cancelled(night: Night) -> Iterator[Item]:
    names = [job.id for job in _ended(night, {"cancelled"})]
    if names:
        yield _item(_who(names, "job"), f"as you asked{_list(names)}")


def _open(night: Night) -> Iterator[Item]:
    """What is still to be done at the end, the running one first."""
    still = [job for job in night.jobs.values() if job.phase in _OPEN]
    still.sort(key=lambda job: _OPEN[job.phase])
    if night.paused and still:
        yield _item("paused", "nothing new starts before `nightpress resume`")
    for job in still:
        if job.phase == "running":
            yield _item(job.id, f"attempt {job.attempt} is being {_doing(job)}")
        elif job.phase == "publishing":
            yield _item(job.id, "is made and being put into the outbox")
        elif job.phase == "held":
            yield _item(job.id, f"is held: {job.text}", first_check(job.code))
    names = [job.id for job in still if job.phase == "waiting"]
    if names:
        verb = "waits for its" if len(names) == 1 else "wait for their"
        yield _item(_who(names, "job"), f"{verb} turn{_list(names)}")


def _doing(job: Job) -> str:
    if not job.training:
        return "drawn"
    return f"trained, step {job.step} of {job.steps} is saved" if job.step else "trained"


def _noted(night: Night) -> Iterator[Item]:
    for lines, cause in night.restored:
        text = f"{counted(lines, 'line')} had been taken away and were put back ({cause})"
        yield _item("ledger", text, "See with `git log -- ledger` who changed the ledger's files.")
    for count, kept in night.torn:
        yield _item("ledger", f"a line cut off by a crash ({count} bytes) was kept as {kept}")
    for code, texts in _grouped(night.incidents):
        yield _item(_who(["incident", *texts[1:]], "incident"), texts[-1], first_check(code))
    for said, names in _grouped(night.objections):
        yield _item(_some(names), f"not done: {said}")
    controls = Counter(night.controls)
    told = [f"{word} {_times(controls[kind])}" for kind, word in _CONTROLS if controls[kind]]
    if told:
        yield _item("by you", _joined(told))
    if night.starts > 1 or night.crashes:
        crashed = (
            f", {_times(night.crashes)} after an end that nobody recorded: a kill, a crash or a "
            "power cut"
        )
        text = f"started {_times(night.starts)}{crashed if night.crashes else ''}"
        yield _item("daemon", text)
    if any(map(is_rehearsal, chain(night.asked, night.published))):
        yield _item("rehearsal", "its pictures are storyboards, and its LoRAs learn nothing")


_CONTROLS = (("pause", "paused"), ("resume", "resumed"), ("retry", "asked for another attempt"))


def _title(code: str) -> str:
    return f"{diagnosis(code).title} ({code})" if code else "no reason was recorded"


def _chapters(jobs: Sequence[Job]) -> Iterator[tuple[str, Sequence[Job]]]:
    """The jobs by the first part of their names, each by itself where there are few of them."""
    by_name = {job.id: job for job in jobs}
    for chapter, names in _grouped((re.split(r"[._-]", job.id)[0], job.id) for job in jobs):
        group = [by_name[name] for name in names]
        yield from [(chapter, group)] if len(group) >= _MANY else [("", [job]) for job in group]


def _grouped(pairs: Iterable[tuple[Key, str]]) -> Iterator[tuple[Key, Sequence[str]]]:
    found: dict[Key, list[str]] = {}
    for key, name in pairs:
        found.setdefault(key, []).append(name)
    yield from found.items()


def _who(names: Sequence[str], one: str) -> str:
    return names[0] if len(names) == 1 else counted(len(names), one)


def _list(names: Sequence[str]) -> str:
    """The names that ``_who`` has only counted."""
    return f" ({_some(names)})" if len(names) > 1 else ""


def _some(names: Iterable[str]) -> str:
    """The first names and how many more there are."""
    all_ = list(dict.fromkeys(names))
    if len(all_) <= _NAMES_SHOWN + 1:
        return ", ".join(all_)
    return f"{', '.join(all_[:_NAMES_SHOWN])} and {len(all_) - _NAMES_SHOWN} more"


def _joined(parts: Iterable[str], between: str = ", ") -> str:
    return between.join(filter(None, parts))


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _duration(ms: int) -> str:
    """``12 s``, ``4 min``, ``1 h 12 min``."""
    seconds = round(ms / 1000)
    if seconds < 100:
        return f"{seconds} s" if seconds else "less than a second"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
