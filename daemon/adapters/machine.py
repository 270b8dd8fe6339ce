"""Adapters room: which machine this is, told without telling it.

Law: a ledger's folder is bound to a machine, not to the network's name for it, and what is written
into the repository is a salted hash from which nobody learns the machine's id.
"""

from __future__ import annotations

import ctypes
import hashlib
import hmac
import re
import secrets
import socket
import sys
import unicodedata
from contextlib import suppress
from pathlib import Path

_LINUX_IDS = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
_ID = re.compile(r"[0-9a-f]{32}")
_BINDING = re.compile(r"(?P<salt>[0-9a-f]{8,64}):(?P<digest>[0-9a-f]{64})")


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


def machine_id(config_folder: Path) -> str:
    """32 hexadecimal digits that stay the same on this machine for this user.

    The system's own id; where it has none, one drawn once and kept in ``config_folder``. Raises
    ``OSError`` when that cannot be written.
    """
    return _mac_id() or _linux_id() or _drawn_id(config_folder / "machine-id")


def fresh_binding(machine: str, salt: str) -> str:
    """What ``ledger/<host>/machine`` holds: ``salt:sha256``. ``salt``: 8 to 64 hexadecimal
    digits.
    """
    digest = hashlib.sha256(f"nightpress\0{salt}\0{machine}".encode()).hexdigest()
    binding = f"{salt}:{digest}"
    assert _BINDING.fullmatch(binding), "a salt is of hexadecimal digits"
    return binding


def is_ours(binding: str, machine: str) -> bool:
    """Whether a binding was made on this machine; a damaged one is nobody's."""
    found = _BINDING.fullmatch(binding.strip())
    return found is not None and hmac.compare_digest(
        fresh_binding(machine, found["salt"]), found[0]
    )


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
    wait = _Timespec(5, 0)
    found = bytes(uuid).hex() if call(uuid, ctypes.byref(wait)) == 0 else ""
    return found if found.strip("0") else ""


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
