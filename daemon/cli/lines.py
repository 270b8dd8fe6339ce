"""The face: the ledger's lines as they stand in the files, of every host, and what is added.

Law: it only reads. A last line without its end is still being written, and is left for later.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from heapq import merge
from pathlib import Path
from typing import NamedTuple

from daemon.cli.tables import Table, decimal, inner, raw, rows, table_in, text, whole
from daemon.wire.phrases import counted
from daemon.wire.text import visible

_SEGMENT = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])\.jsonl")
_LINE_LIMIT_BYTES = 128 * 1024
_UNTOLD = frozenset({"seq", "at", "type", "job", "chain", "scores"})
# What needs no name before it.
_BARE = frozenset({"code", "evidence", "outcome", "phase", "reason"})


class Line(NamedTuple):
    """One line: whose it is, its bytes without the newline, and what they say."""

    host: str
    data: bytes
    table: Table


def segments(studio: Path) -> Mapping[str, Sequence[Path]]:
    """Each host's segments, oldest first. Links are not followed."""
    found: dict[str, list[Path]] = {}
    for folder in sorted((studio / "ledger").iterdir()):
        if folder.is_dir() and not folder.is_symlink():
            names = [item for item in sorted(folder.iterdir()) if _SEGMENT.fullmatch(item.name)]
            files = [item for item in names if item.is_file() and not item.is_symlink()]
            if files:
                found[folder.name] = files
    return found


class Tail:
    """Reads what is added to the ledger: from its beginning, from now, or after ``read`` bytes of
    its segments.
    """

    def __init__(
        self,
        studio: Path,
        *,
        read: Mapping[Path, int] | None = None,
        damaged: Callable[[str], None] | None = None,
    ) -> None:
        self._studio = studio
        self._read = dict(read or {})
        self._damaged = damaged

    def skip(self) -> None:
        """Count everything that is there now as read."""
        for files in segments(self._studio).values():
            self._read.update((file, file.stat().st_size) for file in files)

    def skipped(self) -> Sequence[Line]:
        """What was counted as read without being given, host by host."""
        return [
            Line(host, line, table_in(line))
            for host, files in segments(self._studio).items()
            for file in files
            for line in _head(file, self._read.get(file, 0)).splitlines()
        ]

    def lines(self) -> Sequence[Line]:
        """What was added since the last call: each host's in its order, all by their time."""
        added = [
            [line for file in files for line in self._added(host, file)]
            for host, files in segments(self._studio).items()
        ]
        # A merge, not a sort: a host whose clock went back keeps its own order.
        return list(merge(*added, key=lambda line: raw(line.table, "at")))

    def _added(self, host: str, file: Path) -> Iterator[Line]:
        start = self._read.get(file, 0)
        if file.stat().st_size <= start:
            return
        with file.open("rb") as opened:
            opened.seek(start)
            data = opened.read()
        end = data.rfind(b"\n") + 1
        self._read[file] = start + end
        for line in data[:end].split(b"\n")[:-1]:
            table = table_in(line)
            if table:
                yield Line(host, line, table)
            elif self._damaged is not None:
                self._damaged(f"{file.relative_to(self._studio)}: a line cannot be read")


def last_seq(file: Path) -> int:
    """The number of a segment's last whole line; 0 when there is none."""
    with file.open("rb") as opened:
        opened.seek(max(0, file.stat().st_size - 2 * _LINE_LIMIT_BYTES))
        data = opened.read()
    return whole(table_in(data[: data.rfind(b"\n")].rpartition(b"\n")[2]), "seq")


def seq(line: Line) -> int:
    """The line's number in its host's ledger."""
    return whole(line.table, "seq")


def what(table: Table) -> str:
    """An event's own words in one line, its job left out."""
    file = text(inner(table, "file"), "name")
    match raw(table, "type"):
        case "job.accepted":
            return ", ".join((text(table, "kind"), *_asked(inner(table, "spec")), f"from {file}"))
        case "job.rejected":
            return f"{text(table, 'name')}: {' | '.join(complaints(table))}"
        case "job.duplicate":
            return f"{file} is the same request as {text(table, 'of')}"
        case "job.held" | "incident":
            return f"{text(table, 'code')}: {text(table, 'text')}"
        case "control.taken":
            error = text(table, "error")
            return text(table, "kind") + (f": not done. {error}" if error else "")
        case "result.published":
            return f"{counted(len(inner(table, 'files')), 'file')} in outbox/{text(table, 'job')}"
        case "dataset.recorded":
            return counted(_length(table, "images"), "picture")
        case "image.judged":
            where = f"attempt {whole(table, 'attempt')}, image {whole(table, 'image')}"
            return f"{where}, verdict {text(table, 'verdict')}"
        case "picture.reproduced":
            return f"{text(table, 'verdict')}, mean difference {decimal(table, 'distance')} of 255"
        case "calibration.measured":
            return _measured(table)
        case "engine.recorded":
            return " ".join(text(table, key) for key in ("name", "version", "device"))
        case "trainer.recorded":
            return " ".join(text(table, key) for key in ("trainer", "commit"))
        case "checkpoint.saved":
            return f"step {whole(table, 'step')}, loss {decimal(table, 'loss')}"
        case "job.approved":
            step = whole(table, "checkpoint")
            return f"checkpoint of step {step}" if step else f"picture {whole(table, 'image')}"
        case "lora.installed":
            return f"{text(table, 'file')} in the engine's models/loras"
        case _:
            return _others(table)


def _asked(spec: Table) -> Iterator[str]:
    """How much a job asks for."""
    if isinstance(spec.get("seeds"), list):
        yield counted(_length(spec, "seeds"), "picture")
    if whole(spec, "epochs"):
        yield f"{whole(spec, 'steps')} steps on {counted(whole(spec, 'images'), 'picture')}"


def _measured(table: Table) -> str:
    """How long each picture took, what the machine is thought of, where it is so."""
    times = table.get("times")
    told = (
        [f"{took:.1f} s" for took in times if isinstance(took, int | float)]
        if isinstance(times, list)
        else []
    )
    where = inner(table, "environment")
    names = " ".join(text(where, key) for key in ("name", "version", "device"))
    return ", ".join(filter(None, (*told, text(table, "verdict"), names)))


def _length(table: Table, key: str) -> int:
    value = table.get(key)
    return len(value) if isinstance(value, list) else 0


def _others(table: Table) -> str:
    shown = []
    for key, value in table.items():
        if key not in _UNTOLD and value not in ("", 0, [], {}):
            plain = json.dumps(value) if isinstance(value, dict | list) else str(value)
            short = plain[:12] if key.endswith("sha256") else plain
            shown.append(short if key in _BARE else f"{key} {short}")
    return visible(", ".join(shown))


def complaints(rejected: Table) -> Sequence[str]:
    """The sentences of a refusal, each with its line and key where it has them."""
    said = []
    for error in rows(rejected, "errors"):
        line = f"line {whole(error, 'line')}" if whole(error, "line") else ""
        where = ", ".join(filter(None, (line, text(error, "key"))))
        said.append(": ".join(filter(None, (where, text(error, "text")))))
    return said


def _head(file: Path, size: int) -> bytes:
    with file.open("rb") as opened:
        return opened.read(size)
