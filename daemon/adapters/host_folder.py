"""Touches ledger/<host>/machine: which of a studio's ledgers is written on this machine.

Law: a folder that is bound to another machine, or to none, is never taken: one writer a ledger.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from daemon.errors import PersonNeeded

_BINDING = "machine"
_BINDING_LIMIT = 200
_MOST = 1_000


def own_host(ledger: Path, *, is_ours: Callable[[str], bool]) -> str | None:
    """The folder in ledger/ that is bound to this machine; None when there is none yet."""
    for folder in sorted(ledger.iterdir()):
        if folder.is_symlink() or not folder.is_dir():
            continue
        try:
            with (folder / _BINDING).open(encoding="ascii", errors="replace") as file:
                binding = file.read(_BINDING_LIMIT)
        except OSError:
            continue
        if is_ours(binding):
            return folder.name
    return None


def bind_host(ledger: Path, *, name: str, binding: str, is_ours: Callable[[str], bool]) -> str:
    """This machine's folder in ledger/, made and bound when there is none: ``name``, ``name-2`` …

    Raises ``PersonNeeded`` when no name is left.
    """
    found = own_host(ledger, is_ours=is_ours)
    if found is not None:
        return found
    for number in range(1, _MOST):
        host = name if number == 1 else f"{name}-{number}"
        folder = ledger / host
        try:
            folder.mkdir()
        except FileExistsError:
            if any(folder.iterdir()):
                continue
        (folder / _BINDING).write_text(f"{binding}\n", encoding="ascii")
        return host
    raise PersonNeeded(f"{ledger} has {_MOST} folders called {name}; remove those not in use.")
