"""What the review sheet says: everything of what others wrote, and all of it as text."""

from __future__ import annotations

import asyncio
from html import unescape

import pytest

from daemon.wire.text import visible
from tests.fakes import MemoryDisk
from tests.sheet_month import EVIL, Month, evil, write

UNTOLD = {"torch: 2.8.0, now 2.9.0", "width", "seed", "run-8", "Google Chrome"}
"""For others to tell: what differs in a picture drawn again, a refused file's keys and ref, and
who else takes memory."""


def pages(month: Month) -> dict[str, str]:
    """The sheet's files."""
    disk = MemoryDisk()
    asyncio.run(write(month, disk))
    return {path: disk.data(path).decode() for path in disk.files("outbox")}


@pytest.fixture(scope="module")
def plain() -> dict[str, str]:
    return pages(Month())


def test_every_word_of_others_is_told_and_is_text() -> None:
    """Whatever it says to a browser, a template, a terminal or the order of the line."""
    words: set[str] = set()

    def spoilt(text: str) -> str:
        words.add(text)
        return evil(text)

    told = pages(Month(spoilt))
    everything = unescape("".join(told.values()))
    untold = {word for word in words if visible(evil(word)) not in everything}
    assert untold == UNTOLD
    for page in told.values():
        assert "<script" not in page
        assert "<img src=x" not in page
        assert not {"\x1b", "\u202e", "\u2028"} & set(page)
    assert EVIL not in everything
