"""The agents of a user, by a `launchctl` that imitates the awkward sides of the real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.adapters.launchd import Launchd
from daemon.errors import AskerError, WorldError
from daemon.wire.launch_agent import Agent, Loaded, label_of, plist_bytes, property_list
from tests.launchd import Launchctl

LABEL = label_of("0123456789ab")
DATA = plist_bytes(property_list(Agent("0123456789ab", "/farm", "/Users/you", "/python"), {}))


@pytest.fixture
def launchctl(tmp_path: Path) -> Launchctl:
    return Launchctl(tmp_path / "bin")


@pytest.fixture
def launchd(tmp_path: Path, launchctl: Launchctl) -> Launchd:
    return Launchd(tmp_path / "home", {"PATH": str(launchctl.folder)})


def test_an_agent_is_installed_seen_and_gone(launchd: Launchd, launchctl: Launchctl) -> None:
    assert launchd.loaded(LABEL) is None
    launchd.install(LABEL, DATA)
    file = launchd.file(LABEL)
    assert file.read_bytes() == DATA
    assert file.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in file.parent.iterdir()] == [f"{LABEL}.plist"]
    assert launchd.loaded(LABEL) == Loaded("running", 4242)
    assert launchctl.calls == ["enable", "bootstrap"]
    assert launchd.uninstall(LABEL)
    assert launchd.loaded(LABEL) is None
    assert not file.exists()
    assert not launchd.uninstall(LABEL)


def test_one_that_leaves_slowly_is_waited_for(launchd: Launchd, launchctl: Launchctl) -> None:
    """`bootout` returns at once, with 36; to bootstrap before it is gone fails with 5 or 37."""
    launchd.install(LABEL, DATA)
    launchd.install(LABEL, DATA)
    assert launchctl.calls == ["enable", "bootstrap", "enable", "bootout", "bootstrap"]


def test_a_label_that_was_switched_off_is_switched_on(
    launchd: Launchd, launchctl: Launchctl
) -> None:
    launchctl.switch_off(LABEL)
    assert launchd.disabled(LABEL)
    launchd.install(LABEL, DATA)
    assert not launchd.disabled(LABEL)
    assert launchd.loaded(LABEL)


def test_a_passing_refusal_is_tried_again_and_a_lasting_one_told(
    launchd: Launchd, launchctl: Launchctl
) -> None:
    launchctl.refuse(5)
    launchd.install(LABEL, DATA)
    launchctl.refuse(125)
    with pytest.raises(WorldError, match=r"125.*own screen"):
        launchd.install(LABEL, DATA)


def test_without_launchctl_there_is_no_launchd(tmp_path: Path) -> None:
    launchd = Launchd(tmp_path, {"PATH": str(tmp_path)})
    assert not launchd.here
    with pytest.raises(AskerError, match="only macOS"):
        launchd.loaded(LABEL)
