"""What ``append`` returned from is there, and only a torn last line is ever set aside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from daemon.core.events import AttemptStarted, DaemonStarted, Event, Incident
from daemon.core.jobs import JobId
from daemon.core.state import State, fold
from daemon.errors import LedgerChanged, LedgerDamaged, WorldError
from daemon.shell.ledger import Ledger, Loaded, Torn, foreign_numbers
from daemon.wire.ledger_line import Head
from tests.desk import EPOCH_MS
from tests.examples import accepted
from tests.fakes import MemoryDisk
from tests.virtual_time import run

NOVEMBER = EPOCH_MS
DECEMBER = 1_796_083_200_000
PATH = "ledger/mac/2026-11.jsonl"
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
    assert disk.log == [("append", PATH, True)]


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
            assert (found.torn, disk.log) == (None, [])
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
    disk.nodes[PATH].data += b'{"seq":5'
    loaded(disk)
    assert [operation for operation, _, _ in disk.log] == ["write", "cut"]


def test_a_torn_line_before_a_later_segment_is_damage() -> None:
    disk = disk_with()
    append(loaded(disk)[0], STORY[2], at=DECEMBER)
    disk.nodes[PATH].data += b'{"seq":5'
    with pytest.raises(LedgerDamaged, match=f"{PATH}: its last line is cut off"):
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
    assert disk.log == []


def test_a_missing_segment_is_damage_in_the_next() -> None:
    disk = disk_with()
    append(loaded(disk)[0], STORY[2], at=DECEMBER)
    del disk.nodes[PATH]
    with pytest.raises(LedgerDamaged, match=f"{NEXT} line 1: "):
        loaded(disk)


def test_lines_that_fit_but_tell_an_impossible_story_are_damage() -> None:
    never_accepted = AttemptStarted(JobId("ch09_v1"), 1, "comfyui", "default")
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


# Somebody else's hands.


def replaced(disk: MemoryDisk) -> None:
    """As git does it: the same bytes, another file."""
    disk.put(PATH, disk.data(PATH))


def grown(disk: MemoryDisk) -> None:
    disk.nodes[PATH].data += b"x\n"


def shortened(disk: MemoryDisk) -> None:
    disk.nodes[PATH].data = disk.nodes[PATH].data[:-10]


def removed(disk: MemoryDisk) -> None:
    del disk.nodes[PATH]


@pytest.mark.parametrize("change", [replaced, grown, shortened, removed])
def test_a_ledger_that_is_another_file_now_is_not_written_to(
    change: Callable[[MemoryDisk], None],
) -> None:
    disk = disk_with()
    ledger, _ = loaded(disk)
    change(disk)
    before = {path: disk.data(path) for path in disk.files()}
    with pytest.raises(LedgerChanged):
        append(ledger, STORY[2])
    assert {path: disk.data(path) for path in disk.files()} == before


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
