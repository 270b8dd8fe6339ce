"""The probe of the machine's memory: it knows a level, or it does not know."""

from __future__ import annotations

import asyncio
import sys

import pytest

from daemon.adapters.probe import MemoryProbe


@pytest.mark.parametrize(
    ("says", "level"),
    [("1", 1), ("2\n", 2), ("4", 4), ("3", None), ("", None), ("vier", None), ("4\n4", None)],
)
def test_only_the_kernels_own_levels_are_believed(says: str, level: int | None) -> None:
    """A2.8"""
    command = (sys.executable, "-I", "-c", f"print({says!r}, end='')")
    assert asyncio.run(MemoryProbe(command).signals()).level == level


@pytest.mark.parametrize(
    "command", [(), ("/no/such/program",), (sys.executable, "-I", "-c", "raise SystemExit(1)")]
)
def test_a_probe_that_fails_fails_nothing(command: tuple[str, ...]) -> None:
    """A2.8"""
    assert asyncio.run(MemoryProbe(command).signals()).level is None
