"""The checker finds each promise broken: it is proven on histories made wrong by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.sim.checker import chain_violations, file_violations, parse, violations
from tests.sim.story import PANEL_STORY, TRAIN_STORY, Fate, tell

Lines = list[dict[str, Any]]
LEDGER = tell(PANEL_STORY, Fate(seed=1)).ledger()
TRAINED = tell(TRAIN_STORY, Fate(seed=1))
TRAINED_LINES = parse(TRAINED.ledger())
FOLDER = "outbox/spyke_v1"


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


def unlisted(name: str) -> Callable[[Lines], Lines]:
    """A file is missing from the first result."""

    def spoil(lines: Lines) -> Lines:
        files = dict(lines[first(lines, "result.published")]["files"])
        del files[name]
        return changed("result.published", files=files)(lines)

    return spoil


MISTRAINED: Sequence[tuple[Callable[[Lines], Lines], str]] = [
    (moved_last("checkpoint.saved"), "outside its attempt"),
    (changed("checkpoint.saved", step=11), "ends no epoch"),
    (changed("checkpoint.saved", step=40), "ends no epoch"),
    (changed("checkpoint.saved", step=30), "is saved again"),
    (changed("checkpoint.saved", sha256="0"), "not published as it was saved"),
    (unlisted("checkpoints/spyke_v1-000030.safetensors"), "not published as it was saved"),
    (unlisted("checkpoints/spyke_v1-000010.lock.toml"), "without a lock"),
    (lambda lines: [line for line in lines if line.get("step") != 30], "without its last"),
    (without("dataset.recorded"), "0 pictures of its dataset"),
    (without("job.approved"), "nobody approved it"),
    (moved_last("job.approved"), "nobody approved it"),
    (changed("lora.installed", sha256="0"), "nobody approved it"),
    (without("lora.installed"), "was not installed"),
]
MISPLACED: Sequence[tuple[str, bytes | None]] = [
    (f"{FOLDER}/checkpoints/spyke_v1-000030.safetensors", None),
    (f"{FOLDER}/checkpoints/spyke_v1-000030.lock.toml", b"other"),
    (f"{FOLDER}/resume/dataset/03.png", b"other"),
    (f"{FOLDER}/resume/dataset/03.txt", None),
]


@pytest.mark.parametrize(("spoil", "words"), SPOILED)
def test_a_broken_promise_is_found(spoil: Callable[[Lines], Lines], words: str) -> None:
    assert any(words in found for found in violations(spoil(parse(LEDGER))))


@pytest.mark.parametrize(("spoil", "words"), MISTRAINED)
def test_a_broken_promise_of_a_training_is_found(
    spoil: Callable[[Lines], Lines], words: str
) -> None:
    assert any(words in found for found in violations(spoil(TRAINED_LINES)))


def misfiled(lines: Lines, read: Callable[[str], bytes | None] = TRAINED.disk.get) -> Sequence[str]:
    """What is found wrong of the files of the good training, told in these lines."""
    made = TRAINED.trainings.made
    return file_violations(lines, read, installed=TRAINED.installed, made=made)


@pytest.mark.parametrize(("path", "data"), MISPLACED)
def test_a_file_that_is_not_what_is_told_is_found(path: str, data: bytes | None) -> None:
    def read(asked: str) -> bytes | None:
        return data if asked == path else TRAINED.disk.get(asked)

    assert f"{path} is not what is told" in misfiled(TRAINED_LINES, read)


def test_a_checkpoint_of_other_steps_than_it_is_said_to_have_is_found() -> None:
    lines = changed("checkpoint.saved", step=20)(TRAINED_LINES)
    assert any("nobody made 20 steps" in found for found in misfiled(lines))


def test_a_checkpoint_that_nobody_made_is_found() -> None:
    lines = changed("checkpoint.saved", sha256="0")(TRAINED_LINES)
    assert any("nobody made 10 steps of 0" in found for found in misfiled(lines))


def test_an_installed_file_that_is_another_is_found() -> None:
    lines = changed("lora.installed", sha256="0")(TRAINED_LINES)
    (found,) = misfiled(lines)
    assert "not in the models folder" in found


def test_a_good_history_has_no_violations() -> None:
    assert violations(parse(LEDGER)) == violations(TRAINED_LINES) == []
    assert misfiled(TRAINED_LINES) == []
    assert chain_violations(LEDGER) == []


def test_a_changed_line_breaks_the_chain() -> None:
    lines = LEDGER.split(b"\n")
    lines[3] = lines[3].replace(b'"attempt":1', b'"attempt":2')
    assert any("line 4" in found for found in chain_violations(b"\n".join(lines)))


def test_a_line_that_is_missing_breaks_the_chain() -> None:
    lines = LEDGER.split(b"\n")
    assert chain_violations(b"\n".join([*lines[:5], *lines[6:]]))
    assert json.loads(lines[5])["seq"] == 6
