"""What the shell asks of the repository around the studio, where there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit; ``at`` is when it was made, in ms since 1970."""

    id: str
    at: int
    message: str


class Git(Protocol):
    """The repository around the studio. Nothing is ever fetched or pushed, and no hook is run.

    Every call has a time limit, and raises ``WorldError`` GIT_CHECKPOINT with the reason why it
    cannot be now.
    """

    async def commits(self, text: str, *, everywhere: bool) -> Sequence[Commit]:
        """The newest commits (a few) whose message holds ``text``, newest first: those that HEAD
        comes from, or ``everywhere``: of all branches and reflogs. None where there is no
        repository.
        """
        ...

    async def file(self, commit: str, path: str) -> bytes | None:
        """The bytes of a file of the studio in a commit, None where it has none."""
        ...

    async def commit(self, files: Mapping[str, bytes], *, message: str, at: int) -> str:
        """Commit exactly these bytes under these paths of the studio, on top of HEAD; the commit.

        ``at`` is its date, in ms since 1970.

        What else is staged, and every file of the work tree, stays as it is. Raises when HEAD is on
        no branch, something is being merged or rebased, or somebody else is at it.
        """
        ...
