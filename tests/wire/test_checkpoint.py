"""The trailer: there and back, beside text from anywhere, and what it finds missing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.events import DaemonStarted
from daemon.wire.checkpoint import Trailer, fault, is_held, prefix, read_trailer, render
from daemon.wire.ledger_line import Head, write_line


def lines(count: int, *, version: str = "0.1.0") -> list[bytes]:
    """A ledger of so many lines."""
    head, written = Head(), []
    for _ in range(count):
        entry, line = write_line(DaemonStarted(version, "comfyui"), at=0, head=head)
        head = Head(entry.seq, entry.chain, entry.segment)
        written.append(line)
    return written


LEDGER = lines(5)
CHAIN = LEDGER[3][-35:-3].decode()
TRAILER = Trailer("mac-2", "2026-11", 4, 4, CHAIN)


@given(st.text(), st.lists(st.text()))
def test_no_text_above_it_changes_what_the_trailer_says(headline: str, summary: list[str]) -> None:
    other = render("x", [], trailer=replace(TRAILER, lines=9, seq=9))
    message = render(headline + other, [*summary, other, *other.split("\n")], trailer=TRAILER)
    assert read_trailer(message, host="mac-2") == TRAILER
    assert read_trailer(message, host="mac") is None


def test_a_message_is_as_people_write_them() -> None:
    summary = ["Drawn  ch01", "Failed ch02\nforged"]
    message = render("3 panels\tdrawn\n", summary, trailer=TRAILER)
    assert message == (
        "3 panels\\tdrawn\\n\n\nDrawn  ch01\nFailed ch02\\nforged\n\n"
        f"Nightpress-Ledger: mac-2 2026-11 4 4 {CHAIN}\n"
    )


@pytest.mark.parametrize(
    "line",
    [
        "nightpress-ledger: mac 2026-11 4 4 " + CHAIN,
        "Nightpress-Ledger: mac 2026-11 0 4 " + CHAIN,
        "Nightpress-Ledger: mac 2026-11 4 4 " + CHAIN[:-1],
        "Nightpress-Ledger: ../mac 2026-11 4 4 " + CHAIN,
        "Nightpress-Ledger: mac 2026-11 4 4 " + CHAIN + " and more",
        "Nightpress-Ledger: mac 2026-11 4 4 " + CHAIN + "\n\nSigned-off-by: Mia",
        "> Nightpress-Ledger: mac 2026-11 4 4 " + CHAIN,
        "",
    ],
)
def test_what_only_looks_like_a_trailer_is_none(line: str) -> None:
    assert read_trailer(f"said\n\n{line}\n", host="mac") is None


def test_it_is_found_among_other_trailers() -> None:
    message = render("said", [], trailer=TRAILER) + "Signed-off-by: Mia <mia@example.com>\n"
    assert read_trailer(message, host="mac-2") == TRAILER


def test_a_ledger_that_holds_the_lines_and_more_is_right() -> None:
    for data in (b"".join(LEDGER[:4]), b"".join(LEDGER), b"".join(LEDGER) + b'{"seq":6'):
        assert is_held(TRAILER, data)
        assert fault(TRAILER, data, commit="c" * 40) == ""
        assert not is_held(replace(TRAILER, lines=3), data)


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_lines_that_are_gone_are_told_with_both_heads_and_the_remedy(kept: int) -> None:
    said = fault(TRAILER, b"".join(LEDGER[:kept]) + b'{"se', commit="c" * 40)
    head = LEDGER[kept - 1][-35:-3].decode() if kept else "0" * 32
    assert "ledger/mac-2/2026-11.jsonl is TRUNCATED" in said
    assert f"it has {kept} lines and ends at seq {kept}, chain {head}" in said
    assert f"holds 4 lines that end at seq 4, chain {CHAIN}." in said
    assert said.endswith(
        "git show cccccccccccc:./ledger/mac-2/2026-11.jsonl > ledger/mac-2/2026-11.jsonl"
    )
    assert "cp " not in said


def test_other_lines_in_their_place_are_told_and_are_to_be_kept_first() -> None:
    said = fault(TRAILER, b"".join(lines(6, version="0.2.0")), commit="c" * 40)
    assert "is REWRITTEN: it has 6 lines and ends at seq 6" in said
    assert "which are not among them" in said
    assert "cp ledger/mac-2/2026-11.jsonl 2026-11.kept" in said


def test_the_durable_part_ends_with_the_line_of_that_chain() -> None:
    data = b"".join(LEDGER)
    assert prefix(data, CHAIN) == b"".join(LEDGER[:4])
    assert prefix(data[:-10], LEDGER[4][-35:-3].decode()) is None
    assert prefix(b"", CHAIN) is None
