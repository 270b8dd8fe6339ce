"""A kill is told by what speaks for its cause, and no cause is ever certain."""

from __future__ import annotations

from daemon.craft.diagnosis import first_check
from daemon.craft.killing import kill_code, killed


def test_memory_is_the_probable_cause_with_evidence_and_unproven_without() -> None:
    """N4.3, W30."""
    assert (kill_code(""), kill_code("it swapped")) == ("KILLED", "OOM_KILL")
    assert killed("It", "it swapped") == (
        "It was killed (signal 9); probable cause: memory: it swapped"
    )
    assert "nothing proves" in killed("It", "")
    assert "probable" not in killed("It", "")


def test_both_codes_lead_to_the_console() -> None:
    for code in ("KILLED", "OOM_KILL"):
        assert "jetsam" in first_check(code)
