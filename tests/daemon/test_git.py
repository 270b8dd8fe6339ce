"""git in the studio: nothing that it does to the ledger's files, and whenever, costs a line."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from daemon.adapters.disk import StudioDisk
from daemon.core.events import Incident
from daemon.errors import LedgerChanged, LedgerDamaged, PersonNeeded, WorldError
from daemon.ports import FileStat
from tests.git_operations import COMMIT, OPERATIONS, interleave, take_ours
from tests.gitting import (
    NOTE,
    OTHER,
    SEGMENT,
    Repository,
    Writer,
    environment,
    known,
    opened,
    studio_in,
    template,
)

SPARE = SEGMENT.replace("ledger/", ".nightpress/spare/")


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return template(tmp_path_factory.mktemp("git"))


@pytest.fixture
def studio(origin: Path, tmp_path: Path) -> Repository:
    return Repository(studio_in(origin, tmp_path))


def said(text: str) -> Sequence[Incident]:
    return [Incident("NOTE", text)]


async def a_day(writer: Writer) -> None:
    """A life that writes, rests, and writes again."""
    await writer.begin()
    await writer.turn(said("in the morning"))
    await writer.turn()
    await writer.turn(said("in the evening"))
    await writer.turn()


async def one_more_day(writer: Writer) -> None:
    """What was put back is recorded, and every line is where it was."""
    await a_day(writer)
    await writer.turn()
    writer.check()


# Operations between the writer's steps.


@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_operation_of_gits_costs_a_line(operation: str, origin: Path, tmp_path: Path) -> None:
    interleave(origin, tmp_path / "play", operation, Random(f"{operation} 1"))


# Operations between any two of the ledger's calls of the disk.


class Disturbed(StudioDisk):
    """``deed`` is done just before the calls with these numbers."""

    def __init__(self, root: Path, deed: Callable[[], object], *, at: Collection[int]) -> None:
        super().__init__(root)
        self.calls = 0
        self._deed = deed
        self._disturb_at = at

    async def list(self, folder: str) -> Sequence[FileStat]:
        self._count()
        return await super().list(folder)

    async def stat(self, path: str) -> FileStat | None:
        self._count()
        return await super().stat(path)

    async def tail(self, path: str, *, offset: int, limit_bytes: int) -> bytes:
        self._count()
        return await super().tail(path, offset=offset, limit_bytes=limit_bytes)

    async def copy(self, path: str, to: str) -> None:
        self._count()
        await super().copy(path, to)

    async def write(self, path: str, data: bytes, *, synced: bool) -> None:
        self._count()
        await super().write(path, data, synced=synced)

    async def append(self, path: str, data: bytes, *, inode: int, size: int) -> FileStat:
        self._count()
        return await super().append(path, data, inode=inode, size=size)

    async def held(self, path: str, *, limit_bytes: int) -> bytes | None:
        self._count()
        return await super().held(path, limit_bytes=limit_bytes)

    async def link(self, path: str, to: str) -> bool:
        self._count()
        return await super().link(path, to)

    def _count(self) -> None:
        self.calls += 1
        if self.calls in self._disturb_at:
            self._deed()


AT_ONCE: Mapping[str, Sequence[Sequence[str]]] = {
    "an older branch": [("checkout", "-qf", "short")],
    "a branch without a ledger": [("checkout", "-qf", "before")],
    "what was committed": [("reset", "-q", "--hard")],
    "an older branch and back": [("checkout", "-qf", "short"), ("checkout", "-qf", "main")],
    "the ledger removed": [("rm", "-rfq", "ledger")],
}


async def disturbed(
    studio: Repository, commands: Iterable[Sequence[str]], *, at: Collection[int]
) -> int:
    """A life in which git acts before these calls; how many calls it had."""
    writer = known(studio.root)
    await a_day(writer)

    def act() -> None:
        for command in commands:
            studio.git(*command, check=False)

    async def again(deed: Callable[[], Awaitable[None]]) -> None:
        for _ in range(3):  # As the loop does it when the disk is not ready.
            with suppress(WorldError):
                return await deed()
        return await deed()

    disk = Disturbed(studio.root, act, at=at)
    writer.check_restored = False
    await again(lambda: writer.begin(disk))
    for text in ("one", "", "two", "three", ""):
        await again(lambda text=text: writer.turn(said(text) if text else ()))  # type: ignore[misc]
    await one_more_day(writer)
    return disk.calls


@pytest.mark.parametrize("then", [3, 5, 7, 9])
@pytest.mark.parametrize("what", AT_ONCE)
def test_git_may_act_between_any_two_looks_at_the_disk_and_soon_again(
    what: str, then: int, origin: Path, tmp_path: Path
) -> None:
    calls, at = 20, then
    while at < calls:
        at += 11
        root = studio_in(origin, tmp_path)
        calls = asyncio.run(disturbed(Repository(root), AT_ONCE[what], at=(at, at + then)))
        shutil.rmtree(root)
    assert calls > 20


def test_git_may_run_while_lines_are_written(studio: Repository) -> None:
    """Real git beside a writer that never rests: whatever moment they meet in."""

    async def tell() -> Writer:
        writer = known(studio.root)
        await a_day(writer)
        writer.check_restored = False
        for command in (*OPERATIONS["checkout -f branch"], *OPERATIONS["switch -f"], COMMIT) * 2:
            git = asyncio.create_subprocess_exec(
                "git", *command, cwd=studio.root, env=environment(studio.root.parent)
            )
            running = asyncio.ensure_future((await git).wait())
            while not running.done():
                await writer.turn(said("meanwhile"))
                await writer.turn()
        await one_more_day(writer)
        return writer

    assert len(asyncio.run(tell()).written[SEGMENT]) > 30


def test_second_names_that_git_cleaned_away_are_given_again(studio: Repository) -> None:
    """And what is put away afterwards, with no daemon alive, is put back."""

    async def tell() -> None:
        writer = known(studio.root)
        await a_day(writer)
        studio.git("clean", "-fdxq")
        assert not (studio.root / ".nightpress").exists()
        await writer.turn()
        studio.git("stash", "-q")
        studio.git("checkout", "-q", "before")
        await one_more_day(writer)
        assert writer.restored == 11

    asyncio.run(tell())


def test_what_was_stashed_with_the_ledger_is_brought_back_without_it(studio: Repository) -> None:
    """`git stash pop` refuses, since the ledger has its lines again."""

    async def tell() -> None:
        writer = known(studio.root)
        await a_day(writer)
        studio.note("a thought")
        studio.git("stash", "-q")
        await one_more_day(writer)
        assert studio.git("stash", "pop", check=False).returncode == 1
        studio.git("checkout", "stash", "--", ".", ":!ledger")
        studio.git("stash", "drop", "-q")
        assert (studio.root / NOTE).read_text().endswith("a thought\n")
        writer.check()

    asyncio.run(tell())


def test_a_stash_without_the_ledger_comes_back_by_itself(studio: Repository) -> None:
    async def tell() -> None:
        writer = known(studio.root)
        await a_day(writer)
        studio.note("a thought")
        studio.git("stash", "push", "-q", "--", ".", ":!ledger")
        await one_more_day(writer)
        studio.git("stash", "pop", "-q")
        await one_more_day(writer)
        assert writer.restored == 0

    asyncio.run(tell())


class Linkless(StudioDisk):
    """On a volume that knows no hard links."""

    async def link(self, path: str, to: str) -> bool:
        return False


@pytest.mark.parametrize("what", ["an older branch", "what was committed"])
def test_a_living_daemon_sees_through_git_without_hard_links_too(
    what: str, studio: Repository
) -> None:
    async def tell() -> None:
        writer = known(studio.root)
        await writer.begin(Linkless(studio.root))
        await writer.turn(said("before"))
        await writer.turn()
        for command in AT_ONCE[what]:
            studio.git(*command)
        for text in ("at once", "again"):
            await writer.turn(said(text))
        assert not (studio.root / SPARE).exists(), "a copy would be stale with the next line"
        await writer.begin(Linkless(studio.root))
        writer.check_lines()

    asyncio.run(tell())


# Several machines.


def test_two_hosts_ledgers_merge_both_ways_without_a_conflict(
    studio: Repository, tmp_path: Path
) -> None:
    """git's own merge will do: no driver, one writer a file."""
    studio.git("clone", "-q", "--bare", ".", "../between")
    studio.git("remote", "set-url", "origin", "../between")
    studio.git("clone", "-q", "../between", "../pc")
    other = Repository(tmp_path / "pc")

    async def tell() -> None:
        here, there = known(studio.root), await opened(other.root, OTHER)
        for _ in range(3):
            for writer, repository in ((here, studio), (there, other)):
                await one_more_day(writer)
                repository.commit("a day")
                repository.git("pull", "-q", "--no-rebase", "--no-edit")
                repository.git("push", "-q", "origin", "main")
        studio.git("pull", "-q", "--no-rebase", "--no-edit")
        for repository in (studio, other):
            for writer in (here, there):
                Writer(repository.root, writer.host, written=writer.written).check()
        assert here.restored == there.restored == 0

    asyncio.run(tell())


# What git left behind while no daemon was alive.


async def stopped(writer: Writer) -> PersonNeeded:
    with pytest.raises((LedgerChanged, LedgerDamaged)) as caught:
        await writer.begin()
    return caught.value


def test_a_branch_from_before_the_ledger_loses_neither_lines_nor_whose_they_are(
    studio: Repository,
) -> None:
    async def tell() -> None:
        writer = known(studio.root)
        await a_day(writer)
        lines = sum(map(len, writer.written.values()))
        studio.commit("a day")
        studio.git("checkout", "-q", "before")
        assert not (studio.root / "ledger/mac").exists()
        await one_more_day(writer)
        assert writer.restored == lines

    asyncio.run(tell())


def test_newer_lines_of_our_own_from_a_remote_are_gone_on_with(studio: Repository) -> None:
    """She pushed from this machine, went back with reset, and pulled again."""

    async def tell() -> None:
        writer = known(studio.root)
        await a_day(writer)
        studio.commit("a day")
        studio.git("branch", "pushed")
        studio.git("reset", "-q", "--hard", "main~2")
        shutil.rmtree(studio.root / ".nightpress")
        older = known(studio.root)
        await older.begin()
        studio.git("merge", "-q", "--ff-only", "pushed")
        await one_more_day(writer)
        assert writer.restored == 0

    asyncio.run(tell())


@pytest.fixture
def forked(studio: Repository, origin: Path, tmp_path: Path) -> Writer:
    """A copy of the studio went on under the same host's name, and git brings its lines."""
    elsewhere = Repository(studio_in(origin, tmp_path / "elsewhere"))
    writer = known(studio.root)

    async def tell() -> None:
        await a_day(known(elsewhere.root))
        elsewhere.commit("elsewhere")
        await writer.begin()
        await writer.turn(said("here"))
        await writer.turn()

    asyncio.run(tell())
    studio.git("fetch", "-q", str(elsewhere.root), "main")
    studio.git("reset", "-q", "--hard", "FETCH_HEAD")
    return writer


def test_a_fork_stops_the_start_and_its_own_remedy_goes_on_with_ours(
    studio: Repository, forked: Writer
) -> None:
    async def tell() -> None:
        error = await stopped(forked)
        forked.check_stop(error)
        assert str(error) == str(await stopped(forked)), "to start again changes nothing"
        take_ours(studio.root, error)
        await one_more_day(forked)

    asyncio.run(tell())


def test_a_fork_can_be_gone_on_with_as_git_has_it_too(studio: Repository, forked: Writer) -> None:
    async def tell() -> None:
        assert "mv .nightpress/spare .nightpress/spare.old" in str(await stopped(forked))
        shutil.rmtree(studio.root / ".nightpress/spare")
        (studio.root / ".nightpress/head.json").unlink()
        await one_more_day(known(studio.root))

    asyncio.run(tell())


@pytest.mark.parametrize("alive", [True, False])
def test_marks_of_a_conflict_stop_the_writer_and_our_lines_are_kept(
    studio: Repository, alive: bool
) -> None:
    """In a studio whose .gitattributes lost what forbids them."""

    async def tell() -> None:
        studio.git("checkout", "-q", "main")
        (studio.root / ".gitattributes").write_text("")
        writer = known(studio.root)
        await one_more_day(writer)
        studio.commit("a day")
        merged = studio.git("merge", "side", check=False)
        assert merged.returncode == 1
        assert b"<<<<<<<" in (studio.root / SEGMENT).read_bytes()
        if alive:
            with pytest.raises(LedgerChanged) as caught:
                await writer.turn(said("meanwhile"))
            writer.check_stop(caught.value)
        error = await stopped(writer)
        writer.check_stop(error)
        take_ours(studio.root, error)
        studio.git("add", "-A")
        studio.git("commit", "-qm", "merged")
        await one_more_day(writer)

    asyncio.run(tell())


def test_a_studios_own_attributes_keep_marks_of_a_conflict_out(studio: Repository) -> None:
    async def tell() -> None:
        writer = known(studio.root)
        await one_more_day(writer)
        studio.commit("a day")
        assert studio.git("merge", "side", check=False).returncode == 1
        await one_more_day(writer)
        studio.git("add", "ledger")
        studio.git("commit", "-qm", "merged")
        writer.check()

    asyncio.run(tell())
