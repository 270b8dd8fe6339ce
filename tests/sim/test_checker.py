"""The checker finds each promise broken: it is proven on histories made wrong by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

import pytest

from tests.sim.checker import (
    chain_violations,
    drop_violations,
    end_violations,
    file_violations,
    gpu_violations,
    kept_violations,
    parse,
    restart_violations,
    status_violations,
    torn_violations,
    violations,
)
from tests.sim.scenarios import DRAWN, SCENARIOS, TRAIN_APPROVED
from tests.sim.story import Fate, tell

Lines = list[dict[str, Any]]
LEDGER = tell(DRAWN, Fate(seed=1)).ledger()
CANCELLED_LINES = parse(tell(SCENARIOS["cancel"], Fate(seed=1)).ledger())
PAUSED = tell(SCENARIOS["accept"], Fate(seed=1))
PAUSED_LINES = parse(PAUSED.ledger())
TRAINED = tell(TRAIN_APPROVED, Fate(seed=1))
TRAINED_LINES = parse(TRAINED.ledger())
FOLDER = "outbox/spyke_v1"
FILES = {path: node.data for path, node in TRAINED.disk.names.items()}


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


def overtaking(kind: str) -> Callable[[Lines], Lines]:
    """The first two lines of a type that are of two jobs change places."""

    def spoil(lines: Lines) -> Lines:
        one = first(lines, kind)
        other = next(
            index
            for index, line in enumerate(lines)
            if line["type"] == kind and line["job"] != lines[one]["job"]
        )
        swapped = list(lines)
        swapped[one], swapped[other] = lines[other], lines[one]
        return swapped

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
    (doubled("attempt.ended"), "succeeded twice"),
    (changed("attempt.ended", outcome="lost", code=""), "lost without a code"),
    (changed("attempt.ended", outcome="failed", code="X", evidence=""), "without a sentence"),
    (changed("result.published", files={}), "published without files"),
    (without("result.published"), "published without files"),
    (changed("job.ended", phase="failed"), "failed without a code"),
    (without("prompt.sent"), "never asked for"),
    (without("image.judged"), "nobody judged"),
    (changed("result.published", files={}), "nobody judged"),
    (doubled("job.rejected"), "answered 2 times"),
    (doubled("job.duplicate"), "answered 2 times"),
    (overtaking("attempt.ended"), "which was before it"),
    (overtaking("result.published"), "was published before"),
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
    (changed("checkpoint.saved", step=30), "ends no epoch"),
    (
        lambda lines: [{**x, "step": 30 - x["step"]} if "step" in x else x for x in lines],
        "is saved again",
    ),
    (changed("checkpoint.saved", sha256="0"), "not published as it was saved"),
    (unlisted("checkpoints/spyke_v1-000020.safetensors"), "not published as it was saved"),
    (unlisted("checkpoints/spyke_v1-000010.lock.toml"), "without a lock"),
    (lambda lines: [line for line in lines if line.get("step") != 20], "without its last"),
    (without("dataset.recorded"), "0 pictures of its dataset"),
    (without("job.approved"), "nobody approved it"),
    (moved_last("job.approved"), "nobody approved it"),
    (changed("lora.installed", sha256="0"), "nobody approved it"),
    (without("lora.installed"), "was not installed"),
]
UNEXPLAINED: Sequence[tuple[Lines, Callable[[Lines], Lines], str]] = [
    (CANCELLED_LINES, changed("attempt.ended", code=""), "cancelled without a code"),
    (CANCELLED_LINES, changed("attempt.ended", evidence=""), "cancelled without a sentence"),
    (CANCELLED_LINES, changed("job.ended", code=""), "cancelled without a code"),
    (PAUSED_LINES, without("job.held"), "waits after seq 5 for no reason"),
    (PAUSED_LINES, changed("job.held", text=""), "for no reason"),
    (PAUSED_LINES, changed("job.held", code=""), "for no reason"),
    (PAUSED_LINES, without("control.taken"), "never ended"),
]
MISPLACED: Sequence[tuple[str, bytes | None]] = [
    (f"{FOLDER}/checkpoints/spyke_v1-000020.safetensors", None),
    (f"{FOLDER}/checkpoints/spyke_v1-000020.lock.toml", b"other"),
    (f"{FOLDER}/resume/dataset/01.png", b"other"),
    (f"{FOLDER}/resume/dataset/01.txt", None),
    (f"{FOLDER}/job.toml", None),
]


@pytest.mark.parametrize(("spoil", "words"), SPOILED)
def test_a_broken_promise_is_found(spoil: Callable[[Lines], Lines], words: str) -> None:
    assert any(words in found for found in violations(spoil(parse(LEDGER))))


@pytest.mark.parametrize(("spoil", "words"), MISTRAINED)
def test_a_broken_promise_of_a_training_is_found(
    spoil: Callable[[Lines], Lines], words: str
) -> None:
    assert any(words in found for found in violations(spoil(TRAINED_LINES)))


@pytest.mark.parametrize(("lines", "spoil", "words"), UNEXPLAINED)
def test_an_end_or_a_wait_without_its_reason_is_found(
    lines: Lines, spoil: Callable[[Lines], Lines], words: str
) -> None:
    assert any(words in found for found in violations(spoil(lines)))


def test_a_queue_that_nobody_works_at_is_found() -> None:
    """A retry that is never started, and a second job that waits for nothing."""
    lines = parse(LEDGER)
    last = first(lines, "daemon.stopped")
    retry = {**lines[last], "type": "control.taken", "kind": "retry", "error": "", "job": "p_v1"}
    late = {**retry, "at": "2036-01-01T00:00:00.000Z", "type": "incident", "job": ""}
    for more in ([retry], [retry, late]):
        found = violations([*lines[:last], *more])
        assert f"p_v1 waits after seq {lines[last]['seq']} for no reason" in found


def test_an_end_that_no_cut_explains_is_found() -> None:
    lines = changed("job.ended", phase="quarantined", code="LOST")(parse(LEDGER))
    assert end_violations(lines, {"published"}) == ["p_v1 quarantined (LOST) by a cut alone"]
    assert end_violations(parse(LEDGER), {"published"}) == []
    lost = changed("job.held", code="RESULT_GONE")(PAUSED_LINES)
    assert end_violations(lost, ()) == ["p_v1 lost its result by a cut alone"]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (None, "status.json does not show p_v1"),
        (b'{"queue":[]}', "status.json does not show p_v1"),
        (b'{"queue":[{"job":"p_v1","code":"","reason":"x"}]}', "without a reason"),
        (b'{"queue":[{"job":"p_v1","code":"PAUSED","reason":""}]}', "without a reason"),
    ],
)
def test_a_status_that_explains_no_wait_is_found(told: bytes | None, words: str) -> None:
    def read(asked: str) -> bytes | None:
        return told if asked == "outbox/status.json" else PAUSED.disk.get(asked)

    (found,) = file_violations(PAUSED_LINES, read, installed={}, made={})
    assert words in found
    assert file_violations(PAUSED_LINES, PAUSED.disk.get, installed={}, made={}) == []


RESTING = {"outbox/p_v1/job.toml": b"a", "outbox/status.json": b"b", "ledger/press/1.jsonl": b""}
STARTED = b'{"type":"daemon.started"}\n{"type":"daemon.stopped"}\n'


@pytest.mark.parametrize(
    ("path", "data", "words"),
    [
        ("outbox/p_v1/job.toml", b"other", "changed outbox/p_v1/job.toml"),
        ("outbox/p_v1/job.toml", None, "changed outbox/p_v1/job.toml"),
        ("outbox/p_v1/p_v1.png", b"new", "changed outbox/p_v1/p_v1.png"),
        ("inbox/p.toml", b"again", "changed inbox/p.toml"),
        ("ledger/press/1.jsonl", b'{"type":"incident"}\n' + STARTED, "wrote ['incident'"),
        ("ledger/press/1.jsonl", None, "changed ledger/press/1.jsonl"),
    ],
)
def test_a_start_at_rest_that_did_something_is_found(
    path: str, data: bytes | None, words: str
) -> None:
    after = {**RESTING, "outbox/status.json": b"c", "ledger/press/1.jsonl": STARTED}
    assert restart_violations(RESTING, after) == []
    changes = {**after, path: data}
    spoiled = {name: said for name, said in changes.items() if said is not None}
    (found,) = restart_violations(RESTING, spoiled)
    assert words in found


def misfiled(lines: Lines, read: Callable[[str], bytes | None] = TRAINED.disk.get) -> Sequence[str]:
    """What is found wrong of the files of the good training, told in these lines."""
    made = TRAINED.trainings.made
    return file_violations(lines, read, installed=TRAINED.installed, made=made)


@pytest.mark.parametrize(("path", "data"), MISPLACED)
def test_a_file_that_is_not_what_is_told_is_found(path: str, data: bytes | None) -> None:
    def read(asked: str) -> bytes | None:
        return data if asked == path else TRAINED.disk.get(asked)

    assert f"{path} is not what is told" in misfiled(TRAINED_LINES, read)


@pytest.mark.parametrize("said", [b'phase = "running"', None])
def test_an_end_that_is_not_shown_is_found(said: bytes | None) -> None:
    (found,) = status_violations(TRAINED_LINES, lambda path: said)
    assert "spyke_v1 is published, and its status.toml says otherwise" in found
    assert status_violations(TRAINED_LINES, TRAINED.disk.get) == []


@pytest.mark.parametrize("kept", [None, b"1234"])
def test_a_torn_line_that_is_not_kept_is_found(kept: bytes | None) -> None:
    name = "ledger/press/1.jsonl.torn-0"
    torn = {"type": "ledger.torn", "bytes": 5, "kept": name}
    read = {name: kept}.get
    (found,) = file_violations([torn], read, installed={}, made={})
    assert "does not hold the 5 bytes" in found


@pytest.mark.parametrize(
    "values", [{"code": 1}, {"signal": 9}, {"stopped": "cancelled"}, {"nonce": "0" * 32}]
)
def test_a_success_whose_exit_record_says_otherwise_is_found(values: dict[str, object]) -> None:
    (path,) = [name for name in TRAINED.disk.names if name.endswith("/exit.json")]
    told = json.dumps({**json.loads(TRAINED.disk.names[path].data), **values}).encode()
    for record in (told, None):
        found = misfiled(TRAINED_LINES, {**FILES, path: record}.get)
        assert found == ["spyke_v1 succeeded, and no record says so"]


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
    assert violations(PAUSED_LINES) == violations(CANCELLED_LINES) == []
    assert misfiled(TRAINED_LINES) == []
    assert chain_violations(LEDGER) == []


def test_a_changed_line_breaks_the_chain() -> None:
    lines = LEDGER.split(b"\n")
    at = next(number for number, line in enumerate(lines) if b'"attempt":1' in line)
    lines[at] = lines[at].replace(b'"attempt":1', b'"attempt":2')
    assert any(f"line {at + 1}:" in found for found in chain_violations(b"\n".join(lines)))


def test_a_line_that_is_missing_breaks_the_chain() -> None:
    lines = LEDGER.split(b"\n")
    assert chain_violations(b"\n".join([*lines[:5], *lines[6:]]))
    assert json.loads(lines[5])["seq"] == 6


def test_zeros_in_the_place_of_a_line_are_found() -> None:
    lines = LEDGER.split(b"\n")
    lines[3] = bytes(len(lines[3]))
    damaged = b"\n".join(lines)
    assert chain_violations(damaged) == ["line 4: it is no line"]
    assert len(parse(damaged)) == 3


@pytest.mark.parametrize("now", [None, b"", b"one\n", b"one\ntw", b"two\none\n", b"one\n\0\0\0\0"])
def test_a_ledger_that_lost_what_was_confirmed_is_found(now: bytes | None) -> None:
    confirmed = {"ledger/press/1.jsonl": b"one\ntwo\n"}
    found = kept_violations(confirmed, {"ledger/press/1.jsonl": now}.get)
    assert found == ["ledger/press/1.jsonl: lines are gone that were confirmed"]
    for more in (b"one\ntwo\n", b"one\ntwo\nthr"):
        assert kept_violations(confirmed, {"ledger/press/1.jsonl": more}.get) == []


@pytest.mark.parametrize("kind", ["job.accepted", "job.rejected", "job.duplicate", "control.taken"])
def test_a_file_that_is_gone_without_a_line_is_found(kind: str) -> None:
    dropped, gone = {"p.toml": b"dropped"}, ["p.toml is gone without a line"]
    line = answer(kind, b"dropped")
    assert drop_violations([], dropped, [b"other"]) == gone
    assert drop_violations([answer(kind, b"other")], dropped, []) == gone
    assert drop_violations([{**line, "type": "incident"}], dropped, []) == gone
    assert drop_violations([line], dropped, []) == drop_violations([], dropped, [b"dropped"]) == []


def answer(kind: str, data: bytes) -> dict[str, Any]:
    """A line that answers a file with these bytes."""
    facts = {"sha256": sha256(data).hexdigest()}
    return {"type": kind, **(facts if kind == "job.rejected" else {"file": facts})}


@pytest.mark.parametrize("users", [["1", "2"], ["1", "a training"], ["a training", "another"]])
def test_two_that_have_the_gpu_at_one_instant_are_found(users: list[str]) -> None:
    assert gpu_violations([[], ["1"], ["a training"]]) == []
    assert gpu_violations([["1"], users]) == [" and ".join(users) + " at once"]


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ({"type": "incident"}, b'{"seq'),
        ({"type": "ledger.torn", "bytes": 4, "kept": "k"}, b'{"seq'),
        ({"type": "ledger.torn", "bytes": 5, "kept": "k"}, None),
        ({"type": "ledger.torn", "bytes": 5, "kept": "k"}, b"other"),
    ],
)
def test_a_torn_tail_that_is_dropped_silently_is_found(
    line: dict[str, Any], kept: bytes | None
) -> None:
    found = torn_violations(b'{"seq', [line], {"k": kept}.get)
    assert found == ["5 torn bytes are gone without a line"]
    told = {"type": "ledger.torn", "bytes": 5, "kept": "k"}
    assert torn_violations(b'{"seq', [told], {"k": b'{"seq'}.get) == []
    assert torn_violations(b"", [line], {"k": kept}.get) == []
