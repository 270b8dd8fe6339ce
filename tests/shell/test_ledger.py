"""What ``append`` returned from is there, and only a torn last line is ever set aside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from daemon.core.events import AttemptStarted, DaemonStarted, Event, Incident
from daemon.core.jobs import JobId
from daemon.core.state import State, fold
from daemon.errors import LedgerChanged, LedgerDamaged, WorldError
from daemon.shell.ledger import HEAD, Ledger, Loaded, Torn, foreign_numbers
from daemon.wire.ledger_line import Head
from tests.desk import EPOCH_MS
from tests.examples import accepted
from tests.fakes import MemoryDisk
from tests.virtual_time import run

NOVEMBER = EPOCH_MS
DECEMBER = 1_796_083_200_000
PATH = "ledger/mac/2026-11.jsonl"
SPARE = ".nightpress/spare/mac/2026-11.jsonl"
NEXT = "ledger/mac/2026-12.jsonl"
STORY = (
    DaemonStarted("1.0.0", "comfyui"),
    accepted("ch01"),
    Incident("CODE", "One."),
    Incident("CODE", "Two."),
)


def ledger_on(disk: MemoryDisk, host: str = "mac") -> Ledger:
    return Ledger(disk, host=host)


def loaded(disk: MemoryDisk) -> tuple[Ledger, Loaded]:
    """A new life: what the one before held open is closed."""
    disk.last = None
    ledger = ledger_on(disk)
    return ledger, run(ledger.load())


def append(ledger: Ledger, *events: Event, at: int = NOVEMBER) -> None:
    """One page with these events, made durable."""
    page = ledger.page()
    for event in events:
        page.write(event, at=at)
    run(ledger.append(page))


def disk_with(events: Sequence[Event] = STORY) -> MemoryDisk:
    """A disk with a ledger of these events, a page each."""
    disk = MemoryDisk()
    ledger, _ = loaded(disk)
    for event in events:
        append(ledger, event)
    disk.log.clear()
    return disk


# There and back.


def test_an_empty_studio_has_an_empty_ledger() -> None:
    ledger, found = loaded(MemoryDisk())
    assert found == Loaded(State(), None)
    assert ledger.head == Head()


def test_what_was_appended_is_loaded_again() -> None:
    disk = MemoryDisk()
    ledger = ledger_on(disk)
    page = ledger.page()
    for event in STORY:
        page.write(event, at=NOVEMBER)
    run(ledger.append(page))
    again, found = loaded(disk)
    assert again.head == ledger.head
    assert found.torn is None
    assert found.state == fold(page.entries)


def test_a_page_is_one_append_and_it_is_synced() -> None:
    disk = MemoryDisk()
    append(ledger_on(disk), *STORY)
    assert disk.log == [("append", PATH, True), ("link", SPARE, True)]


def test_a_page_that_was_not_appended_is_nothing() -> None:
    disk = disk_with()
    ledger, _ = loaded(disk)
    before = ledger.head
    ledger.page().write(STORY[0], at=NOVEMBER)
    assert ledger.head == before
    append(ledger, STORY[0])
    assert loaded(disk)[1].state.seq == len(STORY) + 1


def test_an_append_that_failed_leaves_the_ledger_where_it_was() -> None:
    disk = disk_with()
    ledger, _ = loaded(disk)
    before, data = ledger.head, disk.data(PATH)
    free, disk.free = disk.free, 10
    with pytest.raises(WorldError) as caught:
        append(ledger, STORY[2])
    assert caught.value.code == "DISK_FULL"
    assert (ledger.head, disk.data(PATH)) == (before, data)
    disk.free = free
    append(ledger, STORY[2])
    assert loaded(disk)[0].head == ledger.head


def test_other_files_beside_the_segments_are_not_the_ledger() -> None:
    disk = disk_with()
    for name in ("machine", "2026-13.jsonl", "2026-11.jsonl.torn-7", ".2026-12.jsonl.tmp"):
        disk.put(f"ledger/mac/{name}", b"not a line")
    assert loaded(disk)[1].state.seq == len(STORY)


# A torn last line.


def test_a_ledger_torn_at_any_byte_keeps_its_whole_lines_and_the_torn_bytes() -> None:
    """Every byte of the last two records, as a power cut leaves them."""
    data = disk_with().data(PATH)
    start = data.rindex(b"\n", 0, data.rindex(b"\n", 0, len(data) - 1)) + 1
    assert data[start:].count(b"\n") == 2
    for end in range(start, len(data)):
        whole = data[: data.rindex(b"\n", 0, end) + 1]
        disk = MemoryDisk()
        disk.put(PATH, data[:end])
        ledger, found = loaded(disk)
        assert found.state.seq == whole.count(b"\n")
        assert disk.data(PATH) == whole
        if end == len(whole):
            assert found.torn is None
        else:
            kept = f"{PATH}.torn-{len(whole)}"
            assert found.torn == Torn(end - len(whole), kept)
            assert disk.data(kept) == data[len(whole) : end]
        assert all(synced for _, _, synced in disk.log)
        append(ledger, Incident("CODE", "After it."))
        assert loaded(disk)[1].torn is None


def test_a_segment_whose_only_line_is_torn_goes_on_empty() -> None:
    disk = MemoryDisk()
    disk.put(PATH, b'{"seq":1,')
    ledger, found = loaded(disk)
    assert (found.state.seq, found.torn) == (0, Torn(9, f"{PATH}.torn-0"))
    append(ledger, *STORY)
    assert loaded(disk)[1].state.seq == len(STORY)


def test_torn_bytes_are_kept_before_they_are_cut_off() -> None:
    disk = disk_with()
    size = len(disk.data(PATH))
    disk.nodes[PATH].data += b'{"seq":5'
    loaded(disk)
    assert [path for _, path, _ in disk.log[:2]] == [f"{PATH}.torn-{size}", SPARE]
    assert [operation for operation, _, _ in disk.log[:2]] == ["write", "cut"]


def test_a_torn_line_before_a_later_segment_is_damage() -> None:
    disk = disk_with()
    append(loaded(disk)[0], STORY[2], at=DECEMBER)
    disk.nodes[PATH].data += b'{"seq":5'
    with pytest.raises(LedgerDamaged, match=f"{PATH} line 5: it is cut off"):
        loaded(disk)


# Damage.


@pytest.mark.parametrize("tail", [b"", b'{"seq":5'], ids=["whole", "torn"])
@pytest.mark.parametrize("line", [1, 2, 3, 4])
def test_damage_stops_with_file_and_line_and_changes_nothing(line: int, tail: bytes) -> None:
    disk = disk_with()
    lines = disk.data(PATH).splitlines(keepends=True)
    lines[line - 1] = lines[line - 1].replace(b'"seq":', b'"seq": ')
    disk.nodes[PATH].data = b"".join(lines) + tail
    with pytest.raises(LedgerDamaged, match=f"{PATH} line {line}: "):
        loaded(disk)
    assert [change for change in disk.log if change[0] != "link"] == []


def test_a_missing_segment_is_damage_in_the_next() -> None:
    disk = disk_with()
    append(loaded(disk)[0], STORY[2], at=DECEMBER)
    del disk.nodes[PATH], disk.nodes[SPARE]
    with pytest.raises(LedgerDamaged, match=f"{NEXT} line 1: "):
        loaded(disk)


def test_lines_that_fit_but_tell_an_impossible_story_are_damage() -> None:
    never_accepted = AttemptStarted(JobId("ch09_v1"), 1, "comfyui", "default", 0, stage="")
    disk = disk_with([Incident("CODE", ""), never_accepted])
    with pytest.raises(LedgerDamaged, match=f"{PATH} line 2: it cannot follow: .*never accepted"):
        loaded(disk)


# Months.


def test_a_new_month_is_a_new_segment_that_goes_on_with_number_and_chain() -> None:
    disk = disk_with()
    ledger, _ = loaded(disk)
    november = disk.data(PATH)
    append(ledger, STORY[2], at=DECEMBER)
    assert disk.data(PATH) == november
    assert disk.data(NEXT).startswith(b'{"seq":5,"at":"2026-12-01T00:00:00.000Z"')
    assert ledger.head.segment == "2026-12"
    again, found = loaded(disk)
    assert (again.head, found.state.seq) == (ledger.head, 5)


def test_a_past_month_never_grows_when_the_clock_goes_back() -> None:
    disk = disk_with()
    append(loaded(disk)[0], STORY[2], at=DECEMBER)
    november = disk.data(PATH)
    append(loaded(disk)[0], STORY[3], at=NOVEMBER)
    assert disk.data(PATH) == november
    assert disk.data(NEXT).count(b"\n") == 2
    assert loaded(disk)[1].state.seq == 6


def test_a_segment_that_was_made_but_not_written_is_gone_on_with() -> None:
    disk = disk_with()
    disk.put(NEXT, b"")
    ledger, _ = loaded(disk)
    append(ledger, STORY[2], at=NOVEMBER)
    assert disk.data(NEXT).count(b"\n") == 1
    assert loaded(disk)[1].state.seq == 5


# Somebody else's hands: what git does to files, and what editors do.


def looked_at(ledger: Ledger) -> Ledger:
    """After a quiet moment."""
    run(ledger.look())
    return ledger


def a_life(disk: MemoryDisk) -> Ledger:
    """A ledger in use: loaded, appended to, looked at."""
    ledger, _ = loaded(disk)
    append(ledger, Incident("CODE", "In this life."))
    return looked_at(ledger)


def unchanged(data: bytes) -> bytes:
    return data


def older(data: bytes) -> bytes:
    return data[: data.index(b"\n") + 1]


def cut_in_a_line(data: bytes) -> bytes:
    return data[:-10]


def emptied(data: bytes) -> bytes:
    return b""


def gone(data: bytes) -> None:
    return None


REPLACED = (unchanged, older, cut_in_a_line, emptied, gone)


def replace_file(disk: MemoryDisk, change: Callable[[bytes], bytes | None]) -> bytes:
    """As git does it: another file takes the name, or none. Gives what was there."""
    data = disk.data(PATH)
    new = change(data)
    del disk.nodes[PATH]
    if new is not None:
        disk.put(PATH, new)
    return data


@pytest.mark.parametrize("quiet", [True, False], ids=["in a quiet moment", "at an append"])
@pytest.mark.parametrize("change", REPLACED)
def test_what_git_took_from_under_a_living_ledger_is_put_back(
    change: Callable[[bytes], bytes | None], quiet: bool
) -> None:
    disk = disk_with()
    ledger = a_life(disk)
    before = replace_file(disk, change)
    if quiet:
        looked_at(ledger)
        assert disk.data(PATH) == before
    append(ledger, STORY[3])
    assert disk.data(PATH).startswith(before)
    left = (change(before) or b"").count(b"\n")
    assert [each.lines for each in ledger.restored] == ([5 - left] if left < 5 else [])
    assert looked_at(ledger).head == loaded(disk)[0].head
    assert disk.nodes[SPARE] is disk.nodes[PATH]


@pytest.mark.parametrize("change", REPLACED)
def test_what_git_took_while_no_daemon_was_alive_is_put_back_at_the_start(
    change: Callable[[bytes], bytes | None],
) -> None:
    disk = disk_with()
    a_life(disk)
    before = replace_file(disk, change)
    ledger, found = loaded(disk)
    assert (found.state.seq, found.torn, disk.data(PATH)) == (5, None, before)
    left = (change(before) or b"").count(b"\n")
    assert [each.lines for each in ledger.restored] == ([5 - left] if left < 5 else [])


def test_what_was_put_back_is_told_in_words() -> None:
    disk = disk_with()
    ledger = a_life(disk)
    replace_file(disk, older)
    looked_at(ledger)
    [told] = ledger.restored
    assert told.cause == (
        f"{PATH} was replaced by an older version or deleted (git, an editor): seq 2 to 5 were "
        "missing (3 incident, 1 job.accepted). They were put back; commit the ledger before you "
        "stash or reset."
    )


def test_a_past_segment_that_git_took_is_put_back_too() -> None:
    disk = disk_with()
    ledger = a_life(disk)
    append(ledger, STORY[2], at=DECEMBER)
    looked_at(ledger)
    before = replace_file(disk, older)
    looked_at(ledger)
    assert disk.data(PATH) == before
    assert [each.lines for each in ledger.restored] == [4]


def test_even_without_the_second_name_a_living_ledger_is_put_back() -> None:
    """As after `git clean -fdx`."""
    disk = disk_with()
    ledger = a_life(disk)
    before = disk.data(PATH)
    del disk.nodes[PATH], disk.nodes[SPARE]
    looked_at(ledger)
    assert disk.data(PATH) == before
    assert disk.nodes[SPARE] is disk.nodes[PATH]


def other_history(disk: MemoryDisk) -> None:
    other = MemoryDisk()
    append(ledger_on(other), STORY[0], Incident("CODE", "Somewhere else."))
    replace_file(disk, lambda _: other.data(PATH))


def continued(disk: MemoryDisk) -> None:
    replace_file(disk, lambda data: data + b"x\n")


@pytest.mark.parametrize("alive", [True, False])
@pytest.mark.parametrize("change", [other_history, continued])
def test_another_history_is_not_written_to_and_both_ends_are_named(
    change: Callable[[MemoryDisk], None], alive: bool
) -> None:
    disk = disk_with()
    ledger = a_life(disk)
    chain, ours = ledger.head.chain, disk.data(PATH)
    change(disk)
    theirs = disk.data(PATH)
    if not alive and change is continued:
        with pytest.raises(LedgerDamaged, match=f"{PATH} line 6: "):
            loaded(disk)
        return
    with pytest.raises(LedgerChanged, match=f"ours with seq 5, chain {chain}"):
        append(ledger, STORY[3]) if alive else loaded(disk)
    assert (disk.data(PATH), disk.data(SPARE)) == (theirs, ours)


@pytest.mark.parametrize("alive", [True, False])
def test_a_ledger_that_was_cut_in_place_is_not_gone_on_with(alive: bool) -> None:
    """Its second name has lost the bytes too; what is left is that it was longer."""
    disk = disk_with()
    ledger = a_life(disk)
    disk.nodes[PATH].data = older(disk.data(PATH))
    with pytest.raises(LedgerChanged, match=r"had come to seq 5, chain [0-9a-f]{32}"):
        append(ledger, STORY[3]) if alive else loaded(disk)
    assert disk.data(PATH).count(b"\n") == 1


def test_a_history_that_was_written_again_under_the_noted_head_is_found() -> None:
    disk = disk_with()
    a_life(disk)
    other = disk_with([*STORY, Incident("CODE", "Another."), Incident("CODE", "And more.")])
    disk.put(PATH, other.data(PATH))
    del disk.nodes[SPARE]
    with pytest.raises(LedgerChanged, match="had come to seq 5"):
        loaded(disk)


def test_a_note_that_was_torn_or_is_of_another_host_is_no_note() -> None:
    disk = disk_with()
    for note in (
        b"",
        b"\0" * 60,
        b'{"host":"mac","seq"',
        b'{"host":"pc","seq":90,"chain":"","segment":""}',
    ):
        disk.put(HEAD, note)
        assert loaded(disk)[1].state.seq == 4


# What the drive did not confirm.


def test_lines_that_were_never_confirmed_are_written_again_before_they_are_believed() -> None:
    """A daemon killed between writing and syncing: syncing the same file would prove nothing."""
    disk = disk_with()
    ledger = a_life(disk)
    append(ledger, STORY[3])
    disk.log.clear()
    inode = disk.nodes[PATH].inode
    loaded(disk)
    assert disk.log[:2] == [("write", SPARE, True), ("link", PATH, True)]
    assert disk.nodes[PATH].inode != inode
    assert disk.nodes[SPARE] is disk.nodes[PATH]


def test_a_ledger_that_was_confirmed_is_left_alone_at_the_start() -> None:
    disk = disk_with()
    a_life(disk)
    disk.log.clear()
    loaded(disk)
    assert disk.log == []


def test_a_failed_sync_is_not_tried_again_and_says_what_can_be_read() -> None:
    disk = disk_with()
    ledger = a_life(disk)

    def fail(operation: str, path: str) -> None:
        if operation == "append":
            raise LedgerDamaged(f"{path}: the drive did not confirm the last write.")

    disk.before = fail
    with pytest.raises(
        LedgerDamaged, match=r"Read again, it fits up to seq 5; .* written anew|anew"
    ):
        append(ledger, STORY[3])
    assert ledger.head.seq == 5


# Other machines.


def test_the_highest_versions_of_other_hosts_count() -> None:
    disk = disk_with([accepted("ch01", number=9)])
    for host, versions in (("one", (3, 2)), ("two", (5, 1))):
        ledger = ledger_on(disk, host)
        append(ledger, *(accepted("ch01", number=number) for number in versions))
        append(ledger, replace(accepted("ch02"), job=JobId("ch02_r4")), at=DECEMBER)
    numbers, damaged = run(foreign_numbers(disk, host="mac"))
    assert numbers == {("ch01", "v"): 5, ("ch02", "r"): 4}
    assert damaged == []


def test_a_damaged_line_of_another_host_is_told_and_the_rest_counts() -> None:
    disk = disk_with()
    append(ledger_on(disk, "one"), accepted("ch01", number=3))
    path = "ledger/one/2026-11.jsonl"
    broken = disk.data(path).replace(b"ch01_v3", b"ch01_v0")
    disk.nodes[path].data += broken + broken[:70]
    disk.put("ledger/one/2026-10.jsonl", b"")
    disk.unreadable.add("ledger/one/2026-10.jsonl")
    numbers, damaged = run(foreign_numbers(disk, host="mac"))
    assert numbers == {("ch01", "v"): 3}
    assert damaged == [
        "ledger/one/2026-10.jsonl: input/output error",
        f"{path}: 2 lines cannot be read",
    ]


def test_what_lies_beside_the_hosts_is_no_host() -> None:
    disk = disk_with()
    disk.put("ledger/README.md", b"Read me.")
    disk.put("ledger/one/machine", b"7")
    assert run(foreign_numbers(disk, host="mac")) == ({}, [])
