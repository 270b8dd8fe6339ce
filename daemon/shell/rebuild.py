"""Writes again what of the outbox the ledger can give.

Law: a record that is there is never rewritten, whatever it says; a folder that somebody removed
or emptied stays so unless it is asked for; what the ledger does not hold is not touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from daemon.errors import WorldError
from daemon.ports import Disk
from daemon.wire.making import digest
from daemon.wire.views import View

_LIMIT_BYTES = 4 * 2**20


class Finding(Enum):
    """What became of a file that was not as the ledger says.

    ``FOREIGN``: a record that is not the recorded one, left as it is; ``LOST``: the recorded one is
    not there, and the ledger cannot give it.
    """

    WRITTEN = "written"
    REPLACED = "replaced"
    LEFT_OUT = "left out"
    LOST = "lost"
    FOREIGN = "foreign"


async def rebuild(
    disk: Disk, views: Mapping[str, View], *, everything: bool
) -> Mapping[str, Finding]:
    """Make files what these views say; tells of those that were not, by path.

    ``everything``: make folders again too. Raises ``WorldError`` when something cannot be read or
    written.
    """
    found: dict[str, Finding] = {}
    folders: dict[str, bool] = {}
    for path, view in views.items():
        folder = path.rpartition("/")[0]
        if folder not in folders:
            folders[folder] = bool(await disk.list(folder))
        there = await _bytes(disk, path) if folders[folder] else None
        finding = _compared(there, view)
        if not folders[folder] and not everything:
            finding = Finding.LEFT_OUT
        if finding in (Finding.WRITTEN, Finding.REPLACED) and view.data is not None:
            await disk.write(path, view.data, synced=bool(view.sha256))
        if finding is not None:
            found[path] = finding
    return found


def _compared(there: bytes | None, view: View) -> Finding | None:
    """What is to become of a file, None when it is as it should be."""
    if there is not None and (there == view.data or digest(there) == view.sha256):
        return None
    if view.data is None:
        return Finding.LOST
    if there is None:
        return Finding.WRITTEN
    return Finding.FOREIGN if view.sha256 else Finding.REPLACED


async def _bytes(disk: Disk, path: str) -> bytes | None:
    try:
        return (await disk.read(path, limit_bytes=_LIMIT_BYTES)).data
    except WorldError as error:
        if error.code == "NOT_FOUND":
            return None
        raise
