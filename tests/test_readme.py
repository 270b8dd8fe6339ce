"""The README says what is there: its map, its events, and its commands, which are run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.readme import README, event_rows, module_rows, table

REMEDY = "`python -m tests.readme` writes the table again"


@dataclass(frozen=True, slots=True)
class Command:
    """One ``$`` line of a console block, and the lines shown under it, where ``…`` is anything."""

    text: str
    shown: tuple[str, ...]


def test_the_map_names_every_module_and_nothing_else() -> None:
    named = {row[0] for row in table(README.read_text(encoding="utf-8"), "map")}
    there = set(module_rows())
    assert there - named == set(), REMEDY
    assert named - there == set(), REMEDY


def test_every_row_of_the_map_says_what_the_room_is() -> None:
    rows = table(README.read_text(encoding="utf-8"), "map")
    assert [row[0] for row in rows if not row[1]] == []


def test_the_event_table_is_the_ledgers_vocabulary() -> None:
    told = {row[0]: row[1] for row in table(README.read_text(encoding="utf-8"), "events")}
    assert told == event_rows(), REMEDY


def test_every_row_of_the_event_table_says_what_has_happened() -> None:
    rows = table(README.read_text(encoding="utf-8"), "events")
    assert [row[0] for row in rows if not row[2]] == []


def test_the_readme_says_what_reproducible_means_and_what_it_does_not() -> None:
    """S1.1: same character, same pose, indistinguishable; never the same bytes."""
    told = README.read_text(encoding="utf-8").partition('"reproducible" means')[2][:300]
    assert "visually indistinguishable" in told
    assert "never bit-identical" in told


def test_the_readme_says_how_a_large_model_is_downloaded_so_that_it_resumes() -> None:
    """M2.3"""
    told = README.read_text(encoding="utf-8").partition("## Models\n")[2].partition("\n## ")[0]
    assert "hf download" in told
    assert "aria2c --continue" in told
    assert "MODEL_CHANGED" in told


@pytest.mark.realprocess
def test_the_readmes_commands_run_from_top_to_bottom(tmp_path: Path) -> None:
    for command in console_commands(README.read_text(encoding="utf-8")):
        run(command, home=tmp_path)


def test_a_block_is_read_as_commands_with_what_they_show() -> None:
    markdown = "```console\n$ cat <<E\n> a\n> E\na\n…\n$ true\n```\n```sh\n$ no\n```\n"
    assert list(console_commands(markdown)) == [
        Command("cat <<E\na\nE", ("a", "…")),
        Command("true", ()),
    ]


@pytest.mark.realprocess
@pytest.mark.parametrize(
    "command",
    [
        Command("false", ()),
        Command("echo drawn", ("published",)),
        Command("printf 'one\\ntwo\\n'", ("two", "one")),
    ],
)
def test_a_command_that_does_otherwise_than_the_readme_says_is_found(
    tmp_path: Path, command: Command
) -> None:
    run(Command("printf 'one\\ntwo\\nthree\\n'", ("one", "…", "three")), home=tmp_path)
    with pytest.raises(AssertionError):
        run(command, home=tmp_path)


def console_commands(markdown: str) -> Iterator[Command]:
    """The commands of all ```console blocks in order; ``> `` continues the line above it."""
    for block in re.findall(r"^```console\n(.*?)^```", markdown, re.DOTALL | re.MULTILINE):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            first, *others = part.splitlines()
            more = [line[2:] for line in others if line.startswith("> ")]
            shown = tuple(line for line in others if line and not line.startswith("> "))
            yield Command("\n".join([first, *more]), shown)


def run(command: Command, *, home: Path) -> None:
    """Run it as the reader would, who stays in one folder; it must succeed and show what is shown.

    Shown lines must come in this order, each whole, with anything before, between and after them.
    """
    done = subprocess.run(
        ["/bin/sh", "-c", command.text],
        cwd=home,
        env=_environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"$ {command.text}\n{done.stdout}"
    printed = (line.strip() for line in done.stdout.splitlines())
    for line in command.shown:
        seen = line.strip() == "…" or line.strip() in printed
        assert seen, f"$ {command.text}\nnever showed: {line}\n{done.stdout}"


def _environment(home: Path) -> Mapping[str, str]:
    """A newcomer's: our commands on PATH, an empty home, no setting of ours."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    ours = ("NIGHTPRESS_", "COMFYUI_", "SD_SCRIPTS_", "XDG_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return kept | {"PATH": path, "HOME": str(home), "NO_COLOR": "1"}
