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

from daemon.core.ids import is_rehearsal
from daemon.craft.diagnosis import diagnosis, first_check
from daemon.wire.phrases import (
    commonest,
    counted,
    duration,
    grouped,
    joined,
    rest_of,
    some,
    span,
    times,
    who,
)
from daemon.wire.review_lines import Job, Line, Stretch, fold, fresh
from daemon.wire.text import excerpt

_MANY = 4
"""So many jobs of one chapter are told in one item, and so many items are summed up first."""
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
    stretch = fresh(fold(before))
    fold(lines, stretch)
    sections = (
        Section("Asked", tuple(_asked(stretch))),
        Section("Drawn", tuple(_drawn(stretch))),
        Section("Trained", tuple(_trained(stretch))),
        Section("Refused", tuple(_refused(stretch))),
        Section("Failed", tuple(_failed(stretch))),
        Section("Cancelled", tuple(_cancelled(stretch))),
        Section("Open", tuple(_open(stretch))),
        Section("Noted", tuple(_noted(stretch))),
    )
    return HostReview(
        host=_line(host, _SUBJECT_CHARS),
        events=stretch.events,
        first_at=stretch.first_at,
        last_at=stretch.last_at,
        tally=Tally(
            drawn=len(_published(stretch, training=False)),
            trained=len(_published(stretch, training=True)),
            failed=len(_ended(stretch, _FAILED)),
            refused=len(stretch.refused),
            asked=len(stretch.asked),
            incidents=len(stretch.incidents),
        ),
        sections=tuple(section for section in sections if section.items),
    )


def _line(text: str, limit: int) -> str:
    return excerpt(text.replace("$STUDIO/", ""), limit=limit)


def _item(subject: str, text: str, check: str = "") -> Item:
    return Item(_line(subject, _SUBJECT_CHARS), _line(text, _TEXT_CHARS), check)


def _published(stretch: Stretch, *, training: bool) -> Sequence[Job]:
    jobs = map(stretch.jobs.__getitem__, stretch.published)
    return [job for job in jobs if job.training is training]


def _ended(stretch: Stretch, phases: Iterable[str]) -> Sequence[Job]:
    """The jobs that ended like this and were not asked for again since."""
    jobs = map(stretch.jobs.__getitem__, stretch.ended)
    return [job for job in jobs if job.phase in phases]


def _asked(stretch: Stretch) -> Iterator[Item]:
    jobs = [stretch.jobs[name] for name in stretch.asked]
    kinds = [("panel", [job for job in jobs if not job.training])]
    kinds.append(("training", [job for job in jobs if job.training]))
    items = [_chapter_asked(one, *each) for one, those in kinds for each in _chapters(those)]
    if len(items) >= _MANY:
        parts = [counted(len(those), one) for one, those in kinds if those]
        yield _item(counted(len(jobs), "job"), " and ".join(parts))
    yield from items
    files = [name for name, _ in stretch.duplicates]
    if files:
        twins = some(of for _, of in stretch.duplicates)
        yield _item(who(files, "file"), f"the same request as {twins}, so not run again")


def _chapter_asked(one: str, chapter: str, jobs: Sequence[Job]) -> Item:
    pictures = counted(sum(job.pictures for job in jobs), "picture")
    refs = span([job.ref for job in jobs if job.ref])
    ref = refs and f"ref {refs}"
    if len(jobs) > 1:
        much = counted(len(jobs), one) + (f", {pictures}" if one == "panel" else "")
        return _item(chapter, joined([f"{much}: {span([job.id for job in jobs])}", ref], "; "))
    [job] = jobs
    what = f"a training of {job.steps} steps on {pictures}" if job.training else pictures
    return _item(job.id, joined([what, job.file and f"from {job.file}", ref]))


def _drawn(stretch: Stretch) -> Iterator[Item]:
    jobs = _published(stretch, training=False)
    items = [_panels_drawn(*chapter) for chapter in _chapters(jobs)]
    if len(items) >= _MANY:
        pictures = counted(sum(job.pictures for job in jobs), "picture")
        worked = duration(sum(job.gpu_ms for job in jobs))
        yield _item(counted(len(jobs), "panel"), f"{pictures}; the GPU worked {worked}")
    yield from items
    yield from _tried_again(jobs)
    chosen = [f"{name} picture {image}" for name, image in stretch.chosen if image]
    if chosen:
        yield _item("approved", some(chosen))


def _panels_drawn(chapter: str, jobs: Sequence[Job]) -> Item:
    pictures = counted(sum(job.pictures for job in jobs), "picture")
    told = f"{pictures} in {duration(sum(job.gpu_ms for job in jobs))}"
    models = some(chain.from_iterable(job.models for job in jobs))
    with_ = f", with {models}" if models else ""
    if len(jobs) == 1:
        return _item(jobs[0].id, told + with_)
    return _item(chapter, f"{counted(len(jobs), 'panel')}, {told}{with_}")


def _tried_again(jobs: Iterable[Job]) -> Iterator[Item]:
    """The jobs that succeeded in the end, by what their first attempts met with."""
    for code, names in grouped((job.troubles[-1], job.id) for job in jobs if job.troubles):
        yield _item(who(names, "panel"), f"took several attempts{_why(code)}{rest_of(names)}")


def _trained(stretch: Stretch) -> Iterator[Item]:
    """What was published, and what was chosen of trainings published earlier."""
    told = {job.id: job for job in _published(stretch, training=True)}
    for name, image in stretch.chosen:
        if not image:
            told.setdefault(name, stretch.jobs[name])
    # Those that still wait for a choice come first: they are what a maker has to do.
    for job in sorted(told.values(), key=lambda job: bool(job.approved)):
        parts = [
            f"{counted(job.step, 'step')} in {duration(job.gpu_ms)}" if job.gpu_ms else "",
            counted(len(job.saved), "checkpoint") if job.saved else "",
            f"last loss {job.loss:.3g}" if job.loss is not None else "",
        ]
        again = f"several attempts{_why(job.troubles[-1])}" if job.troubles else ""
        yield _item(job.id, joined([joined(parts), _choice(job), again], "; "))


def _choice(job: Job) -> str:
    if not job.approved:
        return f"none approved yet: nightpress approve {job.id} --checkpoint STEP"
    return f"step {job.approved[-1]} approved{' and installed' if job.installed else ''}"


def _refused(stretch: Stretch) -> Iterator[Item]:
    for why, files in commonest((why, name) for name, why in stretch.refused):
        yield _item(who(files, "file"), f"{why}{rest_of(files)}")


def _failed(stretch: Stretch) -> Iterator[Item]:
    jobs = _ended(stretch, _FAILED)
    for (phase, code), names in commonest(((job.phase, job.code), job.id) for job in jobs):
        title = f"{diagnosis(code).title} ({code})" if code else "no reason was recorded"
        twice = ", twice, so it is not started a third time" if phase == "quarantined" else ""
        said = stretch.jobs[names[0]].text
        text = f"{title}{twice}{': ' if said else ''}{said}{rest_of(names)}"
        yield _item(who(names, "job"), text, first_check(code))


def _cancelled(stretch: Stretch) -> Iterator[Item]:
    names = [job.id for job in _ended(stretch, {"cancelled"})]
    if names:
        yield _item(who(names, "job"), f"as you asked{rest_of(names)}")


def _open(stretch: Stretch) -> Iterator[Item]:
    """What is still to be done at the end, the running one first."""
    still = [job for job in stretch.jobs.values() if job.phase in _OPEN]
    still.sort(key=lambda job: _OPEN[job.phase])
    if stretch.paused and still:
        yield _item("paused", "nothing new starts before `nightpress resume`")
    if stretch.daemon == "stopped" and still:
        yield _item("daemon", "it was stopped; `nightpress run` goes on with what is open")
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
        yield _item(who(names, "job"), f"{verb} turn{rest_of(names)}")


def _doing(job: Job) -> str:
    if not job.training:
        return "drawn"
    return f"trained, step {job.step} of {job.steps} is saved" if job.step else "trained"


def _noted(stretch: Stretch) -> Iterator[Item]:
    for code, texts in grouped(stretch.incidents):
        often = f" ({times(len(texts))})" if len(texts) > 1 else ""
        subject = "ledger" if code.startswith("LEDGER_") else "incident"
        yield _item(subject, texts[-1] + often, first_check(code))
    for count, kept in stretch.torn:
        yield _item("ledger", f"a line cut off by a crash ({count} bytes) was kept as {kept}")
    for said, names in grouped(stretch.objections):
        yield _item(some(names), f"not done: {said}")
    controls = Counter(stretch.controls)
    told = [f"{word} {times(controls[kind])}" for kind, word in _CONTROLS if controls[kind]]
    if told:
        yield _item("by you", joined(told))
    if stretch.starts > 1 or stretch.crashes:
        crashed = (
            f", {times(stretch.crashes)} after an end that nobody recorded: a kill, a crash or a "
            "power cut"
        )
        text = f"started {times(stretch.starts)}{crashed if stretch.crashes else ''}"
        yield _item("daemon", text)
    if any(map(is_rehearsal, chain(stretch.asked, stretch.published))):
        yield _item("rehearsal", "its pictures are storyboards, and its LoRAs learn nothing")


_CONTROLS = (("pause", "paused"), ("resume", "resumed"), ("retry", "asked for another attempt"))


def _why(code: str) -> str:
    return f": {diagnosis(code).title}" if code else ""


def _chapters(jobs: Sequence[Job]) -> Iterator[tuple[str, Sequence[Job]]]:
    """The jobs by the first part of their names, each by itself where there are few of them."""
    by_name = {job.id: job for job in jobs}
    for chapter, names in grouped((re.split(r"[._-]", job.id)[0], job.id) for job in jobs):
        group = [by_name[name] for name in names]
        yield from [(chapter, group)] if len(group) >= _MANY else [("", [job]) for job in group]
