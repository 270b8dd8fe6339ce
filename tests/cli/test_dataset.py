"""`dataset lint`: what a training would say of a folder, with no daemon alive."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from daemon.cli import main
from tests.cli.studio import StudioFiles
from tests.shell.test_spoiled_datasets import Dataset

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("NIGHTPRESS_STUDIO", "COMFYUI_BASE_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "spyke"
    folder.mkdir()
    for name, data in Dataset().files.items():
        (folder / name).write_bytes(data)
    return folder


def lint(folder: Path, *options: str) -> int:
    return main(["dataset", "lint", str(folder), "--trigger", "spyke_plasma_v1", *options])


@pytest.mark.realprocess
def test_a_good_folder_is_fine_without_a_studio_or_a_daemon(folder: Path, capsys: Captured) -> None:
    """K4.1-K4.4, K5.1-K5.7"""
    assert lint(folder, "--feature", "white cloak", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["refused"], found["images"], found["distinct"]) == (False, 18, 18)
    assert found["framing"] == {"face": 4, "full body": 9, "upper body": 5}
    assert {each["severity"] for each in found["finding"]} == {"note"}


@pytest.mark.realprocess
def test_a_spoiled_one_is_refused_in_sentences_with_all_that_is_wrong(
    folder: Path, capsys: Captured
) -> None:
    """K5.1: the studio's own words count."""
    (folder / "03.txt").unlink()
    (folder / "05.txt").write_text("spyke_plasma_v1, full body, drawing a sword, night\n")
    (folder / "sources.toml").write_text('"07.png" = "crop"\n')
    assert lint(folder) == 1
    said = capsys.readouterr().out
    assert "refuse: 03.png has no caption" in said
    assert "05.png: the caption names no pose" in said
    assert "Of 17 pictures: 1 crop." in said
    assert f"Refused: 17 pictures in {folder}" in said
    studio = StudioFiles(folder.parent / "studio")
    (studio.root / "nightpress.toml").write_text('[caption]\npose = ["drawing a sword"]\n')
    assert lint(folder, "--studio", str(studio.root)) == 1
    assert "names no pose" not in capsys.readouterr().out


def test_what_is_no_folder_is_a_wrong_command(tmp_path: Path, capsys: Captured) -> None:
    assert lint(tmp_path / "nowhere") == 2
    assert "is no folder" in capsys.readouterr().err
