"""The repository around the studio: what a checkpoint changes in it, and when it waits."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from daemon.adapters.git import StudioGit
from daemon.errors import WorldError
from tests import needs
from tests.repository import Repository, environment, repository

SEGMENT = "ledger/mac/2026-11.jsonl"
ONE, TWO, THREE = '{"seq":1}\n', '{"seq":2}\n', '{"seq":3}\n'
AT = 1_795_384_800_000
MESSAGE = "3 panels drawn\n\nNightpress-Ledger: mac 2026-11 2 2 " + "0" * 32 + "\n"


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    return repository(tmp_path)


def committed(
    repo: Repository,
    text: str = ONE + TWO,
    *,
    at: str = ".",
    files: Mapping[str, bytes] | None = None,
    date: int = AT,
    limit_s: float = 30.0,
    variables: Mapping[str, str] | None = None,
) -> str:
    """A checkpoint of these lines by a daemon of the studio at ``at``."""
    git = StudioGit(
        repo.root / at, environment={**repo.environment, **(variables or {})}, limit_s=limit_s
    )
    return asyncio.run(git.commit(files or {SEGMENT: text.encode()}, message=MESSAGE, at=date))


def refusal(repo: Repository, *, at: str = ".", variables: Mapping[str, str] | None = None) -> str:
    """Why there is no checkpoint now; everything is as it was."""
    before = standing(repo)
    with pytest.raises(WorldError) as caught:
        committed(repo, at=at, variables=variables)
    assert caught.value.code == "GIT_CHECKPOINT"
    assert standing(repo) == before
    return caught.value.text


def standing(repo: Repository) -> tuple[str, str, str]:
    """All refs, the index entry by entry, and how work tree and index stand to one another."""
    refs = repo.git("for-each-ref") + repo.git("log", "--all", "--reflog", "--format=%H")
    return refs, repo.git("ls-files", "--stage"), "\n".join(repo.status)


def found(repo: Repository, *, everywhere: bool, at: str = ".") -> list[str]:
    """The ids of the commits with a trailer of mac."""
    git = StudioGit(repo.root / at, environment=repo.environment)
    told = asyncio.run(git.commits("Nightpress-Ledger: mac ", everywhere=everywhere))
    return [commit.id for commit in told]


# What is in a commit, and what is not.


def test_a_checkpoint_holds_the_ledger_and_leaves_a_clean_status(repo: Repository) -> None:
    repo.write(SEGMENT, ONE + TWO)
    assert repo.status == ["?? ledger/"]
    made = committed(repo)
    assert repo.status == []
    assert repo.git("show", f"{made}:{SEGMENT}") == (ONE + TWO).strip()
    assert repo.git("rev-parse", "HEAD", "main") == f"{made}\n{made}"
    assert repo.git("show", "--format=%B", "--name-status", made).splitlines() == [
        *MESSAGE.splitlines(),
        "",
        "",
        f"A\t{SEGMENT}",
    ]
    assert repo.git("log", "-1", "--format=%an <%ae> %cn <%ce> %aI %cI") == (
        "Mia <mia@example.com> Mia <mia@example.com>"
        " 2026-11-22T22:00:00+00:00 2026-11-22T22:00:00+00:00"
    )
    assert "checkpoint of the ledger" in repo.git("reflog", "-1")


def test_only_the_bytes_that_were_given_are_committed(repo: Repository) -> None:
    """The daemon goes on appending meanwhile; half a line must never be in a commit."""
    repo.write(SEGMENT, ONE + TWO + THREE[:4])
    made = committed(repo)
    assert repo.git("cat-file", "-s", f"{made}:{SEGMENT}") == str(len(ONE + TWO))
    assert repo.status == [f" M {SEGMENT}"]
    assert (repo.root / SEGMENT).read_text() == ONE + TWO + THREE[:4]


def test_what_the_maker_has_staged_stays_staged_and_is_not_in_the_commit(repo: Repository) -> None:
    repo.write(SEGMENT, ONE)
    repo.commit("ledger by hand")
    repo.write(SEGMENT, ONE + TWO)
    repo.write("page.txt", "one, staged\n")
    repo.write("new.txt", "staged\n")
    repo.git("add", "page.txt", "new.txt")
    repo.write("page.txt", "one, staged, and more\n")
    repo.git("rm", "-q", "--cached", ".gitignore")
    repo.write("untracked.txt", "?\n")
    mine = ["A  new.txt", "MM page.txt", "?? .gitignore", "?? untracked.txt"]
    assert repo.status == ["D  .gitignore", f" M {SEGMENT}", *mine]
    made = committed(repo)
    assert repo.status == ["D  .gitignore", *mine]
    assert repo.git("show", "--format=", "--name-only", made) == SEGMENT
    assert repo.git("diff", "--cached", "--name-status").splitlines() == [
        "D\t.gitignore",
        "A\tnew.txt",
        "M\tpage.txt",
    ]


@pytest.mark.parametrize("staged", [ONE, ONE + TWO, ONE + TWO + THREE, "something else\n"])
def test_ledger_lines_that_the_maker_has_staged_are_those_of_the_commit_afterwards(
    repo: Repository, staged: str
) -> None:
    repo.write(SEGMENT, staged)
    repo.write("page.txt", "two\n")
    repo.git("add", SEGMENT, "page.txt")
    repo.write(SEGMENT, ONE + TWO)
    committed(repo)
    assert repo.status == ["M  page.txt"]


def test_a_ledger_that_was_taken_out_of_the_index_or_the_work_tree_is_not_taken_out_of_git(
    repo: Repository,
) -> None:
    repo.write(SEGMENT, ONE)
    repo.write("ledger/mac/2026-10.jsonl", "{}\n")
    repo.commit("ledger by hand")
    repo.git("rm", "-q", "-r", "--cached", "ledger")
    (repo.root / "ledger/mac/2026-10.jsonl").unlink()
    repo.write(SEGMENT, ONE + TWO)
    made = committed(repo)
    assert repo.git("ls-tree", "-r", "--name-only", made, "ledger").splitlines() == [
        "ledger/mac/2026-10.jsonl",
        SEGMENT,
    ]
    assert repo.status == ["D  ledger/mac/2026-10.jsonl"]


def test_the_commit_has_the_given_bytes_whatever_the_attributes_say(repo: Repository) -> None:
    repo.write(".gitattributes", "* text eol=crlf ident\nledger/** filter=broken\n")
    repo.git("config", "filter.broken.clean", "touch cleaned; tr a-z A-Z")
    repo.git("config", "filter.broken.required", "true")
    made = committed(repo, "a $Id$ line\r\n")
    size = repo.git("cat-file", "-s", f"{made}:{SEGMENT}")
    assert size == str(len("a $Id$ line\r\n"))
    assert not (repo.root / "cleaned").exists()


def test_a_maker_who_committed_every_line_herself_gets_the_trailer_all_the_same(
    repo: Repository,
) -> None:
    repo.write(SEGMENT, ONE + TWO)
    hers = repo.commit("ledger by hand")
    made = committed(repo)
    assert repo.git("diff", hers, made) == ""
    assert found(repo, everywhere=False) == [made]


def test_a_commit_is_found_with_its_date_and_words_even_when_no_branch_holds_it(
    repo: Repository,
) -> None:
    one = committed(repo, ONE)
    two = committed(repo, date=AT + 1000)
    repo.git("reset", "-q", "--hard", "HEAD~1")
    assert found(repo, everywhere=False) == [one]
    assert found(repo, everywhere=True) == [two, one]
    git = StudioGit(repo.root, environment=repo.environment)
    [commit] = asyncio.run(git.commits("Nightpress-Ledger: mac ", everywhere=False))
    assert (commit.at, commit.message.strip()) == (AT, MESSAGE.strip())


# Where the studio may be.


def test_a_studio_may_be_a_folder_of_a_repository(repo: Repository) -> None:
    repo.write("studios/été/page.txt", "two\n")
    repo.write(f"studios/été/{SEGMENT}", ONE + TWO)
    (repo.root / "studios/été/.nightpress").mkdir()
    repo.git("add", "studios/été/page.txt")
    made = committed(repo, at="studios/été")
    repo.git("config", "core.quotePath", "false")
    assert repo.status == ["A  studios/été/page.txt"]
    assert repo.git("show", "-z", "--format=", "--name-only", made) == f"studios/été/{SEGMENT}\0"
    git = StudioGit(repo.root / "studios/été", environment=repo.environment)
    assert asyncio.run(git.file(made, SEGMENT)) == (ONE + TWO).encode()
    assert asyncio.run(git.file(made, "page.txt")) is None
    assert asyncio.run(git.file("0" * 40, SEGMENT)) is None


def test_a_studio_may_be_in_a_linked_worktree(repo: Repository) -> None:
    main = repo.git("rev-parse", "main")
    repo.git("worktree", "add", "-q", "-b", "night", "../night")
    linked = Repository(repo.root.parent / "night", repo.environment)
    linked.write(SEGMENT, ONE + TWO)
    made = committed(linked)
    assert linked.status == []
    assert repo.git("rev-parse", "main", "night") == f"{main}\n{made}"
    assert repo.status == []
    linked.git("update-ref", "MERGE_HEAD", "main")
    assert "a merge is going on" in refusal(linked)
    # The other one is not in the middle of anything.
    repo.write(SEGMENT, ONE + TWO)
    committed(repo)


def test_a_studio_may_be_a_submodule_or_hold_a_dirty_one(repo: Repository, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = repository(tmp_path / "other").root
    repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "sub")
    repo.commit("a submodule")
    repo.write("sub/page.txt", "dirty\n")
    repo.write(SEGMENT, ONE + TWO)
    made = committed(repo)
    assert repo.status == [" M sub"]
    inner = Repository(repo.root / "sub", repo.environment)
    (inner.root / ".nightpress").mkdir()
    inner.write(SEGMENT, ONE + TWO)
    committed(repo, at="sub")
    assert inner.status == [" M page.txt"]
    assert repo.git("rev-parse", "HEAD") == made


def test_a_shallow_clone_is_as_good_as_any(repo: Repository, tmp_path: Path) -> None:
    repo.write("page.txt", "two\n")
    repo.commit("second")
    repo.git("clone", "-q", "--depth", "1", f"file://{repo.root}", "../shallow")
    shallow = Repository(tmp_path / "shallow", repo.environment)
    (shallow.root / ".nightpress").mkdir()
    shallow.write(SEGMENT, ONE + TWO)
    made = committed(shallow)
    assert shallow.status == []
    assert found(shallow, everywhere=True) == [made]


def test_without_a_repository_there_is_nothing_to_find_and_a_sentence(tmp_path: Path) -> None:
    bare = Repository(tmp_path / "studio", environment(tmp_path / "home"))
    bare.root.mkdir()
    assert found(bare, everywhere=True) == found(bare, everywhere=False) == []
    with pytest.raises(WorldError, match="in no git repository"):
        committed(bare)


def test_a_bare_repository_or_a_place_inside_one_is_no_studio(repo: Repository) -> None:
    (repo.root / ".git" / "studio" / ".git").mkdir(parents=True)
    assert "in no work tree" in refusal(repo, at=".git")


def test_variables_that_lead_to_another_repository_are_not_passed_on(repo: Repository) -> None:
    names = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY")
    made = committed(repo, variables=dict.fromkeys(names, "/nowhere"))
    assert repo.git("rev-parse", "HEAD") == made


# Not now.


def conflict(repo: Repository) -> None:
    """Two branches that changed one page; the maker is on main."""
    repo.git("switch", "-q", "-c", "side")
    repo.write("page.txt", "side\n")
    repo.commit("side")
    repo.git("switch", "-q", "main")
    repo.write("page.txt", "main\n")
    repo.commit("main")
    repo.write(SEGMENT, ONE + TWO)


def test_in_the_middle_of_a_merge_it_is_later(repo: Repository) -> None:
    conflict(repo)
    repo.git("merge", "-q", "side", fails=True)
    assert "a merge is going on" in refusal(repo)
    repo.write("page.txt", "both\n")
    repo.git("add", "page.txt")
    assert "a merge is going on" in refusal(repo)
    repo.git("commit", "-qm", "merged")
    committed(repo)
    assert repo.status == []


@pytest.mark.parametrize(
    ("command", "what"),
    [
        (("rebase", "-q", "side"), "a rebase is going on"),
        (("rebase", "-q", "--apply", "side"), "a rebase or an am is going on"),
        (("cherry-pick", "side"), "a cherry-pick is going on"),
        (("revert", "--no-edit", "HEAD~1"), "a revert is going on"),
        (("stash", "pop", "-q"), "its index has unmerged files"),
    ],
)
def test_in_the_middle_of_anything_else_it_is_later(
    repo: Repository, command: tuple[str, ...], what: str
) -> None:
    conflict(repo)
    (repo.root / SEGMENT).unlink()
    if command[0] == "revert":
        repo.write("page.txt", "main again\n")
        repo.commit("again")
    if command[0] == "stash":
        repo.write("page.txt", "stashed\n")
        repo.git("stash", "-q")
        repo.write("page.txt", "main again\n")
        repo.commit("again")
    repo.git(*command, fails=True)
    repo.write(SEGMENT, ONE + TWO)
    assert what in refusal(repo)


def test_in_a_bisect_it_is_later(repo: Repository) -> None:
    conflict(repo)
    repo.git("bisect", "start", "HEAD", "HEAD~1")
    assert "a bisect is going on" in refusal(repo)


def test_on_no_branch_it_is_later(repo: Repository) -> None:
    """Nobody would find a commit again that only HEAD held."""
    repo.git("switch", "-q", "--detach")
    assert "git switch BRANCH" in refusal(repo)


def test_the_first_commit_of_a_branch_is_the_makers(repo: Repository) -> None:
    repo.git("switch", "-q", "--orphan", "fresh")
    repo.write(SEGMENT, ONE + TWO)
    assert found(repo, everywhere=False) == found(repo, everywhere=True) == []
    assert "no commit yet" in refusal(repo)


def test_a_lock_on_the_index_means_later_and_is_nobodys_to_remove(repo: Repository) -> None:
    lock = repo.root / ".git" / "index.lock"
    lock.touch()
    with pytest.raises(WorldError, match=r"index\.lock"):
        committed(repo)
    assert lock.exists()
    lock.unlink()
    assert found(repo, everywhere=True) == []
    committed(repo)


def test_a_locked_branch_leaves_the_index_as_it_was(repo: Repository) -> None:
    repo.write(SEGMENT, ONE)
    repo.git("add", SEGMENT)
    before = standing(repo)
    lock = repo.root / ".git" / "refs" / "heads" / "main.lock"
    lock.touch()
    other = {SEGMENT: b"1\n", "ledger/mac/2026-10.jsonl": b"0\n"}
    with pytest.raises(WorldError, match="lock"):
        committed(repo, files=other)
    assert standing(repo) == before


def test_a_commit_that_the_maker_makes_meanwhile_goes_first(
    repo: Repository, tmp_path: Path
) -> None:
    repo.write(SEGMENT, ONE)
    repo.git("add", SEGMENT)
    repo.write("page.txt", "two\n")
    real = needs.program("git")
    hers = f"*update-ref*) {real} commit -qm hers page.txt ;;"
    variables = fake_git(tmp_path / "bin", f'case "$*" in {hers} esac; exec {real} "$@"')
    with pytest.raises(WorldError):
        committed(repo, variables=variables)
    assert repo.git("log", "-1", "--format=%s") == "hers"
    assert repo.status == [f"A  {SEGMENT}"]
    assert repo.git("show", f":{SEGMENT}") == ONE.strip()


def test_a_ledger_that_git_is_told_to_ignore_is_not_forced_into_it(repo: Repository) -> None:
    repo.write(".gitignore", ".nightpress/\nledger/\n")
    repo.commit("no ledger, please")
    assert f"it ignores {SEGMENT}" in refusal(repo)


# What git must not do on the way.


def test_no_hook_no_monitor_no_signature_and_no_upkeep_is_started(repo: Repository) -> None:
    told = repo.root.parent / "told"
    script = repo.root.parent / "program"
    script.write_text(f"#!/bin/sh\necho $0 >> {told}\nexit 1\n")
    script.chmod(0o755)
    hooks = repo.root / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in (
        *("pre-commit", "prepare-commit-msg", "commit-msg", "post-commit", "pre-auto-gc"),
        *("reference-transaction", "post-index-change", "post-rewrite", "fsmonitor-watchman"),
    ):
        (hooks / name).symlink_to(script)
    for key, value in {
        "core.fsmonitor": str(script),
        "core.editor": str(script),
        "core.pager": str(script),
        "core.hooksPath": str(hooks),
        "commit.gpgSign": "true",
        "gpg.program": str(script),
        "log.showSignature": "true",
        "gc.auto": "1",
    }.items():
        repo.git("config", key, value)
    committed(repo)
    signed(repo, MESSAGE)
    assert len(found(repo, everywhere=True)) == 2
    assert not told.exists()
    # They would have been: the maker's own commit starts one, and it stops her.
    repo.git("commit", "-qm", "mine", "--allow-empty", fails=True)
    assert told.exists()


def signed(repo: Repository, message: str) -> str:
    """A commit on a branch of its own that carries a signature."""
    head = repo.git("cat-file", "commit", "HEAD").partition("\n\n")[0]
    signature = "gpgsig -----BEGIN PGP SIGNATURE-----\n x\n -----END PGP SIGNATURE-----"
    repo.write(".nightpress/raw", f"{head}\n{signature}\n\n{message}")
    made = repo.git("hash-object", "-t", "commit", "-w", ".nightpress/raw")
    repo.git("-c", "core.hooksPath=/dev/null", "branch", "signed", made)
    return made


def test_who_is_nobody_to_git_is_nightpress(repo: Repository) -> None:
    config = Path(repo.environment["GIT_CONFIG_GLOBAL"])
    config.write_text("[user]\nuseConfigOnly = true\n")
    committed(repo)
    form = "--format=%an <%ae> %cn <%ce>"
    both = "nightpress <nightpress@localhost>"
    assert repo.git("log", "-1", form) == f"{both} {both}"
    config.write_text("[user]\nname = Mia\n")
    committed(repo, ONE + TWO + THREE)
    assert repo.git("log", "-1", "--format=%an <%ae>") == "Mia <nightpress@localhost>"


def fake_git(folder: Path, body: str) -> Mapping[str, str]:
    """A PATH on which this script is git."""
    folder.mkdir()
    (folder / "git").write_text(f"#!/bin/sh\n{body}\n")
    (folder / "git").chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


@pytest.mark.realprocess
@pytest.mark.parametrize(
    "body", ["exec sleep 60", "sleep 60 & echo $! > child; trap '' TERM; wait; sleep 60"]
)
def test_a_git_that_hangs_is_ended_with_its_children_at_the_time_limit(
    repo: Repository, tmp_path: Path, body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.adapters.git._GRACE_S", 0.2)
    variables = fake_git(tmp_path / "bin", f"echo $$ > pid; {body}")
    before = time.monotonic()
    with pytest.raises(WorldError, match="did not end within"):
        committed(repo, limit_s=0.5, variables=variables)
    assert time.monotonic() - before < 5
    for name in ("pid", "child"):
        if (repo.root / name).exists():
            assert not is_alive(int((repo.root / name).read_text()))


def is_alive(pid: int) -> bool:
    """Whether the process does anything; one that is only not yet buried does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.realprocess
def test_a_git_that_hangs_does_not_hold_up_the_loop_nor_its_end(
    repo: Repository, tmp_path: Path
) -> None:
    variables = fake_git(tmp_path / "bin", "exec sleep 60")
    git = StudioGit(repo.root, environment={**repo.environment, **variables})

    async def main() -> float:
        task = asyncio.ensure_future(git.commit({SEGMENT: b"1\n"}, message="m", at=AT))
        for _ in range(10):
            await asyncio.sleep(0.01)
        assert not task.done()
        before = time.monotonic()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return time.monotonic() - before

    assert asyncio.run(main()) < 2


def test_a_machine_without_git_says_so(repo: Repository, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    text = refusal(repo, variables={"PATH": str(tmp_path / "bin")})
    assert "git cannot be started" in text


def test_a_kill_between_any_two_steps_never_leaves_the_ledgers_removal_staged(
    repo: Repository, tmp_path: Path
) -> None:
    """After the kill no git works any more; the next life finds nothing in its way."""
    repo.write(SEGMENT, ONE)
    head = repo.commit("ledger by hand")
    repo.write(SEGMENT, ONE + TWO)
    left, real = tmp_path / "left", needs.program("git")
    body = f'n=$(cat {left}); echo $((n-1)) > {left}; [ $n -gt 0 ] && exec {real} "$@"; exit 1'
    variables = fake_git(tmp_path / "bin", body)
    seen = []
    for steps in range(100):
        left.write_text(f"{steps}\n")
        with suppress(WorldError):
            committed(repo, variables=variables)
            break
        assert repo.git("rev-parse", "HEAD") == head
        seen.append(repo.status)
    assert seen[0] == [f" M {SEGMENT}"]
    assert seen[-1] == [f"M  {SEGMENT}"]
    assert len(seen) > 10
    assert all(status in (seen[0], seen[-1]) for status in seen)
    assert repo.status == []
