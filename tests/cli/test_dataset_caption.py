"""`dataset caption`: what a program wrote is marked, and what a person wrote is kept."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from daemon.cli import main
from daemon.wire.sources import Source, read_sources
from tests.adapters.test_tagger import checkout, pictures
from tests.cli.studio import StudioFiles

pytestmark = pytest.mark.realprocess

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two pictures, of which the first has a caption."""
    studio, scripts = StudioFiles(tmp_path / "studio").root, tmp_path / "sd-scripts"
    monkeypatch.setenv("NIGHTPRESS_STUDIO", str(studio))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("SD_SCRIPTS_PATH", str(scripts))
    (scripts / "venv" / "bin").mkdir(parents=True)
    (scripts / "venv" / "bin" / "python").symlink_to(sys.executable)
    pictures(studio / "set", "rain", "white cloak")
    (studio / "set" / "0.txt").write_text("mine\n")
    return studio / "set"


def test_new_captions_are_marked_unread_and_old_ones_kept(
    dataset: Path, tmp_path: Path, capsys: Captured
) -> None:
    """K5.5."""
    checkout(tmp_path / "sd-scripts")
    (dataset / "sources.toml").write_text('"0.png" = "drawn"\n"1.png" = "crop"\n')
    assert main(["dataset", "caption", str(dataset), "--trigger", "spyke_plasma_v1"]) == 0
    assert (dataset / "0.txt").read_text() == "mine\n"
    assert (dataset / "1.txt").read_text() == "spyke_plasma_v1, 1boy, white cloak\n"
    marks, _ = read_sources((dataset / "sources.toml").read_bytes())
    assert marks == {"0.png": Source("drawn"), "1.png": Source("crop", auto=True, reviewed=False)}
    assert "reviewed = true" in capsys.readouterr().out
    assert main(["dataset", "caption", str(dataset)]) == 0
    assert "Every picture" in capsys.readouterr().out


def test_pictures_that_get_no_tag_are_told(dataset: Path, tmp_path: Path, capsys: Captured) -> None:
    checkout(tmp_path / "sd-scripts")
    (dataset / "2.png").write_text("")
    assert main(["dataset", "caption", str(dataset)]) == 1
    assert "1 picture got no tag" in capsys.readouterr().err
    assert (dataset / "1.txt").read_text() == "TRIGGER, 1boy, white cloak\n"
    assert not (dataset / "2.txt").exists()


def test_without_the_tagger_it_says_what_is_missing(dataset: Path, capsys: Captured) -> None:
    assert main(["dataset", "caption", str(dataset)]) == 1
    assert "tagger is not there" in capsys.readouterr().err
    assert main(["dataset", "caption", "nowhere"]) == 2
