"""What people do with git in a studio, interleaved with the ledger's writer by chance."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from daemon.core.events import Incident
from daemon.errors import LedgerChanged, LedgerDamaged
from tests.gitting import Repository, known, studio_in

COMMIT = ("commit", "-qam", "work")
BACK = ("checkout", "-qf", "main")

# What people do, a git command after another; the writer works between any two of them.
OPERATIONS: Mapping[str, Sequence[Sequence[str]]] = {
    "add -A": [("add", "-A")],
    "bisect": [
        COMMIT,
        ("bisect", "start", "HEAD", "first"),
        ("bisect", "good"),
        ("bisect", "bad"),
        ("bisect", "reset"),
    ],
    "checkout a commit": [COMMIT, ("checkout", "-q", "HEAD~2"), ("checkout", "-q", "main")],
    "checkout -f": [("checkout", "-f")],
    "checkout FILE": [("checkout", "--", "ledger")],
    "checkout REV FILE": [("checkout", "short", "--", "ledger")],
    "checkout branch": [COMMIT, ("checkout", "-q", "short"), ("checkout", "-q", "main")],
    "checkout -f branch": [("checkout", "-qf", "short"), BACK],
    "checkout before the ledger": [COMMIT, ("checkout", "-q", "before"), BACK],
    "checkout --orphan": [("checkout", "--orphan", "fresh"), ("rm", "-rfq", "."), BACK],
    "cherry-pick": [COMMIT, ("cherry-pick", "side")],
    "clean -fd": [("clean", "-fdq")],
    "clean -fdx": [("clean", "-fdxq")],
    "commit -a": [COMMIT],
    "commit --amend": [COMMIT, ("commit", "-q", "--amend", "-am", "again")],
    "gc": [COMMIT, ("gc", "-q", "--prune=now")],
    "merge another host": [("fetch", "-q"), ("merge", "-q", "origin/main")],
    "merge our branch": [COMMIT, ("merge", "-q", "side"), ("add", "ledger"), COMMIT],
    "merge --abort": [COMMIT, ("merge", "-q", "side"), ("merge", "--abort")],
    "pull --ff-only": [("pull", "-q", "--ff-only")],
    "pull a merge": [COMMIT, ("pull", "-q", "--no-rebase", "--no-edit")],
    "pull --rebase": [COMMIT, ("pull", "-q", "--rebase")],
    "pull --autostash": [("pull", "-q", "--rebase", "--autostash")],
    "read-tree, checkout-index": [("read-tree", "short"), ("checkout-index", "-fa")],
    "rebase": [COMMIT, ("rebase", "-q", "side"), ("rebase", "--abort")],
    "rebase, ours skipped": [COMMIT, ("rebase", "-q", "side"), ("rebase", "--skip")],
    "reset --hard": [("reset", "-q", "--hard")],
    "reset --hard HEAD~1": [COMMIT, ("reset", "-q", "--hard", "HEAD~1")],
    "reset --hard to the first": [
        ("reset", "-q", "--hard", "first"),
        ("reset", "--hard", "main@{1}"),
    ],
    "restore": [("restore", ".")],
    "restore --source": [("restore", "--source=short", "--staged", "--worktree", "ledger")],
    "revert": [COMMIT, ("revert", "--no-edit", "HEAD")],
    "rm": [("rm", "-rfq", "ledger"), ("reset", "-q")],
    "rm --cached": [("rm", "-rq", "--cached", "ledger"), ("reset", "-q")],
    "sparse-checkout": [
        ("sparse-checkout", "set", "--no-cone", "/*", "!/ledger/"),
        ("reset", "-q", "--hard"),
        ("sparse-checkout", "disable"),
    ],
    "stash": [("stash", "-q")],
    "stash -u": [("stash", "-qu"), ("stash", "apply", "-q")],
    "stash, stash pop": [("stash", "-q"), ("stash", "pop", "-q")],
    "stash, commit, stash pop": [("stash", "-q"), COMMIT, ("stash", "pop", "-q")],
    "stash without the ledger": [
        ("stash", "push", "-q", "--", ".", ":!ledger"),
        ("stash", "pop", "-q"),
    ],
    "switch": [COMMIT, ("switch", "-q", "short"), ("switch", "-q", "-")],
    "switch -f": [("switch", "-qf", "short"), ("switch", "-qf", "main")],
    "worktree": [
        ("worktree", "add", "-q", "../beside", "short"),
        ("worktree", "remove", "../beside"),
    ],
}


@dataclass
class Tale:
    """What came of one interleaving."""

    lines: int = 0
    restored: int = 0
    refused: int = 0
    stops: list[str] = field(default_factory=list)


def interleave(origin: Path, folder: Path, operation: str, chance: Random) -> Tale:
    """An operation of git's in a copy of the template's studio, while the writer works, rests, is
    killed or is not there. Raises ``Lost``.
    """
    root = studio_in(origin, folder)
    tale = Tale()
    with asyncio.Runner() as runner:
        runner.run(_Play(root, chance, tale).tell(OPERATIONS[operation]))
    shutil.rmtree(folder)
    return tale


def take_ours(root: Path, error: Exception) -> None:
    """Do what a refusal says to those who want to go on with their own lines."""
    remedy = re.search(r"\(cp (\S+) (\S+)\)", str(error))
    assert remedy, error
    shutil.copy(root / remedy[1], root / remedy[2])


class _Play:
    """One interleaving as it goes."""

    def __init__(self, root: Path, chance: Random, tale: Tale) -> None:
        self._repository = Repository(root)
        self._chance = chance
        self._tale = tale
        self._writer = known(root)
        self._alive = False
        self._said = 0

    async def tell(self, commands: Sequence[Sequence[str]]) -> None:
        began = sum(map(len, self._writer.written.values()))
        await self._step(self._begin)
        await self._work(least=1)
        for command in commands:
            done = self._repository.git(*command, check=False)
            self._tale.refused += done.returncode != 0
            await self._work(least=0)
        await self._step(self._begin)
        await self._step(self._writer.turn)
        await self._step(self._writer.turn)
        self._writer.check()
        self._tale.restored = self._writer.restored
        self._tale.lines = sum(map(len, self._writer.written.values())) - began

    async def _work(self, *, least: int) -> None:
        deeds = (self._write, self._write, self._writer.turn, self._begin, self._kill, self._note)
        for _ in range(self._chance.randint(least, 4)):
            deed = self._chance.choice(deeds)
            if not self._alive and deed is not self._begin:
                if self._chance.random() < 0.5:
                    continue
                await self._step(self._begin)
            await self._step(deed)

    async def _step(self, deed: Callable[[], Awaitable[None]]) -> None:
        """A deed; when the ledger refuses to go on, what its message says is done, and it goes on
        with every line.
        """
        try:
            await deed()
        except (LedgerChanged, LedgerDamaged) as error:
            self._tale.stops.append(str(error))
            self._writer.check_stop(error)
            take_ours(self._repository.root, error)
            await self._begin()

    async def _begin(self) -> None:
        await self._writer.begin()
        self._alive = True

    async def _write(self) -> None:
        self._said += 1
        await self._writer.turn([Incident("NOTE", f"said {self._said}")])

    async def _kill(self) -> None:
        self._alive = False
        if self._chance.random() < 0.5:
            await self._writer.turn([Incident("NOTE", "never acknowledged")], killed=True)
        elif self._chance.random() < 0.5:
            self._writer.tear()

    async def _note(self) -> None:
        self._repository.note(f"a thought of {self._said}")
