"""The small records of a training are believed with their own nonce only, and read back whole."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.commands import RecordTrainer
from daemon.core.jobs import JobId
from daemon.core.making import recorded_trainer
from daemon.errors import WorldError
from daemon.wire import seal, shim_record
from daemon.wire.notes import read_trainer
from daemon.wire.training_lock import checkpoint_lock
from tests.core.asking import DATASET, TRAINER, checkpoint, training
from tests.desk import Desk
from tests.wire.test_schema import faults

NOTE = json.dumps({"nonce": "0" * 32, **asdict(TRAINER)}).encode()


def test_a_note_is_believed_with_its_own_nonce_only() -> None:
    assert read_trainer(NOTE, nonce="0" * 32) == TRAINER
    assert read_trainer(NOTE, nonce="1" * 32) is None
    assert read_trainer(None, nonce="0" * 32) is None


def test_a_seal_is_read_back() -> None:
    sealed = seal.Seal(3, "outbox/s/resume/a1/out/s-000003-state", {"optimizer.bin": "a" * 64})
    assert seal.read_seal(seal.render_seal(sealed)) == sealed
    assert seal.read_seal(b"{}") is None


def test_the_shims_records_are_believed_with_their_own_nonce_only() -> None:
    start = json.dumps({"nonce": "n", "boot": "b", "pid": 7, "child": 8}).encode()
    assert shim_record.read_start(start, nonce="n") == shim_record.StartRecord("n", "b")
    assert shim_record.read_start(start, nonce="m") is None
    end = {"nonce": "n", "code": None, "signal": 9, "stopped": "", "started": 1, "ended": 2}
    assert shim_record.read_exit(json.dumps(end).encode(), nonce="n") is not None
    assert shim_record.read_exit(json.dumps({**end, "code": "0"}).encode(), nonce="m") is None


@pytest.mark.parametrize(
    ("end", "killed"),
    [
        ({"code": None, "signal": 9, "stopped": ""}, True),
        ({"code": None, "signal": 9, "stopped": "cancelled"}, False),
        ({"code": None, "signal": 15, "stopped": ""}, False),
        ({"code": 137, "signal": 0, "stopped": ""}, False),
    ],
)
def test_killed_is_who_got_signal_9_from_another_than_the_shim(
    end: dict[str, object], killed: bool
) -> None:
    """N4.3."""
    data = json.dumps({**end, "nonce": "n", "started": 1, "ended": 2, "oom_kills": 1}).encode()
    record = shim_record.read_exit(data, nonce="n")
    assert record is not None
    assert record.killed is killed
    assert (
        "probable cause: memory: it grew" in shim_record.ending_text(record, "it grew")
    ) is killed


def test_what_the_shim_of_0_1_0_left_is_understood() -> None:
    """Byte for byte as that release wrote it."""
    start = (
        b'{"nonce": "n", "boot": "b", "pid": 7, "started": "1-2", "child": 8, "child_started": "3"}'
    )
    end = (
        b'{"code": 0, "signal": 0, "stopped": "", "error": "", "started": 1795046400000, '
        b'"nonce": "n", "ended": 1795046460000}'
    )
    assert shim_record.read_start(start, nonce="n") == shim_record.StartRecord("n", "b")
    read = shim_record.read_exit(end, nonce="n")
    assert read is not None
    assert (read.code, read.version) == (0, 1)


@pytest.mark.parametrize("read", [shim_record.read_start, shim_record.read_exit])
def test_what_a_newer_shim_left_is_not_judged(
    read: Callable[..., shim_record.StartRecord | shim_record.ExitRecord | None],
) -> None:
    record = {"nonce": "n", "boot": "b", "code": 0, "signal": 0, "stopped": ""}
    data = json.dumps({**record, "started": 1, "ended": 2, "version": 2}).encode()
    assert read(data, nonce="another's") is None
    with pytest.raises(WorldError, match="begun by a newer nightpress") as caught:
        read(data, nonce="n")
    assert caught.value.code == "RECORD_NEWER"


def test_a_marker_says_why() -> None:
    order = shim_record.StopOrder("LOSS_NAN", "The loss became nan.")
    assert shim_record.read_marker(shim_record.stop_marker(order)) == order
    assert shim_record.read_marker(None) is None


@given(st.binary(max_size=100))
def test_no_bytes_raise(data: bytes) -> None:
    shim_record.read_marker(data)
    shim_record.read_start(data, nonce="n")
    shim_record.read_exit(data, nonce="n")
    seal.read_seal(data)
    read_trainer(data, nonce="n")


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.do(training())
    return desk


def test_a_checkpoints_lock_says_all_that_it_was_made_of(desk: Desk) -> None:
    """K1.1, K1.6: the trainer's commit, its argv and environment, both documents, every picture."""
    spyke = JobId("spyke_v1")
    desk.do(RecordTrainer(spyke, 1, TRAINER), checkpoint(spyke, 198))
    job = desk.state.jobs[spyke]
    trainer = recorded_trainer(desk.state, job, 1)
    assert trainer == TRAINER
    data = checkpoint_lock(job, 198, trainer, size=4_000, device="mps", host="mini")
    lock = tomllib.loads(data.decode())
    assert faults("training-lock", lock) == []
    assert lock["subject"] == {
        "name": "spyke",
        "file": "checkpoints/spyke_v1-000198.safetensors",
        "sha256": f"{198:064x}",
        "size": 4_000,
    }
    assert lock["checkpoint"] == {"step": 198, "epoch": 1, "loss": 0.1}
    assert lock["job"]["id"] == "spyke_v1"
    assert (lock["trainer"]["commit"], lock["trainer"]["device"]) == ("48d368fa", "mps")
    assert lock["trainer"]["packages"] == TRAINER.packages
    assert lock["trainer"]["args"] == list(TRAINER.arguments)
    assert lock["config"] == {"config": TRAINER.config, "dataset": TRAINER.dataset}
    assert [row["image"] for row in lock["dataset"]] == [image.name for image in DATASET]
    assert lock["dataset"][0]["caption"] == "001.txt"
    assert lock["ledger"]["seq"] == job.checkpoints[198].saved.seq
    assert list(lock) == [
        *("lock_version", "subject", "job", "checkpoint", "trainer", "training", "model"),
        *("dataset", "config", "ledger"),
    ]
