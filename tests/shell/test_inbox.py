"""The listing is the fact; a file goes when its answer is durable, and only if it is still it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256

import pytest

from daemon.core.commands import Command, Reject, ReportIncident, TakeControl
from daemon.core.jobs import Complaint, Control, FileFacts
from daemon.core.state import Drop, drop_of
from daemon.errors import WorldError
from daemon.shell.inbox import Inbox, is_job_name
from daemon.wire.rejected import rejected_folder
from tests.fakes import MemoryDisk
from tests.virtual_time import run

JOB = b'kind = "pause"\n'
UNFINISHED = b'kind = "pause"'
LIMIT = 1_000
ASIDE = ".nightpress/taken"


def _nothing() -> None:
    """Nothing happens meanwhile."""


@dataclass
class Desk:
    """An inbox whose every file is a pause; what is asked is durable at once.

    ``meanwhile`` happens while a file is examined; ``refusing`` is the world's answer to an ask.
    """

    disk: MemoryDisk = field(default_factory=MemoryDisk)
    answered: dict[Drop, str] = field(default_factory=dict)
    asked: list[Command] = field(default_factory=list)
    meanwhile: Callable[[], object] = _nothing
    refusing: WorldError | None = None

    def inbox(self) -> Inbox:
        return Inbox(
            self.disk,
            settle_s=2.0,
            limit_bytes=LIMIT,
            examine=self.examine,
            answered=lambda: self.answered,
            ask=self.ask,
        )

    async def examine(self, file: FileFacts, data: bytes | None) -> Command:
        self.meanwhile()
        if data is None:
            return Reject(file, None, "", (Complaint(0, "", "Too large."),))
        return TakeControl(file, Control("pause"))

    async def ask(self, command: Command) -> None:
        if self.refusing is not None and not isinstance(command, ReportIncident):
            raise self.refusing
        self.asked.append(command)
        if isinstance(command, TakeControl | Reject):
            self.answered[drop_of(command.file)] = "answered"

    @property
    def names(self) -> list[str]:
        """The files that were answered, in order."""
        return [c.file.name for c in self.asked if isinstance(c, TakeControl | Reject)]

    async def taken_at(self, inbox: Inbox, *, limit_s: float = 30.0) -> float:
        """Scan every quarter of a second; the moment at which something is answered."""
        clock = asyncio.get_running_loop()
        while clock.time() < limit_s:
            await inbox.scan()
            if self.asked:
                return clock.time()
            await asyncio.sleep(0.25)
        return limit_s


def now() -> float:
    return asyncio.get_running_loop().time()


# When a file has settled.


@pytest.mark.parametrize(
    ("data", "at_s"),
    [
        (JOB, 2.0),
        (UNFINISHED, 10.0),
        (b"", 10.0),
        (UNFINISHED + b"\nend = true", 0.0),
        (UNFINISHED + b"\n  end=true  \n\n", 0.0),
        (UNFINISHED + b"\r\nend = true\r\n", 0.0),
        (b"end = true\n" + JOB, 2.0),
        (b'# end = true"\n', 2.0),
        (b"x" * (LIMIT + 1), 2.0),
    ],
)
def test_a_file_is_taken_when_it_was_quiet_or_says_that_it_is_whole(
    data: bytes, at_s: float
) -> None:
    async def story() -> None:
        desk = Desk()
        desk.disk.put("inbox/a.toml", data)
        assert await desk.taken_at(desk.inbox()) == at_s

    run(story())


def test_a_file_that_is_still_being_saved_is_not_quiet() -> None:
    async def story() -> None:
        desk = Desk()
        inbox = desk.inbox()
        node = desk.disk.put("inbox/a.toml", b"")
        for _ in range(5):
            await inbox.scan()
            await asyncio.sleep(1.75)
            node.data += JOB
        assert desk.asked == []
        began_s = now()
        assert await desk.taken_at(inbox) == began_s + 2.0

    run(story())


@pytest.mark.parametrize("what", ["size", "mtime_ns", "inode"])
def test_size_time_and_inode_all_have_to_be_quiet(what: str) -> None:
    async def story() -> None:
        desk = Desk()
        inbox = desk.inbox()
        node = desk.disk.put("inbox/a.toml", JOB)
        await inbox.scan()
        await asyncio.sleep(1.5)
        if what == "size":
            node.data += b"\n"
        elif what == "mtime_ns":
            node.mtime_ns += 1
        else:
            node.inode += 1
        await inbox.scan()
        await asyncio.sleep(1.5)
        await inbox.scan()
        assert desk.asked == []
        await asyncio.sleep(0.5)
        await inbox.scan()
        assert desk.names == ["a.toml"]

    run(story())


def test_what_is_read_must_be_what_was_seen_to_be_quiet() -> None:
    async def story() -> None:
        desk = Desk()
        inbox = desk.inbox()
        node = desk.disk.put("inbox/a.toml", JOB)
        await inbox.scan()
        await asyncio.sleep(2.0)
        [listed] = await desk.disk.list("inbox")
        node.data, node.mtime_ns = JOB[:4] + b"\n", node.mtime_ns + 1
        assert await inbox._look(listed) is None
        assert desk.asked == []

    run(story())


@pytest.mark.parametrize("hidden", [".a.tmp", ".a.toml.tmp"])
def test_a_file_that_was_seen_under_its_dot_name_is_taken_at_once(hidden: str) -> None:
    async def story() -> None:
        desk = Desk()
        inbox = desk.inbox()
        desk.disk.put(f"inbox/{hidden}", UNFINISHED)
        await inbox.scan()
        await desk.disk.move(f"inbox/{hidden}", "inbox/a.toml")
        await inbox.scan()
        assert desk.names == ["a.toml"]

    run(story())


def test_a_file_that_a_watcher_saw_being_renamed_is_taken_at_once() -> None:
    async def story() -> None:
        desk = Desk()
        inbox = desk.inbox()
        desk.disk.put("inbox/a.toml", UNFINISHED)
        inbox.wake(".a.tmp")
        await inbox.scan()
        assert desk.names == ["a.toml"]

    run(story())


def test_another_file_than_the_one_under_the_dot_name_has_to_settle() -> None:
    async def story() -> None:
        desk = Desk()
        inbox = desk.inbox()
        desk.disk.put("inbox/.a.tmp", JOB)
        await inbox.scan()
        del desk.disk.nodes["inbox/.a.tmp"]
        desk.disk.put("inbox/a.toml", JOB)
        await inbox.scan()
        assert desk.asked == []

    run(story())


def test_a_dot_name_of_long_ago_counts_no_more() -> None:
    async def story() -> None:
        desk = Desk()
        inbox = desk.inbox()
        node = desk.disk.put("inbox/.a.tmp", JOB)
        await inbox.scan()
        del desk.disk.nodes["inbox/.a.tmp"]
        await inbox.scan()
        await inbox.scan()
        desk.disk.nodes["inbox/a.toml"] = node
        await inbox.scan()
        assert desk.asked == []

    run(story())


# What is left alone.


@pytest.mark.parametrize(
    "name",
    [
        ".hidden.toml",
        "._ch01.toml",
        ".DS_Store",
        ".ch01.toml.swp",
        "ch01.toml~",
        "ch01.toml.tmp",
        "ch01.toml.part",
        "ch01.toml.crdownload",
        "ch01.toml.download",
        "ch01.toml.bak",
        "ch01.toml.icloud",
        "ch01.toml.sb-1a2b3c4d-AbCdEf",
        "#ch01.toml#",
        "4913",
        "notes.txt",
        "picture.png",
        "README.md",
        "toml",
    ],
)
def test_temporaries_and_files_that_are_no_jobs_are_left_alone(name: str) -> None:
    async def story() -> None:
        desk = Desk()
        inbox = desk.inbox()
        desk.disk.put(f"inbox/{name}", JOB)
        assert await desk.taken_at(inbox) == 30.0
        assert desk.disk.files("inbox") == [f"inbox/{name}"]

    run(story())


@pytest.mark.parametrize("name", ["a.toml", "A.TOML", "a.toml.txt", "a.Toml.Rtf", "é 1.toml"])
def test_what_looks_like_a_job_is_answered(name: str) -> None:
    assert is_job_name(name)

    async def story() -> None:
        desk = Desk()
        desk.disk.put(f"inbox/{name}", JOB)
        assert await desk.taken_at(desk.inbox()) == 2.0
        assert desk.disk.files("inbox") == []

    run(story())


def test_links_folders_and_files_that_are_still_arriving_are_left_alone() -> None:
    async def story() -> None:
        desk = Desk()
        desk.disk.symlink("inbox/link.toml", "/etc/passwd")
        desk.disk.put("inbox/folder.toml/a.toml", JOB)
        arriving = desk.disk.put("inbox/arriving.toml", JOB)
        arriving.busy = True
        inbox = desk.inbox()
        assert await desk.taken_at(inbox) == 30.0
        arriving.busy = False
        await inbox.scan()
        assert desk.names == ["arriving.toml"]

    run(story())


def test_a_file_that_is_not_ours_alone_is_told_once_and_left() -> None:
    async def story() -> None:
        desk = Desk()
        inbox = desk.inbox()
        desk.disk.put("inbox/a.toml", JOB).links = 2
        for _ in range(5):
            await inbox.scan()
            await asyncio.sleep(1.0)
        [told] = desk.asked
        assert isinstance(told, ReportIncident)
        assert (told.code, "inbox/a.toml" in told.text) == ("INBOX_UNREADABLE", True)

    run(story())


# How a file is put away.


def test_an_answered_file_is_gone_from_the_inbox_and_from_aside() -> None:
    async def story() -> None:
        desk = Desk()
        desk.disk.put("inbox/a.toml", JOB)
        await desk.taken_at(desk.inbox())
        assert desk.disk.files() == []

    run(story())


def test_nothing_is_moved_before_the_answer_is_durable() -> None:
    async def story() -> None:
        desk = Desk(refusing=WorldError("DISK_FULL", "the disk is full"))
        inbox = desk.inbox()
        desk.disk.put("inbox/a.toml", JOB)
        for _ in range(4):
            await inbox.scan()
            await asyncio.sleep(1.5)
        assert desk.names == []
        assert (desk.disk.log, desk.disk.files()) == ([], ["inbox/a.toml"])
        desk.refusing = None
        await inbox.scan()
        assert (desk.names, desk.disk.files()) == (["a.toml"], [])

    run(story())


def test_the_same_drop_is_not_asked_about_again_only_put_away() -> None:
    """A crash between the line and the rename."""

    async def story() -> None:
        desk = Desk()
        node = desk.disk.put("inbox/a.toml", JOB)
        await desk.taken_at(desk.inbox())
        desk.disk.nodes["inbox/a.toml"] = node
        desk.asked.clear()
        inbox = desk.inbox()
        await inbox.scan()
        await asyncio.sleep(2.0)
        await inbox.scan()
        assert (desk.asked, desk.disk.files()) == ([], [])

    run(story())


def test_a_file_that_was_saved_again_meanwhile_is_put_back_and_answered_too() -> None:
    async def story() -> None:
        desk = Desk()
        desk.disk.put("inbox/a.toml", JOB)
        again = JOB + b"# again\n"
        desk.meanwhile = lambda: desk.disk.put("inbox/a.toml", again)
        inbox = desk.inbox()
        await desk.taken_at(inbox)
        assert desk.disk.data("inbox/a.toml") == again
        desk.meanwhile = _nothing
        await asyncio.sleep(2.0)
        await inbox.scan()
        await asyncio.sleep(2.0)
        await inbox.scan()
        assert (desk.names, desk.disk.files()) == (["a.toml", "a.toml"], [])

    run(story())


def test_a_file_that_is_put_back_takes_nobodys_name() -> None:
    async def story() -> None:
        desk = Desk()
        desk.disk.put("inbox/a.toml", b"second\n")
        desk.disk.put(f"{ASIDE}/0123456789ab-a.toml", b"first\n")
        await desk.inbox().recover()
        assert desk.disk.data("inbox/a-saved-again-2.toml") == b"first\n"
        assert desk.disk.data("inbox/a.toml") == b"second\n"

    run(story())


def test_a_file_that_was_taken_back_meanwhile_is_no_trouble() -> None:
    async def story() -> None:
        desk = Desk()
        desk.disk.put("inbox/a.toml", JOB)
        desk.meanwhile = lambda: desk.disk.nodes.pop("inbox/a.toml")
        await desk.taken_at(desk.inbox())
        assert desk.names == ["a.toml"]

    run(story())


def test_a_link_that_took_the_files_place_meanwhile_is_put_back_and_stops_nobody() -> None:
    async def story() -> None:
        desk = Desk()
        desk.disk.put("inbox/a.toml", JOB)
        desk.meanwhile = lambda: desk.disk.symlink("inbox/a.toml", "/etc/passwd")
        await desk.taken_at(desk.inbox())
        assert desk.disk.nodes["inbox/a.toml"].kind == "link"
        await desk.inbox().recover()

    run(story())


def test_a_file_too_large_to_be_a_job_is_moved_to_its_answer_unread() -> None:
    async def story() -> None:
        desk = Desk()
        data = b"x" * (LIMIT + 1)
        desk.disk.put("inbox/big.toml", data)
        await desk.taken_at(desk.inbox())
        [answer] = desk.asked
        assert isinstance(answer, Reject)
        assert answer.request is None
        assert answer.file.size == len(data)
        kept = f"{rejected_folder(answer.file)}/job.toml"
        assert desk.disk.files() == [kept]
        assert desk.disk.data(kept) == data

    run(story())


def test_a_large_file_that_is_still_being_copied_is_answered_once() -> None:
    async def story() -> None:
        desk = Desk()
        inbox = desk.inbox()
        node = desk.disk.put("inbox/big.toml", b"x" * (LIMIT + 1))
        for _ in range(5):
            await inbox.scan()
            await asyncio.sleep(1.0)
            node.data += b"x" * LIMIT
        await asyncio.sleep(2.0)
        await desk.taken_at(inbox)
        assert desk.names == ["big.toml"]

    run(story())


@pytest.mark.parametrize("name", ["n" * 250 + ".toml", "神" * 83 + ".toml", "odd\udcff.toml"])
def test_any_name_that_a_system_allows_can_be_answered_and_put_away(name: str) -> None:
    async def story() -> None:
        desk = Desk()
        desk.disk.put(f"inbox/{name}", JOB)
        await desk.taken_at(desk.inbox())
        assert desk.disk.files() == []
        [told] = desk.names
        assert told.encode().decode() == told
        parts = [part for _, path, _ in desk.disk.log for part in path.split("/")]
        assert max(len(part.encode(errors="surrogateescape")) for part in parts) <= 255

    run(story())


def test_a_name_is_recorded_in_one_spelling_whatever_the_disk_makes_of_it() -> None:
    async def story() -> None:
        desk = Desk()
        desk.disk.put("inbox/e\u0301.toml", JOB)
        await desk.taken_at(desk.inbox())
        assert desk.names == ["\u00e9.toml"]

    run(story())


def test_a_huge_file_is_answered_by_its_beginning_and_holds_nobody_up() -> None:
    """What it holds is not asked: reading 200 GB would take the night and the daemon with it."""

    async def story() -> None:
        desk = Desk()
        desk.disk.put("inbox/big.toml", b"x" * (LIMIT + 1_000_000))
        await desk.taken_at(desk.inbox())
        [command] = desk.asked
        assert isinstance(command, Reject)
        assert command.file.sha256 == sha256(b"x" * LIMIT).hexdigest()
        assert command.file.size == LIMIT + 1_000_000

    run(story())


def test_what_stands_in_the_way_is_said_once_and_tried_again() -> None:
    async def story() -> None:
        desk = Desk()
        for name in ("a", "b", "c"):
            desk.disk.put(f"inbox/{name}.toml", JOB)
        desk.refusing = WorldError("WRITE_FAILED", "outbox/a_v1 is a file")
        looking = asyncio.ensure_future(desk.inbox().run(rescan_s=1.0))
        await asyncio.sleep(30.0)
        said = [command for command in desk.asked if isinstance(command, ReportIncident)]
        assert [incident.code for incident in said] == ["INBOX_BLOCKED"]
        assert "outbox/a_v1 is a file" in said[0].text
        desk.refusing = None
        await asyncio.sleep(3.0)
        assert desk.disk.files() == []
        looking.cancel()

    run(story())


# After a crash.


def test_what_a_crash_left_aside_goes_when_it_was_answered_and_comes_back_when_not() -> None:
    async def story() -> None:
        desk = Desk()
        disk = desk.disk
        answered = disk.put(f"{ASIDE}/aaaaaaaaaaaa-a.toml", JOB)
        disk.put(f"{ASIDE}/bbbbbbbbbbbb-b-1.toml", JOB)
        drop = (sha256(JOB).hexdigest(), answered.inode, answered.mtime_ns, len(JOB))
        desk.answered[drop] = "a_v1"
        await desk.inbox().recover()
        assert disk.files() == ["inbox/b-1.toml"]

    run(story())


@pytest.mark.parametrize("crash", ["move", "remove"])
def test_a_crash_while_putting_away_answers_nothing_twice(crash: str) -> None:
    class Dead(BaseException):
        """The process is gone."""

    async def story() -> None:
        desk = Desk()
        desk.disk.put("inbox/a.toml", JOB)

        def before(operation: str, path: str) -> None:
            if operation == crash:
                raise Dead

        desk.disk.before = before
        with pytest.raises(Dead):
            await desk.taken_at(desk.inbox())
        desk.disk.before = lambda *_: None
        inbox = desk.inbox()
        await inbox.recover()
        await inbox.scan()
        await asyncio.sleep(2.0)
        await inbox.scan()
        assert (desk.names, desk.disk.files()) == (["a.toml"], [])

    run(story())


# The watch.


async def served(desk: Desk, *, for_s: float, rescan_s: float) -> Inbox:
    """The inbox, run for a while in virtual time."""
    inbox = desk.inbox()
    task = asyncio.ensure_future(inbox.run(rescan_s=rescan_s))
    await asyncio.sleep(for_s)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return inbox


def test_a_file_is_found_without_any_watcher_at_the_next_rescan() -> None:
    async def story() -> None:
        desk = Desk()
        clock = asyncio.get_running_loop()
        clock.call_later(1.0, desk.disk.put, "inbox/a.toml", JOB)
        await served(desk, for_s=29.9, rescan_s=30.0)
        assert desk.asked == []
        await served(desk, for_s=33.0, rescan_s=30.0)
        assert desk.names == ["a.toml"]

    run(story())


def test_a_wake_looks_at_once() -> None:
    async def story() -> None:
        desk = Desk()
        inbox = desk.inbox()
        task = asyncio.ensure_future(inbox.run(rescan_s=300.0))
        await asyncio.sleep(1.0)
        desk.disk.put("inbox/a.toml", JOB + b"end = true\n")
        inbox.wake()
        await asyncio.sleep(0.0)
        await asyncio.sleep(0.001)
        assert desk.names == ["a.toml"]
        task.cancel()

    run(story())


def test_what_a_crash_left_is_looked_at_before_anything_else() -> None:
    async def story() -> None:
        desk = Desk()
        desk.disk.put(f"{ASIDE}/aaaaaaaaaaaa-a.toml", JOB)
        await served(desk, for_s=3.0, rescan_s=30.0)
        assert desk.names == ["a.toml"]

    run(story())


def test_an_inbox_that_cannot_be_read_is_looked_at_again() -> None:
    async def story() -> None:
        desk = Desk()
        desk.disk.symlink("inbox", "/elsewhere")
        clock = asyncio.get_running_loop()

        def mended() -> None:
            del desk.disk.nodes["inbox"]
            desk.disk.put("inbox/a.toml", JOB)

        clock.call_later(7.0, mended)
        await served(desk, for_s=20.0, rescan_s=5.0)
        assert desk.names == ["a.toml"]

    run(story())
