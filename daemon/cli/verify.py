"""The face: `verify`, whether the ledger can be believed, and if not, what is wrong where.

Law: it only reads. It says the command that puts the right bytes back, and never runs it.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from daemon.adapters.git import StudioGit
from daemon.cli import place
from daemon.cli.arguments import Arguments
from daemon.cli.folded import entries
from daemon.cli.lines import segments
from daemon.cli.say import aligned, document, paint, say
from daemon.cli.tables import raw, table_in
from daemon.core.state import State
from daemon.errors import LedgerDamaged, WorldError
from daemon.shell.checkpoint import vouched
from daemon.wire.checkpoint import Trailer
from daemon.wire.damage import After, Anchor, Damage, Mend, Place, explain, mend, missed, span
from daemon.wire.ledger_line import Head, read_head
from daemon.wire.phrases import counted
from daemon.wire.text import visible

_EMPTY = "The ledger is empty: nothing has happened in this studio yet."
_NOTE = ".nightpress/head.json"
_GIT_TIMEOUT_S = 30
_REVISIONS = "20"


@dataclass(frozen=True, slots=True)
class Repair:
    """Who has the right bytes: ``source`` in words, and the ``command`` that puts them back."""

    source: str
    command: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found of one host. ``lines``, ``seq`` and ``chain`` are of what can be believed."""

    host: str
    segments: int
    lines: int
    seq: int
    chain: str
    damage: Damage | None
    repair: Repair | None
    torn_bytes: int


@dataclass(frozen=True, slots=True)
class Kept:
    """What a checkpoint's ``commit`` holds of a host."""

    commit: str
    trailer: Trailer

    @property
    def place(self) -> Place:
        return Place(self.trailer.seq, self.trailer.chain)

    @property
    def anchor(self) -> Anchor:
        return Anchor(f"git commit {self.commit}", self.trailer.seq, self.trailer.chain)


def verify(arguments: Arguments) -> int:
    """Check every host's ledger; 1 when one is damaged."""
    studio = place.studio(arguments)
    # What is remembered is read before the ledger: a daemon may be writing both.
    noted = _noted(studio)
    kept = dict(_kept(studio))
    hosts = sorted({*segments(studio), *noted, *kept})
    verdicts = [_verdict(studio, host, noted.get(host), kept.get(host)) for host in hosts]
    damaged = any(verdict.damage for verdict in verdicts)
    if arguments.json:
        document({"damaged": damaged, "hosts": list(map(_document, verdicts))})
    elif verdicts:
        for verdict in verdicts:
            _print(verdict, alive=place.is_alive(studio))
    else:
        say(_EMPTY)
    return 1 if damaged else 0


def _noted(studio: Path) -> dict[str, Anchor]:
    """By host: what the daemon has noted of its ledger."""
    path = studio / _NOTE
    data = path.read_bytes() if path.is_file() else b""
    host = raw(table_in(data), "host")
    head = read_head(data, host=host)
    return {host: Anchor(_NOTE, head.seq, head.chain)} if head else {}


def _kept(studio: Path) -> Iterator[tuple[str, Kept]]:
    """By host: what the furthest of its checkpoints holds; none where git cannot be asked."""
    git = StudioGit(studio, environment=os.environ)
    for host in (folder.name for folder in (studio / "ledger").iterdir() if folder.is_dir()):
        with suppress(WorldError):
            found = asyncio.run(vouched(git, host=host, everywhere=True))
            if found:
                yield host, Kept(found[0].id[:12], found[1])


def _verdict(studio: Path, host: str, noted: Anchor | None, kept: Kept | None) -> Verdict:
    anchors = [anchor for anchor in (noted, kept and kept.anchor) if anchor]
    files = segments(studio).get(host, [])
    head, starts = Head(), {str(file.relative_to(studio)): Head() for file in files}
    chains = dict.fromkeys((anchor.seq for anchor in anchors), "")
    damage = None
    try:
        for entry in entries(studio, host, State()):
            if entry.segment != head.segment:
                starts[f"ledger/{host}/{entry.segment}.jsonl"] = head
            head = Head(entry.seq, entry.chain, entry.segment)
            if head.seq in chains:
                chains[head.seq] = head.chain
    except LedgerDamaged as error:
        if error.line == 1:
            starts[error.segment] = head
        damage = _explained(error, studio, files, head)
    else:
        last = str(files[-1].relative_to(studio)) if files else f"ledger/{host}"
        told = (missed(each, segment=last, head=head, chain=chains[each.seq]) for each in anchors)
        damage = next(filter(None, told), None)
    repair = _repair(studio, damage, starts) if damage else None
    if damage and kept and not repair and damage.expected == kept.place:
        repair = _recorded(studio, kept)
    end = files[-1].read_bytes() if files else b""
    torn = len(end) - end.rfind(b"\n") - 1
    return Verdict(host, len(files), head.seq, head.seq, head.chain, damage, repair, torn)


def _explained(error: LedgerDamaged, studio: Path, files: Sequence[Path], head: Head) -> Damage:
    here = [str(file.relative_to(studio)) for file in files].index(error.segment)
    data = files[here].read_bytes()
    lines = _lines(data)
    cut = error.line == len(lines) and not data.endswith(b"\n")
    later = [line for file in files[here + 1 :] for line in _lines(file.read_bytes())]
    # Somebody may have cut the file since it was read.
    return explain(error, [*(lines[error.line - 1 :] or [b""]), *later], head=head, cut=cut)


def _lines(data: bytes) -> list[bytes]:
    return data.removesuffix(b"\n").split(b"\n") if data else []


# Who has the right bytes.


def _repair(studio: Path, damage: Damage, starts: dict[str, Head]) -> Repair | None:
    """How the segment, or the one before it, is better known to its spare or to git."""
    paths = [path for path in sorted(starts) if path <= damage.segment][-2:]
    for path in reversed(paths):
        data = (studio / path).read_bytes()
        lines = _lines(data)
        good = damage.line - 1 if path == damage.segment and damage.line else len(lines)
        for source, show, copy in _copies(studio, path, data):
            better = mend(lines, _lines(copy), head=starts[path], segment=path, good=good)
            if better:
                return _told(path, source, show, better, lines=len(lines))
    return _gone(studio, damage)


def _copies(studio: Path, path: str, data: bytes) -> Iterator[tuple[str, str, bytes]]:
    """Other versions of a file: whose it is, the command that shows it, its bytes."""
    if b"\r\n" in data:
        # No line of a ledger has a CR in it, so nothing else is lost with them.
        show = f"tr -d '\\r' < {shlex.quote(path)}"
        yield "The file without its CRs", show, data.replace(b"\r", b"")
    spare = _spare(path)
    if (studio / spare).is_file():
        yield spare, f"cat {shlex.quote(spare)}", (studio / spare).read_bytes()
    listed = _git(studio, "rev-list", f"--max-count={_REVISIONS}", "--all", "--reflog", "--", path)
    for revision in listed.decode().split():
        short = revision[:12]
        show = f"git show {shlex.quote(f'{short}:./{path}')}"
        yield f"git commit {short}", show, _git(studio, "show", f"{revision}:./{path}")


def _spare(path: str) -> str:
    """The second name of a segment."""
    return f".nightpress/spare/{path.removeprefix('ledger/')}"


def _told(path: str, source: str, show: str, better: Mend, *, lines: int) -> Repair:
    name, kept = shlex.quote(path), shlex.quote(f"{path}.damaged")
    parts = [f"{show} | head -n {better.lines}"]
    if better.onward:
        parts.append(f"tail -n +{better.onward} {name}")
    written = f"mkdir -p .nightpress && {{ {'; '.join(parts)}; }} > .nightpress/mended"
    # The second name of the damaged file has its damage too, and would be held against the mended.
    spare = shlex.quote(_spare(path))
    goes_on = ""
    if better.onward:
        goes_on = f", and the file goes on after them at line {better.onward}"
    elif lines > better.lines:
        goes_on = f"; what the file has beyond them is kept in {path}.damaged only"
    return Repair(
        f"{source} has lines 1 to {better.lines} of {path} as they were written{goes_on}.",
        f"{written} && mv {name} {kept} && mv .nightpress/mended {name} && rm -f {spare}",
    )


def _recorded(studio: Path, kept: Kept) -> Repair:
    """How the segment is brought back that a checkpoint holds."""
    path, source = kept.trailer.path, f"git commit {kept.commit}"
    show = f"git show {kept.commit}:./{path}"
    if (studio / path).exists():
        lines = len(_lines((studio / path).read_bytes()))
        return _told(path, source, show, Mend(kept.trailer.lines, 0), lines=lines)
    return Repair(f"{source} has {path}, which is not here.", f"{show} > {path}")


def _gone(studio: Path, damage: Damage) -> Repair | None:
    """A segment that git has and the studio has not."""
    if damage.code not in ("MISSING", "SHORT"):
        return None
    folder = "/".join(damage.segment.split("/")[:2])
    for path in _git(studio, "ls-tree", "-z", "--name-only", "HEAD", f"{folder}/").split(b"\0"):
        name = path.decode(errors="surrogateescape")
        if name.endswith(".jsonl") and not (studio / name).exists():
            command = f"git checkout HEAD -- {shlex.quote(name)}"
            return Repair(f"git has {visible(name)}, which is not here.", command)
    return None


def _git(studio: Path, *arguments: str) -> bytes:
    """Git's answer; nothing where there is none."""
    command = ["git", *arguments]
    try:
        done = subprocess.run(
            command, cwd=studio, capture_output=True, check=False, timeout=_GIT_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return b""
    return done.stdout if done.returncode == 0 else b""


# What is said.


def _document(verdict: Verdict) -> dict[str, object]:
    told = asdict(verdict)
    if verdict.damage:
        told["damage"]["remedy"] = verdict.damage.remedy
    return told


def _print(verdict: Verdict, *, alive: bool) -> None:
    word = paint("damaged", "red") if verdict.damage else paint("intact", "green")
    fit = " can be believed" if verdict.damage else ""
    say(
        f"{visible(verdict.host)}: {word}, {counted(verdict.lines, 'line')} in "
        f"{counted(verdict.segments, 'segment')}{fit}, head seq {verdict.seq} chain {verdict.chain}"
    )
    if verdict.damage:
        _print_damage(verdict.damage, verdict.repair, alive=alive)
    elif verdict.torn_bytes and not alive:
        say(
            f"  The last line was cut off by a crash ({verdict.torn_bytes} bytes). Nothing believed"
            " it yet; the next start of the daemon sets it aside and keeps its bytes."
        )


def _print_damage(damage: Damage, repair: Repair | None, *, alive: bool) -> None:
    where = f" line {damage.line}" if damage.line else ""
    say(
        f"  {paint(visible(damage.segment) + where, 'bold')}: {damage.code}. {visible(damage.text)}"
    )
    stop = "Stop the daemon. " if alive else ""
    there = f"{stop}In the studio's folder, then `verify` again:"
    rows = [
        ("line", damage.shown),
        ("expected", _place(damage.expected)),
        ("found", _place(damage.found)),
        ("after it", _after(damage.after)) if damage.line else ("", ""),
        ("lost", f"what {span(damage.lost)} said" if damage.lost else "nothing"),
        ("who has it", visible(repair.source) if repair else ""),
        ("to put back", there if repair else ""),
        ("what to do", "" if repair else f"{stop}{damage.remedy}"),
    ]
    for row in aligned([label, cell] for label, cell in rows if cell):
        say(f"  {row}")
    if repair:
        say(f"\n{visible(repair.command)}\n")


def _place(place: Place) -> str:
    seq = f"seq {place.seq}" if place.seq else ""
    chain = f"chain {visible(place.chain)}" if place.chain else ""
    return ", ".join(filter(None, (seq, chain))) or "neither a seq nor a chain value"


def _after(after: After) -> str:
    if not after.lines:
        return "nothing"
    lines = counted(after.lines, "line")
    if after.lines == after.chained:
        return f"{lines}, all of them sound and chained to one another"
    return f"{lines}: {after.readable} can be read, {after.chained} fit the line before"
