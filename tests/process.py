"""A real studio and its real daemon, as processes, for the few tests that need them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from daemon.bootstrap import make_studio
from daemon.shim import is_held

PATIENCE_S = 20.0

PANEL = """\
kind = "panel"
prompt = "spyke, leaping in the rain"
seed = 421
steps = 1
checkpoint = "a.safetensors"
vae = "v.safetensors"
"""


class RealStudio:
    """A studio below a temporary folder, with a home of its own, and whatever runs in it."""

    def __init__(self, folder: Path) -> None:
        self.root = (folder / "studio").resolve()
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "home"),
            "NIGHTPRESS_STUDIO": str(self.root),
        }
        make_studio(self.root, self.environment)
        (self.root / "nightpress.toml").write_text("[disk]\nmin_free_gb = 0\n")

    @property
    def rehearsal(self) -> Path:
        """Where its engine lives."""
        return self.root / ".nightpress" / "rehearsal"

    def spawn(self) -> subprocess.Popen[bytes]:
        """A daemon from its very first moment."""
        with (self.root / "stderr.txt").open("ab") as said:
            return subprocess.Popen(
                [sys.executable, "-m", "daemon", "run"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,
            )

    def said(self) -> str:
        """The end of what its daemons said."""
        return (self.root / "stderr.txt").read_text()[-2000:]

    def start(self, *, patience_s: float = PATIENCE_S) -> subprocess.Popen[bytes]:
        """A daemon, once it is alive and its engine answers."""
        before = self.status()
        child = self.spawn()

        def ready() -> bool:
            assert child.poll() is None, self.said()
            seen = self.status()
            return seen != before and bool(seen) and bool(seen["engine"]["ready"])

        until(ready, patience_s=patience_s)
        return child

    @contextmanager
    def running(self, *, patience_s: float = PATIENCE_S) -> Iterator[subprocess.Popen[bytes]]:
        """A daemon that is gone afterwards."""
        child = self.start(patience_s=patience_s)
        try:
            yield child
        finally:
            end(child)

    def nightpress(
        self, *arguments: str, patience_s: float = PATIENCE_S
    ) -> subprocess.CompletedProcess[str]:
        """One command, to its end."""
        return subprocess.run(
            [sys.executable, "-m", "daemon", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=patience_s,
            check=False,
        )

    def drop(self, name: str, text: str = PANEL) -> None:
        """As a program drops a file: under a dot-name, then renamed."""
        temporary = self.root / "inbox" / f".{name}.tmp"
        temporary.write_text(text)
        temporary.rename(self.root / "inbox" / f"{name}.toml")

    def status(self) -> Mapping[str, Any]:
        """status.json; empty while there is none."""
        try:
            document: Mapping[str, Any] = json.loads(
                (self.root / "outbox" / "status.json").read_bytes()
            )
        except FileNotFoundError:
            return {}
        return document

    def events(self, kind: str) -> list[Mapping[str, Any]]:
        """The ledger's whole lines of a type; a kill may have cut the last one short."""
        files = sorted(self.root.glob("ledger/*/*.jsonl"))
        texts = [text for file in files for text in file.read_text().splitlines(keepends=True)]
        lines = [json.loads(text) for text in texts if text.endswith("\n")]
        return [line for line in lines if line["type"] == kind]

    def engine(self, path: str) -> Any:
        """What the rehearsal engine answers to a GET."""
        record = json.loads((self.rehearsal / "engine.json").read_text())
        with urllib.request.urlopen(f"http://127.0.0.1:{record['port']}{path}") as answer:
            return json.loads(answer.read())

    def close(self) -> None:
        """Ends the engine, if one is left."""
        for record in self.rehearsal.glob("lives/*/shim.json"):
            if is_held(record.parent / "shim"):
                os.kill(json.loads(record.read_text())["pid"], signal.SIGTERM)


def until(done: Callable[[], object], *, patience_s: float = PATIENCE_S) -> None:
    """Wait until it is so; fails when it never is."""
    deadline_s = monotonic() + patience_s
    while not done():
        assert monotonic() < deadline_s, "it never came to be"
        sleep(0.02)


def end(child: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and SIGKILL for one that does not care."""
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
    try:
        child.wait(5)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
