"""Spells the answer to a file that asks for nothing that can be done: its folder and its status.

Law: whatever a file is called, its folder is one plain name inside outbox/rejected/.
"""

from __future__ import annotations

import re
from dataclasses import asdict

from daemon.core.events import JobRejected
from daemon.core.jobs import FileFacts
from daemon.craft.diagnosis import first_check
from daemon.wire.instants import instant_text
from daemon.wire.toml_text import toml_bytes

REJECTED = "outbox/rejected"

_ODD = re.compile(r"[^A-Za-z0-9._-]+")
_NAME_CHARS = 64


def rejected_folder(file: FileFacts | JobRejected) -> str:
    """``outbox/rejected/<name>-<first 12 of the file's sha256>``, relative to the studio."""
    plain = _ODD.sub("_", file.name.removesuffix(".toml")).strip(".")[:_NAME_CHARS]
    return f"{REJECTED}/{plain or 'file'}-{file.sha256[:12]}"


def rejected_status_toml(rejected: JobRejected, *, at: int) -> bytes:
    """The status file beside it, every complaint with its line and key. ``at`` in ms since 1970."""
    errors = rejected.errors
    first = errors[0].text if errors else "It could not be read as a job."
    more = f" ({len(errors)} things are wrong; all are below.)" if len(errors) > 1 else ""
    top = {
        "phase": "rejected",
        "code": "REJECTED",
        "sentence": first + more,
        "first_check": first_check("REJECTED"),
        "file": rejected.name,
        "sha256": rejected.sha256,
        "ref": rejected.ref,
        "rejected_at": instant_text(at),
    }
    return toml_bytes(top, [("error", [asdict(error) for error in errors])])
