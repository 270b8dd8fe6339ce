"""The face: what the verbs of a dataset put into its folder.

Law: nothing that is there is overwritten unless that is asked for, and nothing is written before
all of it can be. sources.toml comes first, so that no picture is ever there without its mark.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from daemon.adapters.disk import StudioDisk
from daemon.cli.place import Bad
from daemon.wire.phrases import some
from daemon.wire.sources import SOURCES, Source, read_sources, sources_toml
from daemon.wire.text import visible


def put(
    folder: Path, files: Mapping[str, bytes], marks: Mapping[str, Source], *, force: bool = False
) -> None:
    """Write the files, and the marks of pictures beside those of other pictures. Raises ``Bad``."""
    there = [name for name in files if os.path.lexists(folder / name)]
    if there and not force:
        raise Bad(
            f"{visible(str(folder))} has {some(map(visible, there))} already. Nothing was written. "
            "Move them away, choose other names, or overwrite them with --force."
        )
    # An order of its own for each: a later file never stands without the earlier ones.
    whole = {SOURCES: sources_toml({**sources(folder), **marks}), **files} if marks else files
    folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(_write(folder, whole))


def sources(folder: Path) -> Mapping[str, Source]:
    """The marks that the dataset has. Raises ``Bad`` where they cannot all be kept."""
    file = folder / SOURCES
    if not file.exists():
        return {}
    found, wrong = read_sources(file.read_bytes())
    if wrong:
        raise Bad("\n".join((*wrong, "Nothing was written. Mend it first.")))
    return found


async def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    disk = StudioDisk(folder)
    for name, data in files.items():
        await disk.write(name, data, synced=False)
