"""A refused file is answered in a folder of its own."""

from __future__ import annotations

import re
import tomllib

from hypothesis import example, given
from hypothesis import strategies as st

from daemon.core.events import JobRejected
from daemon.core.jobs import Complaint, FileFacts
from daemon.wire.rejected import rejected_folder, rejected_status_toml


def rejected(*errors: Complaint, name: str = "ch01.toml") -> JobRejected:
    return JobRejected(name, "a" * 64, "run-7", errors, 11, 22, 33)


@given(st.text())
@example("..")
@example("../../.ssh/x.toml")
def test_whatever_a_file_is_called_its_folder_is_one_plain_name(name: str) -> None:
    folder = rejected_folder(FileFacts(name, "0123456789ab" + "f" * 52, 1, 2, 3))
    assert re.fullmatch(r"outbox/rejected/[A-Za-z0-9_-][A-Za-z0-9._-]*-0123456789ab", folder)


def test_the_folder_carries_the_files_name_and_the_hash_of_its_bytes() -> None:
    assert rejected_folder(rejected()) == "outbox/rejected/ch01-aaaaaaaaaaaa"


def test_every_complaint_is_told_with_its_line_and_key() -> None:
    wide = Complaint(3, "width", "width = 1024: the limit is 768.")
    batch = Complaint(9, "batch_size", "One picture at a time.")
    status = tomllib.loads(rejected_status_toml(rejected(wide, batch), at=0).decode())
    assert status["phase"] == "rejected"
    assert status["ref"] == "run-7"
    assert status["sentence"].startswith("width = 1024")
    assert "2 things" in status["sentence"]
    assert status["rejected_at"] == "1970-01-01T00:00:00.000Z"
    assert status["error"][1] == {"line": 9, "key": "batch_size", "text": "One picture at a time."}


def test_a_refusal_without_a_complaint_still_has_a_sentence() -> None:
    assert tomllib.loads(rejected_status_toml(rejected(), at=0).decode())["sentence"]
