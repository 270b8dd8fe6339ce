"""The shim as a real process: it outlives who started it, and never signals a stranger."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from daemon.adapters.gpu_lock import UserGpuLock
from daemon.adapters.shim_folder import SHIM
from daemon.adapters.trainer_probe import rehearsed
from daemon.adapters.training_process import Program, ShimTrainer
from daemon.errors import WorldError
from daemon.ports import TrainingOrder
from daemon.shim import is_held, oom_kills, start_mark
from daemon.wire.shim_record import read_exit, read_start
from tests import needs

pytestmark = pytest.mark.realprocess

FOLDER = "outbox/spyke_v1/resume/a1-00000000"
NONCE = "0" * 32
OWN_GROUPS = Path("/proc/self/cgroup")
SLEEPER = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER}"


def until(done: Callable[[], object], *, timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


class Bench:
    """One studio with a trainer whose "script" is a line of Python."""

    def __init__(
        self,
        studio: Path,
        gpu: Callable[[], int | None] = lambda: None,
        awake: Sequence[str] = (),
    ) -> None:
        self.studio = studio
        self.folder = studio / FOLDER
        program = Program((sys.executable, "-u", "-c"), studio, rehearsed)
        environment = os.environ
        self.trainer = ShimTrainer(
            studio, program, environment=environment, gpu_fd=gpu, awake=awake
        )

    def start(self, code: str, *, grace_s: float = 5.0, log_limit_bytes: int = 2**20) -> None:
        order = TrainingOrder(FOLDER, NONCE, (code,), {"SEEN": "1"}, grace_s, log_limit_bytes)
        asyncio.run(self.trainer.start(order))

    def holder(self) -> str:
        return asyncio.run(self.trainer.holder(FOLDER))

    def wait(self) -> Mapping[str, Any]:
        """The exit record, once nobody has the locks."""
        until(lambda: self.holder() == "nobody")
        found: Mapping[str, Any] = json.loads((self.folder / "exit.json").read_text())
        return found

    def started(self) -> Mapping[str, Any]:
        until(lambda: "child" in (self.folder / "shim.json").read_text())
        found: Mapping[str, Any] = json.loads((self.folder / "shim.json").read_text())
        return found

    def says(self, text: str) -> None:
        log = self.folder / "stdout.log"
        until(lambda: log.exists() and text in log.read_text())

    def cancel(self) -> None:
        (self.folder / "cancelled").write_text("{}")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    if bench.holder() != "nobody":
        record = bench.started()
        for pid in (record["child"], record["pid"]):
            subprocess.run(["kill", "-9", str(pid)], check=False, stderr=subprocess.DEVNULL)
        until(lambda: bench.holder() == "nobody")


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def living(group: int) -> list[int]:
    """The processes of a group that are no zombies."""
    found = []
    for pid in psutil.pids():
        with contextlib.suppress(OSError):
            if os.getpgid(pid) == group and alive(pid):
                found.append(pid)
    return found


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("raise SystemExit(0)", (0, 0)),
        ("raise SystemExit(7)", (7, 0)),
        ("import os; os.kill(os.getpid(), 9)", (None, 9)),
        ("import os; os.kill(os.getpid(), 15)", (None, 15)),
    ],
)
def test_how_the_trainer_ended_is_written_down(
    bench: Bench, code: str, found: tuple[int | None, int]
) -> None:
    """N4.4: the true exit code, with the attempt's nonce, in a record that is whole."""
    bench.start(code)
    bench.wait()
    record = read_exit((bench.folder / "exit.json").read_bytes(), nonce=NONCE)
    assert record is not None
    assert (record.code, record.signal) == found
    assert record.started <= record.ended
    assert read_exit((bench.folder / "exit.json").read_bytes(), nonce="1" * 32) is None


def test_the_output_goes_to_files_and_the_environment_is_the_orders(bench: Bench) -> None:
    """N4.1, K1.6: nothing is buffered in memory; argv is a list, the environment explicit."""
    bench.start(
        "import os, sys; print(sorted(os.environ)); sys.stderr.write('\\rsteps'); print(sys.argv)"
    )
    assert bench.wait()["code"] == 0
    out = (bench.folder / "stdout.log").read_text()
    assert "'SEEN'" in out
    assert "PYTEST_CURRENT_TEST" not in out
    assert (bench.folder / "stderr.log").read_bytes() == b"\rsteps"


def test_a_program_that_is_not_there_is_told(bench: Bench) -> None:
    program = Program(("/nonexistent/python",), bench.studio, rehearsed)
    bench.trainer = ShimTrainer(bench.studio, program, environment={}, gpu_fd=lambda: None)
    bench.start("x")
    assert "could not be started" in bench.wait()["error"]


def test_what_is_cancelled_before_it_begins_never_begins(bench: Bench) -> None:
    bench.folder.mkdir(parents=True)
    bench.cancel()
    bench.start("open('began', 'w')")
    assert bench.wait()["stopped"] == "cancelled"
    assert not (bench.studio / "began").exists()


def test_a_training_is_stopped_by_the_marker_with_grace(bench: Bench) -> None:
    """N4.5: SIGTERM to its group first."""
    bench.start(SLEEPER)
    bench.says("up")
    bench.cancel()
    record = bench.wait()
    assert (record["stopped"], record["signal"]) == ("cancelled", signal.SIGTERM)


def test_one_that_ignores_it_is_killed_after_its_grace(bench: Bench) -> None:
    """N4.5: SIGKILL after the grace, and the whole group is gone."""
    bench.start(
        "import os, time\nif not os.fork():\n    time.sleep(60)\n" + STUBBORN.replace("; ", "\n"),
        grace_s=0.2,
    )
    bench.says("up")
    bench.cancel()
    record = bench.wait()
    assert (record["stopped"], record["signal"]) == ("cancelled", signal.SIGKILL)
    assert not living(bench.started()["child"])


def test_workers_that_stay_behind_are_ended_with_their_trainer(bench: Bench) -> None:
    """N4.5: they hold the output, and stubborn ones are killed; the trainer's own end is told."""
    bench.start(
        "import os, signal, time\n"
        "if not os.fork():\n"
        "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "    print('worker', flush=True)\n"
        "    time.sleep(60)\n"
        "time.sleep(0.3)\n"
        "raise SystemExit(5)"
    )
    bench.says("worker")
    record = bench.wait()
    assert (record["code"], record["stopped"]) == (5, "")


# What Python before 3.13 has on a Mac: no waitid, and ``ps``, not /proc. It counts its asking.
OLD_MAC = """
import os, sys
sys.path.insert(0, {root!r})
del os.waitid
from daemon import shim
shim.LINUX, told = False, shim._told
def counted(*command):
    with open({asked!r}, "a") as file:
        file.write(".")
    return told(*command)
shim._told = counted
sys.exit(shim.main(sys.argv[1:]))
"""


def test_where_only_ps_can_be_asked_it_is_asked_now_and_then(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """N4.5: the same end of the trainer and its workers, and no processor is kept busy."""
    needs.file(Path("/bin/ps"))
    script, asked = bench.studio / "old_mac.py", bench.studio / "asked"
    root = str(Path(__file__).parents[1])
    script.write_text(OLD_MAC.format(root=root, asked=str(asked)))
    monkeypatch.setattr("daemon.adapters.shim_folder.SHIM", script)
    worker = "import os, time\nif not os.fork():\n    time.sleep(60)\n"
    bench.start(f"{worker}time.sleep(1.5)\nraise SystemExit(5)")
    assert bench.wait()["code"] == 5
    assert not living(bench.started()["child"])
    assert len(asked.read_text()) < 30


def test_a_training_whose_folder_was_removed_does_not_go_on(bench: Bench) -> None:
    """Nobody could stop it any more, and the next one would share the GPU with it."""
    bench.start(SLEEPER)
    record = bench.started()
    shutil.rmtree(bench.folder)
    assert bench.holder() == "shim"
    until(lambda: bench.holder() == "nobody")
    until(lambda: not alive(record["child"]) and not alive(record["pid"]))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits another process's files")
def test_an_end_that_does_not_fit_on_the_disk_is_written_down_later(bench: Bench) -> None:
    """N4.4: the lock is kept meanwhile, so nobody takes the end for an unknown one."""
    bench.start(
        "import os, time\nwhile not os.path.exists('go'): time.sleep(0.02)\nraise SystemExit(4)"
    )
    record = bench.started()
    limits = resource.prlimit(record["pid"], resource.RLIMIT_FSIZE)
    resource.prlimit(record["pid"], resource.RLIMIT_FSIZE, (0, limits[1]))
    (bench.studio / "go").touch()
    until(lambda: not psutil.pid_exists(record["child"]))
    time.sleep(0.2)
    assert bench.holder() == "shim"
    assert not (bench.folder / "exit.json").exists()
    resource.prlimit(record["pid"], resource.RLIMIT_FSIZE, limits)
    assert bench.wait()["code"] == 4


def test_sigterm_to_the_shim_ends_the_training_in_good_order(bench: Bench) -> None:
    bench.start(SLEEPER)
    bench.says("up")
    os.kill(bench.started()["pid"], signal.SIGTERM)
    assert bench.wait()["stopped"] == f"signal {signal.SIGTERM.value}"


def test_a_flood_of_output_is_stopped(bench: Bench) -> None:
    """N4.1: the log has a limit."""
    bench.start("while True: print('x' * 1000)", log_limit_bytes=100_000)
    assert bench.wait()["stopped"] == "log full"


def test_the_trainer_can_be_interrupted_whoever_started_the_daemon(bench: Bench) -> None:
    """A disposition to ignore is inherited; the trainer gets the ordinary ones."""
    before = {n: signal.signal(n, signal.SIG_IGN) for n in (signal.SIGINT, signal.SIGHUP)}
    try:
        bench.start("import signal; print([signal.getsignal(n) for n in (1, 2)])")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert bench.wait()["code"] == 0
    said = (bench.folder / "stdout.log").read_text()
    assert "SIG_IGN" not in said
    assert "default_int_handler" in said


def test_a_second_shim_is_not_started_for_a_folder_that_somebody_has(bench: Bench) -> None:
    bench.start(SLEEPER)
    with pytest.raises(WorldError) as refused:
        bench.start(SLEEPER)
    assert refused.value.code == "TRAINER_BUSY"


DAEMON = """
import asyncio, sys, time
from pathlib import Path
from daemon.adapters.trainer_probe import rehearsed
from daemon.adapters.training_process import Program, ShimTrainer
from daemon.ports import TrainingOrder
program = Program((sys.executable, "-u", "-c"), Path(sys.argv[1]), rehearsed)
studio, awake = Path(sys.argv[1]), sys.argv[5:]
trainer = ShimTrainer(studio, program, environment={}, gpu_fd=lambda: None, awake=awake)
order = TrainingOrder(sys.argv[2], sys.argv[3], (sys.argv[4],), {}, 5.0, 2**20)
asyncio.run(trainer.start(order))
print("started", flush=True)
time.sleep(60)
"""


def test_a_training_does_not_notice_that_the_daemon_and_its_group_are_killed(bench: Bench) -> None:
    """N4.4: as launchd would kill them; the new daemon knows by the locks, and the true code."""
    started_and_killed(bench, "import time; time.sleep(1); raise SystemExit(3)")
    assert bench.holder() == "shim"
    assert bench.wait()["code"] == 3


def started_and_killed(bench: Bench, code: str, *awake: str) -> None:
    """A training by a daemon that is killed with its whole group."""
    daemon = subprocess.Popen(
        [sys.executable, "-c", DAEMON, str(bench.studio), FOLDER, NONCE, code, *awake],
        stdout=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert daemon.stdout is not None
    assert daemon.stdout.readline() == b"started\n"
    os.killpg(daemon.pid, signal.SIGKILL)
    daemon.wait()
    daemon.stdout.close()


def test_a_training_whose_shim_was_killed_is_an_orphan_and_is_ended(bench: Bench) -> None:
    """N4.4: by its own lock, pid, start and boot; how it ended stays unknown."""
    bench.start(SLEEPER)
    bench.says("up")
    record = bench.started()
    os.kill(record["pid"], signal.SIGKILL)
    until(lambda: bench.holder() == "orphan")
    assert asyncio.run(bench.trainer.end_orphan(FOLDER, nonce=NONCE, grace_s=5.0))
    assert bench.holder() == "nobody"
    assert not alive(record["child"])
    assert not (bench.folder / "exit.json").exists()


@contextlib.contextmanager
def adopting() -> Iterator[None]:
    """Orphans become our children, since what is the first process of a container may reap late."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER
    try:
        yield
    finally:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(36, 0)


def buried(pid: int) -> None:
    """Wait for an orphan, whoever has adopted it."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def test_a_worker_that_survives_its_trainer_is_ended_with_the_orphan(bench: Bench) -> None:
    """N4.5: it has the locks, and its group is still the one of the record."""
    worker = "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    print('worker')\n"
    with adopting():
        bench.start(f"import os, signal, time\nif not os.fork():\n{worker}time.sleep(60)")
        bench.says("worker")
        record = bench.started()
        os.kill(record["pid"], signal.SIGKILL)
        until(lambda: bench.holder() == "orphan")
        group = living(record["child"])
        burials = [threading.Thread(target=buried, args=(pid,)) for pid in sorted(group)]
        for burial in burials:
            burial.start()
        assert asyncio.run(bench.trainer.end_orphan(FOLDER, nonce=NONCE, grace_s=0.5))
        assert bench.holder() == "nobody"
        for burial in burials:
            burial.join()
    assert not living(record["child"])


def test_a_shim_that_is_killed_at_any_moment_leaves_no_false_success(tmp_path: Path) -> None:
    """N4.4: the record says what the trainer's end was, or there is none."""
    chance = random.Random(7)
    # One is killed before its first line, others until after their last, and one never.
    moments = [0.0, *sorted(chance.uniform(0.0, 1.2) for _ in range(22))]
    shims = []
    for number in range(len(moments) + 1):
        folder = tmp_path / str(number)
        folder.mkdir()
        shim = shim_of(folder, "import time; time.sleep(0.2); raise SystemExit(3)")
        shims.append((folder, shim))
        if number == 0:
            shim.kill()
    begun = time.monotonic()
    for (_, shim), at in zip(shims, moments, strict=False):
        time.sleep(max(0.0, begun + at - time.monotonic()))
        shim.kill()
    assert {end_of(folder, shim) for folder, shim in shims} == {None, (3, 0)}


def end_of(folder: Path, shim: subprocess.Popen[bytes]) -> tuple[int | None, int] | None:
    """Code and signal of the record, which is whole if there is one."""
    shim.wait()
    until(lambda: not is_held(folder / "alive"))
    if not (folder / "exit.json").exists():
        return None
    record = read_exit((folder / "exit.json").read_bytes(), nonce=NONCE)
    assert record is not None
    return record.code, record.signal


def shim_of(
    folder: Path, code: str, *, before: Sequence[str] = (), **more: object
) -> subprocess.Popen[bytes]:
    """A shim that is not waited for, not even until it has begun; started by ``before``."""
    fds = [os.open(folder / name, os.O_RDWR | os.O_CREAT) for name in ("alive", "shim")]
    for fd in fds:
        fcntl.flock(fd, fcntl.LOCK_EX)
    told = {
        **more,
        "nonce": NONCE,
        "argv": [sys.executable, "-I", "-S", "-c", code],
        "cwd": str(folder),
        "env": {},
        "alive_fd": fds[0],
        "shim_fd": fds[1],
        "gpu_fd": None,
        "grace_s": 1.0,
        "log_limit_bytes": 2**20,
    }
    command = [*before, sys.executable, "-I", "-S", str(SHIM), "run", str(folder)]
    shim = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=fds, start_new_session=True)
    assert shim.stdin is not None
    with contextlib.suppress(BrokenPipeError), shim.stdin as order:
        order.write(json.dumps(told).encode())
    for fd in fds:
        os.close(fd)
    return shim


def test_one_that_is_left_alone_is_ended_and_none_whose_guard_is_held(tmp_path: Path) -> None:
    """N5.1: by the guard's lock; one that is taken again in time ends nothing."""
    guard = tmp_path / "guard"
    alone, kept = tmp_path / "alone", tmp_path / "kept"
    fd = os.open(guard, os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    shims = []
    for folder, path in ((alone, tmp_path / "nobodys"), (kept, guard)):
        folder.mkdir()
        shims.append(shim_of(folder, SLEEPER, guard=str(path), leave_s=0.5))
    try:
        shims[0].wait(10)
        record = read_exit((alone / "exit.json").read_bytes(), nonce=NONCE)
        assert record is not None
        assert (record.stopped, record.signal) == ("daemon gone", signal.SIGTERM)
        assert shims[1].poll() is None
    finally:
        os.close(fd)
    shims[1].wait(10)


@pytest.mark.parametrize(
    "forged",
    [
        {"child_started": "1"},
        {"boot": "another"},
        {"nonce": "f" * 32},
        {"child": 1},
        {"child": "x"},
    ],
)
def test_what_cannot_be_verified_is_never_signalled(
    bench: Bench, forged: Mapping[str, object]
) -> None:
    """N4.4: a pid that was used again belongs to a stranger."""
    bench.start(SLEEPER)
    record = bench.started()
    os.kill(record["pid"], signal.SIGKILL)
    until(lambda: bench.holder() == "orphan")
    (bench.folder / "shim.json").write_text(json.dumps({**record, **forged}))
    assert not asyncio.run(bench.trainer.end_orphan(FOLDER, nonce=NONCE, grace_s=0.2))
    assert alive(record["child"])
    (bench.folder / "shim.json").write_text(json.dumps(record))


def test_a_stranger_with_the_recorded_pid_is_safe_when_nobody_has_the_lock(bench: Bench) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    bench.start("raise SystemExit(0)")
    bench.wait()
    record = json.loads((bench.folder / "shim.json").read_text())
    record |= {"child": stranger.pid, "child_started": start_mark(stranger.pid)}
    (bench.folder / "shim.json").write_text(json.dumps(record))
    try:
        assert asyncio.run(bench.trainer.end_orphan(FOLDER, nonce=NONCE, grace_s=0.2))
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_the_gpus_lock_is_held_by_the_training_itself(tmp_path: Path) -> None:
    """A2.3: not by the daemon, and even when the shim is gone."""
    lock = UserGpuLock(tmp_path / "gpu.lock", who="a studio")
    assert lock.try_take()
    bench = Bench(tmp_path / "studio", gpu=lambda: lock.fd)
    bench.studio.mkdir()
    bench.start(SLEEPER)
    record = bench.started()
    lock.give_back()
    other = UserGpuLock(tmp_path / "gpu.lock", who="another studio")
    assert not other.try_take()
    os.kill(record["pid"], signal.SIGKILL)
    until(lambda: bench.holder() == "orphan")
    assert not other.try_take()
    assert asyncio.run(bench.trainer.end_orphan(FOLDER, nonce=NONCE, grace_s=5.0))
    assert other.try_take()
    assert bench.holder() == "nobody"


def test_an_order_that_was_cut_short_starts_nothing(tmp_path: Path) -> None:
    shim = subprocess.run(
        [sys.executable, "-I", str(SHIM), "run", str(tmp_path)], input=b'{"nonce": "0', check=False
    )
    assert shim.returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_no_zombie_of_a_shim_stays(bench: Bench) -> None:
    """N4.5: who is told that nobody trains has no child left."""
    bench.start("raise SystemExit(0)")
    pid = json.loads((bench.folder / "shim.json").read_text())["pid"]
    bench.wait()
    assert not psutil.pid_exists(pid)


def test_the_start_record_names_the_machines_boot(bench: Bench) -> None:
    bench.start("raise SystemExit(0)")
    record = read_start((bench.folder / "shim.json").read_bytes(), nonce=NONCE)
    assert record is not None
    assert record.boot == asyncio.run(bench.trainer.boot()) != ""
    bench.wait()


def test_the_shim_needs_the_standard_library_only() -> None:
    run = [sys.executable, "-I", "-S", str(SHIM), "boot"]
    assert subprocess.run(run, capture_output=True, check=True).stdout


AWAKE = """\
import json, os, sys, time
import psutil
print(json.dumps([os.getpid(), sys.argv[2:]]), file=open(sys.argv[1], "w"), flush=True)
shim = psutil.Process(int(sys.argv[-1]))
while shim.is_running() and shim.status() != psutil.STATUS_ZOMBIE:
    time.sleep(0.02)
"""
"""A stand-in for caffeinate -w: tells its pid and arguments, and goes when that process goes."""


class Awake:
    """The command of a stand-in, and what it has told."""

    def __init__(self, folder: Path) -> None:
        self._told = folder / "awake.json"
        self.command = (sys.executable, "-c", AWAKE, str(self._told), "-i", "-s", "-w")

    def told(self) -> tuple[int, list[str]]:
        until(lambda: self._told.exists() and self._told.read_text().endswith("\n"))
        pid, arguments = json.loads(self._told.read_text())
        return pid, arguments


def test_the_machine_is_kept_awake_exactly_as_long_as_the_shim_lives(bench: Bench) -> None:
    """A5.3: by a process of its own session, which has none of the training's locks."""
    awake = Awake(bench.studio)
    bench = Bench(bench.studio, awake=awake.command)
    bench.start(SLEEPER)
    pid, arguments = awake.told()
    record = bench.started()
    assert arguments == ["-i", "-s", "-w", str(record["pid"])]
    assert os.getsid(pid) not in (os.getsid(0), os.getsid(record["pid"]))
    bench.says("up")
    assert alive(pid)
    bench.cancel()
    assert bench.wait()["stopped"] == "cancelled"
    until(lambda: not alive(pid))


def test_it_goes_with_a_shim_that_is_killed_though_the_trainer_goes_on(bench: Bench) -> None:
    """A5.3: what nobody watches any more is about to be ended."""
    awake = Awake(bench.studio)
    bench = Bench(bench.studio, awake=awake.command)
    bench.start(SLEEPER)
    pid, _ = awake.told()
    bench.says("up")
    os.kill(bench.started()["pid"], signal.SIGKILL)
    until(lambda: not alive(pid))
    assert bench.holder() == "orphan"
    assert asyncio.run(bench.trainer.end_orphan(FOLDER, nonce=NONCE, grace_s=5.0))
    assert bench.holder() == "nobody"


def test_the_machine_is_kept_awake_though_the_daemon_is_killed(bench: Bench) -> None:
    """A5.3: it is the training's, not the daemon's."""
    awake = Awake(bench.studio)
    started_and_killed(bench, SLEEPER, *awake.command)
    pid, _ = awake.told()
    bench.says("up")
    assert alive(pid)
    bench.cancel()
    bench.wait()
    until(lambda: not alive(pid))


def test_a_machine_without_such_a_program_trains_the_same(bench: Bench) -> None:
    """A5.3: Linux has none."""
    bench = Bench(bench.studio, awake=(str(bench.studio / "caffeinate"), "-i", "-s", "-w"))
    bench.start("raise SystemExit(3)")
    assert bench.wait()["code"] == 3
    assert (bench.folder / "shim.log").read_text() == ""


@pytest.mark.parametrize(
    ("groups", "file", "kills"),
    [
        ("0::/user.slice/a.scope\n", "user.slice/a.scope/memory.events", 3),
        ("0::/\n", "memory.events", 3),
        ("9:name=systemd:/a\n4:memory:/a:b\n0::/\n", "memory/a:b/memory.oom_control", 3),
        ("0::/elsewhere\n", "memory.events", 0),
        ("", "memory.events", 0),
        (None, "memory.events", 0),
    ],
)
def test_the_kernels_kills_are_counted_in_the_own_control_group(
    tmp_path: Path, groups: str | None, file: str, kills: int
) -> None:
    """N4.3: version 2 of control groups, and version 1; whoever does not say has killed nobody."""
    events, own = tmp_path / "sys/fs/cgroup" / file, tmp_path / "proc/self/cgroup"
    for folder in (events.parent, own.parent):
        folder.mkdir(parents=True)
    events.write_text("low 0\nhigh 7\nmax 12\noom 5\noom_kill 3\noom_group_kill 9\n")
    if groups is not None:
        own.write_text(groups)
    assert oom_kills(tmp_path) == kills


@pytest.fixture
def narrow() -> Iterator[Path]:
    """A control group below our own that holds 96 MiB, where the system lets us make one."""
    groups = OWN_GROUPS.read_text() if OWN_GROUPS.exists() else ""
    found = re.search(r"^\d+:(|memory):/(.*)", groups, re.MULTILINE)
    kind, path = found.groups() if found else ("", "")
    group = Path("/sys/fs/cgroup") / kind / path / f"nightpress-test-{os.getpid()}"
    limit = group / ("memory.limit_in_bytes" if kind else "memory.max")
    try:
        group.mkdir()
        limit.write_text(str(96 * 2**20))
    except OSError as error:
        with contextlib.suppress(OSError):
            group.rmdir()
        pytest.skip(f"no control group for memory can be made here ({error})")
    yield group
    group.rmdir()


def test_a_kill_by_the_kernel_for_want_of_memory_is_counted_and_a_plain_one_is_not(
    tmp_path: Path, narrow: Path
) -> None:
    """N4.3: a real one. The trainer takes a gigabyte where there are 96 MiB."""
    enter = ("/bin/sh", "-c", f'echo $$ > {narrow}/cgroup.procs; exec "$@"', "sh")
    for name, code, kills in (
        ("greedy", "b'x' * 2**30", 1),
        ("killed", "import os; os.kill(os.getpid(), 9)", 0),
    ):
        folder = tmp_path / name
        folder.mkdir()
        assert end_of(folder, shim_of(folder, code, before=enter)) == (None, 9)
        record = read_exit((folder / "exit.json").read_bytes(), nonce=NONCE)
        assert record is not None
        assert (record.killed, record.oom_kills) == (True, kills)
