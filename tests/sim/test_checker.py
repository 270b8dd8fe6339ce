"""The checker finds each promise broken: it is proven on histories made wrong by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.sim.checker import chain_violations, parse, violations
from tests.sim.story import PANEL_STORY, Fate, tell

Lines = list[dict[str, Any]]
LEDGER = tell(PANEL_STORY, Fate(seed=1)).ledger()


def first(lines: Lines, kind: str) -> int:
    """Where the first line of a type is."""
    return next(index for index, line in enumerate(lines) if line["type"] == kind)


def doubled(kind: str) -> Callable[[Lines], Lines]:
    """The first line of a type comes twice."""

    def spoil(lines: Lines) -> Lines:
        index = first(lines, kind)
        return [*lines[: index + 1], *lines[index:]]

    return spoil


def without(kind: str) -> Callable[[Lines], Lines]:
    """The first line of a type is missing."""

    def spoil(lines: Lines) -> Lines:
        index = first(lines, kind)
        return [*lines[:index], *lines[index + 1 :]]

    return spoil


def changed(kind: str, **values: object) -> Callable[[Lines], Lines]:
    """The first line of a type says something else."""

    def spoil(lines: Lines) -> Lines:
        index = first(lines, kind)
        return [*lines[:index], {**lines[index], **values}, *lines[index + 1 :]]

    return spoil


def moved_last(kind: str) -> Callable[[Lines], Lines]:
    """The first line of a type comes at the very end."""

    def spoil(lines: Lines) -> Lines:
        index = first(lines, kind)
        return [*lines[:index], *lines[index + 1 :], lines[index]]

    return spoil


SPOILED: Sequence[tuple[Callable[[Lines], Lines], str]] = [
    (doubled("job.accepted"), "accepted twice"),
    (without("job.accepted"), "never accepted"),
    (without("job.ended"), "never ended"),
    (doubled("job.ended"), "ended twice"),
    (doubled("result.published"), "published 2 times"),
    (moved_last("result.published"), "after its end"),
    (doubled("attempt.started"), "had the GPU"),
    (moved_last("attempt.started"), "after its end"),
    (without("attempt.started"), "outside its attempt"),
    (changed("attempt.started", attempt=2), "out of turn"),
    (without("attempt.ended"), "had the GPU"),
    (changed("attempt.ended", outcome="lost", code=""), "without a reason"),
    (without("prompt.sent"), "never asked for"),
    (without("image.judged"), "nobody judged"),
    (changed("result.published", files={}), "nobody judged"),
    (doubled("job.rejected"), "answered 2 times"),
    (doubled("job.duplicate"), "answered 2 times"),
]


@pytest.mark.parametrize(("spoil", "words"), SPOILED)
def test_a_broken_promise_is_found(spoil: Callable[[Lines], Lines], words: str) -> None:
    assert any(words in found for found in violations(spoil(parse(LEDGER))))


def test_a_good_history_has_no_violations() -> None:
    assert violations(parse(LEDGER)) == []
    assert chain_violations(LEDGER) == []


def test_a_changed_line_breaks_the_chain() -> None:
    lines = LEDGER.split(b"\n")
    lines[3] = lines[3].replace(b'"attempt":1', b'"attempt":2')
    assert any("line 4" in found for found in chain_violations(b"\n".join(lines)))


def test_a_line_that_is_missing_breaks_the_chain() -> None:
    lines = LEDGER.split(b"\n")
    assert chain_violations(b"\n".join([*lines[:5], *lines[6:]]))
    assert json.loads(lines[5])["seq"] == 6
