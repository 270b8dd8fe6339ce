"""Every row of the requirements is proved by a test that names it, or stands under "Not yet"."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests import needs
from tests.readme import README, ROOT

REQUIREMENTS = ROOT.parent / "shared" / "requirements.md"
ROW = re.compile(r"^\| ([A-Z]\d+\.\d+) ", re.MULTILINE)
NAMED = re.compile(r"\b([A-Z]\d+\.\d+)\b")
CHECK = re.compile(r"([①-⑳㉑㉒])[^(]*\(([^)]*)\)")
POINTED = re.compile(r"\b[A-Z]\d+(?:\.\d+)?\b")
RANGE = re.compile(r"\b([A-Z])(\d+)(?:\.(\d+))?(?:-\1(\d+)(?:\.(\d+))?)?\b")


def test_every_row_has_a_test_that_names_it_or_a_line_under_not_yet() -> None:
    rows = set(ROW.findall(needs.file(REQUIREMENTS).read_text(encoding="utf-8")))
    later = set(_not_yet(rows, _later(README.read_text(encoding="utf-8"))))
    assert rows - _proved() - later == set()


def test_each_line_of_the_checklists_points_at_rows_that_are_proved() -> None:
    """Requirements 3.8: 22 lines; a row without a part (N1) is all of its parts."""
    text = needs.file(REQUIREMENTS).read_text(encoding="utf-8")
    lines = CHECK.findall(text.partition("### 3.8")[2].partition("### 3.9")[0])
    assert [sign for sign, _ in lines] == [chr(0x2460 + number) for number in range(20)] + [
        "㉑",
        "㉒",
    ]
    proved, rows = _proved(), set(ROW.findall(text))
    for sign, pointed in lines:
        meant = {row for row in rows for word in POINTED.findall(pointed) if _is_of(row, word)}
        assert meant, f"{sign} points at no row: {pointed}"
        assert meant <= proved, f"{sign}: {meant - proved} has no test"


def test_the_verification_priorities_have_tests_of_their_own() -> None:
    """Requirements 3.10: V1 to V4."""
    told = " ".join(path.read_text(encoding="utf-8") for path in _tests())
    assert [name for name in ("V1", "V2", "V3", "V4") if not re.search(rf"\b{name}\b", told)] == []


def _is_of(row: str, word: str) -> bool:
    return row == word or ("." not in word and row.startswith(f"{word}."))


def test_ranges_of_rows_are_read_as_people_write_them() -> None:
    rows = {"A1.1", "A1.2", "A3.1", "A3.2", "A3.5", "K1.1", "K2.1", "K3.1"}
    assert set(_not_yet(rows, "A1, A3.2-A3.5")) == {"A1.1", "A1.2", "A3.2", "A3.5"}
    assert set(_not_yet(rows, "K1-K2, A3.1")) == {"K1.1", "K2.1", "A3.1"}


def _later(readme: str) -> str:
    """What stands under "Not yet"."""
    return readme.partition("## Not yet\n")[2].partition("\n## ")[0]


def _proved() -> set[str]:
    """The rows that docstrings of tests name."""
    return {row for path in _tests() for row in _rows_of(path)}


def _tests() -> list[Path]:
    found = (ROOT / "tests").rglob("test_*.py")
    return [path for path in found if "node_modules" not in path.parts]


def _rows_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef):
            yield from NAMED.findall(ast.get_docstring(node) or "")


def _not_yet(rows: set[str], text: str) -> Iterator[str]:
    for letter, first, part, last, last_part in RANGE.findall(text):
        low = (int(first), int(part or 0))
        high = (int(last or first), int(last_part or (99 if last or not part else part)))
        for row in rows:
            number = tuple(map(int, row[1:].split(".")))
            if row[0] == letter and low <= number <= high:
                yield row
