"""The shim: parent of one training or engine, which so outlives the daemon, and whose end is known.

Law: standard library only, and it signals nothing but the process group whose leader it has not yet
reaped, or one whose pid, start and boot are those of its record while the group's lock is held.

``shim.py run FOLDER`` takes one order as JSON on its standard input; ``shim.py end FOLDER NONCE
GRACE_S`` ends a child whose shim was killed; ``shim.py boot`` names the machine's boot.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ALIVE, START, EXIT, MARKER = "alive", "shim.json", "exit.json", "cancelled"
LOGS = ("stdout.log", "stderr.log")
RECORD_VERSION = 1  # Of both records. An older daemon leaves a training alone with newer ones.
LOOK_S = 0.5
LEFTOVERS_S = 2.0  # What workers of a trainer that has ended get, before they are killed.
NOT_VERIFIED, STILL_ALIVE = 3, 4
Order = Mapping[str, Any]
LINUX = Path("/proc/self/stat").exists()


def run(folder: Path, order: Order) -> int:
    """Be the parent of one child to its end."""
    end: dict[str, Any] = {"code": None, "signal": 0, "stopped": "", "error": ""}
    end |= {"version": RECORD_VERSION, "nonce": order["nonce"], "started": time.time_ns() // 10**6}
    end.update(_live(folder, order), ended=time.time_ns() // 10**6)
    while True:
        try:
            keep(folder / EXIT, end)
        except FileNotFoundError:
            return 1  # Somebody removed the folder, and with it whom this could be told to.
        except OSError:
            # A full disk. The lock is kept meanwhile: nobody may think that this end is unknown.
            end["disk_full"] = True
            time.sleep(1.0)
        else:
            return 0


def _live(folder: Path, order: Order) -> Mapping[str, Any]:
    """Start the trainer, unless it was cancelled before, and wait for it: how it ended."""
    (wake, told), kills = _listen(), oom_kills()
    os.set_inheritable(order["shim_fd"], False)
    record = {"version": RECORD_VERSION, "nonce": order["nonce"], "boot": boot_id()}
    record.update(pid=os.getpid(), started=start_mark(os.getpid()))
    keep(folder / START, record)
    if (folder / MARKER).exists():
        return {"stopped": "cancelled"}
    try:
        child = _spawn(folder, order)
    except (OSError, ValueError) as error:
        return {"error": f"{order['argv'][0]} could not be started: {error}."}
    record.update(child=child.pid, child_started=start_mark(child.pid))
    with contextlib.suppress(OSError):  # Without it an orphan is waited for, not ended.
        keep(folder / START, record)
    stopped = _watch(folder, child, order, wake, told)
    code = child.wait()
    end = {"child": child.pid, "stopped": stopped, "oom_kills": max(0, oom_kills() - kills)}
    return end | ({"signal": -code} if code < 0 else {"code": code})


def _listen() -> tuple[int, list[int]]:
    """A descriptor that wakes at the end of a child and at a signal, and the signals told so far.
    SIGHUP is ignored; SIGTERM and SIGINT mean: end it in good order.
    """
    told: list[int] = []
    wake, pen = os.pipe()
    os.set_blocking(pen, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(pen, warn_on_full_buffer=False)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if hasattr(os, "waitid"):
        # Where ``ps`` must be asked instead, each ``ps`` would wake us by its own end, for ever.
        signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda given, _: told.append(given))
    return wake, told


def _spawn(folder: Path, order: Order) -> subprocess.Popen[bytes]:
    """The trainer in a group of its own. It inherits the lock ``alive`` and that of the GPU."""
    kept = [fd for fd in (order["alive_fd"], order["gpu_fd"]) if fd is not None]
    logs = [os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644) for name in LOGS]
    # To ignore is inherited, and a trainer that ignores SIGHUP for ever is not what was measured.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        return subprocess.Popen(
            order["argv"],
            cwd=order["cwd"],
            env=order["env"],
            stdin=subprocess.DEVNULL,
            stdout=logs[0],
            stderr=logs[1],
            pass_fds=kept,
            process_group=0,
        )
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for fd in logs:
            os.close(fd)


def _watch(
    folder: Path, child: subprocess.Popen[bytes], order: Order, wake: int, told: list[int]
) -> str:
    """Wait for the trainer's end without reaping it, stop it when told; why it was stopped."""
    stopped, kill_at, guarded = "", 0.0, time.monotonic()
    while not _has_ended(child.pid):
        guarded = time.monotonic() if _guarded(order) else guarded
        if not stopped and (stopped := _why_stop(folder, order, told, time.monotonic() - guarded)):
            _signal(child.pid, signal.SIGTERM)
            kill_at = time.monotonic() + order["grace_s"]
        elif stopped and time.monotonic() > kill_at:
            _signal(child.pid, signal.SIGKILL)
        _rest(wake)
    _end_leftovers(child.pid)
    return stopped


def _has_ended(pid: int) -> bool:
    """Whether our child is dead, leaving it a zombie, so that its number stays its own."""
    if hasattr(os, "waitid"):
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    # On a Mac it came with Python 3.13. ``ps`` tells a zombie, which is ours until waited for.
    return _told("/bin/ps", "-o", "stat=", "-p", str(pid)).startswith("Z")


def _why_stop(folder: Path, order: Order, told: list[int], alone_s: float) -> str:
    if told:
        return f"signal {told[0]}"
    if alone_s > order.get("leave_s", float("inf")):
        return "daemon gone"
    with contextlib.suppress(OSError):  # What cannot be looked at is no reason to stop.
        if (folder / MARKER).exists():
            return "cancelled"
        if not folder.exists():
            return "folder removed"  # Nobody could stop it any more, nor see that it has the GPU.
        size = sum((folder / name).stat().st_size for name in LOGS)
        return "log full" if size > order["log_limit_bytes"] else ""
    return ""


def _guarded(order: Order) -> bool:
    """Whether somebody has the order's ``guard``; what cannot be seen is no reason to stop."""
    with contextlib.suppress(OSError):
        return "guard" not in order or is_held(Path(order["guard"]))
    return True


def _rest(wake: int) -> None:
    """Until something happens, half a second at most."""
    select.select([wake], [], [], LOOK_S)
    with contextlib.suppress(BlockingIOError):
        while os.read(wake, 512):
            pass


def _end_leftovers(group: int) -> None:
    """End what is left of a group whose leader is dead and not reaped: data-loader workers."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not _living(group):
            return
        _signal(group, number)
        deadline = time.monotonic() + LEFTOVERS_S
        while time.monotonic() < deadline and _living(group):
            time.sleep(0.05)


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(OSError):  # It ended by itself in this very moment.
        os.killpg(group, number)


def _living(group: int) -> list[int]:
    """The processes of a group that are no zombies."""
    asked = ("/bin/ps", "-A", "-o", "pid=,stat=,pgid=")
    rows = _rows_of_proc() if LINUX else map(str.split, _told(*asked).splitlines())
    return [int(pid) for pid, state, found in rows if found == str(group) and state[0] != "Z"]


def _rows_of_proc() -> Iterator[list[str]]:
    """Number, state and group of every process, as ``ps`` would say."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                yield [folder.name, fields[0], fields[2]]


def end_orphan(folder: Path, nonce: str, grace_s: float) -> int:
    """End a training whose shim was killed, if it is surely the one of the record."""
    try:
        record = json.loads((folder / START).read_bytes())
        pid, mark = int(record["child"]), record["child_started"]
        ours = (record["nonce"], record["boot"]) == (nonce, boot_id()) and mark and record["boot"]
    except (OSError, ValueError, LookupError, TypeError):
        return NOT_VERIFIED
    if not ours or pid <= 1:
        return NOT_VERIFIED
    known = {pid: mark}
    for number in (signal.SIGTERM, signal.SIGKILL):
        # Asked before each signal: a number that came free meanwhile is somebody else's. A group's
        # is not free while one of it lives, be it a worker that did not heed the first signal.
        if not is_held(folder / ALIVE):
            return 0
        if not any(start_mark(each) == begun for each, begun in known.items()):
            return NOT_VERIFIED
        known = {each: begun for each in _living(pid) if (begun := start_mark(each))}
        _signal(pid, number)
        deadline = time.monotonic() + grace_s
        while time.monotonic() < deadline and is_held(folder / ALIVE):
            time.sleep(0.05)
    return STILL_ALIVE if is_held(folder / ALIVE) else 0


def is_held(path: Path) -> bool:
    """Whether somebody has this lock now; one that is not there is nobody's."""
    with contextlib.suppress(FileNotFoundError), _opened(path) as fd:
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def start_mark(pid: int) -> str:
    """What tells a process from a later one of the same number; '' when there is none."""
    if not LINUX:
        return _told("/bin/ps", "-o", "lstart=", "-p", str(pid))
    with contextlib.suppress(OSError, IndexError):
        # The name, in parentheses, may hold anything; the 22nd field is the start in ticks.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return ""


def boot_id() -> str:
    """The machine's boot; '' when it does not say, which matches nothing."""
    if not LINUX:
        return _told("/usr/sbin/sysctl", "-n", "kern.bootsessionuuid")
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def oom_kills(root: Path = Path("/")) -> int:
    """How often the kernel killed in our control group for want of memory; 0 where it is silent."""
    with contextlib.suppress(OSError):
        own = (root / "proc/self/cgroup").read_text()
        # In version 2 there is one hierarchy, without a name; in version 1 memory has its own.
        for kind, path in re.findall(r"^\d+:(|memory):/(.*)", own, re.MULTILINE):
            events = "memory.oom_control" if kind else "memory.events"
            told = (root / "sys/fs/cgroup" / kind / path / events).read_text()
            return sum(map(int, re.findall(r"^oom_kill (\d+)", told, re.MULTILINE)))
    return 0


def _told(*command: str) -> str:
    """What a program of the system says, in no one's language and time zone.
    '' when it cannot even be started, as when memory is short: that must not end the shim.
    """
    nothing, plain = subprocess.DEVNULL, {"LC_ALL": "C", "TZ": "UTC"}
    with contextlib.suppress(OSError):
        return subprocess.run(
            command, stdin=nothing, capture_output=True, text=True, check=False, env=plain
        ).stdout.strip()
    return ""


def keep(path: Path, record: Mapping[str, Any]) -> None:
    """A record, whole or not at all, and on the disk."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(record, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    with _opened(path.parent) as fd:
        os.fsync(fd)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def main(argv: list[str]) -> int:
    """The command line; 2 for anything but its two uses."""
    match argv:
        case ["run", folder]:
            try:
                order = json.load(sys.stdin)
            except ValueError:
                return 2  # Who gave it died in the middle of it.
            return run(Path(folder), order)
        case ["end", folder, nonce, grace_s]:
            return end_orphan(Path(folder), nonce, float(grace_s))
        case ["boot"]:
            sys.stdout.write(f"{boot_id()}\n")
            return 0
        case _:
            sys.stderr.write(f"{__doc__}\n")
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
