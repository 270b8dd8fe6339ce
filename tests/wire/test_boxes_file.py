"""SHEET.boxes.toml: what is proposed can be cut, and what is wrong is told with its line."""

from __future__ import annotations

import pytest

from daemon.craft.crops import Area, Crop, Sheet
from daemon.wire.boxes_file import boxes_toml, read_boxes

SHEET = Sheet(2400, 1600, [])
CROPS = [Crop(f"face_{number}", "face", Area(600 * number, 0, 600, 600)) for number in range(4)]
FILE = boxes_toml(CROPS, SHEET, name="sheet.png", command="nightpress dataset crop sheet.png")


def test_what_is_proposed_is_read_as_it_was_meant() -> None:
    """K4.2."""
    assert read_boxes(FILE, SHEET) == (CROPS, [])
    assert FILE.startswith(b"# Where sheet.png is to be cut")


@pytest.mark.parametrize(
    ("old", "new", "line", "told"),
    [
        ("x = 600", "x = 2000", 14, "face_1 ends at 2600, 600, and the sheet at 2400, 1600"),
        ("face_1", "face_0", 14, "face_0 is the name of two boxes"),
        ("face_1", "../face", 15, 'Write name = "face"'),
        ('"face"', '""', 8, "Say in a few words"),
        ("size = [2400, 1600]", "size = [800, 600]", 4, "for a picture of 800 x 600"),
        ("x = 600", "x = -1", 17, "0 to 65535"),
        ("x = 600", "left = 600", 17, "left"),
        ("x = 600", "x = = 600", 17, "not TOML"),
        ("[[box]]", "[[crop]]", 0, "box"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(old: str, new: str, line: int, told: str) -> None:
    found = read_boxes(FILE.decode().replace(old, new).encode(), SHEET)[1]
    assert [complaint.line for complaint in found if told in complaint.text][:1] == [line], found


@pytest.mark.parametrize("count", [3, 11])
def test_a_sheet_gives_four_to_ten_pictures(count: int) -> None:
    """D1.1, K4.2."""
    crops = [Crop(f"face_{number}", "face", Area(0, 0, 600, 600)) for number in range(count)]
    [complaint] = read_boxes(boxes_toml(crops, SHEET, name="s", command="c"), SHEET)[1]
    assert f"4 to 10 boxes ({count} are here)" in complaint.text
