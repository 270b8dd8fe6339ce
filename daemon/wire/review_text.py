"""Spells a review as plain text: lines for a terminal, a few lines and one line for a commit.

Law: a line begins with a word of ours or with spaces, never with text from outside; it is as wide
as asked for, and one that is cut says how much is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from textwrap import wrap

from daemon.wire.review import HostReview, Item, Review
from daemon.wire.text import counted, visible

TITLE_WIDTH = 10
_SUBJECT_WIDTH = 22
_SUMMARY_LINES = 20
_SUMMARY_WIDTH = 72
_HEADLINE_CHARS = 60


def headline(review: Review) -> str:
    """The most important in one line of at most 60 characters, without a full stop."""
    tallies = [host.tally for host in review.hosts]
    parts = [
        (sum(tally.drawn for tally in tallies), "panel", "drawn"),
        (sum(tally.trained for tally in tallies), "LoRA", "trained"),
        (sum(tally.failed for tally in tallies), "job", "failed"),
        (sum(tally.refused for tally in tallies), "file", "refused"),
        (sum(tally.incidents for tally in tallies), "incident", ""),
        (sum(tally.asked for tally in tallies), "job", "asked for"),
    ]
    told = [f"{counted(number, one)} {what}".rstrip() for number, one, what in parts if number]
    line = ", ".join(told[: 4 if len(told) > 1 else 1])
    while len(line) > _HEADLINE_CHARS:
        line = line.rpartition(", ")[0]
    events = sum(host.events for host in review.hosts)
    return line or (f"{counted(events, 'event')}, no job among them" if events else "nothing new")


def summary_lines(review: Review) -> Sequence[str]:
    """At most 20 lines of at most 72 columns, times in UTC; none where nothing happened."""
    lines: Sequence[str] = ()
    for shown in (6, 5, 4, 3, 2, 1):
        parts = list(review_lines(review, width=_SUMMARY_WIDTH, shown=shown, checks=False))
        lines = [line for line in parts if line]
        if len(lines) <= _SUMMARY_LINES:
            return lines
    cut = len(lines) - _SUMMARY_LINES + 1
    return [*lines[: _SUMMARY_LINES - 1], f"... and {cut} more lines in the ledger's review"]


def review_lines(
    review: Review,
    *,
    width: int,
    shown: int,
    checks: bool = True,
    local: Callable[[str], str] | None = None,
) -> Iterator[str]:
    """Each host's period and sections, at most ``shown`` items in a section.

    ``width`` in columns; ``local`` spells an instant of the ledger in local time, which is UTC
    without it; ``checks``: what to look at first is told too.
    """
    for number, host in enumerate(review.hosts):
        if number:
            yield ""
        yield _period(host, local)
        yield from _sections(host, width=width, shown=shown, checks=checks)
        if not host.sections:
            yield "Nothing was asked for, drawn or refused, and nothing waits."


def _period(host: HostReview, local: Callable[[str], str] | None) -> str:
    spelled = local or (lambda instant: instant.replace("T", " ")[:19])
    first, last = (visible(spelled(at)[:24]) for at in (host.first_at, host.last_at))
    until = last[11:] if last[:10] == first[:10] else last
    zone = "" if local else " UTC"
    return f"{counted(host.events, 'event')} on {host.host}, {first} to {until}{zone}"


def _sections(host: HostReview, *, width: int, shown: int, checks: bool) -> Iterator[str]:
    """Three columns: the section's word, the subject, and the text, folded where it is long."""
    parts = [(section.title, *_cut(section.items, shown)) for section in host.sections]
    subjects = [len(item.subject) for _, items, _ in parts for item in items]
    column = max((size for size in subjects if size <= _SUBJECT_WIDTH), default=0)
    for title, items, cut in parts:
        lines = [
            line
            for item in items
            for line in _item(item, width=width - TITLE_WIDTH, column=column, checks=checks)
        ]
        lines += [f"and {cut} more"] if cut else []
        for number, line in enumerate(lines):
            yield f"{'' if number else title:<{TITLE_WIDTH}}{line}".rstrip()


def _cut(items: Sequence[Item], shown: int) -> tuple[Sequence[Item], int]:
    """The items to show and how many there are besides; one more costs no more than saying so."""
    return (items, 0) if len(items) <= shown + 1 else (items[:shown], len(items) - shown)


def _item(item: Item, *, width: int, column: int, checks: bool) -> Iterator[str]:
    """The subject in its column, or on a line of its own where it is too long for one."""
    subject = item.subject
    if len(subject) > column:
        yield from wrap(subject, width)
        subject = ""
    check = [f"First check: {item.check}"] if checks and item.check else []
    for paragraph in (item.text, *check):
        for line in wrap(paragraph, width - column - 2) or [""]:
            yield f"{subject:<{column}}  {line}".rstrip()
            subject = ""
