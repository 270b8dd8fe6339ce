"""Touches the engine as a process: each has a shim for its parent and outlives the daemon.

Law: whose server it is, and whether it lives, is told by the locks of its life's folder alone;
there are never two. No pid is ever signalled here.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from daemon.adapters.shim_folder import begin, child_pid, end_orphan, holder, locked
from daemon.craft.launch import ENVIRONMENT
from daemon.errors import WorldError
from daemon.ports.host import Serving
from daemon.wire.shim_record import EXIT, MARKER, ExitRecord, ending_text, read_exit
from daemon.wire.text import excerpt

_HOST = "127.0.0.1"
_RECORD, _LIVES, _TURN = "engine.json", "lives", "starting"
_LOG = "stderr.log"
_KEPT_LIVES = 5
_START_S = 30.0
_GRACE_S = 5.0
_STOP_S = 20.0
_LOG_LIMIT_BYTES = 256 * 2**20
"""A server that has said so much is ended by its shim; whoever conducts it starts the next."""
_TEXT_BYTES = 2**20
_LAST_LINES = 5
# What a server may know of the user's environment; its program adds its own.
_PASSED = (
    *("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LC_CTYPE", "USER", "LOGNAME", "HF_HOME"),
    "REHEARSAL_FAULTS",
)


Launch = tuple[Sequence[str], Mapping[str, str]]
"""The whole command line, and what the environment has beside the user's."""


@dataclass(frozen=True, slots=True)
class Program:
    """An engine that can be started in ``cwd``. ``launch`` gets profile and port; it may block, and
    raises ``WorldError`` ENGINE_START where something is missing.
    """

    name: str
    cwd: Path
    launch: Callable[[str, int], Launch]


@dataclass(frozen=True, slots=True)
class Record:
    """The last server that was started, written before it was."""

    port: int
    life: str
    profile: str


class EngineProcess:
    """Implements ``ports.EngineHost``; ``folder`` is absolute and its own.

    A server whose daemon's ``guard`` has been free for ``leave_s`` is ended by its shim. ``moved``
    is told the address whenever it is another than ``url`` was; ``environment`` is the daemon's.
    """

    def __init__(
        self,
        folder: Path,
        program: Program,
        *,
        guard: Path,
        leave_s: float,
        environment: Mapping[str, str],
        moved: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._program = program
        self._guard, self._leave_s = guard, leave_s
        self._passed = {key: environment[key] for key in _PASSED if key in environment}
        self._moved = moved
        record = self._record()
        self._port = self._told = record.port if record else _free_port()
        self._shim: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens, or will once it is started."""
        return f"http://{_HOST}:{self._port}"

    async def look(self) -> Serving | None:
        found = await asyncio.to_thread(self._look)
        self._tell()
        return found

    async def start(self, profile: str) -> Serving:
        try:
            serving = await asyncio.to_thread(self._start, profile)
        except OSError as error:
            text = f"{self._program.name} could not be started in {self._folder}: {error}."
            raise WorldError("ENGINE_START", text) from error
        self._tell()
        return serving

    async def stop(self) -> None:
        try:
            await asyncio.to_thread(self._stop)
        except OSError as error:
            raise self._unended(f"{error}") from error

    async def pid(self) -> int | None:
        return await asyncio.to_thread(self._pid)

    def owns(self, argv: Sequence[str]) -> bool:
        return any(str(self._folder) in word for word in argv)

    async def killed(self) -> ExitRecord | None:
        record = await asyncio.to_thread(self._exit)
        return record if record and record.killed else None

    async def ending(self, evidence: str = "") -> str:
        return await asyncio.to_thread(self._ending, evidence)

    async def log_end(self) -> int:
        return self._log_end()  # Two looks at a folder: no thread is worth it.

    async def log_text(self, *, since: int, until: int) -> str:
        return await asyncio.to_thread(self._log_text, since, until)

    def _tell(self) -> None:
        if self._port != self._told:
            self._told = self._port
            self._moved(self.url)

    def _look(self) -> Serving | None:
        if self._shim is not None and self._shim.poll() is not None:
            self._shim = None  # Reaped: no zombie stays.
        living, record = self._living(), self._record()
        if living is None:
            return None
        if record is None or record.life != living.name:
            return Serving(living.name, "")  # Its record was removed: nothing is known of it.
        self._port = record.port
        return Serving(record.life, record.profile)

    def _start(self, profile: str) -> Serving:
        """One that lives already is the answer, whatever its profile: there are never two."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._turn():
            if (found := self._look()) is not None:
                return found
            if not _is_free(self._port):
                self._port = _free_port()
            argv, environment = self._program.launch(profile, self._port)
            folder = self._fresh_life()
            # Noted before it runs: were we killed now, the next look would still know it.
            self._write(Record(self._port, folder.name, profile))
            order = {
                "nonce": folder.name,
                "argv": list(argv),
                "cwd": str(self._program.cwd),
                "env": {**self._passed, **environment},
                "grace_s": _GRACE_S,
                "log_limit_bytes": _LOG_LIMIT_BYTES,
                "guard": str(self._guard),
                "leave_s": self._leave_s,
            }
            self._shim = begin(folder, order, gpu_fd=None)
            return Serving(folder.name, profile)

    def _stop(self) -> None:
        deadline = time.monotonic() + _STOP_S
        while (folder := self._living()) is not None:
            if time.monotonic() > deadline:
                raise self._unended("it did not heed its shim")
            if holder(folder) == "orphan":
                if not end_orphan(folder, nonce=folder.name, grace_s=_GRACE_S):
                    raise self._unended("its shim was killed, and which process it is is not sure")
            else:
                (folder / MARKER).touch()
                time.sleep(0.05)
        if self._shim is not None:
            with suppress(subprocess.TimeoutExpired):
                self._shim.wait(_GRACE_S)

    def _unended(self, why: str) -> WorldError:
        return WorldError(
            "ENGINE_STOP",
            f"{self._program.name} at {self.url} could not be ended: {why}. End it by hand; "
            f"{self._folder / _LIVES} has its records.",
        )

    def _pid(self) -> int | None:
        living = self._living()
        return child_pid(living) if living else None

    def _exit(self) -> ExitRecord | None:
        with suppress(WorldError, IndexError):  # A newer release's record is not ours to judge.
            last = self._lives()[-1]
            return read_exit(_bytes(last / EXIT), nonce=last.name)
        return None

    def _ending(self, evidence: str) -> str:
        lives = self._lives()
        if not lives or self._living() is not None:
            return ""
        said = _last_words(lives[-1] / _LOG)
        how = ending_text(self._exit(), evidence)
        return f"{how}{f' It last said: {said}' if said else ''}"

    def _log_end(self) -> int:
        with suppress(OSError, IndexError):
            return (self._lives()[-1] / _LOG).stat().st_size
        return 0

    def _log_text(self, since: int, until: int) -> str:
        with suppress(OSError, IndexError), (self._lives()[-1] / _LOG).open("rb") as log:
            begin = log.seek(max(since, until - _TEXT_BYTES))
            return log.read(max(0, until - begin)).decode("utf-8", "replace")
        return ""

    def _lives(self) -> Sequence[Path]:
        """The folders of its lives, the latest last."""
        return sorted((self._folder / _LIVES).glob("[0-9]*-*"))

    def _living(self) -> Path | None:
        lives = reversed(self._lives())
        return next((folder for folder in lives if holder(folder) != "nobody"), None)

    def _fresh_life(self) -> Path:
        lives = self._lives()
        for old in lives[: 1 - _KEPT_LIVES]:
            shutil.rmtree(old, ignore_errors=True)
        number = int(lives[-1].name.partition("-")[0]) + 1 if lives else 1
        folder = self._folder / _LIVES / f"{number:09d}-{secrets.token_hex(4)}"
        folder.mkdir(parents=True)
        return folder

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Nobody else starts one meanwhile. Raises ``WorldError`` ENGINE_START when it is long."""
        deadline = time.monotonic() + _START_S
        while True:
            with ExitStack() as stack:
                try:
                    locked(self._folder / _TURN, stack)
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        text = f"Somebody else has been starting {self._program.name} for long."
                        raise WorldError("ENGINE_START", text) from None
                else:
                    yield
                    return
            time.sleep(0.05)

    def _record(self) -> Record | None:
        try:
            values = json.loads(_bytes(self._folder / _RECORD) or b"")
            record = Record(int(values["port"]), str(values["life"]), str(values["profile"]))
        except (ValueError, LookupError, TypeError):
            return None
        return record if 0 < record.port < 65536 else None

    def _write(self, record: Record) -> None:
        temporary = self._folder / f".{_RECORD}.tmp"
        temporary.write_text(json.dumps(asdict(record)) + "\n", encoding="utf-8")
        temporary.replace(self._folder / _RECORD)


def rehearsal(base: Path) -> Program:
    """The engine that only rehearses, with the base directory ``base``."""

    def launch(profile: str, port: int) -> Launch:
        # -P: a module in the working folder, part of a studio from anywhere, must not be run.
        command = [sys.executable, "-P", "-m", "daemon.rehearsal", "--port", str(port)]
        return [*command, "--base-directory", str(base), "--profile", profile], ENVIRONMENT

    return Program("The rehearsal engine", base, launch)


def _last_words(log: Path) -> str:
    """The last lines that say something, as one printable line."""
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 8192))
        lines = file.read(8192).decode("utf-8", "replace").splitlines()
        said = [line.strip() for line in lines if line.strip()]
        return " / ".join(excerpt(line, limit=160) for line in said[-_LAST_LINES:])
    return ""


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # As the servers do.
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True
