"""Damage is found at its very line, and told as what it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import pytest

from daemon.core.events import AttemptStarted, Event
from daemon.core.jobs import JobId
from daemon.errors import LedgerDamaged
from daemon.wire.damage import After, Anchor, Damage, Mend, Place, explain, mend, missed
from daemon.wire.ledger_line import Head, read_lines
from tests.whole_ledger import DAMAGED as PATH
from tests.whole_ledger import ENTRIES, HEADS, LENGTH, LINES
from tests.wire.test_ledger_line import forged

GOOD = [line[:-1] for line in LINES]


def damage_in(lines: Sequence[bytes], *, after: int = 0) -> LedgerDamaged | None:
    """What reading finds in lines (without newlines) that follow line ``after``."""
    try:
        for _ in read_lines(lines, head=HEADS[after], segment=PATH, first=after + 1):
            pass
    except LedgerDamaged as error:
        return error
    return None


def told(lines: Sequence[bytes], *, cut: bool = False) -> Damage:
    """What is said of these lines."""
    error = damage_in(lines)
    assert error is not None
    return explain(error, lines[error.line - 1 :], head=HEADS[error.line - 1], cut=cut)


# Found


def test_the_ledger_that_is_damaged_here_has_every_type_of_event_and_fits() -> None:
    assert len(LINES) == LENGTH
    assert {type(entry.event) for entry in ENTRIES} == set(get_args(Event))
    assert list(read_lines(GOOD, head=Head(), segment=PATH)) == ENTRIES


def test_every_flipped_bit_is_found_in_its_very_line() -> None:
    """The law: a flipped bit in line n is found at line n, be it in n's newline (then n and the
    next are one bad line) or make a newline of something else (then n ends too early).

    Every byte of 64 lines, eight bits each. Reading starts at the line, since the ones before it
    are as they were. Without the last newline of all, the last line is torn: see the shell.
    """
    for place, line in enumerate(LINES):
        following = LINES[place + 1] if place + 1 < LENGTH else b""
        for byte in range(len(line) - (not following)):
            for bit in range(8):
                flipped = bytearray(line)
                flipped[byte] ^= 1 << bit
                error = damage_in(bytes(flipped + following).split(b"\n"), after=place)
                assert error is not None, (place, byte, bit)
                assert (error.segment, error.line) == (PATH, place + 1), (place, byte, bit)


def test_a_program_need_not_parse_the_sentence() -> None:
    error = damage_in([*GOOD[:7], b"nothing"])
    assert error is not None
    assert (error.segment, error.line) == (PATH, 8)
    assert error.why == "it does not end in a chain value"
    assert str(error).startswith(f"{PATH} line 8: it does not end in a chain value. ")


# Told


def test_one_changed_line_is_told_with_what_is_due_and_what_is_there() -> None:
    changed = GOOD[11].replace(b'"at":"2026', b'"at":"2027')
    damage = told([*GOOD[:11], changed, *GOOD[12:]])
    assert (damage.segment, damage.line, damage.code) == (PATH, 12, "CHANGED")
    assert "changed after it was written" in damage.text
    assert damage.found == Place(12, ENTRIES[11].chain)
    assert damage.expected.seq == 12
    assert damage.expected.chain not in ("", ENTRIES[11].chain)
    assert damage.lost == (12, 12)
    assert damage.after == After(52, 52, 52)
    assert damage.shown.startswith('{"seq":12,"at":"2027-')
    assert len(damage.shown) == 80


def test_where_every_line_was_changed_the_ones_behind_do_not_chain() -> None:
    damage = told([line.replace(b'"at":"2026', b'"at":"2027') for line in GOOD])
    assert (damage.line, damage.code, damage.after) == (1, "CHANGED", After(63, 63, 0))


def test_a_chain_value_alone_that_was_changed_costs_nothing() -> None:
    damage = told([*GOOD[:11], GOOD[11][:-34] + b"0" * 32 + b'"}', *GOOD[12:]])
    assert (damage.line, damage.code, damage.lost) == (12, "CHAIN", None)
    assert (damage.expected, damage.found) == (Place(12, ENTRIES[11].chain), Place(12, "0" * 32))
    assert damage.after == After(52, 52, 52)


@pytest.mark.parametrize(("first", "last"), [(1, 1), (12, 12), (12, 15), (1, 62)])
def test_missing_lines_are_told_by_their_numbers(first: int, last: int) -> None:
    damage = told([*GOOD[: first - 1], *GOOD[last:]])
    assert (damage.line, damage.code, damage.lost) == (first, "MISSING", (first, last))
    which = f"seq {first}" if first == last else f"seq {first} to {last}"
    assert damage.text == f"Missing before this line: {which}."
    assert damage.after == After(63 - last, 63 - last, 63 - last)


def test_lines_missing_before_the_last_one_are_as_likely_a_changed_number() -> None:
    """Nothing behind it shows which; what cannot be told is not claimed."""
    damage = told([*GOOD[:11], GOOD[-1]])
    assert (damage.line, damage.code) == (12, "CHANGED")
    assert damage.text == "It says seq 64 where 12 is due: it was changed, or lines are missing."


def test_a_number_that_was_changed_is_no_missing_line() -> None:
    changed = GOOD[11].replace(b'{"seq":12,', b'{"seq":52,')
    damage = told([*GOOD[:11], changed, *GOOD[12:]])
    assert (damage.code, damage.found.seq, damage.lost) == ("CHANGED", 52, (12, 12))


@pytest.mark.parametrize("extra", [[GOOD[10]], [GOOD[3], b"note to self"], [b""]])
def test_lines_that_do_not_belong_there_cost_nothing(extra: list[bytes]) -> None:
    """A line twice, as union merges make them; a note; an empty line."""
    damage = told([*GOOD[:11], *extra, *GOOD[11:]])
    assert (damage.line, damage.code, damage.lost) == (12, "EXTRA", None)
    follows = 12 + len(extra)
    assert damage.text.endswith(f"not belong here: line {follows} is the one that follows.")
    assert damage.after.chained >= 53


def test_a_line_that_stands_too_early_is_told_where_it_belongs() -> None:
    damage = told([*GOOD[:11], GOOD[14], *GOOD[11:14], *GOOD[15:]])
    assert (damage.line, damage.code, damage.lost) == (12, "MOVED", None)
    assert damage.text == "This line belongs behind line 15."


def test_marks_of_a_merge_are_told_as_such() -> None:
    theirs = [*GOOD[:11], b"<<<<<<< HEAD", *GOOD[11:13], b"=======", b">>>>>>> stash"]
    damage = told(theirs)
    assert (damage.line, damage.code, damage.lost) == (12, "CONFLICT", None)
    assert "--ours" in damage.remedy


def test_changed_line_ends_are_told_as_such() -> None:
    damage = told([line + b"\r" for line in GOOD])
    assert (damage.line, damage.code) == (1, "NEWLINES")
    assert ".gitattributes" in damage.remedy


def test_a_block_of_zeros_is_told_with_all_that_it_swallowed() -> None:
    data = bytearray(b"".join(LINES))
    start = len(b"".join(LINES[:11])) + 20
    data[start : start + 700] = bytes(700)
    damage = told(bytes(data).split(b"\n")[:-1])
    assert (damage.line, damage.code) == (12, "CHANGED")
    assert "700 of its" in damage.text
    assert damage.lost is not None
    assert damage.lost[0] == 12 < damage.lost[1]
    assert damage.after.lines == damage.after.chained == LENGTH - damage.lost[1]


def test_a_line_cut_off_before_a_later_segment_is_told_as_such() -> None:
    half = GOOD[11][:50]
    damage = told([*GOOD[:11], half, *GOOD[12:]], cut=True)
    assert (damage.line, damage.code, damage.lost) == (12, "CUT", (12, 12))
    assert damage.shown == half.decode()


def test_a_line_that_is_as_it_was_written_and_cannot_be_understood_is_not_called_changed() -> None:
    exploded = forged(ENTRIES[0].chain, seq=2, type="job.exploded")[:-1]
    damage = told([GOOD[0], exploded])
    assert (damage.line, damage.code, damage.lost) == (2, "NEWER", None)
    assert "written by a newer nightpress" in damage.text
    assert "job.exploded" in damage.text


def test_what_is_shown_of_a_line_moves_no_cursor() -> None:
    damage = told([*GOOD[:11], b"\x1b[2J\x00\xff\xe2\x80\xae" + GOOD[11]])
    assert damage.shown.isprintable()
    assert damage.shown.startswith("\\x1b[2J\\x00\ufffd\\u202e{")
    assert len(damage.shown) <= 80


def test_garbage_that_no_parser_survives_is_only_damage() -> None:
    damage = told([*GOOD[:11], b"[" * 100_000, b'{"seq":' + b"9" * 9999, *GOOD[12:]])
    assert (damage.line, damage.code) == (12, "CHANGED")
    assert damage.after == After(53, 52, 52)


# Remembered elsewhere


def test_a_ledger_that_ends_before_what_is_remembered_is_short() -> None:
    anchor = Anchor("head.json", 15, ENTRIES[14].chain)
    damage = missed(anchor, segment=PATH, head=HEADS[12], chain="")
    assert damage is not None
    assert (damage.segment, damage.line, damage.code) == (PATH, 0, "SHORT")
    assert damage.text == "The file ends too early: head.json remembers seq 15."
    assert damage.lost == (13, 15)
    assert damage.expected == Place(15, ENTRIES[14].chain)
    assert damage.found == Place(12, ENTRIES[11].chain)


def test_another_line_where_one_is_remembered_is_a_rewritten_ledger() -> None:
    anchor = Anchor("head.json", 15, "0" * 32)
    damage = missed(anchor, segment=PATH, head=HEADS[-1], chain=ENTRIES[14].chain)
    assert damage is not None
    assert damage.code == "REWRITTEN"
    assert (damage.expected, damage.found) == (Place(15, "0" * 32), Place(15, ENTRIES[14].chain))


@pytest.mark.parametrize("length", [15, 64])
def test_a_ledger_may_have_more_than_is_remembered(length: int) -> None:
    anchor = Anchor("head.json", 15, ENTRIES[14].chain)
    head = HEADS[length]
    assert missed(anchor, segment=PATH, head=head, chain=ENTRIES[14].chain) is None


# Copies


def mended(lines: Sequence[bytes], copy: Sequence[bytes], *, good: int) -> Mend | None:
    return mend(lines, copy, head=Head(), segment=PATH, good=good)


def test_a_copy_that_is_good_beyond_the_damage_helps_and_the_file_goes_on_after_it() -> None:
    lines = [*GOOD[:11], b"x", *GOOD[12:]]
    assert mended(lines, GOOD[:20], good=11) == Mend(20, 21)
    assert mended(lines, GOOD, good=11) == Mend(64, 0)
    assert mended(GOOD[:11] + GOOD[15:], GOOD[:20], good=11) == Mend(20, 17)


def test_a_copy_helps_up_to_its_own_damage() -> None:
    lines = [*GOOD[:11], b"x", *GOOD[12:]]
    assert mended(lines, [*GOOD[:30], b"y", *GOOD[31:]], good=11) == Mend(30, 31)


@pytest.mark.parametrize("length", [0, 5, 11])
def test_a_copy_that_is_good_no_further_does_not_help(length: int) -> None:
    assert mended([*GOOD[:11], b"x"], GOOD[:length], good=11) is None


def test_a_ledger_of_impossible_events_is_told_by_who_folds_it() -> None:
    entry = AttemptStarted(JobId("never_v1"), 1, "comfyui", "default", 0, stage="")
    error = LedgerDamaged.at(PATH, 12, f"it cannot follow: {entry.job} was never accepted")
    damage = explain(error, GOOD[11:], head=HEADS[11])
    assert (damage.code, damage.text) == (
        "UNREADABLE",
        "This line is as it was written, but it cannot follow: never_v1 was never accepted.",
    )
