"""The probe of the machine: each look by itself, in time, and unknown when it cannot be had."""

from __future__ import annotations

import asyncio
import mmap
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from daemon.adapters.probe import MachineProbe
from daemon.adapters.probe.looks import Look
from daemon.adapters.probe.programs import Process, judged
from daemon.ports import Program, Signals
from tests.machine_texts import MEMINFO, PAGE, PLUGGED, VM_STAT, VMSTAT

GIB, MIB = 2**30, 2**20
LIMIT_S = 0.1
TAKEN = (214_016 + 321_792 + 229_376) * PAGE

CALM = {"hw.memsize": f"{16 * GIB}\n", "vm_stat": VM_STAT, "pressure_level": "1\n", "batt": PLUGGED}
LOST = {
    "hw.memsize": {"memory"},
    "vm_stat": {"memory", "swap"},
    "pressure_level": {"pressure"},
    "batt": {"power"},
}
"""What a Mac tells by which of its programs."""
LOCALES = {
    "hw.memsize": "17.179.869.184\n",
    "vm_stat": VM_STAT.replace("214016.", "214.016,").replace("234567.", "234 567,"),
    "pressure_level": "1,00\n",
    "batt": "Stromquelle: 'Netzteil'\n",
}
ABSURD = {
    "hw.memsize": "-5\n",
    "vm_stat": VM_STAT.replace("16384 bytes", "0 bytes"),
    "pressure_level": "7\n",
    "batt": "Now drawing from 'Lemon'\n",
}


class Mac:
    """A Mac's programs, one of which may fail in a way. ``asked``: which were run."""

    def __init__(self, broken: str = "", how: str = "") -> None:
        self.broken, self.how = broken, how
        self.asked: list[str] = []
        self.released = threading.Event()

    def say(self, *command: str) -> str:
        program = next(name for name in CALM if name in command[-1])
        self.asked.append(program)
        return self._fail(program) if program == self.broken else CALM[program]

    def _fail(self, program: str) -> str:
        match self.how:
            case "raises":
                raise RuntimeError("(ipc/mig) array not large enough")
            case "missing":
                raise FileNotFoundError(program)
            case "refuses":
                raise subprocess.CalledProcessError(1, program)
            case "hangs":
                self.released.wait(60)
                return CALM[program]
            case "empty":
                return ""
            case "locale":
                return LOCALES[program]
            case _:
                return ABSURD[program]


@pytest.fixture
def no_psutil(monkeypatch: pytest.MonkeyPatch) -> None:
    """It knows nothing on a macOS that is newer than itself, and has nothing to say instead."""

    def fails(*_: object) -> None:
        raise RuntimeError("host_statistics64(HOST_VM_INFO64): array not large enough")

    monkeypatch.setattr(psutil, "virtual_memory", fails)
    monkeypatch.setattr(psutil, "sensors_battery", fails)


def ask(mac: Mac, *, times: int = 1) -> tuple[Signals, float]:
    """The last of so many looks, and how long the slowest one took."""

    async def looks() -> tuple[Signals, float]:
        probe = MachineProbe(system="darwin", say=mac.say, limit_s=LIMIT_S)
        slowest_s, seen = 0.0, []
        for _ in range(times):
            began = time.monotonic()
            seen.append(await probe.signals())
            slowest_s = max(slowest_s, time.monotonic() - began)
        return seen[-1], slowest_s

    return asyncio.run(looks())


def test_a_mac_tells_what_is_free_by_what_is_taken() -> None:
    """A2.6: wired for Metal and compressed pages are taken; files that are cached are not."""
    seen, _ = ask(Mac())
    assert seen == Signals(16 * GIB, 16 * GIB - TAKEN, 1, 234_567 * PAGE, True, 80)


FAULTS = ["raises", "missing", "refuses", "hangs", "empty", "locale", "absurd"]


@pytest.mark.realprocess
@pytest.mark.usefixtures("no_psutil")
@pytest.mark.parametrize("broken", CALM)
@pytest.mark.parametrize("how", FAULTS)
def test_a_signal_that_fails_is_unknown_in_time_and_the_rest_is_known(
    broken: str, how: str
) -> None:
    """A2.6: the matrix; a look that hangs is not begun again while it does."""
    mac, well = Mac(broken, how), ask(Mac())[0]
    try:
        seen, slowest_s = ask(mac, times=3)
    finally:
        mac.released.set()
    assert slowest_s < LIMIT_S + 1
    assert set(seen.unknown) == LOST[broken]
    if "memory" not in seen.unknown:
        assert (seen.total_bytes, seen.free_bytes) == (well.total_bytes, well.free_bytes)
    assert seen.level == (None if "pressure" in seen.unknown else well.level)
    assert seen.swapouts_bytes == (None if "swap" in seen.unknown else well.swapouts_bytes)
    assert seen.on_ac is (None if "power" in seen.unknown else True)
    if how == "hangs":
        assert mac.asked.count(broken) == len(LOST[broken])


@pytest.mark.parametrize("broken", ["hw.memsize", "vm_stat"])
def test_where_a_macs_own_words_fail_psutils_are_taken(
    broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A2.6: but not its swapping, which counts every large file that is read."""
    memory = psutil.virtual_memory()._replace(total=8 * GIB, available=3 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    seen, _ = ask(Mac(broken, "missing"))
    assert (seen.total_bytes, seen.free_bytes) == (8 * GIB, 3 * GIB)
    assert seen.unknown == (() if broken == "hw.memsize" else ("swap",))


@pytest.mark.parametrize(
    ("plugged", "percent", "told"),
    [
        (True, 55, (True, 55)),
        (False, 3, (False, 3)),
        (True, 255, (True, None)),
        (None, 55, (None, None)),
    ],
)
def test_where_power_cannot_be_told_it_is_unknown_and_not_the_battery(
    plugged: bool | None,
    percent: int,
    told: tuple[bool | None, int | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A5.3: else no training would ever begin there."""
    battery = SimpleNamespace(power_plugged=plugged, percent=percent)
    monkeypatch.setattr(psutil, "sensors_battery", lambda: battery)
    seen, _ = ask(Mac("batt", "missing"))
    assert (seen.on_ac, seen.battery_percent) == told
    assert seen.unknown == (() if plugged is not None else ("power",))


def test_a_desktop_is_plugged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "sensors_battery", lambda: None)
    assert ask(Mac("batt", "missing"))[0].on_ac is True


GROUP = "sys/fs/cgroup/user/job"


@pytest.fixture
def linux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(psutil, "sensors_battery", lambda: None)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / GROUP).mkdir(parents=True)
    for name, text in {
        "proc/meminfo": MEMINFO,
        "proc/vmstat": VMSTAT,
        "proc/self/cgroup": "0::/user/job\n",
        f"{GROUP}/memory.max": "max\n",
    }.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def ask_linux(root: Path) -> Signals:
    return asyncio.run(MachineProbe(system="linux", root=root, limit_s=LIMIT_S).signals())


def test_linux_tells_it_by_procfs(linux: Path) -> None:
    """A2.6: it has no level of pressure as macOS has, and that is nothing unknown."""
    seen = ask_linux(linux)
    assert (seen.total_bytes, seen.free_bytes) == (16_000_000 * 1024, 9_000_000 * 1024)
    assert (seen.level, seen.swapouts_bytes) == (None, 1234 * mmap.PAGESIZE)
    assert seen.unknown == ()


@pytest.mark.parametrize("limited", [GROUP, "sys/fs/cgroup/user"])
def test_a_group_has_no_more_than_it_may_have(limited: str, linux: Path) -> None:
    """A2.6: nor than the groups in which it is; files that it has read can be dropped."""
    for name, size in {"max": 4 * GIB, "current": 3 * GIB}.items():
        (linux / limited / f"memory.{name}").write_text(f"{size}\n")
    (linux / limited / "memory.stat").write_text(f"anon 5\ninactive_file {GIB}\n")
    seen = ask_linux(linux)
    assert (seen.total_bytes, seen.free_bytes) == (4 * GIB, 2 * GIB)


@pytest.mark.realprocess
@pytest.mark.usefixtures("no_psutil")
@pytest.mark.parametrize("how", ["missing", "raises", "empty", "locale", "absurd", "hangs"])
@pytest.mark.parametrize("broken", ["meminfo", "vmstat"])
def test_a_file_that_fails_is_unknown_in_time_and_the_rest_is_known(
    broken: str, how: str, linux: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A2.6: the matrix of Linux."""
    monkeypatch.setattr(psutil, "sensors_battery", lambda: None)
    path = linux / "proc" / broken
    text = path.read_text()
    path.unlink()
    match how:
        case "raises":
            path.mkdir()
        case "hangs":
            os.mkfifo(path)
        case "empty":
            path.touch()
        case "locale":
            path.write_text(text.replace("000", ".000").replace("1234", "1,234"))
        case "absurd":
            path.write_text(text.replace(" 9", " 9999").replace("1234", "-1"))
    seen = ask_linux(linux)
    assert seen.unknown == ({"meminfo": "memory", "vmstat": "swap"}[broken],)
    if how == "hangs":
        path.write_text("")  # Lets the thread go that reads it.


def test_a_look_is_shared_by_those_who_ask_while_it_is_taken() -> None:
    """The start of a training looks while the watch does, and must not see nothing for that."""
    begun: list[int] = []
    go = threading.Event()

    def see() -> int:
        begun.append(1)
        go.wait(5)
        return 7

    async def both() -> Sequence[int | None]:
        look = Look(see, limit_s=5)
        asking = [asyncio.ensure_future(look.take()) for _ in range(2)]
        await asyncio.sleep(0)
        go.set()
        return await asyncio.gather(*asking)

    assert asyncio.run(both()) == [7, 7]
    assert begun == [1]


@pytest.mark.realprocess
def test_a_look_that_has_hung_is_taken_again_when_it_has_ended() -> None:
    go, begun = threading.Event(), []

    def see() -> int:
        begun.append(1)
        go.wait(60)
        return 7

    async def story() -> None:
        look = Look(see, limit_s=0.05)
        assert await look.take() is None
        for _ in range(2):  # Nobody waits for it a second time.
            with pytest.raises(StopIteration):
                look.take().send(None)
        assert len(begun) == 1
        go.set()
        for _ in range(500):
            await asyncio.sleep(0.01 if look.hangs else 0)
        assert await look.take() == 7

    asyncio.run(story())


def test_where_there_is_room_for_no_thread_nothing_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A2.6: the machine that has none is the one that is to be looked at."""

    async def story() -> None:
        look = Look(lambda: 7, limit_s=1)
        with monkeypatch.context() as full:
            full.setattr(threading.Thread, "start", _no_room)
            assert await look.take() is None
        assert await look.take() == 7

    asyncio.run(story())


def _no_room(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """psutil hangs; what was asked of it."""
    asked: list[str] = []
    released = threading.Event()

    def hangs(name: str) -> Callable[..., None]:
        def hang(*_: object) -> None:
            asked.append(name)
            released.wait(60)
            raise psutil.Error

        return hang

    for name in ("process_iter", "users", "Process"):
        monkeypatch.setattr(psutil, name, hangs(name))
    yield asked
    released.set()


@pytest.mark.realprocess
def test_psutil_that_hangs_holds_nobody_up_and_takes_a_thread_for_each_question(
    stuck: list[str],
) -> None:
    """A2.6: nor is any footprint asked for again, whichever processes are asked for by turns."""

    async def story() -> None:
        probe = MachineProbe(limit_s=0.05)
        for _ in range(2):
            assert await probe.programs() is None
            assert await probe.users() is None
            assert await probe.footprint(11) is None
            assert await probe.footprint(12) is None

    asyncio.run(story())
    assert sorted(stuck) == ["Process", "Process", "process_iter", "users"]


@pytest.mark.parametrize("name", ["process_iter", "users", "Process"])
def test_psutil_that_raises_is_nothing_known(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A2.6"""

    def fails(*_: object) -> None:
        raise RuntimeError("not on this system")

    monkeypatch.setattr(psutil, name, fails)

    async def all_of(probe: MachineProbe) -> Mapping[str, object]:
        users, programs = await probe.users(), await probe.programs()
        return {"users": users, "process_iter": programs, "Process": await probe.footprint(1)}

    assert asyncio.run(all_of(MachineProbe(limit_s=5)))[name] is None


def running(*processes: Process) -> Mapping[int, Process]:
    return {process.pid: process for process in processes}


def program(pid: int, name: str, mib: int, *words: str, parent: int = 1) -> Process:
    return Process(pid, parent, name, words, mib * MIB)


def test_a_programs_processes_are_one_and_small_ones_are_none() -> None:
    """A2.10"""
    found = running(
        program(10, "Google Chrome", 200),
        program(11, "Google Chrome Helper (Renderer)", 900, parent=10),
        program(12, "Code Helper (GPU)", 400),
        program(13, "slack", 299),
        program(14, "Archive Utility", 5000),
        program(15, "postgres", 5000),
    )
    assert judged(found, own=1) == (
        Program("Google Chrome", 10, 1100 * MIB, trains=False),
        Program("Visual Studio Code", 12, 400 * MIB, trains=False),
    )


PYTHON = "/opt/kohya/venv/bin/python3.11"
MAC_PYTHON = "/Library/Frameworks/Python.framework/Resources/Python.app/Contents/MacOS/Python"


@pytest.mark.parametrize(
    "words",
    [
        (PYTHON, "train_network.py", "--max_train_steps=9"),
        (PYTHON, "-u", "/opt/kohya/sd-scripts/sdxl_train_network.py"),
        (MAC_PYTHON, "/Users/you/OneTrainer/scripts/train.py"),
        (PYTHON, "/opt/venv/bin/accelerate", "launch", "train_network.py"),
        ("accelerate", "launch", "sdxl_train.py"),
        ("torchrun", "flux_train_network.py"),
    ],
)
def test_a_trainer_of_somebody_else_is_one(words: Sequence[str]) -> None:
    [rival] = judged(running(program(20, "python3.11", 9000, *words)), own=1)
    assert rival.trains
    assert (rival.pid, rival.bytes) == (20, 9000 * MIB)


@pytest.mark.parametrize(
    "words",
    [
        ("vim", "train_network.py"),
        ("/usr/bin/less", "/opt/sd-scripts/train_network.py"),
        ("bash", "-c", "python train_network.py"),
        ("tail", "-f", "/Users/you/OneTrainer/log.txt"),
        (PYTHON, "-m", "pytest", "test_train_network.py"),
    ],
)
def test_who_only_reads_a_trainers_script_trains_nothing(words: Sequence[str]) -> None:
    """Jobs would wait for an editor that is never closed."""
    assert judged(running(program(20, "some", 9, *words)), own=1) == ()


def test_what_we_or_another_studio_started_is_no_rival() -> None:
    """That one holds the lock of the GPU, and is waited for by it."""
    shim = (PYTHON, "-I", "/opt/nightpress/lib/daemon/shim.py", "run", "/studio/x")
    found = running(
        program(30, "python", 90, *shim),
        program(31, "python", 90, PYTHON, "train_network.py", parent=30),
        program(40, "python", 90, PYTHON, "-m", "daemon", "run"),
        program(41, "python", 90, PYTHON, "train_network.py", parent=40),
        program(50, "python", 90, PYTHON, "train_network.py", parent=51),
        program(51, "python", 90, parent=50),
    )
    assert [each.pid for each in judged(found, own=40)] == [50]


HOLDS = """
import time
held = bytearray(b"x") * (200 << 20)
print("held", flush=True)
input()
del held
print("gone", flush=True)
input()
"""


@pytest.mark.realprocess
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing was measured")
def test_a_footprint_is_what_a_tree_of_processes_holds_and_held() -> None:
    """A2.7: measured with a child that takes 200 MiB and lets them go."""
    tree = f"import subprocess, sys; subprocess.run([sys.executable, '-I', '-c', {HOLDS!r}])"
    command = [sys.executable, "-I", "-c", tree]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        told = []
        for _ in range(2):
            child.stdout.readline()
            told.append(asyncio.run(MachineProbe().footprint(child.pid)))
            child.stdin.write("\n")
            child.stdin.flush()
    (held, high), (left, still_high) = (each or (0, 0) for each in told)
    assert 200 * MIB <= held <= high < 300 * MIB
    assert left < 60 * MIB
    assert 200 * MIB <= still_high < 300 * MIB
    assert asyncio.run(MachineProbe().footprint(child.pid)) is None


@pytest.mark.realprocess
def test_this_machine_can_be_looked_at() -> None:
    """A2.6: by its own words, whichever it is."""

    async def look() -> None:
        probe = MachineProbe(limit_s=10)
        seen = await probe.signals()
        assert seen.total_bytes
        assert seen.free_bytes
        assert "swap" not in seen.unknown
        assert await probe.programs() is not None
        assert await probe.users() is not None

    asyncio.run(look())
