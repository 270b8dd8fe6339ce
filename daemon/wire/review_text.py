"""Spells a review as plain text: a page for a terminal, a few lines and one line for a commit.

Law: a line begins with a word or a number of ours or with spaces, never with text from outside;
none is wider than was asked for, and what is left out is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap

from daemon.wire.phrases import counted
from daemon.wire.review import HostReview, Item, Review
from daemon.wire.text import excerpt

TITLE_WIDTH = 10
_SUBJECT_WIDTH = 22
_SUMMARY_LINES = 20
_SUMMARY_WIDTH = 72
_HEADLINE_CHARS = 60
_SIZES = ((6, 6), (5, 5), (4, 4), (3, 3), (3, 2), (2, 2), (2, 1), (1, 1))
"""How many items of a section, and how many lines of a text, are shown: from roomy to tight."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a review is written on: ``width`` in columns, ``height`` in lines.

    ``local`` spells an instant of the ledger in local time, which is UTC without it; ``checks``:
    what to look at first is told too.
    """

    width: int
    height: int
    checks: bool = True
    local: Callable[[str], str] | None = None


_COMMIT = Page(_SUMMARY_WIDTH, _SUMMARY_LINES, checks=False)


def headline(review: Review) -> str:
    """The most important in one line of at most 60 characters, without a full stop."""
    tallies = [host.tally for host in review.hosts]
    parts = [
        (sum(tally.drawn for tally in tallies), "panel", "drawn"),
        (sum(tally.trained for tally in tallies), "LoRA", "trained"),
        (sum(tally.failed for tally in tallies), "job", "failed"),
        (sum(tally.refused for tally in tallies), "file", "refused"),
        (sum(tally.incidents for tally in tallies), "incident", ""),
    ]
    told = [f"{counted(number, one)} {what}".rstrip() for number, one, what in parts if number]
    asked = sum(tally.asked for tally in tallies)
    line = ", ".join(told) or (f"{counted(asked, 'job')} asked for" if asked else "")
    while len(line) > _HEADLINE_CHARS:
        line = line.rpartition(", ")[0]
    events = sum(host.events for host in review.hosts)
    return line or (f"{counted(events, 'event')}, no job among them" if events else "nothing new")


def summary_lines(review: Review) -> Sequence[str]:
    """At most 20 lines of at most 72 columns, times in UTC; none where nothing happened."""
    lines = [line for line in review_lines(review, _COMMIT) if line]
    cut = len(lines) - _SUMMARY_LINES + 1
    return [*lines[:-cut], _under("", f"and {counted(cut, 'more line')}")] if cut > 1 else lines


def review_lines(review: Review, page: Page) -> Sequence[str]:
    """Each host's period and sections, items and texts cut so that all of it fits, if it can."""
    lines: Sequence[str] = ()
    for shown, text_lines in _SIZES:
        lines = list(_told(review.hosts, page, shown, text_lines))
        if len(lines) <= page.height:
            break
    return lines


def _told(hosts: Sequence[HostReview], page: Page, shown: int, text_lines: int) -> Iterator[str]:
    if len(hosts) > 1:
        yield from _period(hosts, page)
    for host in hosts:
        if len(hosts) > 1:
            yield ""
        yield from _period([host], page)
        yield from _sections(host, page, shown, text_lines)
        if not host.sections:
            yield "Nothing was asked for, drawn or refused, and nothing waits."


def _period(hosts: Sequence[HostReview], page: Page) -> Iterator[str]:
    """How much happened, where and when, to the minute."""
    spelled = page.local or (lambda instant: instant.replace("T", " "))
    first = excerpt(spelled(min(host.first_at for host in hosts))[:16])
    last = excerpt(spelled(max(host.last_at for host in hosts))[:16])
    until = f" to {last[11:] if last[:10] == first[:10] else last}" if last != first else ""
    where = excerpt(", ".join(host.host for host in hosts))
    events = counted(sum(host.events for host in hosts), "event")
    line = f"{events} on {where}, {first}{until}{'' if page.local else ' UTC'}"
    for number, text in enumerate(_folded(line, page.width - TITLE_WIDTH, 3)):
        yield _under("", text) if number else text


def _sections(host: HostReview, page: Page, shown: int, text_lines: int) -> Iterator[str]:
    """Three columns: the section's word, the subject, and the text, folded where it is long."""
    parts = [(section.title, *_cut(section.items, shown)) for section in host.sections]
    subjects = [len(item.subject) for _, items, _ in parts for item in items]
    column = max((size for size in subjects if size <= _SUBJECT_WIDTH), default=0)
    for title, items, cut in parts:
        lines = [line for item in items for line in _item(item, page, column, text_lines)]
        lines += [f"and {cut} more"] if cut else []
        for number, line in enumerate(lines):
            yield _under("" if number else title, line)


def _under(title: str, line: str) -> str:
    return f"{title:<{TITLE_WIDTH}}{line}".rstrip()


def _cut(items: Sequence[Item], shown: int) -> tuple[Sequence[Item], int]:
    """The items to show and how many there are besides; one more costs no more than saying so."""
    return (items, 0) if len(items) <= shown + 1 else (items[:shown], len(items) - shown)


def _item(item: Item, page: Page, column: int, text_lines: int) -> Iterator[str]:
    """The subject in its column, or above its text where it is too long for one."""
    width, subject = page.width - TITLE_WIDTH, item.subject
    if len(subject) > column:
        yield from _folded(subject, width, text_lines)
        subject = ""
    check = [f"First check: {item.check}"] if page.checks and item.check else []
    for paragraph in (item.text, *check):
        for text in _folded(paragraph, width - column - 2, text_lines) or [""]:
            yield f"{subject:<{column}}  {text}".rstrip()
            subject = ""


def _folded(text: str, width: int, lines: int) -> Sequence[str]:
    # A name or an option is not broken at its hyphens: people copy them.
    return wrap(text, width, max_lines=lines, placeholder=" …", break_on_hyphens=False)
