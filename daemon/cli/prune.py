"""The face: `prune`, what is not needed any more: shown first, removed when it is asked for."""

from __future__ import annotations

import asyncio
from pathlib import Path

from daemon.adapters.clock import SystemClock
from daemon.adapters.disk import StudioDisk
from daemon.cli import place
from daemon.cli.arguments import Arguments
from daemon.cli.folded import fold
from daemon.cli.follow import Follower
from daemon.cli.say import aligned, complain, say
from daemon.core.pruning import targets
from daemon.shell.pruning import prunable
from daemon.wire.phrases import counted

_MIB = 2**20
_WAIT_S = 60.0


def prune(arguments: Arguments) -> int:
    """Show what goes, and have the daemon remove it."""
    studio = place.studio(arguments)
    found = asyncio.run(_found(studio))
    for line in aligned([(_size(studio / path), path) for path in found]):
        say(line)
    total = sum(_bytes(studio / path) for path in found)
    say(f"{counted(len(found), 'item')}, {total / _MIB:.1f} MB.")
    if arguments.dry_run or not found:
        return 0
    follower = Follower(studio)
    follower.drop("prune.toml", b'kind = "prune"\nend = true\n')
    if not follower.to_the_answer(timeout_s=_WAIT_S):
        complain("The daemon has not answered yet; `nightpress log` shows when it has.")
        return 1
    return 1 if follower.refused else 0


async def _found(studio: Path) -> list[str]:
    state, disk, at = fold(studio), StudioDisk(studio), SystemClock().now()
    return [path for each in targets(state) for path in await prunable(disk, state, each, at=at)]


def _size(path: Path) -> str:
    return f"{_bytes(path) / _MIB:.1f} MB"


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if file.is_file() and not file.is_symlink())
