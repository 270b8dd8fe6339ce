"""A studio's folders are its own and ours to use, or a sentence says why not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import daemon
from daemon.adapters import access
from daemon.errors import PersonNeeded

CHECK = """
import os, pathlib
from daemon.adapters import access
if os.geteuid() == 0:
    os.seteuid(65534)
access.check(pathlib.Path("/"))
"""


@pytest.mark.parametrize("name", ["inbox", "outbox", "ledger", ".nightpress"])
def test_a_link_in_place_of_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to("/")
    with pytest.raises(PersonNeeded, match="is a link"):
        access.check(tmp_path)


def test_a_folder_of_ours_is_fine_and_nothing_is_left_in_it(tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    access.check(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == [".nightpress", "inbox"]


@pytest.mark.realprocess
def test_where_the_system_refuses_a_person_reads_what_to_do() -> None:
    """Under TCC it is EPERM, in a folder of somebody else EACCES: both say it the same way."""
    package = Path(daemon.__file__).parent.parent
    command = [sys.executable, "-c", CHECK]
    done = subprocess.run(command, cwd=package, capture_output=True, text=True, check=False)
    assert "PersonNeeded: /.nightpress: " in done.stderr
    assert "~/farm" in done.stderr
    assert "Full Disk Access" in done.stderr
