"""The schemas say of documents what the program does: tests hold real ones against them."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from functools import cache
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from daemon.core.events import Entry, Event, JobRejected
from daemon.core.hurdles import Reason
from daemon.core.jobs import Complaint, Phase
from daemon.core.policy import Policy
from daemon.core.reference import reference_run
from daemon.core.state import State
from daemon.wire.calibrate_file import calibrate_file
from daemon.wire.job_file import Refused, read_job_file
from daemon.wire.lock_file import render_lock
from daemon.wire.schema import NAMES, schema_of
from daemon.wire.status import Hashing, Notice
from tests.examples import job
from tests.readme import README
from tests.whole_ledger import events, written
from tests.wire.test_lock_file import LOCK
from tests.wire.test_status import NEED, document, state_of


@cache
def validator(name: str) -> Draft202012Validator:
    """That of a schema in which no object may have another key."""
    schema = schema_of(name)
    for part in schema["$defs"].values():
        if "properties" in part:
            part["additionalProperties"] = False
    return Draft202012Validator(schema)


def faults(name: str, document: object) -> list[str]:
    found = validator(name).iter_errors(document)
    return [f"{'/'.join(map(str, each.absolute_path))}: {each.message[:200]}" for each in found]


@pytest.mark.parametrize("name", NAMES)
def test_each_schema_is_one_of_the_dialect_and_holds_all_its_parts(name: str) -> None:
    schema = schema_of(name)
    Draft202012Validator.check_schema(schema)
    assert set(_references(schema)) == {f"#/$defs/{part}" for part in schema["$defs"]}


def test_every_event_is_a_line_of_the_ledger() -> None:
    _, lines = written(events())
    assert {json.loads(line)["type"] for line in lines} == {kind.type for kind in get_args(Event)}
    assert [fault for line in lines for fault in faults("ledger", json.loads(line))] == []


def test_a_line_with_a_key_too_many_or_of_no_known_type_is_none() -> None:
    _, lines = written(events())
    line = json.loads(lines[0])
    assert faults("ledger", {**line, "more": 1})
    assert faults("ledger", {**line, "type": "daemon.danced"})
    assert faults("ledger", {key: line[key] for key in line if key != "chain"})


def test_a_lock_is_as_its_schema_says() -> None:
    lock = tomllib.loads(render_lock(LOCK).decode())
    assert faults("lock", lock) == []
    assert faults("lock", {**lock, "lock_version": "1"})


def status() -> Any:
    """A status with a job that runs, ones that wait, have ended, were refused."""
    running = job(phase=Phase.RUNNING)
    jobs = [running, job("two", phase=Phase.WAITING), job("three", phase=Phase.FAILED)]
    state = state_of(jobs, lease=running.id)
    refused = JobRejected("x.toml", "a" * 64, "", (Complaint(1, "k", "No."),), 1, 2, 3)
    state.refusals = (Entry(9, 0, refused, "2026-11", ""),)
    return document(
        state,
        reasons={jobs[1].id: Reason("IN_LINE", "It is next.", need=NEED)},
        hashing=Hashing("a.safetensors", 1, 2),
        incidents=[Notice(5, "WS_SILENT", "Nothing was said.")],
        policy=Policy(),
    )


def test_a_status_is_as_its_schema_says() -> None:
    found = status()
    assert faults("status", found) == []
    assert {row["phase"] for row in found["recent"]} == {"failed", "rejected"}
    assert faults("status", {**found, "more": 1})
    assert faults("status", document(State())) == []


def examples() -> Iterable[tuple[str, str]]:
    """The job files of the README."""
    for block in README.read_text(encoding="utf-8").split("```toml\n")[1:]:
        text = block.partition("\n```")[0]
        kind = tomllib.loads(text).get("kind")
        if kind in ("panel", "train"):
            yield str(kind), text


@pytest.mark.parametrize(("kind", "text"), list(examples()))
def test_what_the_manual_shows_is_valid(kind: str, text: str) -> None:
    assert faults(kind, tomllib.loads(text)) == []
    assert faults("job", {**tomllib.loads(text), "end": True}) == []


@pytest.mark.parametrize(
    ("name", "table", "good"),
    [
        ("panel", {"kind": "panel", "prompt": "p", "checkpoint": "a", "vae": "v"}, True),
        ("panel", {"kind": "panel", "prompt": "p", "checkpoint": "a"}, False),
        ("panel", {"kind": "panel", "prompt": "p", "checkpoint": "a", "vae": "v", "x": 1}, False),
        ("panel", {"kind": "train", "prompt": "p", "checkpoint": "a", "vae": "v"}, False),
        ("panel", {"kind": "panel", "prompt": "p", "checkpoint": "a", "vae": "v", "steps": 61}, 0),
        ("panel", {"kind": "panel", "prompt": "p", "checkpoint": "a", "vae": "v", "seed": None}, 0),
        ("control", {"kind": "cancel", "job": "a_v1"}, True),
        ("control", {"kind": "dance"}, False),
        ("calibrate", {"kind": "calibrate", "checkpoint": "a", "vae": "v"}, True),
    ],
)
def test_a_schema_knows_keys_kinds_and_limits(name: str, table: Any, good: bool) -> None:
    assert (faults(name, table) == []) is bool(good)


def test_the_reference_runs_file_asks_for_the_reference_run() -> None:
    data = calibrate_file(checkpoint="a.safetensors", vae="v.safetensors")
    assert faults("job", tomllib.loads(data.decode())) == []
    asked = read_job_file(data, stem="run", policy=Policy())
    assert not isinstance(asked, Refused)
    assert asked.spec == reference_run(checkpoint="a.safetensors", vae="v.safetensors")  # type: ignore[union-attr]


def _references(part: object) -> Iterable[str]:
    if isinstance(part, list):
        for each in part:
            yield from _references(each)
    elif isinstance(part, dict):
        if isinstance(ref := part.get("$ref"), str):
            yield ref
        for each in part.values():
            yield from _references(each)
