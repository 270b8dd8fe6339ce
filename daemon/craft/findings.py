"""Craft room: what a dataset's lint says, and how bad it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["refuse", "warn", "note"]
_NAMED = 4


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to say of a dataset. ``code`` is a rule's name in small letters; ``images`` are the
    file names that it is about, none = the whole.
    """

    severity: Severity
    code: str
    text: str
    images: tuple[str, ...] = ()


def about(severity: Severity, code: str, images: Iterable[str], text: str) -> Sequence[Finding]:
    """``text`` of these images, named before it; nothing where there are none."""
    names = tuple(images)
    return [Finding(severity, code, f"{listed(names)}: {text}", names)] if names else []


def listed(names: Sequence[str]) -> str:
    """``a.png, b.png and 7 more``."""
    more = len(names) - _NAMED
    told = ", ".join(names[: _NAMED if more > 0 else len(names)])
    return f"{told} and {more} more" if more > 0 else told


def is_refused(findings: Iterable[Finding]) -> bool:
    """Whether nothing is trained from it as it is."""
    return any(each.severity == "refuse" for each in findings)


def worst_first(findings: Iterable[Finding]) -> Sequence[Finding]:
    """The same in the order in which they are read."""
    order = ("refuse", "warn", "note")
    return sorted(findings, key=lambda each: order.index(each.severity))
