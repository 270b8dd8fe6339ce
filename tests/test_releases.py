"""What an earlier release wrote is understood by this one, and folds to what it folded to then."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import get_args

import pytest

from daemon import __version__
from daemon.adapters.disk import StudioDisk
from daemon.cli.folded import entries
from daemon.core.events import Event
from daemon.core.state import State
from daemon.shell.ledger import Ledger
from tests.release import LEDGERS, summary
from tests.virtual_time import at_once, run

RELEASES = sorted(path.name for path in LEDGERS.iterdir() if path.is_dir())


@pytest.mark.parametrize("release", RELEASES)
def test_a_ledger_of_an_earlier_release_folds_to_the_same_state(
    release: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once(monkeypatch)
    home = tmp_path / "ledger" / "press"
    shutil.copytree(LEDGERS / release, home, ignore=shutil.ignore_patterns("*.json"))
    before = {path.name: path.read_bytes() for path in home.iterdir()}
    ledger = Ledger(StudioDisk(tmp_path), host="press")
    loaded = run(ledger.load())
    told = json.loads((LEDGERS / release / "state.json").read_text())
    assert json.loads(json.dumps(summary(loaded.state, ledger.head.chain))) == told
    assert {path.name: path.read_bytes() for path in home.iterdir()} == before


@pytest.mark.parametrize("release", RELEASES)
def test_the_commands_read_a_ledger_of_an_earlier_release_too(release: str, tmp_path: Path) -> None:
    home = tmp_path / "ledger" / "press"
    shutil.copytree(LEDGERS / release, home, ignore=shutil.ignore_patterns("*.json"))
    state = State()
    read = list(entries(tmp_path, "press", state))
    told = json.loads((LEDGERS / release / "state.json").read_text())
    assert json.loads(json.dumps(summary(state, read[-1].chain))) == told


def test_this_releases_ledger_has_every_type_of_event() -> None:
    files = sorted((LEDGERS / __version__).glob("*.jsonl"))
    lines = [json.loads(line) for file in files for line in file.read_bytes().splitlines()]
    assert {line["type"] for line in lines} == {kind.type for kind in get_args(Event)}
