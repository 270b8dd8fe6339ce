"""Adapters room: which machine this is, and which of a studio's ledgers is written on it.

Law: a folder that is bound to another machine, or to none, is never taken: one writer a ledger.
What ``ledger/<host>/machine`` holds is a salted hash from which nobody learns the machine's id.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import secrets
import socket
import sys
import unicodedata
from contextlib import suppress
from pathlib import Path

_LINUX_IDS = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
_ID = re.compile(r"[0-9a-f]{32}")
_FILE = "machine"
_BINDING = re.compile(r"(?P<salt>[0-9a-f]{8,64}):(?P<digest>[0-9a-f]{64})")


def machine_id(config_folder: Path) -> str:
    """32 hexadecimal digits that stay the same on this machine for this user.

    The system's own id; where it has none, one drawn once and kept in ``config_folder``. Raises
    ``OSError`` when that cannot be written.
    """
    return _mac_id() or _linux_id() or _drawn_id(config_folder / "machine-id")


def own_host(ledger: Path, *, machine: str) -> str | None:
    """The folder in ledger/ that is bound to this machine; None when there is none yet."""
    for folder in sorted(ledger.iterdir()) if ledger.is_dir() else ():
        with suppress(OSError, UnicodeDecodeError):
            if not folder.is_symlink() and is_ours((folder / _FILE).read_text("ascii"), machine):
                return folder.name
    return None


def bind_host(ledger: Path, *, name: str, machine: str) -> str:
    """This machine's folder in ledger/; when there is none, a new ``name``, ``name-2`` … bound."""
    found = own_host(ledger, machine=machine)
    if found is not None:
        return found
    host, number = name, 1
    while not _is_free(ledger / host):
        number += 1
        host = f"{name}-{number}"
    binding = fresh_binding(machine, salt=secrets.token_hex(16))
    (ledger / host).mkdir(exist_ok=True)
    (ledger / host / _FILE).write_text(f"{binding}\n", encoding="ascii")
    return host


def bring_back(kept: Path, folder: Path) -> None:
    """Bind a host's folder again that git took away, from the kept copy of its binding."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _FILE).write_bytes((kept / _FILE).read_bytes())


def _is_free(folder: Path) -> bool:
    return not os.path.lexists(folder) or (
        folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir())
    )


def fresh_binding(machine: str, salt: str) -> str:
    """``salt:sha256``. ``salt``: 8 to 64 hexadecimal digits."""
    digest = hashlib.sha256(f"nightpress\0{salt}\0{machine}".encode()).hexdigest()
    return f"{salt}:{digest}"


def is_ours(binding: str, machine: str) -> bool:
    """Whether a binding was made on this machine; a damaged one is nobody's."""
    found = _BINDING.fullmatch(binding.strip())
    return found is not None and found[0] == fresh_binding(machine, found["salt"])


def host_name() -> str:
    """This machine's name, fit for a folder: ``[a-z0-9-]{1,32}``."""
    return plain_host(socket.gethostname())


def plain_host(name: str) -> str:
    """The first part of a network name in ``[a-z0-9-]{1,32}``; ``host`` where nothing is left."""
    letters = unicodedata.normalize("NFKD", name.partition(".")[0]).encode("ascii", "ignore")
    plain = re.sub(r"[^a-z0-9]+", "-", letters.decode().lower()).strip("-")
    return plain[:32].strip("-") or "host"


def _mac_id() -> str:
    """The hardware's UUID as gethostuuid(2) gives it; '' elsewhere."""
    call = getattr(ctypes.CDLL(None), "gethostuuid", None) if sys.platform == "darwin" else None
    if call is None:
        return ""
    uuid = (ctypes.c_ubyte * 16)()
    wait = (ctypes.c_long * 2)(5, 0)  # A timespec: seconds, nanoseconds.
    return bytes(uuid).hex() if call(uuid, wait) == 0 and any(uuid) else ""


def _linux_id() -> str:
    for path in _LINUX_IDS:
        with suppress(OSError, UnicodeDecodeError):
            text = path.read_text(encoding="ascii").strip()
            if _ID.fullmatch(text):
                return text
    return ""


def _drawn_id(path: Path) -> str:
    """Exclusive creation decides between two that draw at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError), path.open("x", encoding="ascii") as file:
        file.write(secrets.token_hex(16) + "\n")
    text = path.read_text(encoding="ascii", errors="replace").strip()
    if _ID.fullmatch(text):
        return text
    raise OSError(f"{path} holds no machine id; remove it, and a new one is drawn")
