"""Touches the folder of a shim: its locks, its start, and its child's end when it was killed.

Law: ``alive`` is locked before a shim is started and for as long as shim or child live, so there is
no moment at which what runs looks dead. Trainings and engines share it, and no pid is signalled.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from daemon.ports import Holder
from daemon.wire.shim_record import START, read_start

SHIM = Path(__file__).resolve().parent.parent / "shim.py"
_ALIVE, _SHIM, _SHIM_LOG = "alive", "shim", "shim.log"
_START_S = 30.0


def begin(
    folder: Path, order: Mapping[str, object], *, gpu_fd: int | None, beside: Sequence[str] = ()
) -> subprocess.Popen[bytes]:
    """Start a shim with this order, less its locks; returns when its start record is there.
    ``beside`` is run with the shim's pid, if there is such a program; it has to go by itself.

    Raises ``BlockingIOError`` when somebody has the folder, ``OSError`` when it did not begin.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        alive, shim = (locked(folder / name, stack) for name in (_ALIVE, _SHIM))
        told = {**order, "alive_fd": alive, "shim_fd": shim, "gpu_fd": gpu_fd}
        log = stack.enter_context((folder / _SHIM_LOG).open("ab"))
        child = subprocess.Popen(
            [sys.executable, "-I", str(SHIM), "run", str(folder)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=[fd for fd in (alive, shim, gpu_fd) if fd is not None],
            start_new_session=True,
        )
        if beside:
            _let_loose([*beside, str(child.pid)])
        assert child.stdin is not None, "it was asked for"
        with suppress(BrokenPipeError), child.stdin as order_pipe:
            order_pipe.write(json.dumps(told).encode())
    # Our own descriptors are closed; shim and child have theirs of the same locks.
    _wait_until_begun(child, folder, str(order["nonce"]))
    return child


def _let_loose(command: Sequence[str]) -> None:
    """Run a program in a session of its own whose end nobody has to wait for."""
    subprocess.run(
        ["/bin/sh", "-c", '"$@" &', "sh", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        check=False,
    )


def holder(folder: Path) -> Holder:
    """Who has the folder's locks."""
    # The shim is asked first: it has ``alive`` for as long as it lives, so one that ends just
    # between is not taken for one that was killed.
    if _is_held(folder / _SHIM):
        return "shim"
    return "orphan" if _is_held(folder / _ALIVE) else "nobody"


def child_pid(folder: Path) -> int | None:
    """Of the process that a living shim watches; None = there is none, or it is not certain."""
    with suppress(OSError, ValueError, LookupError, TypeError):
        record = json.loads((folder / START).read_bytes())
        if holder(folder) == "shim":
            return int(record["child"])
    return None


def end_orphan(folder: Path, *, nonce: str, grace_s: float) -> bool:
    """End a child whose shim was killed; whether it is gone. It may take twice its grace."""
    command = [sys.executable, "-I", str(SHIM), "end", str(folder), nonce, str(grace_s)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode == 0


def locked(path: Path, stack: ExitStack) -> int:
    """The open lock file, taken. Raises ``BlockingIOError`` when it is somebody's."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    stack.callback(os.close, fd)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return fd


def _is_held(path: Path) -> bool:
    with suppress(FileNotFoundError), ExitStack() as stack:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        stack.callback(os.close, fd)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _wait_until_begun(shim: subprocess.Popen[bytes], folder: Path, nonce: str) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        ended = shim.poll() is not None
        with suppress(FileNotFoundError):
            if read_start((folder / START).read_bytes(), nonce=nonce) is not None:
                return
        if ended:
            break
        time.sleep(0.02)
    said = (folder / _SHIM_LOG).read_text(encoding="utf-8", errors="replace").strip()
    raise OSError(f"its shim did not begin ({said[-300:] or 'it said nothing'}); is the disk full?")
