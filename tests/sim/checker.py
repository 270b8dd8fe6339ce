"""Reads a ledger with json alone and says which promise it breaks; shares no code with the reducer.

Law: it believes nothing that the program says of itself. ``violations`` of a good history is empty,
and each promise has a hand-made history that breaks it (test_checker).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

Line = Mapping[str, Any]


def parse(data: bytes) -> list[dict[str, Any]]:
    """The whole lines of a segment; a torn last one is left out."""
    return [json.loads(line) for line in data.split(b"\n")[:-1] if line]


def chain_violations(data: bytes) -> list[str]:
    """Each line continues the chain and counts on from the line before."""
    found = []
    previous, due = "0" * 32, 1
    for line in data.split(b"\n")[:-1]:
        body, _, tail = line.rpartition(b',"chain":"')
        expected = hashlib.sha256(previous.encode() + body).hexdigest()[:32]
        if tail != expected.encode() + b'"}':
            found.append(f"line {due}: the chain is broken")
        if json.loads(line)["seq"] != due:
            found.append(f"line {due}: seq {json.loads(line)['seq']}")
        previous, due = tail[:32].decode(), due + 1
    return found


def violations(lines: Sequence[Line]) -> list[str]:
    """Every promise of the contract that these lines break, in sentences."""
    return [*_jobs(lines), *_lease(lines), *_drops(lines), *_pictures(lines)]


def open_jobs(lines: Sequence[Line]) -> set[str]:
    """The jobs for which something is still to be done."""
    found: set[str] = set()
    for line in lines:
        if line["type"] == "job.accepted" or _is_retry(line):
            found.add(line["job"])
        elif line["type"] == "job.ended":
            found.discard(line["job"])
    return found


def _is_retry(line: Line) -> bool:
    return line["type"] == "control.taken" and line["kind"] == "retry" and not line["error"]


def _jobs(lines: Sequence[Line]) -> list[str]:
    found = []
    phases: dict[str, str] = {}
    for line in lines:
        kind, job = line["type"], line.get("job", "")
        if kind == "job.accepted":
            if job in phases:
                found.append(f"{job} was accepted twice")
            phases[job] = "open"
        elif job and kind != "control.taken" and job not in phases:
            found.append(f"{kind} for {job}, which was never accepted")
        elif _is_retry(line):
            phases[job] = "open"
        elif kind == "job.ended":
            if phases[job] != "open":
                found.append(f"{job} ended twice")
            phases[job] = line["phase"]
        elif kind == "result.published" and phases[job] != "open":
            found.append(f"{job} was published after its end")
        elif kind == "attempt.started" and phases[job] != "open":
            found.append(f"{job} was started after its end")
    found += [f"{job} never ended" for job, phase in phases.items() if phase == "open"]
    published = Counter(line["job"] for line in lines if line["type"] == "result.published")
    found += [f"{job} was published {count} times" for job, count in published.items() if count > 1]
    return found


def _lease(lines: Sequence[Line]) -> list[str]:
    found = []
    running: tuple[str, int] | None = None
    attempts: Counter[str] = Counter()
    for line in lines:
        if line["type"] == "attempt.started":
            if running is not None:
                found.append(f"{line['job']} was started while {running[0]} had the GPU")
            running = (line["job"], line["attempt"])
            attempts[line["job"]] += 1
            if line["attempt"] != attempts[line["job"]]:
                found.append(f"{line['job']}: attempt {line['attempt']} out of turn")
        elif line["type"] in ("prompt.sent", "image.judged", "attempt.ended"):
            if running != (line["job"], line["attempt"]):
                found.append(f"{line['type']} of {line['job']} outside its attempt")
            if line["type"] == "attempt.ended":
                running = None
                if line["outcome"] in ("failed", "lost") and not line["code"]:
                    found.append(f"{line['job']}: an end without a reason")
    return found


def _drops(lines: Sequence[Line]) -> list[str]:
    seen: Counter[tuple[Any, ...]] = Counter()
    for line in lines:
        file = line.get("file") or (line if line["type"] == "job.rejected" else None)
        if file is not None:
            seen[(file["sha256"], file["inode"], file["mtime_ns"], file["size"])] += 1
    return [f"one drop was answered {count} times" for count in seen.values() if count > 1]


def _pictures(lines: Sequence[Line]) -> list[str]:
    found = []
    sent: set[tuple[str, int, int]] = set()
    judged: dict[str, set[str]] = {}
    for line in lines:
        if line["type"] == "prompt.sent":
            sent.add((line["job"], line["attempt"], line["image"]))
        elif line["type"] == "image.judged":
            judged.setdefault(line["job"], set()).add(line["sha256"])
            if (line["job"], line["attempt"], line["image"]) not in sent:
                found.append(f"{line['job']}: a picture that was never asked for")
        elif line["type"] == "result.published":
            pictures = {sha for name, sha in line["files"].items() if name.endswith(".png")}
            if not pictures or not pictures <= judged.get(line["job"], set()):
                found.append(f"{line['job']}: published a picture that nobody judged")
    return found
