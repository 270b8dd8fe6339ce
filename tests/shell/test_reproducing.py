"""Published pictures that are drawn again, in a whole press in virtual time."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from daemon.wire.lock_file import read_lock, render_lock
from tests.shell.test_attempt import ChangingWeights, Studio
from tests.sim.engine import SimEngine

LOCK = "outbox/one_v1/one_v1.lock.toml"
AGAIN = f'kind = "reproduce"\nlock = "{LOCK}"\nref = "page 3"\nend = true\n'


async def drawn_and_again(studio: Studio) -> None:
    studio.drop("one")
    await studio.until(studio.ended(1))
    studio.drop("again", AGAIN)
    await studio.until(studio.ended(2))


def verdicts(studio: Studio) -> list[Any]:
    return studio.said("picture.reproduced", "verdict")


def test_a_picture_is_drawn_again_by_its_graph_and_not_out_of_the_cache() -> None:
    """S1.3: everything is freed before the prompt; the template may have changed meanwhile."""
    studio = Studio()

    async def story(studio: Studio) -> None:
        studio.drop("one")
        await studio.until(studio.ended(1))
        studio.disk.put("workflows/panel.json", b"{}")
        studio.drop("again", AGAIN)
        await studio.until(studio.ended(2))

    studio.live(story)
    assert verdicts(studio) == ["identical pixels"]
    assert studio.calls[-3:-1] == ["free", "free"]
    assert studio.calls[-1].startswith("send")
    graphs = [studio.disk.data(f"outbox/{job}/{job}.workflow.json") for job in _jobs(studio)]
    prefixes = [prompt.replace("-", "")[:12] for prompt in studio.said("prompt.sent", "prompt_id")]
    first, second = (
        graph.replace(prefix.encode(), b"") for graph, prefix in zip(graphs, prefixes, strict=True)
    )
    assert first == second
    accepted = [line for line in studio.lines() if line["type"] == "job.accepted"][1]
    assert accepted["ref"] == "page 3"


def _jobs(studio: Studio) -> list[Any]:
    return studio.said("job.accepted", "job")


def test_an_engine_that_keeps_its_cache_gives_no_verdict() -> None:
    """S1.3: a picture from the cache proves nothing; it is tried once more, then quarantined."""
    studio = Studio(engine=SimEngine(random.Random(1), step_s=1.0, hoards=True))
    studio.live(drawn_and_again)
    assert verdicts(studio) == []
    assert studio.said("attempt.ended", "code") == ["", "CACHED", "CACHED"]
    assert studio.said("job.ended", "phase") == ["published", "quarantined"]


def test_a_changed_model_is_found_before_anything_is_sent() -> None:
    """S3.4"""
    weights = ChangingWeights()
    studio = Studio(weights=weights)

    async def story(studio: Studio) -> None:
        studio.drop("one")
        await studio.until(studio.ended(1))
        weights.generation = 1
        studio.drop("again", AGAIN)
        await studio.until(studio.ended(2))

    studio.live(story)
    assert verdicts(studio) == ["failed"]
    assert len(studio.said("prompt.sent", "job")) == 1
    assert studio.said("job.ended", "code") == ["", "HASH_CHANGED"]
    (differences,) = studio.said("picture.reproduced", "differences")
    assert differences[0].startswith("The checkpoint a.safetensors is another file now")


def test_one_seed_drawn_three_times_is_this_machines_measure() -> None:
    """S1.2"""
    studio = Studio()

    async def story(studio: Studio) -> None:
        studio.drop("one")
        await studio.until(studio.ended(1))
        studio.drop("again", AGAIN.replace("reproduce", "calibrate"))
        await studio.until(studio.ended(2))

    studio.live(story)
    (measured,) = [line for line in studio.lines() if line["type"] == "calibration.measured"]
    assert (measured["times"], measured["variance"]) == ([0.8, 0.8, 0.8], 0.0)
    assert {"name", "version", "torch", "os", "device"} < set(measured["environment"])
    assert (measured["steps_s"], measured["verdict"]) == ([], "")
    assert studio.said("job.accepted", "job")[1] == "calibrate-one_v1"
    assert len(studio.said("prompt.sent", "job")) == 4


def _other_job(studio: Studio) -> None:
    lock = read_lock(studio.disk.data(LOCK))
    studio.disk.put(LOCK, render_lock(replace(lock, job=replace(lock.job, id="two_v1"))))


def _far_file(studio: Studio) -> None:
    lock = read_lock(studio.disk.data(LOCK))
    far = replace(lock, workflow=replace(lock.workflow, file="../../inbox/x.json"))
    studio.disk.put(LOCK, render_lock(far))


def _gate(studio: Studio) -> None:
    """A graph that no job might ask for, in a lock whose hashes are right."""
    path = "outbox/one_v1/one_v1.workflow.json"
    graph = studio.disk.data(path).replace(b'"width": 64', b'"width": 4096')
    studio.disk.put(path, graph)
    lock = read_lock(studio.disk.data(LOCK))
    workflow = replace(lock.workflow, sha256=sha256(graph).hexdigest())
    studio.disk.put(LOCK, render_lock(replace(lock, workflow=workflow)))


def _relocked(studio: Studio) -> None:
    lock = read_lock(studio.disk.data(LOCK))
    studio.disk.put(LOCK, render_lock(replace(lock, sampler=replace(lock.sampler, seed=8))))


def test_a_lock_that_is_not_the_published_one_is_not_believed() -> None:
    """By the ledger: its own hashes are right."""
    studio = Studio()

    async def story(studio: Studio) -> None:
        studio.drop("one")
        await studio.until(studio.ended(1))
        _relocked(studio)
        studio.drop("again", AGAIN)
        await studio.until(studio.ended(2))

    studio.live(story)
    assert verdicts(studio) == []
    assert studio.said("job.ended", "code") == ["", "ORIGINAL_GONE"]
    assert len(studio.said("prompt.sent", "job")) == 1


HARM: dict[str, tuple[Callable[[Studio], object], str]] = {
    "no such lock": (lambda studio: studio.disk.nodes.pop(LOCK), "one_v1.lock.toml"),
    "no picture": (
        lambda studio: studio.disk.nodes.pop("outbox/one_v1/one_v1.png"),
        "one_v1.png",
    ),
    "another picture": (
        lambda studio: studio.disk.put("outbox/one_v1/one_v1.png", b"x"),
        "one_v1.png is not the file that its lock names",
    ),
    "another graph": (
        lambda studio: studio.disk.put("outbox/one_v1/one_v1.workflow.json", b"{}"),
        "one_v1.workflow.json is not the file",
    ),
    "no lock at all": (lambda studio: studio.disk.put(LOCK, b"\xff"), "no lock file"),
    "the lock of another job": (_other_job, "is the lock of a picture of two_v1"),
    "a file elsewhere": (_far_file, "which is no plain name"),
    "a graph that is too large": (_gate, "4096"),
}


@pytest.mark.parametrize("what", HARM)
def test_what_cannot_be_drawn_again_is_refused_with_a_sentence(what: str) -> None:
    harm, said = HARM[what]
    studio = Studio()

    async def story(studio: Studio) -> None:
        studio.drop("one")
        await studio.until(studio.ended(1))
        harm(studio)
        studio.drop("again", AGAIN)
        await studio.until(lambda: bool(studio.said("job.rejected", "errors")))

    studio.live(story)
    ((error,),) = studio.said("job.rejected", "errors")
    assert (error["key"], said in error["text"]) == ("lock", True), error
    assert len(studio.said("prompt.sent", "job")) == 1


@pytest.mark.parametrize(
    "lock",
    [
        "one_v1.lock.toml",
        "/outbox/one_v1/one_v1.lock.toml",
        "outbox/../outbox/one_v1/one_v1.lock.toml",
        "outbox/one_v1/../../inbox/x.lock.toml",
        "outbox/one_v1/sub/x.lock.toml",
        "outbox\\\\one_v1\\\\x.lock.toml",
        "inbox/one_v1/x.lock.toml",
        "outbox/one_v1/job.toml",
    ],
)
def test_only_a_lock_right_below_the_outbox_is_read(lock: str) -> None:
    studio = Studio()

    async def story(studio: Studio) -> None:
        studio.drop("again", AGAIN.replace(LOCK, lock))
        await studio.until(lambda: bool(studio.said("job.rejected", "errors")))

    studio.live(story)
    ((error,),) = studio.said("job.rejected", "errors")
    assert "no lock file of a picture in this studio's outbox" in error["text"]
