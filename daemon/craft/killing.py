"""Judges a kill, the end by signal 9 of a program of ours that was not told to stop (N4.3).

Law: the system's kill for want of memory and a person's look the same, so ``OOM_KILL`` is said only
where something speaks for it, and even then as what is probable.
"""

from __future__ import annotations


def kill_code(evidence: str) -> str:
    """The code of a kill for which this speaks; '' = nothing does."""
    return "OOM_KILL" if evidence else "KILLED"


def killed(who: str, evidence: str) -> str:
    """The sentence of it, without its full stop; ``evidence`` is a clause."""
    cause = f"probable cause: memory: {evidence}" if evidence else _UNPROVEN
    return f"{who} was killed (signal 9); {cause}"


_UNPROVEN = "nothing proves that memory was short, so a person or a program may have done it"
