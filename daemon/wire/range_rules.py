"""Spells numbers that are out of range: the range, its reason, and a value that is in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from daemon.wire.given import Fault, Given
from daemon.wire.text import excerpt


@dataclass(frozen=True, slots=True)
class Range:
    """The numbers that a key takes, both ends included; ``better`` is what to write instead."""

    key: str
    low: float
    high: float
    reason: str
    better: str


def range_faults(given: Given, ranges: Iterable[Range]) -> Iterator[Fault]:
    """Numbers outside their range; what is no number is the models' business."""
    for span in ranges:
        value = given.number(span.key)
        if value is None or span.low <= value <= span.high:
            continue
        yield Fault(
            given.at(span.key),
            f"`{span.key}` is {span.low:g} to {span.high:g} ({span.reason}), not "
            f"{excerpt(f'{value}', limit=24)}. Write for example: {span.key} = {span.better}",
        )
