"""What systems say of their memory and power is read by name, or is as good as nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.wire.machine_words import (
    high_mark,
    meminfo,
    power,
    pressure_level,
    proportional,
    reclaimable,
    swapped_pages,
    vm_stat,
)
from tests.machine_texts import BATTERY, CHARGED, MEMINFO, PAGE, PLUGGED, VM_STAT, VMSTAT

TAKEN = (214_016 + 321_792 + 229_376) * PAGE


def test_what_is_taken_is_wired_anonymous_and_compressed() -> None:
    """A2.6: the compressor's pages are in none of psutil's numbers."""
    assert vm_stat(VM_STAT) == (TAKEN, 234_567 * PAGE)


@pytest.mark.parametrize("more", ["Pages tagged:   12.\n", '"Pages of a kind":   7.\n'])
def test_a_line_that_is_new_changes_nothing(more: str) -> None:
    head, _, rest = VM_STAT.partition("\n")
    assert vm_stat(f"{head}\n{more}{rest}") == vm_stat(VM_STAT)


@pytest.mark.parametrize(
    ("there", "instead"),
    [
        ("16384 bytes", "0 bytes"),
        ("16384 bytes", "-4096 bytes"),
        ("16384 bytes", "16.384 Bytes"),
        ("page size of 16384 bytes", "Seitengröße: 16384 Byte"),
        ("214016.", "214.016,"),  # German
        ("214016.", "214 016,"),  # French
        ("214016.", "-214016."),
        ("214016.", "209M."),  # as in the tool's interval mode
        ("214016.", "99999999999999999999."),
        ("Anonymous pages", "Anonyme Seiten"),
        ("Swapouts", "Auslagerungen"),
        ("234567.", "2345"),  # cut off
    ],
)
def test_what_is_absurd_cut_off_or_of_another_locale_is_nothing(there: str, instead: str) -> None:
    """A2.6"""
    assert there in VM_STAT
    assert vm_stat(VM_STAT.replace(there, instead)) is None


@given(st.integers(0, len(VM_STAT)))
def test_a_text_that_was_cut_off_is_nothing_or_the_whole(length: int) -> None:
    assert vm_stat(VM_STAT[:length]) in (None, vm_stat(VM_STAT))


@pytest.mark.parametrize(
    ("says", "level"),
    [
        *(("1", 1), ("2\n", 2), ("4", 4), ("3", None), ("7", None), ("-1", None), ("", None)),
        *(("vier", None), ("4\n4", None), ("1,0", None), ("sysctl: unknown oid", None)),
    ],
)
def test_only_the_kernels_own_levels_are_believed(says: str, level: int | None) -> None:
    """A2.8"""
    assert pressure_level(says) == level


@pytest.mark.parametrize(
    ("says", "plugged"),
    [
        (PLUGGED, (True, 80)),
        (CHARGED, (True, 100)),
        (BATTERY, (False, 7)),
        ("Now drawing from 'AC Power'\n", (True, None)),
        ("Now drawing from 'UPS Power'\n", (False, None)),
        (PLUGGED.replace("80%", "180%"), (True, None)),
        ("Jetzt über 'Netzteil'\n", None),
        ("", None),
    ],
)
def test_power_is_where_it_is_drawn_from(says: str, plugged: tuple[bool, int | None]) -> None:
    """A5.3"""
    assert power(says) == plugged


def test_linux_tells_what_can_be_had_without_swapping() -> None:
    """A2.6"""
    assert meminfo(MEMINFO) == (16_000_000 * 1024, 9_000_000 * 1024)
    assert meminfo(MEMINFO.replace("MemAvailable", "MemFrei")) is None
    assert swapped_pages(VMSTAT) == 1234
    assert swapped_pages(VMSTAT.replace("pswpout", "other")) is None
    assert reclaimable("anon 5\ninactive_file 4096\nactive_file 8192\n") == 4096


def test_a_process_tells_its_share_and_its_highest_mark() -> None:
    assert proportional("00400000-7ffc rollup\nRss:  9 kB\nPss:     5 kB\n") == 5 * 1024
    assert high_mark("Name:\tpython\nVmHWM:\t   70 kB\nVmRSS:\t 60 kB\n") == 70 * 1024
    assert proportional("") is None
    assert high_mark("") == 0


READERS = (vm_stat, pressure_level, power, meminfo, swapped_pages, reclaimable, proportional)


@pytest.mark.parametrize("reader", [*READERS, high_mark])
@given(st.text() | st.sampled_from([VM_STAT, PLUGGED, MEMINFO, VMSTAT]))
def test_no_text_is_a_failure(reader: Callable[[str], object], text: str) -> None:
    """A2.6: no job fails for what a probe reads."""
    reader(text)
