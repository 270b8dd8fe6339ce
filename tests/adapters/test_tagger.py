"""sd-scripts' tagger, by a stand-in of its command line."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from daemon.adapters.tagger import Tagger
from daemon.errors import WorldError

pytestmark = pytest.mark.realprocess

SCRIPT = """\
import argparse, pathlib, sys
import library
parser = argparse.ArgumentParser()
parser.add_argument("folder")
parser.add_argument("--onnx", action="store_true", required=True)
parser.add_argument("--remove_underscore", action="store_true")
for name in ("repo_id", "model_dir", "batch_size", "thresh", "caption_extension"):
    parser.add_argument("--" + name, required=True)
parser.add_argument("--character_threshold", type=float)
told = parser.parse_args()
assert told.character_threshold > 1, "UnboundLocalError: character_tags"
assert (pathlib.Path(told.model_dir) / told.repo_id.replace("/", "_") / "model.onnx").is_file()
for picture in sorted(pathlib.Path(told.folder).iterdir()):
    data = picture.read_text()
    if data == "broken":
        sys.exit("PIL.UnidentifiedImageError: \\x1b[2Jcannot identify")
    picture.with_suffix(told.caption_extension).write_text(data and f"1boy, {data}\\n")
"""


def checkout(folder: Path, *, model: bool = True, packages: bool = True) -> Tagger:
    """A tagger that tells of a picture what is written in it."""
    for package in ("library", *(("onnx", "onnxruntime") if packages else ())):
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").touch()
    (folder / "finetune").mkdir()
    (folder / "finetune" / "tag_images_by_wd14_tagger.py").write_text(SCRIPT)
    tagger = Tagger(folder, Path(sys.executable), os.environ)
    if model:
        tagger.model.mkdir(parents=True)
        for name in ("model.onnx", "selected_tags.csv"):
            (tagger.model / name).touch()
    return tagger


def pictures(folder: Path, *texts: str) -> list[Path]:
    folder.mkdir()
    found = [folder / f"{number}.png" for number, _ in enumerate(texts)]
    for picture, text in zip(found, texts, strict=True):
        picture.write_text(text)
    return found


def test_each_picture_gets_its_tags_and_its_folder_is_not_touched(tmp_path: Path) -> None:
    """K5.5."""
    tagger = checkout(tmp_path / "sd-scripts")
    one, none, other = pictures(tmp_path / "set", "rain", "", "white cloak")
    assert tagger.why_missing() == ""
    assert tagger.tags([one, none, other]) == {one: "1boy, rain", other: "1boy, white cloak"}
    assert sorted(file.name for file in (tmp_path / "set").iterdir()) == ["0.png", "1.png", "2.png"]


def test_what_is_missing_is_told_with_the_place_where_it_belongs(tmp_path: Path) -> None:
    nowhere = Tagger(tmp_path / "none", Path(sys.executable), os.environ)
    assert "Set SD_SCRIPTS_PATH" in nowhere.why_missing()
    bare = checkout(tmp_path / "bare", model=False)
    assert "Download model.onnx and selected_tags.csv" in bare.why_missing()
    assert str(bare.model) in bare.why_missing()
    lacking = checkout(tmp_path / "lacking", packages=False)
    assert "-m pip install onnx onnxruntime" in lacking.why_missing()
    gone = Tagger(lacking.path, tmp_path / "no-python", os.environ)
    assert "no-python does not run" in gone.why_missing()


def test_a_tagger_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    tagger = checkout(tmp_path / "sd-scripts")
    with pytest.raises(WorldError, match=r"exit status 1.*\\x1b\[2Jcannot identify") as caught:
        tagger.tags(pictures(tmp_path / "set", "rain", "broken"))
    assert caught.value.code == "TAGGER_FAILED"
