"""What a new studio tells git about its ledger, tried with git itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.adapters.new_studio import make_studio
from tests.repository import Repository, repository

SEGMENT = "ledger/mac/2026-11.jsonl"
BASE, OURS, THEIRS = "1\n2\n", "1\n2\n3 ours\n4 ours\n", "1\n2\n3 theirs\n"


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    """A new studio in a repository, with a ledger of two lines."""
    repo = repository(tmp_path)
    (repo.root / ".gitignore").unlink()
    make_studio(repo.root, studio="0" * 12)
    repo.write(SEGMENT, BASE)
    repo.commit("studio")
    repo.git("branch", "side")
    return repo


def text(repo: Repository, path: str) -> str:
    return (repo.root / path).read_bytes().decode()


def on_side(repo: Repository, path: str, data: str) -> None:
    """Another branch has this file."""
    repo.git("switch", "-q", "side")
    repo.write(path, data)
    repo.commit("side")
    repo.git("switch", "-q", "main")


def test_a_merge_of_two_branches_that_both_went_on_is_a_conflict_that_leaves_our_bytes(
    repo: Repository,
) -> None:
    on_side(repo, SEGMENT, THEIRS)
    repo.write(SEGMENT, OURS)
    repo.commit("main")
    repo.git("merge", "-q", "side", fails=True)
    assert repo.status == [f"UU {SEGMENT}"]
    assert text(repo, SEGMENT) == OURS
    assert repo.git("show", f":3:{SEGMENT}") + "\n" == THEIRS
    repo.git("checkout", "-q", "--theirs", SEGMENT)
    assert text(repo, SEGMENT) == THEIRS


def test_without_the_attribute_there_would_be_conflict_marks(repo: Repository) -> None:
    attributes = text(repo, ".gitattributes")
    repo.write(".gitattributes", attributes.replace("-merge", ""))
    repo.commit("the attribute of 0.1.0")
    on_side(repo, SEGMENT, THEIRS)
    repo.write(SEGMENT, OURS)
    repo.commit("main")
    repo.git("merge", "-q", "side", fails=True)
    assert "<<<<<<<" in text(repo, SEGMENT)


def test_a_rebase_a_cherry_pick_and_a_stash_leave_no_marks_either(repo: Repository) -> None:
    on_side(repo, SEGMENT, THEIRS)
    repo.write(SEGMENT, OURS)
    repo.commit("main")
    for command, end in (
        (("rebase", "-q", "side"), ("rebase", "--abort")),
        (("cherry-pick", "side"), ("cherry-pick", "--abort")),
    ):
        repo.git(*command, fails=True)
        assert text(repo, SEGMENT) in (OURS, THEIRS)
        repo.git(*end)
    repo.write(SEGMENT, OURS + "5\n")
    repo.git("stash", "-q")
    repo.write(SEGMENT, OURS + "5 too\n")
    repo.commit("on")
    repo.git("stash", "pop", "-q", fails=True)
    assert text(repo, SEGMENT) == OURS + "5 too\n"


def test_the_ledgers_of_two_hosts_merge_by_themselves(repo: Repository) -> None:
    on_side(repo, "ledger/mini/2026-11.jsonl", THEIRS)
    repo.write(SEGMENT, OURS)
    repo.commit("main")
    repo.git("merge", "-q", "--no-edit", "side")
    assert repo.status == []
    assert text(repo, SEGMENT) == OURS
    assert text(repo, "ledger/mini/2026-11.jsonl") == THEIRS


def test_a_branch_that_only_lags_behind_is_no_conflict(repo: Repository) -> None:
    on_side(repo, "page.txt", "two\n")
    repo.write(SEGMENT, OURS)
    repo.commit("main")
    repo.git("merge", "-q", "--no-edit", "side")
    assert text(repo, SEGMENT) == OURS


def test_a_line_diff_of_the_ledger_is_still_shown_and_its_line_ends_are_kept(
    repo: Repository,
) -> None:
    repo.git("config", "core.autocrlf", "true")
    repo.write(SEGMENT, OURS)
    assert "+3 ours" in repo.git("diff")
    repo.commit("main")
    (repo.root / SEGMENT).unlink()
    repo.git("checkout", "-q", "--", SEGMENT)
    assert text(repo, SEGMENT) == OURS
