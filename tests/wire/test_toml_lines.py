"""Where a key stands is known for every file that is TOML, and slow files are seen beforehand."""

from __future__ import annotations

import tomllib

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from daemon.wire.toml_lines import Path, dotted, excess, outline_of, tokens_of, unclosed

WORDS = st.text(st.sampled_from("abc\"'\\#[]{}=.,\n \té🦊"), max_size=12)
NAMES = st.text(st.sampled_from("abc_-019"), min_size=1, max_size=6)
LEAVES = st.one_of(WORDS, st.integers(-5, 99), st.booleans(), st.lists(WORDS, max_size=3))
TABLES = st.dictionaries(NAMES, LEAVES, max_size=4)
DOCUMENTS = st.dictionaries(
    NAMES, st.one_of(LEAVES, TABLES, st.lists(TABLES, min_size=1, max_size=3)), max_size=6
)


def paths(table: dict[str, object], above: Path = ()) -> list[Path]:
    """Every key of a document and of its tables that stands on a line of its own."""
    found: list[Path] = []
    for key, value in table.items():
        path = (*above, key)
        if isinstance(value, dict):
            found.extend(paths(value, path))
        elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            for index, item in enumerate(value):
                found.extend(paths(item, (*path, index)))
        else:
            found.append(path)
    return found


@given(DOCUMENTS, st.booleans())
def test_every_key_of_a_document_is_found_on_its_line(
    document: dict[str, object], long: bool
) -> None:
    text = tomli_w.dumps(document, multiline_strings=long)
    assert tomllib.loads(text) == document or long
    tokens = tokens_of(text)
    assert unclosed(tokens) is None
    outline = outline_of(tokens)
    lines = text.split("\n")
    for path in paths(document):
        line = lines[outline.line_of(path) - 1]
        # tomli_w writes short arrays of tables inline: their keys stand on the array's line.
        key = path[-1] if path in outline.lines else path[0]
        assert line.startswith(f"{key} =")


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ("a = 1\nb = 2\n", ("b",), 2),
        ('a = """\nb = 2\n"""\nb = 3\n', ("b",), 4),
        ("a = '''\n'''\nb = 3\n", ("b",), 3),
        ('a = """x""""\nb = 3\n', ("b",), 2),
        ("a = [\n1, # ]\n2]\nb = 3\n", ("b",), 4),
        ('a = "\\"#["\nb = 3\n', ("b",), 2),
        ("[t]\na.b = 1\n", ("t", "a", "b"), 2),
        ('[t]\n"a b" = 1\n', ("t", "a b"), 2),
        ("[[l]]\na = 1\n[[l]]\na = 1\n[l.x]\nb = 1\n", ("l", 1, "x", "b"), 6),
        ("[[l]]\na = 1\n", ("l", 0, "missing"), 1),
        ("a = 1\n", ("missing",), 0),
    ],
)
def test_a_key_is_found_however_it_is_written(text: str, path: Path, line: int) -> None:
    tomllib.loads(text)
    assert outline_of(tokens_of(text)).line_of(path) == line


def test_paths_are_shown_as_people_count() -> None:
    assert dotted(("lora", 1, "strength")) == "lora[2].strength"
    assert dotted(("a\x1b[2J",)) == "a\\x1b[2J"


@pytest.mark.parametrize(
    "text",
    [
        "a" + ".a" * 33 + " = 1",
        "[" + "a." * 33 + "a]",
        "a = " + "[" * 17,
        "a = " + "{a = " * 17,
        "a = " + "1" * 65,
        "a = 0x" + "f" * 65,
        "k" * 65 + " = 1",
    ],
)
def test_what_is_slow_to_parse_is_seen_beforehand(text: str) -> None:
    found = excess(tokens_of(f"b = 1\n{text}"))
    assert found is not None
    assert found.line == 2


@pytest.mark.parametrize(
    "text",
    [
        "a" + ".a" * 32 + " = 1",
        "a = " + "[" * 16 + "]" * 16,
        "a = " + "1" * 64,
        f'a = "{"." * 500}{"[" * 500}{"1" * 500}"',
        f"# {'.' * 500}{'[' * 500}{'1' * 500}",
    ],
)
def test_dots_and_brackets_in_texts_and_comments_are_no_nesting(text: str) -> None:
    assert excess(tokens_of(text)) is None
    tomllib.loads(text)
