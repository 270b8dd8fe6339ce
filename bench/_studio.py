"""A throw-away studio with a real daemon, worked by as a user would: files in, files out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from daemon.bootstrap import make_studio

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_S = 300.0


@contextmanager
def running(
    studio: Path, *, settings: str = "", environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon that is up, and ends with the block. ``settings``: more of nightpress.toml."""
    told = {**os.environ, "HOME": str(studio.parent / "home"), **(environment or {})}
    make_studio(studio, told)
    (studio / "nightpress.toml").write_text(f"[disk]\nmin_free_gb = 0\n{settings}")
    command = [sys.executable, "-m", "daemon", "--studio", str(studio), "run"]
    with (studio.parent / "daemon.log").open("wb") as log:
        child = subprocess.Popen(command, env=told, cwd=ROOT, stdout=log, stderr=log)
    try:
        until(lambda: ready(studio) or child.poll() is not None, "the daemon does not come up")
        assert child.poll() is None, (studio.parent / "daemon.log").read_text()
        yield child
    finally:
        child.terminate()
        child.wait(30)


def ready(studio: Path) -> bool:
    """Whether the daemon says that its engine can draw."""
    try:
        return bool(status(studio)["engine"]["ready"])
    except (OSError, ValueError):
        return False


def status(studio: Path) -> Any:
    """What outbox/status.json says now."""
    return json.loads((studio / "outbox" / "status.json").read_bytes())


def drop(studio: Path, name: str, text: str) -> None:
    """Put a job file into the inbox as the drop protocol has it."""
    hidden = studio / "inbox" / f".{name}.tmp"
    hidden.write_text(text)
    hidden.rename(studio / "inbox" / f"{name}.toml")


def drawn(studio: Path, texts: Sequence[str], *, name: str) -> float:
    """Seconds from the first drop to the last result in the outbox."""
    began = time.perf_counter()
    names = [f"{name}_{number:02}" for number in range(len(texts))]
    for each, text in zip(names, texts, strict=True):
        drop(studio, each, text)
    wanted = [studio / "outbox" / f"{each}_v1" / f"{each}_v1.lock.toml" for each in names]
    until(lambda: all(path.exists() for path in wanted), "the press does not come to an end", 0.005)
    return time.perf_counter() - began


def events(studio: Path) -> Iterator[Mapping[str, Any]]:
    """The lines of the ledger, in order."""
    for segment in sorted(studio.glob("ledger/*/*.jsonl")):
        for line in segment.read_bytes().splitlines():
            yield json.loads(line)


def until(true: Callable[[], bool], why_not: str, every_s: float = 0.05) -> None:
    """Wait until it is true; fail, saying why, after ``PATIENCE_S``."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, why_not
        time.sleep(every_s)
