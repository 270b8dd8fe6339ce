"""The face: how much of the ledger a git revision knew, and since when git knows a line.

Law: it only reads, and what git is asked for by name is a commit that git has named itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from daemon.cli.lines import segments
from daemon.cli.place import WrongCommand
from daemon.wire.phrases import counted
from daemon.wire.text import visible

_SEGMENT = re.compile(r"ledger/[^/]+/[0-9]{4}-(0[1-9]|1[0-2])\.jsonl")


class Known(NamedTuple):
    """With how many bytes each segment begins as it did then, and a sentence for each that does not
    begin with all it had.
    """

    sizes: Mapping[Path, int]
    doubts: Sequence[str]


def known_at(studio: Path, revision: str) -> Known:
    """What a git revision had of the ledger as it is now. Raises ``WrongCommand``."""
    asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    commit = _git(studio, *asked).decode().strip()
    if not commit:
        raise WrongCommand(
            f"--since {visible(revision)}: neither a seq number of the ledger, nor a day such as "
            "2026-11-20, nor a revision that git knows in this studio."
        )
    today = {file for files in segments(studio).values() for file in files}
    listed = _git(studio, "ls-tree", "-r", "-z", "--name-only", commit, "./ledger")
    names = filter(_SEGMENT.fullmatch, listed.decode(errors="replace").split("\0"))
    sizes: dict[Path, int] = {}
    doubts: list[str] = []
    for name in names:
        file = studio / name
        then = _lines(_git(studio, "cat-file", "blob", f"{commit}:./{name}"))
        now = _lines(file.read_bytes()) if file in today else ()
        same = [line for line, _ in takewhile(_are_equal, zip(then, now, strict=False))]
        sizes[file] = sum(map(len, same))
        doubts += _doubt(visible(name), visible(revision), len(then), len(now), len(same))
    return Known(sizes, doubts)


def first_commit(studio: Path, segment: Path, chain: str) -> tuple[str, str]:
    """The first commit that has the line with this chain value, and its instant; '' and '' when
    there is none.
    """
    asked = ("--reverse", "--format=%H %cI", "--no-textconv", f'-S"chain":"{chain}"')
    try:
        told = _git(studio, "log", *asked, "--", f"./{segment.relative_to(studio)}")
    except WrongCommand:
        return "", ""
    commit, _, at = told.decode(errors="replace").partition("\n")[0].partition(" ")
    return commit, at


def _doubt(name: str, revision: str, then: int, now: int, same: int) -> Iterator[str]:
    """What is said of a segment of so many lines then, now, and in common."""
    if same < min(then, now):
        yield (
            f"{name} is not what it was at {revision}: from line {same + 1} on it differs, so "
            "everything from there on is told. A hand, a merge or a rewritten history changed it. "
            f"`git diff {revision} -- {name}` shows what, and `nightpress verify` says whether "
            "today's lines can be believed."
        )
    elif same < then:
        yield (
            f"{name} has {counted(then - same, 'line')} fewer than at {revision}. Merge that if "
            f"it is ahead of you; else see `nightpress verify`, and `git log -- {name}` for who "
            "took them away."
        )


def _are_equal(pair: tuple[bytes, bytes]) -> bool:
    return pair[0] == pair[1]


def _lines(data: bytes) -> Sequence[bytes]:
    """The whole lines, newlines included: a last one without is still being written."""
    return data[: data.rfind(b"\n") + 1].splitlines(keepends=True)


def _git(studio: Path, *arguments: str) -> bytes:
    """Git's answer, empty when it has none. Raises ``WrongCommand`` where there is no git."""
    import subprocess  # It is slow to import, and not every command line comes this far.

    command = ["git", *arguments]
    try:
        done = subprocess.run(command, cwd=studio, capture_output=True, check=False)
    except FileNotFoundError:
        raise WrongCommand("--since with a git revision needs git; it is not on PATH.") from None
    return done.stdout if done.returncode == 0 else b""
