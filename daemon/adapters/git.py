"""Adapters room: the repository around the studio (git).

Law: a commit holds the bytes it was given and nothing else that is new. What the maker has staged,
her work tree, her locks and every other branch stay as they are; when she is in the middle of
something, it is not the time.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from daemon.errors import WorldError
from daemon.ports import Commit
from daemon.wire.text import excerpt

_LIMIT_S = 30.0
_GRACE_S = 2.0
_COMMITS = 20
_OWN_INDEX = ".nightpress/checkpoint.index"
# Nothing that a repository configures is started, and nothing else is done on the way.
_FLAGS = (
    "--no-pager",
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.splitIndex=false"),
    # A power cut must not leave an empty object behind a branch that nobody was at.
    *("-c", "core.fsync=committed"),
    *("-c", "gc.auto=0"),
    *("-c", "maintenance.auto=false"),
    *("-c", "commit.gpgSign=false"),
    *("-c", "i18n.commitEncoding=UTF-8"),
)
_ENVIRONMENT = {
    "LC_ALL": "C",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    # No protocol is allowed: a clone that lacks objects fetches none either.
    "GIT_ALLOW_PROTOCOL": "",
    "GIT_NO_LAZY_FETCH": "1",
}
# Who the maker is. Every other GIT_ variable would lead elsewhere: to another repository or index.
_KEPT = frozenset(
    {"GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"}
    | {"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH"}
)
_NOBODY = {"user.name": "nightpress", "user.email": "nightpress@localhost"}
_BUSY: Mapping[str, str] = {
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase or an am",
    "sequencer": "a cherry-pick or a revert",
    "BISECT_LOG": "a bisect",
}
_More = Mapping[str, str]
_NOTHING: _More = {}


@dataclass(frozen=True, slots=True)
class _Done:
    """How one git ended; ``said`` is its complaint in one line."""

    code: int
    out: bytes
    said: str


class StudioGit:
    """Implements ``ports.Git``. ``environment`` is the daemon's own, of which git gets a part."""

    def __init__(
        self, studio: Path, *, environment: Mapping[str, str], limit_s: float = _LIMIT_S
    ) -> None:
        self._studio = studio
        self._limit_s = limit_s
        passed = {
            name: value
            for name, value in environment.items()
            if not name.startswith("GIT_") or name in _KEPT
        }
        self._environment = {**passed, **_ENVIRONMENT}

    async def commits(self, text: str, *, everywhere: bool) -> Sequence[Commit]:
        if not await asyncio.to_thread(self._has_repository):
            return ()
        where = ("--all", "--reflog") if everywhere else ("HEAD",)
        form = (
            "-z",
            "--format=%H %ct%n%B",
            "--encoding=UTF-8",
            "--no-color",
            "--no-show-signature",
        )
        count = f"--max-count={_COMMITS}"
        async with self._limited():
            if not everywhere and await self._is_unborn():
                return ()
            told = await self._git("log", *where, count, "-F", f"--grep={text}", *form, "--")
        return [_commit(record) for record in told.split(b"\0") if record]

    async def file(self, commit: str, path: str) -> bytes | None:
        async with self._limited():
            done = await self._run("cat-file", "blob", f"{commit}:./{path}")
        return done.out if done.code == 0 else None

    async def commit(self, files: Mapping[str, bytes], *, message: str, at: int) -> str:
        if not await asyncio.to_thread(self._has_repository):
            raise _later("the studio is in no git repository (git init makes one)")
        async with self._limited():
            prefix = await self._ready(files)
            head = await self._word("rev-parse", "HEAD^{commit}")
            entries = b""
            for path, data in files.items():
                blob = await self._word("hash-object", "-w", "--stdin", stdin=data)
                entries += f"100644 {blob} 0\t{prefix}{path}\0".encode()
            tree = await self._tree(head, entries)
            who, date = await self._identity(), f"@{at // 1000} +0000"
            made = await self._word(
                *(*who, "commit-tree", tree, "-p", head),
                stdin=message.encode(),
                more={"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date},
            )
            await self._take_over(made, head, entries, files)
        return made

    def _has_repository(self) -> bool:
        """Asked without git: where it is not installed, macOS would offer to do so."""
        folders = (self._studio, *self._studio.resolve().parents)
        return any((folder / ".git").exists() for folder in folders)

    async def _ready(self, files: Iterable[str]) -> str:
        """Where the studio is in its repository ('' or ``folder/``), if it is the time for a
        commit.
        """
        where = ("--is-inside-work-tree", "--absolute-git-dir", "--show-prefix")
        told = (await self._git("rev-parse", *where)).decode(errors="surrogateescape")
        inside, folder, prefix = told.split("\n")[:3]
        if inside != "true":
            raise _later("the studio is in no work tree of its repository")
        for name, what in _BUSY.items():
            if (Path(folder) / name).exists():
                raise _later(f"{what} is going on there")
        if (await self._run("symbolic-ref", "-q", "HEAD")).code:
            raise _later("HEAD is on no branch (git switch BRANCH)")
        if await self._is_unborn():
            raise _later("its branch has no commit yet, and the first one is yours to make")
        if await self._git("ls-files", "--unmerged", "-z"):
            raise _later("its index has unmerged files")
        if ignored := (await self._run("check-ignore", "--", *files)).out:
            raise _later(
                f"it ignores {excerpt(ignored.decode(errors='replace').split(chr(10))[0])}"
            )
        return prefix

    async def _is_unborn(self) -> bool:
        return (await self._run("rev-parse", "-q", "--verify", "HEAD")).code != 0

    async def _tree(self, head: str, entries: bytes) -> str:
        """HEAD's tree with these entries, made in an index of our own."""
        index = self._studio / _OWN_INDEX
        await asyncio.to_thread(_forget, index)
        own = {"GIT_INDEX_FILE": str(index)}
        await self._git("read-tree", head, more=own)
        await self._git("update-index", "-z", "--index-info", stdin=entries, more=own)
        tree = await self._word("write-tree", "--missing-ok", more=own)
        await asyncio.to_thread(_forget, index)
        return tree

    async def _identity(self) -> Sequence[str]:
        """Flags for what the maker has not configured of herself."""
        asked = {key: await self._run("config", "--get", key) for key in _NOBODY}
        unset = [f"{key}={_NOBODY[key]}" for key, done in asked.items() if not done.out.strip()]
        return [word for setting in unset for word in ("-c", setting)]

    async def _take_over(self, made: str, head: str, entries: bytes, files: Iterable[str]) -> None:
        """Let the maker's index and her branch have the commit, both or neither.

        The index goes first: were we killed between the two, the ledger's new lines would be
        staged, while the other way round their removal would be. Git writes each under its own
        lock, so a lock that is there, whosever it is, means later.
        """
        before = await self._git("ls-files", "--stage", "-z", "--full-name", "--", *files)
        await self._git("update-index", "-z", "--index-info", stdin=entries)
        try:
            told = "commit: nightpress checkpoint of the ledger"
            await self._git("update-ref", "-m", told, "HEAD", made, head)
        except WorldError:
            gone = re.sub(rb"100644 [0-9a-f]+ 0\t", b"0 %s\t" % (b"0" * len(head)), entries)
            await self._git("update-index", "-z", "--index-info", stdin=gone + before)
            raise

    async def _word(
        self, *arguments: str, stdin: bytes | None = None, more: _More = _NOTHING
    ) -> str:
        return (await self._git(*arguments, stdin=stdin, more=more)).decode().strip()

    async def _git(
        self, *arguments: str, stdin: bytes | None = None, more: _More = _NOTHING
    ) -> bytes:
        """What git answers. Raises ``WorldError`` with its complaint when that is all it does."""
        done = await self._run(*arguments, stdin=stdin, more=more)
        if done.code:
            raise _later(f"git says: {done.said or f'exit status {done.code}'}")
        return done.out

    async def _run(
        self, *arguments: str, stdin: bytes | None = None, more: _More = _NOTHING
    ) -> _Done:
        try:
            process = await asyncio.create_subprocess_exec(
                *("git", *_FLAGS, *arguments),
                cwd=self._studio,
                env={**self._environment, **more},
                stdin=DEVNULL if stdin is None else PIPE,
                stdout=PIPE,
                stderr=PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise _later(f"git cannot be started ({error.strerror})") from None
        try:
            out, err = await process.communicate(stdin)
        except BaseException:
            await _end(process)
            raise
        assert process.returncode is not None, "it has ended"
        words = err.decode(errors="replace").strip().split("\n")[0]
        return _Done(process.returncode, out, excerpt(words, limit=300))

    @asynccontextmanager
    async def _limited(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._limit_s):
                yield
        except TimeoutError:
            raise _later(f"git did not end within {self._limit_s:g} s, so it was ended") from None


async def _end(process: Process) -> None:
    """End it and its children; it is asked first, because then it removes its own locks."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(TimeoutError):
            async with asyncio.timeout(_GRACE_S):
                await process.communicate()
                return


def _forget(index: Path) -> None:
    """What a life that was killed has left of it too."""
    index.parent.mkdir(exist_ok=True)
    for path in (index, index.with_name(index.name + ".lock")):
        path.unlink(missing_ok=True)


def _commit(record: bytes) -> Commit:
    head, _, message = record.decode(errors="replace").partition("\n")
    commit, _, at_s = head.partition(" ")
    return Commit(commit, int(at_s) * 1000, message)


def _later(why: str) -> WorldError:
    return WorldError("GIT_CHECKPOINT", f"The ledger cannot be committed now: {why}.")
