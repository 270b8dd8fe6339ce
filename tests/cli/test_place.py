"""Which studio a command means, and whether a daemon is alive in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.cli.place import WrongCommand, is_alive, studio_of
from tests.cli.studio import StudioFiles


def test_the_option_goes_before_the_environment_and_both_before_the_working_directory(
    tmp_path: Path,
) -> None:
    roots = [StudioFiles(tmp_path / name).root for name in ("here", "variable", "option")]
    here, variable, option = roots
    environment = {"NIGHTPRESS_STUDIO": str(variable)}
    assert studio_of(here, str(option), environment) == option
    assert studio_of(here, None, environment) == variable
    assert studio_of(here, None, {}) == here


def test_the_nearest_folder_upwards_with_inbox_and_ledger_is_the_studio(tmp_path: Path) -> None:
    root = StudioFiles(tmp_path / "manga").root
    inner = root / "datasets" / "spyke"
    inner.mkdir(parents=True)
    assert studio_of(inner, None, {}) == root


def test_a_folder_that_is_no_studio_is_answered_with_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(WrongCommand, match="nightpress init"):
        studio_of(tmp_path, None, {})
    with pytest.raises(WrongCommand, match=r"--studio .* is no studio.*nightpress init"):
        studio_of(tmp_path, str(tmp_path), {})


def test_a_daemon_is_alive_while_the_guard_is_held_and_not_a_moment_longer(tmp_path: Path) -> None:
    studio = StudioFiles(tmp_path)
    assert not is_alive(studio.root)
    with studio.guarded():
        assert is_alive(studio.root)
    assert not is_alive(studio.root)
