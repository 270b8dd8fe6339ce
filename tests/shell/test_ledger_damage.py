"""The ledger on a real disk, cut, overwritten and refused at every byte that matters.

The law of a ledger's end: a tail without a newline is a torn last line, whatever its bytes are,
and is set aside with them, also when it lacks nothing but the newline: nobody can have acted on
it. Anything else that does not fit stops the start at its line, and nothing is changed.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import pytest

from daemon.adapters.disk import StudioDisk
from daemon.core.events import Incident
from daemon.core.state import fold
from daemon.errors import LedgerChanged, LedgerDamaged
from daemon.shell.ledger import Ledger, Torn
from daemon.wire.ledger_line import Head, read_lines, write_line
from tests.desk import EPOCH_MS
from tests.whole_ledger import DAMAGED as PATH
from tests.whole_ledger import ENTRIES, HEADS, LENGTH, LINES

DATA = b"".join(LINES)
AT = EPOCH_MS + 1000 * LENGTH
NEXT_LINE = write_line(Incident("NOTE", "The next."), at=AT, head=HEADS[-1])[1]
NEXT = "ledger/mac/2026-12.jsonl"
DECEMBER = 1_796_083_200_000


class Studio:
    """A studio's folder whose ledger a test writes by hand."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "ledger/mac").mkdir(parents=True)
        self.disk = StudioDisk(root, full_sync=None)

    def holds(self, data: bytes) -> None:
        """From now on this is the whole ledger, and nothing is remembered of another."""
        for path in [*self.root.glob("ledger/mac/*"), *self.root.glob(".nightpress/**/*")]:
            if path.is_file():
                path.unlink()
        (self.root / PATH).write_bytes(data)

    def files(self) -> Mapping[str, bytes]:
        """What is in the ledger's folder."""
        return {path.name: path.read_bytes() for path in (self.root / "ledger/mac").iterdir()}

    async def load(self) -> tuple[Ledger, int, Torn | None]:
        """A start: the ledger, how many lines it has, and what was set aside."""
        ledger = Ledger(self.disk, host="mac")
        loaded = await ledger.load()
        return ledger, loaded.state.seq, loaded.torn


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Studio:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # No power is lost here.
    return Studio(tmp_path)


async def append(ledger: Ledger, text: str = "After it.", *, at: int = AT) -> None:
    page = ledger.page()
    page.write(Incident("NOTE", text), at=at)
    await ledger.append(page)


async def damage(load: Callable[[], Awaitable[object]]) -> LedgerDamaged:
    with pytest.raises(LedgerDamaged) as caught:
        await load()
    return caught.value


# Torn


def test_a_ledger_cut_at_every_byte_of_its_last_three_lines_goes_on(studio: Studio) -> None:
    """K2.1: the cut line is kept beside it, and the next line is a good one. A cut just at a
    line's end leaves a shorter ledger in which nothing is torn.
    """

    async def law() -> None:
        data = b"".join(LINES[:9])
        for end in range(len(b"".join(LINES[:6])), len(data)):
            studio.holds(data[:end])
            whole = data[: data.rfind(b"\n", 0, end) + 1]
            count = whole.count(b"\n")
            ledger, lines, torn = await studio.load()
            assert lines == count
            assert ledger.head == HEADS[count]
            kept = f"{PATH}.torn-{len(whole)}"
            size = end - len(whole)
            assert torn == (Torn(size, kept) if size else None)
            beside = {Path(kept).name: data[len(whole) : end]} if size else {}
            assert studio.files() == {Path(PATH).name: whole, **beside}
            await append(ledger)
            lines_now = (studio.root / PATH).read_bytes().split(b"\n")[:-1]
            *before, after = read_lines(lines_now, head=Head(), segment=PATH)
            assert before == ENTRIES[:count]
            assert after.event == Incident("NOTE", "After it.")

    asyncio.run(law())


TAILS = {
    "a byte": b"{",
    "zeros": b"\0",
    "a block of zeros": b"\0" * 4096,
    "half a line and zeros": NEXT_LINE[:60] + b"\0" * 70,
    "garbage": b"\xff\xfe\x1b[2J and more",
    "half a newline": b"\r",
    "all but the newline": NEXT_LINE[:-1],
    "a newline that is none any more": NEXT_LINE[:-1] + b"\x0b",
}


@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS)
def test_any_tail_without_a_newline_is_set_aside_with_its_bytes(
    studio: Studio, tail: bytes
) -> None:
    studio.holds(DATA + tail)

    async def law() -> None:
        ledger, lines, torn = await studio.load()
        kept = f"{PATH}.torn-{len(DATA)}"
        assert (lines, torn) == (LENGTH, Torn(len(tail), kept))
        assert studio.files() == {Path(PATH).name: DATA, Path(kept).name: tail}
        await append(ledger, "The next.")
        assert (studio.root / PATH).read_bytes() == DATA + NEXT_LINE

    asyncio.run(law())


WRONG_TAILS = {
    "an empty line": b"\n",
    "zeros and a newline": b"\0" * 512 + b"\n",
    "garbage and a newline": b"garbage\n",
    "garbage with a newline in it": b"garbage\nmore",
    "zeros, then a good line": b"\0\n" + NEXT_LINE,
    "a good line behind zeros": b"\0" + NEXT_LINE,
    "the line before once more": LINES[-1],
    "a good line with another line end": NEXT_LINE[:-1] + b"\r\n",
}


@pytest.mark.parametrize("tail", WRONG_TAILS.values(), ids=WRONG_TAILS)
def test_a_tail_with_a_newline_in_it_that_does_not_fit_stops_the_start(
    studio: Studio, tail: bytes
) -> None:
    studio.holds(DATA + tail)
    error = asyncio.run(damage(studio.load))
    assert (error.segment, error.line) == (PATH, LENGTH + 1)
    assert studio.files() == {Path(PATH).name: DATA + tail}


# Damaged


def test_nothing_but_a_torn_last_line_is_repaired(studio: Studio) -> None:
    """A sample of flipped bits, through the real start; each at its line, each byte left alone."""

    async def law() -> None:
        for place in range(0, len(DATA) - 1, 131):
            flipped = bytearray(DATA)
            flipped[place] ^= 1 << place % 8
            for tail in (b"", b"torn"):
                studio.holds(bytes(flipped) + tail)
                error = await damage(studio.load)
                assert (error.segment, error.line) == (PATH, DATA[:place].count(b"\n") + 1)
                assert studio.files() == {Path(PATH).name: flipped + tail}

    asyncio.run(law())


def test_a_line_cut_off_before_a_later_segment_is_damage_at_its_number(studio: Studio) -> None:
    studio.holds(DATA)

    async def law() -> None:
        ledger, _, _ = await studio.load()
        await append(ledger, at=DECEMBER)
        with (studio.root / PATH).open("ab") as file:
            file.write(b"torn")
        before = studio.files()
        error = await damage(studio.load)
        assert (error.segment, error.line) == (PATH, LENGTH + 1)
        assert error.why == "it is cut off, yet a later segment exists"
        assert studio.files() == before

    asyncio.run(law())


def test_a_ledger_cut_behind_what_was_confirmed_is_not_gone_on_with(studio: Studio) -> None:
    """Lines that were once believed are no torn tail, wherever the cut is."""

    async def law() -> None:
        for keep in (len(DATA) - 1, len(DATA) - 70, len(b"".join(LINES[:-1]))):
            studio.holds(DATA)
            ledger, _, _ = await studio.load()
            await ledger.look()
            os.truncate(studio.root / PATH, keep)
            with pytest.raises(LedgerChanged) as caught:
                await studio.load()
            for seq in (LENGTH - 1, LENGTH):
                assert f"seq {seq}, chain {ENTRIES[seq - 1].chain}" in str(caught.value)
            assert studio.files() == {Path(PATH).name: DATA[:keep]}

    asyncio.run(law())


# Refused by the disk


FULL_AT_EVERY_BYTE = """
import asyncio, resource, sys
from pathlib import Path
from daemon.adapters.disk import StudioDisk
from daemon.core.events import Incident
from daemon.errors import WorldError
from daemon.shell.ledger import Ledger

async def main(root, at):
    disk, path = StudioDisk(root, full_sync=None), root / "ledger/mac/2026-11.jsonl"
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    ledger = Ledger(disk, host="mac")
    await ledger.load()
    room, refused = 0, 0
    while True:
        before, head = path.read_bytes(), ledger.head
        page = ledger.page()
        page.write(Incident("NOTE", "A line."), at=at)
        page.write(Incident("NOTE", "Two lines in one sync."), at=at)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + room, hard))
        try:
            await ledger.append(page)
            break
        except WorldError as error:
            assert error.code == "DISK_FULL", error
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        assert path.read_bytes() == before, room
        assert ledger.head == head
        refused += 1
        if refused % 2:
            later = ledger.page()
            later.write(Incident("NOTE", "There is room again."), at=at)
            await ledger.append(later)
        room += 1
    assert room == sum(map(len, page.lines)), room
    print(refused, (await Ledger(disk, host="mac").load()).state.seq)

asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
"""


@pytest.mark.realprocess
def test_a_disk_that_is_full_at_every_byte_of_an_append_joins_nothing_to_a_good_line(
    studio: Studio,
) -> None:
    """A limit on the file's size makes the same short write as a full disk does."""
    studio.holds(DATA)
    done = subprocess.run(
        [sys.executable, "-c", FULL_AT_EVERY_BYTE, studio.root, str(AT)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == ""
    refused, seq = map(int, done.stdout.split())
    assert refused > 250
    assert seq == LENGTH + (refused + 1) // 2 + 2


def test_a_failed_sync_is_acknowledged_to_nobody_and_never_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system says once that it has lost the bytes; the next sync of that file would say yes."""
    studio, synced = Studio(tmp_path), list[int]()
    studio.holds(DATA)
    path = studio.root / PATH

    async def law() -> None:
        ledger, _, _ = await studio.load()
        await ledger.look()
        file = path.stat().st_ino

        def fails_once(fd: int) -> None:
            synced.append(os.fstat(fd).st_ino)
            if synced.count(file) == 1 and synced[-1] == file:
                raise OSError(5, "Input/output error")

        monkeypatch.setattr(os, "fsync", fails_once)
        error = await damage(lambda: append(ledger, "The next."))
        assert "did not confirm" in str(error)
        assert f"it fits up to seq {LENGTH + 1}" in str(error)
        assert error.segment == PATH
        assert ledger.head == HEADS[-1]
        assert synced == [file]
        # What can be read is not what is on the platter: the next start writes it anew.
        _, lines, torn = await studio.load()
        assert (lines, torn) == (LENGTH + 1, None)
        assert path.read_bytes() == DATA + NEXT_LINE
        assert synced.count(file) == 1
        assert path.stat().st_ino != file
        assert path.stat().st_ino in synced

    asyncio.run(law())


def test_the_ledger_of_these_tests_folds() -> None:
    assert fold(ENTRIES).seq == LENGTH
