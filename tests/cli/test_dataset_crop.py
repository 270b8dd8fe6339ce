"""`dataset crop`: boxes are proposed, and the sheet is cut by them."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from daemon.cli import main
from daemon.wire.sources import Source, read_sources
from tests.sheets import drawn, saved

pytestmark = pytest.mark.realprocess

Captured = pytest.CaptureFixture[str]
NAMES = ["spyke_face_1", "spyke_face_2", "spyke_full_body_1", "spyke_full_body_2"]
MORE = ["spyke_upper_body_1", "spyke_upper_body_2"]


@pytest.fixture
def sheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    Path("Spyke.png").write_bytes(saved(drawn()))
    return Path("Spyke.png")


def cut(*options: str) -> int:
    return main(["dataset", "crop", "Spyke.png", "--boxes", "Spyke.boxes.toml", *options])


def size(picture: Path) -> tuple[int, int]:
    return Image.open(BytesIO(picture.read_bytes())).size


def test_a_sheet_is_cut_as_proposed_into_captioned_and_marked_pictures(
    sheet: Path, capsys: Captured
) -> None:
    """K4.2, K4.3, K5.5, D1.1: its captions are unread until a person says so."""
    assert main(["dataset", "crop", str(sheet)]) == 0
    assert sorted(map(str, Path().iterdir())) == ["Spyke.boxes.toml", "Spyke.png"]
    assert "nightpress dataset crop Spyke.png --boxes Spyke.boxes.toml" in capsys.readouterr().out
    assert cut("--into", "set") == 0
    pictures = sorted(Path("set").glob("*.png"))
    assert [picture.stem for picture in pictures] == [*NAMES, *MORE]
    assert all(min(size(picture)) >= 512 for picture in pictures)
    marks, wrong = read_sources(Path("set/sources.toml").read_bytes())
    assert (wrong, marks) == ([], {picture.name: Source("crop", auto=True) for picture in pictures})
    caption = Path("set/spyke_face_1.txt").read_text()
    assert caption == "TRIGGER, FEATURES, face, POSE, BACKGROUND\n"


def test_nothing_is_overwritten_without_being_told_to(sheet: Path, capsys: Captured) -> None:
    main(["dataset", "crop", str(sheet)])
    boxes = Path("Spyke.boxes.toml")
    boxes.write_text(boxes.read_text().replace("spyke_face_1", "smile"))
    assert main(["dataset", "crop", str(sheet)]) == 1
    assert "smile" in boxes.read_text()
    assert cut() == 0
    Path("smile.txt").write_text("mine")
    assert cut() == 1
    assert "already. Nothing was written" in capsys.readouterr().err
    assert Path("smile.txt").read_text() == "mine"
    assert cut("--force", "--trigger", "spyke_plasma_v1") == 0
    assert Path("smile.txt").read_text().startswith("spyke_plasma_v1, FEATURES, face")


def test_what_is_small_is_cut_only_when_told_to_and_never_enlarged(
    sheet: Path, capsys: Captured
) -> None:
    """K4.2."""
    sheet.write_bytes(saved(drawn().resize((960, 800))))
    main(["dataset", "crop", str(sheet)])
    assert "smaller than 512" in capsys.readouterr().out
    assert cut() == 1
    assert "spyke_full_body_1" in capsys.readouterr().err
    assert not list(Path().glob("spyke_*"))
    assert cut("--small") == 0
    assert max(size(Path("spyke_face_1.png"))) < 300


def test_a_wrong_box_cuts_nothing_and_is_told_with_its_line(sheet: Path, capsys: Captured) -> None:
    main(["dataset", "crop", str(sheet)])
    boxes = Path("Spyke.boxes.toml")
    boxes.write_text(boxes.read_text().replace('"spyke_face_1"', '"spyke_face_2"'))
    assert cut() == 1
    assert "spyke_face_2 is the name of two boxes" in capsys.readouterr().err
    assert not list(Path().glob("spyke_*"))


def test_marks_that_cannot_be_read_are_not_lost(sheet: Path, capsys: Captured) -> None:
    """K4.3."""
    main(["dataset", "crop", str(sheet)])
    Path("sources.toml").write_text('"a.png" = 5\n')
    assert cut() == 1
    assert "a.png" in capsys.readouterr().err
    assert (Path("sources.toml").read_text(), list(Path().glob("spyke_*"))) == ('"a.png" = 5\n', [])


def test_what_is_no_sheet_is_told_in_a_sentence(sheet: Path, capsys: Captured) -> None:
    sheet.write_bytes(b"no picture")
    assert main(["dataset", "crop", str(sheet)]) == 1
    assert "Spyke.png: The picture cannot be read" in capsys.readouterr().err
    assert main(["dataset", "crop", "none.png"]) == 2
