"""What a training made is published from the ledger and the job's folder alone."""

from __future__ import annotations

import asyncio
import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, replace
from hashlib import sha256

import pytest

from daemon.core.making import recorded_trainer
from daemon.errors import WorldError
from daemon.shell.training_folder import NOTE, attempts_of
from daemon.shell.training_result import approved_lora, publish_training
from tests.shell.test_training import Floor, broken_off, told, whole
from tests.shell.trainer_fake import JOB

PLACES = {"$STUDIO": "/studio"}


def trained() -> Floor:
    floor = Floor(whole)
    told(floor, floor.attempt)
    return floor


def published(floor: Floor) -> Mapping[str, str]:
    state = floor.desk.state
    return asyncio.run(publish_training(floor.disk, floor.job, state, host="mini", places=PLACES))


def path(step: int, ending: str = "safetensors") -> str:
    return f"outbox/{JOB}/checkpoints/{JOB}-{step:06d}.{ending}"


def test_each_checkpoint_has_its_lock_and_every_file_its_hash() -> None:
    floor = trained()
    files = published(floor)
    stems = [f"checkpoints/{JOB}-{step:06d}" for step in (2, 4, 6, 8)]
    locks = {f"{stem}.lock.toml" for stem in stems}
    texts = {"training.log", "loss.csv", "loss.svg"}
    assert set(files) == {*(f"{s}.safetensors" for s in stems), *locks, *texts}
    for name, digest in files.items():
        assert sha256(floor.disk.data(f"outbox/{JOB}/{name}")).hexdigest() == digest
    lock = tomllib.loads(floor.disk.data(path(4, "lock.toml")).decode())
    assert lock["checkpoint"]["step"] == 4
    assert lock["subject"]["sha256"] == files[f"{stems[1]}.safetensors"]
    assert [row["image"] for row in lock["dataset"]] == ["a.png", "b.png"]


def test_publishing_again_writes_the_same_bytes() -> None:
    """A crash in between costs nothing."""
    floor = trained()
    assert published(floor) == published(floor)


def test_a_training_that_release_0_1_0_began_is_published_by_its_note() -> None:
    """Its ledger lines say less: an upgrade in the middle of a training must not cost it."""
    floor = trained()
    whole_result, state, job = published(floor), floor.desk.state, floor.job
    trainer = recorded_trainer(state, job, 1)
    assert trainer is not None
    for step, made in job.checkpoints.items():
        assert (made.bytes, made.device) == (len(floor.disk.data(path(step))), "mps")
    bare = {step: replace(made, bytes=0, device="") for step, made in job.checkpoints.items()}
    old = job._replace(trainers={}, checkpoints=bare)

    def publish() -> Mapping[str, str]:
        return asyncio.run(publish_training(floor.disk, old, state, host="mini", places=PLACES))

    with pytest.raises(WorldError):
        publish()
    note = {**asdict(trainer), "nonce": attempts_of(job)[0].nonce}
    floor.disk.put(attempts_of(job)[0].path(NOTE), json.dumps(note).encode())
    assert publish() == whole_result


def test_the_loss_counts_true_steps_over_all_attempts() -> None:
    """N4.2: what a later attempt did again counts as it did it."""
    floor = Floor(broken_off(2), whole)
    told(floor, floor.attempt)
    told(floor, floor.attempt)
    published(floor)
    rows = floor.disk.data(f"outbox/{JOB}/loss.csv").decode().splitlines()
    assert rows[0] == "step,epoch,average_loss"
    assert [row.split(",")[:2] for row in rows[1:]] == [
        [str(step), str(-(-step // 2))] for step in range(1, 9)
    ]
    log = floor.disk.data(f"outbox/{JOB}/training.log").decode()
    assert "== attempt 1, stdout.log" in log
    assert "== attempt 2, stderr.log" in log


def test_a_checkpoint_that_is_not_the_recorded_one_is_left_out() -> None:
    floor = trained()
    floor.disk.put(path(4), b"other bytes")
    assert f"checkpoints/{JOB}-000004.safetensors" not in published(floor)
    assert f"checkpoints/{JOB}-000002.safetensors" in published(floor)


def test_without_the_last_checkpoint_there_is_no_result() -> None:
    floor = trained()
    floor.disk.put(path(8), b"other bytes")
    with pytest.raises(WorldError) as gone:
        published(floor)
    assert gone.value.code == "RESULT_GONE"


def test_what_is_installed_is_what_was_approved() -> None:
    floor = trained()
    name, data = asyncio.run(approved_lora(floor.disk, floor.job, 4))
    assert (name, data) == (f"{JOB}-000004.safetensors", floor.disk.data(path(4)))
    floor.disk.put(path(4), b"other bytes")
    with pytest.raises(WorldError) as gone:
        asyncio.run(approved_lora(floor.disk, floor.job, 4))
    assert gone.value.code == "RESULT_GONE"
