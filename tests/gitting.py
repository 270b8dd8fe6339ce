"""A studio in a real git repository, and the ledger's writer in it.

Law: the writer goes through the steps of the loop and keeps a copy of every line that was written;
at the end the ledger holds these bytes and no others, or the ledger refused to go on, named both
heads, and its second name still has them all.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from daemon.adapters.disk import StudioDisk
from daemon.adapters.new_studio import make_studio
from daemon.core.events import Event, Incident, LedgerRestored
from daemon.errors import PersonNeeded
from daemon.ports import Disk
from daemon.shell.ledger import Ledger
from daemon.wire.ledger_line import Head, read_lines
from tests import needs
from tests.desk import EPOCH_MS

HOST, OTHER = "mac", "pc"
OCTOBER_MS = EPOCH_MS - 30 * 86_400_000
SEGMENT = f"ledger/{HOST}/2026-11.jsonl"
PAST = f"ledger/{HOST}/2026-10.jsonl"
NOTE = "notes.md"


class Lost(AssertionError):
    """A line that was acknowledged is gone, and nobody said so."""


class Repository:
    """A work tree with git's surroundings of its own, whatever this machine's are."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._git = needs.program("git")

    def git(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """One git command, to its end."""
        done = subprocess.run(
            (self._git, *arguments),
            cwd=self.root,
            env=environment(self.root.parent),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0 or not check, f"git {arguments}: {done.stdout}{done.stderr}"
        return done

    def commit(self, message: str) -> None:
        """Everything, as it is now."""
        self.git("add", "-A")
        self.git("commit", "-qm", message)

    def note(self, text: str) -> None:
        """A person's own work, in a file that is not the ledger's."""
        path = self.root / NOTE
        path.write_text((path.read_text() if path.exists() else "") + f"{text}\n")


def environment(home: Path) -> Mapping[str, str]:
    """No settings of this machine's, a fixed identity, and no editor that waits."""
    people = {
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "maker"), ("EMAIL", "maker@example.org"))
    }
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_EDITOR": "true",
        "GIT_TERMINAL_PROMPT": "0",
        **people,
    }


@dataclass
class Writer:
    """The ledger's writer, one life after another; ``path`` -> every line that was written."""

    root: Path
    host: str = HOST
    at: int = EPOCH_MS
    written: dict[str, list[bytes]] = field(default_factory=dict)
    restored: int = 0
    check_restored: bool = True

    async def begin(self, disk: Disk | None = None) -> None:
        """A new life: nothing is held open, what was not recorded is not known."""
        self.ledger = Ledger(disk or StudioDisk(self.root), host=self.host)
        missing = self._missing(self.written)
        await self.ledger.load()
        self._check_restored(missing)

    async def turn(self, events: Sequence[Event] = (), *, killed: bool = False) -> None:
        """One turn of the loop. ``killed`` after its bytes were written, before they were
        believed.
        """
        told = [LedgerRestored(each.lines, each.cause) for each in self.ledger.restored]
        page = self.ledger.page()
        for event in [*told, *events]:
            page.write(event, at=self.at)
        path = f"ledger/{self.host}/{page.head.segment}.jsonl"
        missing = self._missing([path] if page.lines else self.written)
        if page.lines:
            await self.ledger.append(page)
            self.written.setdefault(path, []).extend(page.lines)
        else:
            await self.ledger.look()
        del self.ledger.restored[: len(told)]
        if not killed:
            self._check_restored(missing)

    def tear(self) -> None:
        """Leave half a line behind, as a kill in the middle of a write does."""
        path = self.root / f"ledger/{self.host}/{self.ledger.head.segment}.jsonl"
        if path.exists() and path.read_bytes() == self.bytes_of(path):
            with path.open("ab") as file:
                file.write(b'{"seq":')

    def bytes_of(self, path: Path) -> bytes:
        """What was written to a segment."""
        return b"".join(self.written[path.relative_to(self.root).as_posix()])

    def check(self) -> None:
        """Every written byte is there, none more, it verifies, and it is known whose it is. Raises
        ``Lost``.
        """
        self.check_lines(self.written)
        if not (self.root / f"ledger/{self.host}/machine").exists():
            raise Lost("it is not known any more whose ledger this is")

    def check_lines(self, paths: Iterable[str] = (SEGMENT,)) -> None:
        """The same of some segments; all of them verify."""
        head = Head()
        for path, lines in sorted(self.written.items()):
            file = self.root / path
            found = file.read_bytes() if file.exists() else b""
            if path in paths and found != b"".join(lines):
                there = found.count(b"\n")
                raise Lost(f"{path}: {len(lines)} lines were written, {there} are there")
            for entry in read_lines(b"".join(lines).splitlines(), head=head, segment=path):
                head = Head(entry.seq, entry.chain, entry.segment)

    def check_stop(self, error: PersonNeeded) -> None:
        """A refusal is a fair one: both heads are named, and the second name has every byte.
        Raises ``Lost``.
        """
        path = next((each for each in self.written if each in str(error)), SEGMENT)
        ours = json.loads(self.written[path][-1])
        named = f"ours with seq {ours['seq']}, chain {ours['chain']}"
        spare = self.root / ".nightpress/spare" / path.removeprefix("ledger/")
        if named not in str(error) or not re.search(
            r"it ends with (seq \d+, |no readable)", str(error)
        ):
            raise Lost(f"{named} is not named: {error}")
        kept = spare.read_bytes() if spare.exists() else b""
        if kept[: kept.rfind(b"\n") + 1] != b"".join(self.written[path]):
            raise Lost(f"the bytes are not in {spare}: {error}")

    def _missing(self, paths: Sequence[str] | Mapping[str, object]) -> int:
        """How many whole lines are not where they were written to."""
        known = [path for path in paths if path in self.written]
        return sum(len(self.written[path]) - self._there(path) for path in known)

    def _there(self, path: str) -> int:
        with suppress(FileNotFoundError):  # Git may be about to put another in its place.
            return (self.root / path).read_bytes().count(b"\n")
        return 0

    def _check_restored(self, missing: int) -> None:
        said = sum(each.lines for each in self.ledger.restored)
        if said != missing and self.check_restored:
            raise Lost(f"{missing} lines were missing, {said} are said to have been put back")
        self.restored += said


def template(folder: Path) -> Path:
    """A studio with a history, made once: ``studio`` and its remote ``hub`` with news of ``pc``.

    Branches: ``before`` knows no ledger; ``short`` one that ends earlier; ``side`` left after
    ``short`` and has some more of it. Tag ``first``: the first commit with a ledger.
    """
    root = folder / "studio"
    make_studio(root, studio="0123456789ab")
    own = Repository(root)
    own.git("init", "-q", "--template=", "-b", "main")
    own.git("config", "gc.auto", "0")
    own.commit("a studio")
    own.git("branch", "before")
    asyncio.run(_history(own))
    own.git("clone", "-q", "--bare", ".", "../hub")
    own.git("remote", "add", "origin", str(folder / "hub"))
    own.git("fetch", "-q")
    own.git("branch", "-qu", "origin/main")
    own.git("clone", "-q", str(folder / "hub"), "../beside")
    asyncio.run(_news(Repository(folder / "beside")))
    shutil.rmtree(folder / "beside")
    shutil.rmtree(root / ".nightpress")
    return root


async def _history(own: Repository) -> None:
    writer = await opened(own.root, HOST)
    writer.at = OCTOBER_MS
    for number in range(6):
        await writer.turn([Incident("NOTE", f"history {number}")])
        if number == 1:
            own.commit("the ledger begins")
            own.git("tag", "first")
            writer.at = EPOCH_MS
        if number in (3, 4):
            own.note(f"page {number}")
            own.commit(f"page {number}")
            own.git("branch", "short" if number == 3 else "side")
    own.note("page 5")
    own.commit("page 5")
    own.git("checkout", "-q", "side")
    (own.root / "side.md").write_text("another way to tell it\n")
    await writer.turn()
    await writer.turn()
    own.commit("another way, and what was put back")
    own.git("checkout", "-q", "main")
    await writer.turn()
    await writer.turn([Incident("NOTE", "on main again")])
    own.commit("on main again")


async def _news(other: Repository) -> None:
    writer = await opened(other.root, OTHER)
    for number in range(2):
        await writer.turn([Incident("NOTE", f"on the other machine {number}")])
        (other.root / "other.md").write_text(f"{number}\n")
        other.commit(f"on the other machine {number}")
    other.git("push", "-q", "origin", "main")


async def opened(root: Path, host: str) -> Writer:
    """A host's first day in a studio."""
    (root / "ledger" / host).mkdir()
    (root / "ledger" / host / "machine").write_text(f"{host}\n")
    writer = Writer(root, host)
    await writer.begin()
    return writer


def known(root: Path, host: str = HOST) -> Writer:
    """A writer that knows the lines that are there."""
    written = {
        path.relative_to(root).as_posix(): path.read_bytes().splitlines(keepends=True)
        for path in sorted((root / "ledger" / host).glob("*.jsonl"))
    }
    return Writer(root, host, written=written)


def studio_in(origin: Path, folder: Path) -> Path:
    """A copy of the template's studio."""
    return Path(shutil.copytree(origin, folder / "studio", symlinks=True))
