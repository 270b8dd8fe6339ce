"""A ledger in git: committed once a day, and found to be cut or rewritten by the last trailer."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from daemon.adapters.disk import StudioDisk
from daemon.adapters.git import StudioGit
from daemon.core.commands import Command, ReportIncident
from daemon.core.events import DaemonStarted, DaemonStopped, Event, Incident
from daemon.errors import PersonNeeded, WorldError
from daemon.ports import Commit
from daemon.shell.checkpoint import Checkpoints, check_at_start
from daemon.shell.ledger import Ledger
from daemon.wire.checkpoint import Trailer, read_trailer, render
from daemon.wire.ledger_line import Head, write_line
from tests.cli.studio import failed, taken, trained, whole_story
from tests.fakes import MemoryDisk
from tests.repository import Repository, repository
from tests.virtual_time import run

HOUR_MS = 3600 * 1000
DAY_MS = 24 * HOUR_MS
EVENING = 1_795_384_800_000
"""2026-11-22T22:00:00Z."""
NEWS = Incident("DISK_LOW", "Little space is left.")


@dataclass
class Hands:
    """A clock that is set by hand, and what the checkpoints told the loop."""

    at: int = EVENING
    told: list[Command] = field(default_factory=list)

    def now(self) -> int:
        return self.at


class Studio:
    """A studio on the real disk in a real repository, with a ledger that is written to."""

    def __init__(self, repo: Repository, folder: str = ".") -> None:
        self.repo = repo
        self.root = repo.root / folder
        (self.root / ".nightpress").mkdir(parents=True, exist_ok=True)
        self.disk = StudioDisk(self.root)
        self.git = StudioGit(self.root, environment=repo.environment)
        self.hands = Hands()
        self.ledger = Ledger(self.disk, host="mac")
        repo.write(f"{folder}/ledger/studio", "0123456789ab\n")
        repo.write(f"{folder}/ledger/mac/machine", "salt:hash\n")
        asyncio.run(self.ledger.load())

    @property
    def segment(self) -> Path:
        return self.root / "ledger/mac/2026-11.jsonl"

    def write(self, *events: Event) -> None:
        page = self.ledger.page()
        for event in events:
            page.write(event, at=self.hands.at)
        asyncio.run(self.ledger.append(page))

    def commit(self) -> bool:
        return asyncio.run(checkpoints(self).commit())

    def start(self) -> None:
        """As the daemon begins."""
        asyncio.run(check_at_start(self.git, self.disk, host="mac"))

    @property
    def subjects(self) -> list[str]:
        return self.repo.git("log", "--format=%s").splitlines()


def checkpoints(studio: Studio) -> Checkpoints:
    return Checkpoints(
        git=studio.git,
        disk=studio.disk,
        clock=studio.hands,
        host="mac",
        head=lambda: studio.ledger.head,
        busy=lambda: False,
        tell=studio.hands.told.append,
    )


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    return Studio(repository(tmp_path))


# What is committed.


def test_three_nights_are_three_commits_that_say_what_the_night_made(studio: Studio) -> None:
    nights: Sequence[Sequence[Event]] = (
        [NEWS, *whole_story(), *whole_story("ch01_p004")],
        [*taken("ch01_p005"), *failed("ch01_p005")],
        trained(),
    )
    for night in nights:
        studio.write(*night)
        studio.commit()
        studio.hands.at += DAY_MS
    said = [subject.split(",")[0] for subject in studio.subjects]
    assert said == ["1 LoRA trained", "1 job failed", "2 panels drawn", "first page"]
    assert studio.repo.status == []
    trailer = read_trailer(studio.repo.git("log", "-1", "--format=%B"), host="mac")
    head = studio.ledger.head
    assert trailer is not None
    assert (trailer.seq, trailer.chain, trailer.segment) == (head.seq, head.chain, head.segment)
    assert trailer.lines == studio.segment.read_bytes().count(b"\n")
    files = studio.repo.git("ls-tree", "-r", "--name-only", "HEAD", "ledger").splitlines()
    assert files == ["ledger/mac/2026-11.jsonl", "ledger/mac/machine", "ledger/studio"]


def test_there_is_one_commit_a_day_and_none_without_news(studio: Studio) -> None:
    studio.write(NEWS)
    studio.commit()
    studio.write(NEWS)
    assert studio.commit()
    assert len(studio.subjects) == 2
    studio.hands.at += DAY_MS
    assert studio.commit()
    assert len(studio.subjects) == 3
    studio.hands.at += DAY_MS
    assert not studio.commit()
    studio.write(DaemonStopped("asked to stop"), DaemonStarted("0.2.0", "comfyui"))
    assert not studio.commit()
    assert len(studio.subjects) == 3
    studio.write(NEWS)
    assert studio.commit()


def test_a_ledger_without_a_line_is_no_reason_to_commit_or_to_complain(studio: Studio) -> None:
    assert not studio.commit()
    assert studio.subjects == ["first page"]


def test_only_durable_lines_are_committed_whatever_is_behind_them(studio: Studio) -> None:
    """A line that was written and not confirmed may be gone after a power cut."""
    studio.write(NEWS)
    durable = studio.segment.read_bytes()
    _, line = write_line(NEWS, at=studio.hands.at, head=studio.ledger.head)
    studio.segment.write_bytes(durable + line + line[:20])
    studio.commit()
    assert studio.repo.git("show", "HEAD:ledger/mac/2026-11.jsonl") + "\n" == durable.decode()
    assert studio.repo.status == [" M ledger/mac/2026-11.jsonl"]


def test_a_month_that_ended_is_committed_to_its_end(studio: Studio) -> None:
    studio.write(NEWS, NEWS)
    studio.commit()
    studio.write(NEWS)
    studio.hands.at += 10 * DAY_MS
    studio.write(*whole_story())
    studio.commit()
    assert studio.repo.status == []
    assert studio.subjects[0].startswith("1 panel drawn")
    trailer = read_trailer(studio.repo.git("log", "-1", "--format=%B"), host="mac")
    assert trailer is not None
    assert (trailer.segment, trailer.lines, trailer.seq) == ("2026-12", 7, 10)


def test_a_branch_that_knows_nothing_of_the_ledger_gets_all_of_it(studio: Studio) -> None:
    studio.write(NEWS)
    studio.hands.at += 10 * DAY_MS
    studio.write(NEWS)
    studio.commit()
    files = {file: file.read_bytes() for file in studio.segment.parent.iterdir()}
    studio.repo.git("switch", "-q", "-c", "side", "HEAD~1")
    studio.segment.parent.mkdir(parents=True)
    for file, data in files.items():
        file.write_bytes(data)
    studio.commit()
    assert studio.repo.status == []
    assert studio.subjects == ["2 incidents", "first page"]


def test_another_studio_of_the_repository_has_trailers_of_its_own(tmp_path: Path) -> None:
    repo = repository(tmp_path)
    one, two = Studio(repo, "one"), Studio(repo, "two")
    one.write(NEWS, NEWS, NEWS)
    one.commit()
    two.write(NEWS)
    two.commit()
    one.start()
    two.start()
    one.hands.at = two.hands.at = EVENING + DAY_MS
    two.write(NEWS)
    two.commit()
    assert repo.status == []
    assert len(repo.git("log", "--format=%s").splitlines()) == 4
    one.segment.write_bytes(one.segment.read_bytes().splitlines(keepends=True)[0])
    two.start()
    with pytest.raises(PersonNeeded, match="TRUNCATED"):
        one.start()


# What is found at the start.


@pytest.fixture
def kept(studio: Studio) -> Studio:
    """A studio with a checkpoint of three lines, and one line more."""
    studio.write(*[NEWS] * 3)
    studio.commit()
    studio.write(NEWS)
    return studio


def remedied(studio: Studio, said: str) -> None:
    """Do what the message says; the ledger is right afterwards."""
    command = re.search(r"git show \S+ > \S+", said)
    assert command is not None, said
    shell = ["sh", "-c", command[0]]
    subprocess.run(shell, cwd=studio.root, env=dict(studio.repo.environment), check=True)
    studio.start()


def test_a_ledger_that_goes_on_from_its_checkpoint_may_start(kept: Studio) -> None:
    kept.start()


@pytest.mark.parametrize("lines", [0, 2])
def test_a_ledger_that_was_cut_is_found_and_its_lines_can_be_had_back(
    kept: Studio, lines: int
) -> None:
    whole = kept.segment.read_bytes().splitlines(keepends=True)
    kept.segment.write_bytes(b"".join(whole[:lines]))
    with pytest.raises(PersonNeeded, match=f"TRUNCATED: it has {lines} lines") as caught:
        kept.start()
    remedied(kept, str(caught.value))
    assert kept.segment.read_bytes() == b"".join(whole[:3])


def test_a_segment_that_is_gone_is_found(kept: Studio) -> None:
    kept.segment.unlink()
    with pytest.raises(PersonNeeded, match="TRUNCATED: it has 0 lines") as caught:
        kept.start()
    remedied(kept, str(caught.value))


def test_a_ledger_that_was_written_anew_is_found(kept: Studio) -> None:
    """Its lines fit one another, so nothing else can find it."""
    kept.segment.unlink()
    shutil.rmtree(kept.root / ".nightpress" / "spare")
    kept.ledger = Ledger(kept.disk, host="mac")
    asyncio.run(kept.ledger.load())
    kept.write(*[Incident("DISK_FULL", "No space is left.")] * 5)
    with pytest.raises(PersonNeeded, match="REWRITTEN: it has 5 lines") as caught:
        kept.start()
    remedied(kept, str(caught.value))


@pytest.mark.parametrize(
    "commands",
    [
        ("reset -q --hard HEAD~1",),
        ("switch -q -f -c other HEAD~1", "branch -q -D main"),
        ("stash -q", "switch -q -c other HEAD~1"),
        ("commit -q --amend -m hers",),
    ],
)
def test_a_checkpoint_is_found_that_no_branch_holds_any_more(
    kept: Studio, commands: Sequence[str]
) -> None:
    for command in commands:
        kept.repo.git(*command.split())
    kept.segment.parent.mkdir(parents=True, exist_ok=True)
    kept.segment.write_bytes(b"")
    with pytest.raises(PersonNeeded, match="TRUNCATED"):
        kept.start()


def test_an_old_checkpoint_with_a_new_date_counts_no_more_than_it_holds(kept: Studio) -> None:
    """A rebase dates them all anew."""
    kept.hands.at += DAY_MS
    kept.commit()
    late = {**kept.repo.environment, "GIT_COMMITTER_DATE": "2027-01-01T00:00:00Z"}
    mia = Repository(kept.repo.root, late)
    mia.git("switch", "-q", "-c", "side", "HEAD~2")
    mia.git("cherry-pick", "main~1")
    mia.git("switch", "-q", "main")
    kept.start()
    whole = kept.segment.read_bytes().splitlines(keepends=True)
    kept.segment.write_bytes(b"".join(whole[:3]))
    with pytest.raises(PersonNeeded, match="holds 4 lines"):
        kept.start()


def test_a_made_up_trailer_stops_nobody(kept: Studio) -> None:
    forged = "Nightpress-Ledger: mac 2026-11 99 99 " + "0" * 32
    kept.repo.git("commit", "-q", "--allow-empty", "-m", f"forged\n\n{forged}")
    kept.start()
    kept.segment.write_bytes(b"")
    with pytest.raises(PersonNeeded, match="holds 3 lines"):
        kept.start()


def test_a_repository_that_cannot_be_asked_stops_nobody(kept: Studio, tmp_path: Path) -> None:
    kept.git = StudioGit(kept.root, environment={"PATH": str(tmp_path)})
    kept.start()
    kept.git = StudioGit(tmp_path / "elsewhere", environment=kept.repo.environment)
    kept.start()


def test_a_git_that_hangs_does_not_stop_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> float:
        await check_at_start(FakeGit(hangs=True), MemoryDisk(), host="mac")
        return asyncio.get_running_loop().time()

    assert run(main()) == 10.0


# When.


@dataclass
class FakeGit:
    """A repository in which nothing can be committed, or all is from ``made_at_h`` on; ``asked``
    when.
    """

    refusal: str = "a merge is going on there"
    hangs: bool = False
    made_at_h: float = 0.0
    asked: list[float] = field(default_factory=list)

    async def commits(self, text: str, *, everywhere: bool) -> Sequence[Commit]:
        self.asked.append(asyncio.get_running_loop().time())
        if self.hangs:
            await asyncio.sleep(10**6)
        if self.refusal:
            raise WorldError("GIT_CHECKPOINT", self.refusal)
        trailer = Trailer("mac", "2026-11", 1, 1, "0" * 32)
        made = self.asked[-1] >= self.made_at_h * 3600
        at = RunningClock().now() - (0 if made else DAY_MS)
        return [Commit("c" * 40, at, render("said", [], trailer=trailer))]

    async def file(self, commit: str, path: str) -> bytes | None:
        return b'{"seq":1,"chain":"%s"}\n' % (b"0" * 32)

    async def commit(self, files: Mapping[str, bytes], *, message: str, at: int) -> str:
        raise AssertionError("it is there")


class RunningClock:
    """The time of the virtual loop, from 22:00 UTC on."""

    def now(self) -> int:
        return EVENING + round(asyncio.get_running_loop().time() * 1000)


def growing() -> Head:
    """A ledger that has a new line at every look."""
    return Head(RunningClock().now(), "", "")


def watched(
    git: FakeGit,
    *,
    hours: float,
    busy: Sequence[float] = (0, 0),
    head: Callable[[], Head] = growing,
) -> list[Command]:
    """What was told while the checkpoints ran for so long; a job had the GPU between ``busy``."""
    told: list[Command] = []

    def is_busy() -> bool:
        return busy[0] <= asyncio.get_running_loop().time() / 3600 < busy[1]

    async def main() -> None:
        kept = Checkpoints(
            git=git,
            disk=MemoryDisk(),
            clock=RunningClock(),
            host="mac",
            head=head,
            busy=is_busy,
            tell=told.append,
        )
        task = asyncio.ensure_future(kept.run())
        await asyncio.sleep(hours * 3600)
        task.cancel()

    run(main())
    return told


def test_it_is_tried_once_a_day_at_the_first_moment_without_a_job() -> None:
    git = FakeGit(refusal="")
    watched(git, hours=30, busy=(0, 9))
    # It begins at 22:00, after noon; the next day is busy until 7:00, the third is quiet.
    assert [at / 3600 for at in git.asked] == [0.0, 9.0, 26.0]


def test_git_is_not_asked_again_before_there_is_a_new_line() -> None:
    git = FakeGit(refusal="")
    watched(git, hours=60, head=lambda: Head(1, "", ""))
    assert [at / 3600 for at in git.asked] == [0.0]


def test_news_that_comes_later_in_the_day_is_committed_on_that_day() -> None:
    def head() -> Head:
        return Head(1 if asyncio.get_running_loop().time() < 3600 else 2, "", "")

    git = FakeGit(refusal="", made_at_h=1.0)
    watched(git, hours=2, head=head)
    assert [at / 3600 for at in git.asked] == [0.0, 1.0]


def test_a_press_that_is_never_at_rest_is_not_waited_for_after_noon() -> None:
    git = FakeGit(refusal="")
    watched(git, hours=40, busy=(0, 40))
    assert [at / 3600 for at in git.asked] == [0.0, 14.0, 38.0]


def test_what_cannot_be_now_is_tried_again_every_hour_and_told_once_a_day_three_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    git = FakeGit()
    assert watched(git, hours=71.5) == []
    assert [at / 3600 for at in git.asked[:3]] == [0.0, 1.0, 2.0]
    assert caplog.text.count("a merge is going on there") == 1
    told = watched(FakeGit(), hours=24 * 7)
    assert told == [ReportIncident("GIT_CHECKPOINT", "Since 2026-11-22: a merge is going on there")]


def test_a_mistake_of_ours_does_not_end_the_daemon(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(FakeGit):
        async def commits(self, text: str, *, everywhere: bool) -> Sequence[Commit]:
            self.asked.append(0.0)
            raise ZeroDivisionError("a mistake")

    git = Broken()
    watched(git, hours=1.5)
    assert len(git.asked) == 2
    assert "ZeroDivisionError" in caplog.text
