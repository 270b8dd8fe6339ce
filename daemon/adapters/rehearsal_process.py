"""Touches the rehearsal engine's process: starts one for a studio, or finds the one that runs.

Law: it is ours when the port of our record answers with our own base directory. It outlives a
killed daemon, so that what it draws is rejoined, and ends by itself when nobody needs it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import psutil

from daemon.errors import WorldError

log = logging.getLogger(__name__)

_HOST = "127.0.0.1"
_IDLE_EXIT_S = 60.0
_START_S = 30.0
_ANSWER_S = 3.0
_LOOK_S = 2.0
_STARTS = 4
_ANSWER_LIMIT_BYTES = 256 * 1024
_LOG_LIMIT_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Record:
    """Where the process listens; ``pid`` 0 = it was about to be started when this was written."""

    port: int
    pid: int


class RehearsalProcess:
    """The rehearsal server of one studio (its absolute folder)."""

    def __init__(self, studio: Path, *, step_s: float = 0.05) -> None:
        self._base = studio / ".nightpress" / "rehearsal"
        self._record = studio / ".nightpress" / "rehearsal.json"
        self._log = studio / ".nightpress" / "logs" / "rehearsal.log"
        self._step_s = step_s
        self._child: subprocess.Popen[bytes] | None = None
        self._port = 0  # Once it is known it stays: whoever asks has learnt the address.
        # Two that start it at once would start two.
        self._turn = threading.Lock()

    async def ensure(self) -> str:
        """The URL of the running server, started if need be. Raises ``WorldError`` ENGINE_START."""
        return await asyncio.to_thread(self._ensure)

    async def keep(self) -> None:
        """Start it again, on the port it had, whenever it is gone; until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                if not await asyncio.to_thread(self._lives):
                    log.warning("the rehearsal engine is gone; starting it again")
                    await self.ensure()
            except WorldError as error:
                log.warning("%s", error.text)

    async def stop(self) -> None:
        """End it, unless it is drawing: then it goes on, to be rejoined at the next start."""
        await asyncio.to_thread(self._stop)

    def _ensure(self) -> str:
        with self._turn:
            record = self._read_record()
            known = record is not None and self._port in (0, record.port)
            if record is not None and known and self._is_ours(record.port):
                self._port = record.port
                return f"http://{_HOST}:{record.port}"
            for attempt in range(_STARTS):
                had = record.port if record and attempt == 0 else 0
                port = self._port or had or _free_port()
                if self._start(port):
                    self._port = port
                    return f"http://{_HOST}:{port}"
        why = f"The rehearsal engine could not be started; {self._log} tells why."
        raise WorldError("ENGINE_START", why)

    def _start(self, port: int) -> bool:
        """Start it on this port and wait until it answers; False when it ended instead."""
        self._base.mkdir(parents=True, exist_ok=True)
        # Noted before it runs: were we killed now, the next start would still find it.
        self._write_record(Record(port, 0))
        child = self._child = self._spawn(port)
        self._write_record(Record(port, child.pid))
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and child.poll() is None:
            if self._is_ours(port):
                return True
            time.sleep(0.05)
        if child.poll() is None:
            child.terminate()
        return False

    def _spawn(self, port: int) -> subprocess.Popen[bytes]:
        # -P: a module in the working folder, part of a studio from anywhere, must not be run.
        command = [sys.executable, "-P", "-m", "daemon.rehearsal", "--port", str(port)]
        command += ["--base-directory", str(self._base), "--step-s", str(self._step_s)]
        command += ["--idle-exit-s", str(_IDLE_EXIT_S)]
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            if self._log.stat().st_size > _LOG_LIMIT_BYTES:
                self._log.replace(self._log.with_suffix(".log.1"))
        with self._log.open("ab") as output:
            return subprocess.Popen(
                command,
                cwd=self._base,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _lives(self) -> bool:
        record = self._read_record()
        if self._child is not None and (record is None or self._child.pid == record.pid):
            return self._child.poll() is None
        if record is None:
            return False
        # One that draws may be too busy to answer.
        return self._is_ours(record.port) or (record.pid > 1 and psutil.pid_exists(record.pid))

    def _stop(self) -> None:
        with self._turn:
            record = self._read_record()
            if record is None or not self._is_ours(record.port):
                return
            queue = _get(record.port, "/queue")
            if not queue or queue.get("queue_running") or queue.get("queue_pending"):
                return
            if record.pid > 1:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(record.pid, signal.SIGTERM)
            if self._child is not None and self._child.pid == record.pid:
                with suppress(subprocess.TimeoutExpired):
                    self._child.wait(_ANSWER_S)
            self._record.unlink(missing_ok=True)

    def _is_ours(self, port: int) -> bool:
        match _get(port, "/system_stats"):
            case {"system": {"argv": list(argv)}}:
                return str(self._base) in argv
        return False

    def _read_record(self) -> Record | None:
        try:
            values = json.loads(self._record.read_text(encoding="utf-8"))
            record = Record(port=int(values["port"]), pid=int(values["pid"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return record if 0 < record.port < 65536 else None

    def _write_record(self, record: Record) -> None:
        temporary = self._record.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(record)) + "\n", encoding="utf-8")
        temporary.replace(self._record)


def _get(port: int, path: str) -> Mapping[str, Any]:
    """The JSON object that a server of this machine answers; empty for anything else."""
    # Not urllib: it would heed a proxy of the environment, and follow a redirect off this machine.
    connection = HTTPConnection(_HOST, port, timeout=_ANSWER_S)
    try:
        connection.request("GET", path)
        document = json.loads(connection.getresponse().read(_ANSWER_LIMIT_BYTES))
    except (OSError, HTTPException, ValueError):
        return {}
    finally:
        connection.close()
    return document if isinstance(document, dict) else {}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port
