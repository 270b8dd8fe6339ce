"""`log --since`: what happened since a commit, in a repository of real git."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.cli import main
from daemon.cli.place import WrongCommand
from daemon.cli.revision import known_at
from daemon.core.events import Incident
from tests import needs
from tests.cli.studio import AT, StudioFiles, started, taken, whole_story

Captured = pytest.CaptureFixture[str]
Git = Callable[..., str]


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudioFiles:
    """A studio inside a project's repository."""
    root = tmp_path / "project" / "studio"
    monkeypatch.setenv("NIGHTPRESS_STUDIO", str(root))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return StudioFiles(root)


@pytest.fixture
def git(studio: StudioFiles) -> Git:
    program = needs.program("git")

    def run(*arguments: str) -> str:
        who = ("-c", "user.name=t", "-c", "user.email=t@example.com")
        command = [program, *who, *arguments]
        done = subprocess.run(command, cwd=studio.root, capture_output=True, text=True, check=True)
        return done.stdout

    run("init", "-q", "..")
    return run


def commit(git: Git, tag: str) -> None:
    git("add", "-A")
    git("commit", "-qm", tag)
    git("tag", tag)


def test_log_since_a_commit_reviews_what_was_not_in_it(
    studio: StudioFiles, git: Git, capsys: Captured
) -> None:
    studio.write(started(), *taken())
    commit(git, "evening")
    studio.write(*whole_story()[1:])
    assert main(["log", "--since", "evening"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("6 events on mac, 2026-11-")
    assert shown[1:] == ["Drawn     ch01_p003_v1  1 picture in 3 s, with a, LoRA spyke_v1-000792"]
    commit(git, "morning")
    assert main(["log", "--since", "morning"]) == 0
    assert capsys.readouterr() == ("Nothing has happened since morning.\n", "")


def test_events_since_a_commit_are_for_programs_and_for_one_job(
    studio: StudioFiles, git: Git, capsys: Captured
) -> None:
    studio.write(started())
    commit(git, "evening")
    known = studio.segment.read_bytes()
    studio.write(*whole_story())
    assert main(["log", "--json", "--since", "evening"]) == 0
    assert known + capsys.readouterr().out.encode() == studio.segment.read_bytes()
    assert main(["log", "ch01_p003", "--since", "evening"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 7


def test_a_line_half_written_at_the_commit_is_new(studio: StudioFiles, git: Git) -> None:
    studio.write(started(), *whole_story())
    whole = studio.segment.read_bytes()
    studio.segment.write_bytes(whole[:-10])
    commit(git, "evening")
    studio.segment.write_bytes(whole)
    known = known_at(studio.root, "evening")
    assert whole[known.sizes[studio.segment] :].count(b"\n") == 1
    assert known.doubts == []


def test_a_rewritten_segment_is_told_from_where_it_differs_and_said_to_be_one(
    studio: StudioFiles, git: Git, capsys: Captured
) -> None:
    studio.write(started(), *whole_story())
    commit(git, "evening")
    lines = studio.segment.read_bytes().splitlines(keepends=True)
    changed = [*lines[:5], lines[5].replace(b"succeeded", b"failed"), *lines[6:]]
    studio.segment.write_bytes(b"".join(changed))
    assert main(["log", "--since", "evening"]) == 1
    said = capsys.readouterr()
    name = "ledger/mac/2026-11.jsonl"
    assert f"{name} is not what it was at evening: from line 6 on it differs" in said.err
    assert f"`git diff evening -- {name}`" in said.err
    assert said.out.startswith("3 events on mac")


@pytest.mark.parametrize("gone", [True, False])
def test_a_segment_shorter_than_at_the_commit_is_said_to_be_one(
    studio: StudioFiles, git: Git, capsys: Captured, *, gone: bool
) -> None:
    """A pull that was fetched and not merged is the same case: the other knows more."""
    studio.write(started(), *whole_story())
    commit(git, "evening")
    lines = studio.segment.read_bytes().splitlines(keepends=True)
    studio.segment.unlink()
    if not gone:
        studio.segment.write_bytes(b"".join(lines[:5]))
    assert main(["log", "--since", "evening"]) == 1
    said = capsys.readouterr()
    assert f"has {8 if gone else 3} lines fewer than at evening. Merge that if" in said.err
    assert said.out == "Nothing has happened since evening.\n"


def test_another_hosts_lines_that_came_by_a_pull_are_told_as_its_own(
    studio: StudioFiles, git: Git, capsys: Captured
) -> None:
    studio.write(started())
    commit(git, "evening")
    StudioFiles(studio.root, host="mini").write(started(), *whole_story())
    studio.write(Incident("NOTE", "here"))
    assert main(["log", "--since", "evening"]) == 0
    heads = [line.split(",")[0] for line in capsys.readouterr().out.splitlines() if "on m" in line]
    assert heads == ["9 events on mac", "1 event on mac", "8 events on mini"]


def test_since_a_number_or_a_day_is_a_review_too(studio: StudioFiles, capsys: Captured) -> None:
    """2026-11-18 is the day on which the lines of the tests begin."""
    assert AT == 1_795_000_000_000
    studio.write(started(), *whole_story())
    for since, count in (("6", 2), ("2026-11-17", 8)):
        assert main(["log", "--since", since]) == 0
        assert capsys.readouterr().out.startswith(f"{count} events on mac")
    assert main(["log", "--since", "2026-11-20"]) == 0
    assert capsys.readouterr().out == "Nothing has happened since 2026-11-20.\n"


def test_what_git_does_not_know_is_a_wrong_command(studio: StudioFiles, git: Git) -> None:
    studio.write(started())
    commit(git, "evening")
    for revision in ("--output=/no", "no-such", "HEAD:ledger", "HEAD..HEAD"):
        with pytest.raises(WrongCommand, match="neither a seq number"):
            known_at(studio.root, revision)
