"""Which of a studio's ledgers is written on this machine."""

from __future__ import annotations

from pathlib import Path

from daemon.adapters.host_folder import bind_host, own_host


def ours(binding: str) -> bool:
    return binding.strip() == "this machine"


def bind(ledger: Path) -> str:
    return bind_host(ledger, name="mac", binding="this machine", is_ours=ours)


def test_a_binding_is_made_once_and_found_again_whatever_the_folder_is_called(
    tmp_path: Path,
) -> None:
    assert own_host(tmp_path, is_ours=ours) is None
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
    (elsewhere / "machine").write_text("this machine")
    ledger = tmp_path / "ledger"
    ledger.mkdir()
    (ledger / "mac").symlink_to(elsewhere)
    assert own_host(ledger, is_ours=ours) is None
    assert bind(ledger) == "mac-2"
