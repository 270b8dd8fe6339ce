"""Which machine this is, told without telling it, and which ledger is written on it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from daemon.adapters import machine as machine_module
from daemon.adapters.machine import (
    bind_host,
    fresh_binding,
    host_name,
    is_ours,
    machine_id,
    own_host,
    plain_host,
)

SALT = "0123456789abcdef"
MACHINE = "a" * 32


@pytest.fixture
def nameless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that has no id of its own, as slim containers have none."""
    monkeypatch.setattr(machine_module, "_mac_id", str)
    monkeypatch.setattr(machine_module, "_LINUX_IDS", ())


def test_a_binding_is_known_on_its_machine_and_on_no_other() -> None:
    binding = fresh_binding("a" * 32, SALT)
    assert is_ours(binding, MACHINE)
    assert is_ours(binding + "\n", MACHINE)
    assert not is_ours(binding, "b" * 32)


def test_a_binding_does_not_tell_the_machine_and_two_salts_do_not_tell_it_is_one() -> None:
    first, second = fresh_binding("a" * 32, SALT), fresh_binding("a" * 32, SALT[::-1])
    assert first.partition(":")[0] == SALT
    assert "a" * 32 not in first
    assert first.partition(":")[2] != second.partition(":")[2]


@pytest.mark.parametrize("damaged", ["", "x", ":", "0123:", SALT + ":" + "0" * 63, "zz" * 8 + ":"])
def test_a_damaged_binding_is_nobodys(damaged: str) -> None:
    assert not is_ours(damaged, MACHINE)


def test_a_machine_has_one_id(tmp_path: Path) -> None:
    assert re.fullmatch(r"[0-9a-f]{32}", machine_id(tmp_path))
    assert machine_id(tmp_path) == machine_id(tmp_path)


@pytest.mark.usefixtures("nameless")
def test_where_the_system_has_none_one_is_drawn_and_kept(tmp_path: Path) -> None:
    first = machine_id(tmp_path / "config")
    assert re.fullmatch(r"[0-9a-f]{32}", first)
    assert machine_id(tmp_path / "config") == first
    assert machine_id(tmp_path / "elsewhere") != first


@pytest.mark.usefixtures("nameless")
def test_a_kept_id_that_is_damaged_is_said_and_not_replaced(tmp_path: Path) -> None:
    """Another id would make every ledger of this machine somebody else's."""
    (tmp_path / "machine-id").write_bytes(b"\xff")
    with pytest.raises(OSError, match="machine-id"):
        machine_id(tmp_path)
    assert (tmp_path / "machine-id").read_bytes() == b"\xff"


@pytest.mark.parametrize("text", ["", "uninitialized\n", "é"])
def test_a_system_id_that_is_none_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (tmp_path / "etc").write_text(text, encoding="utf-8")
    monkeypatch.setattr(machine_module, "_mac_id", str)
    monkeypatch.setattr(machine_module, "_LINUX_IDS", (tmp_path / "etc", tmp_path / "none"))
    assert (tmp_path / "machine-id").exists() is False
    assert machine_id(tmp_path) == (tmp_path / "machine-id").read_text().strip()


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("Spykes-MacBook-Pro.local", "spykes-macbook-pro"),
        ("mini", "mini"),
        ("Zoë's Mac", "zoe-s-mac"),
        ("..", "host"),
        ("", "host"),
        ("日本", "host"),
        ("a" * 31 + "-b", "a" * 31),
        ("../../etc", "host"),
    ],
)
def test_a_hosts_name_is_fit_for_a_folder(name: str, plain: str) -> None:
    assert plain_host(name) == plain
    assert re.fullmatch(r"[a-z0-9-]{1,32}", plain_host(name))


def test_this_host_has_a_name() -> None:
    assert re.fullmatch(r"[a-z0-9-]{1,32}", host_name())


def bind(ledger: Path) -> str:
    return bind_host(ledger, name="mac", machine=MACHINE)


def test_a_binding_is_made_once_and_found_again_whatever_the_folder_is_called(
    tmp_path: Path,
) -> None:
    assert own_host(tmp_path, machine=MACHINE) is None
    assert bind(tmp_path) == "mac"
    (tmp_path / "mac").rename(tmp_path / "studio-mac")
    assert bind(tmp_path) == "studio-mac"
    assert [path.name for path in tmp_path.iterdir()] == ["studio-mac"]


def test_a_folder_of_another_machine_or_of_nobody_is_left_alone(tmp_path: Path) -> None:
    for name, file in (("mac", "machine"), ("mac-2", "2026-11.jsonl")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text("another machine")
    assert bind(tmp_path) == "mac-3"
    assert [path.name for path in (tmp_path / "mac").iterdir()] == ["machine"]
    assert [path.name for path in (tmp_path / "mac-2").iterdir()] == ["2026-11.jsonl"]


def test_a_link_is_nobodys_folder(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "machine").write_text(fresh_binding(MACHINE, SALT))
    ledger = tmp_path / "ledger"
    ledger.mkdir()
    (ledger / "mac").symlink_to(elsewhere)
    assert own_host(ledger, machine=MACHINE) is None
    assert bind(ledger) == "mac-2"
