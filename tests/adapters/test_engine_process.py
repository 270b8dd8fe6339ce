"""The engine's process: found again, started again, moved, and ended when nobody needs it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from daemon.adapters.engine_process import EngineProcess, Launch, Program, rehearsal
from daemon.errors import WorldError
from daemon.ports.host import Serving
from daemon.shim import is_held

pytestmark = pytest.mark.realprocess


def until(done: Callable[[], object], *, timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


class Stand:
    """One studio with its rehearsal engine, and as many hosts of it as a test wants."""

    def __init__(self, studio: Path) -> None:
        self.folder = studio / "rehearsal"
        self.guard = studio / "guard"
        self.moves: list[str] = []
        self.hosts: list[EngineProcess] = []

    def host(self, *, leave_s: float = 60.0, program: Program | None = None) -> EngineProcess:
        host = EngineProcess(
            self.folder,
            program or rehearsal(self.folder),
            guard=self.guard,
            leave_s=leave_s,
            environment=os.environ,
            moved=self.moves.append,
        )
        self.hosts.append(host)  # Each is asked to stop, so that its shim is reaped.
        return host

    def record(self, life: str) -> dict[str, Any]:
        path = self.folder / "lives" / life / "shim.json"
        until(lambda: b"child_started" in path.read_bytes())
        found: dict[str, Any] = json.loads(path.read_bytes())
        return found

    def answer(self, host: EngineProcess) -> list[str]:
        """The command line of the server that answers, once it does."""

        def asked() -> bool:
            try:
                answer = httpx.get(f"{host.url}/system_stats")
            except httpx.HTTPError:
                return False
            found.append(answer.json()["system"]["argv"])
            return True

        found: list[list[str]] = []
        until(asked)
        return found[0]

    def held(self) -> list[Path]:
        return [path for path in self.folder.glob("lives/*/alive") if is_held(path)]


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    stand = Stand(tmp_path)
    yield stand
    for host in stand.hosts:
        asyncio.run(host.stop())


def started(host: EngineProcess, profile: str = "default") -> Serving:
    return asyncio.run(host.start(profile))


def looked(host: EngineProcess) -> Serving | None:
    return asyncio.run(host.look())


def test_it_is_started_in_its_profile_found_by_the_next_daemon_and_ended(stand: Stand) -> None:
    """N5.1: what runs is adopted, life and profile and address."""
    first = stand.host()
    serving = started(first, "fp32-unet")
    argv = stand.answer(first)
    assert argv[argv.index("--profile") + 1] == "fp32-unet"
    later = stand.host()
    assert looked(later) == serving == Serving(serving.life, "fp32-unet")
    assert later.url == first.url
    asyncio.run(later.stop())
    assert looked(first) is None
    assert not stand.held()
    assert "Its shim ended it (cancelled)." in asyncio.run(later.ending())
    assert not stand.moves


DAEMON = """
import asyncio, os, sys, time
from pathlib import Path
from daemon.adapters.engine_process import EngineProcess, rehearsal
from daemon.adapters.guard import Guard
folder, guard = Path(sys.argv[1]), Path(sys.argv[2])
Guard(guard).take(since="now")
process = EngineProcess(folder, rehearsal(folder), guard=guard, leave_s=2.0,
                        environment=os.environ, moved=print)
print(asyncio.run(process.start("default")).life, flush=True)
time.sleep(60)
"""


def daemon(stand: Stand) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", DAEMON, str(stand.folder), str(stand.guard)],
        stdout=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


def test_it_outlives_a_killed_daemon_and_is_adopted_or_ends_when_left_alone(stand: Stand) -> None:
    """N5.1: the same life for the next daemon; without one its shim ends it."""
    killed = daemon(stand)
    assert killed.stdout is not None
    life = killed.stdout.readline().decode().strip()
    host = stand.host()
    stand.answer(host)
    time.sleep(2.5)
    assert looked(host), "the guard was held all the time"
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    killed.stdout.close()
    assert looked(stand.host()) == Serving(life, "default")
    until(lambda: looked(host) is None)
    assert "daemon gone" in asyncio.run(host.ending())


def test_one_that_was_killed_is_told_and_started_again_at_its_address(stand: Stand) -> None:
    """N5.2, N4.3: how it ended is said, and of memory only what is known."""
    host = stand.host()
    first = started(host)
    url = host.url
    stand.answer(host)
    os.kill(stand.record(first.life)["child"], signal.SIGKILL)
    until(lambda: looked(host) is None)
    kill = asyncio.run(host.killed())
    assert kill is not None
    assert kill.child == stand.record(first.life)["child"]
    told = asyncio.run(host.ending())
    assert "signal 9" in told
    assert "nothing proves" in told
    assert "probable cause: memory: it swapped." in asyncio.run(host.ending("it swapped"))
    assert "Starting server" in told, "the end of its own log"
    second = started(host)
    assert second.life != first.life
    assert host.url == url
    stand.answer(host)
    assert asyncio.run(host.ending()) == ""


def test_a_port_that_a_stranger_has_is_left_to_it(stand: Stand) -> None:
    """N5.1: another one is taken, and whoever asks the server is told."""
    host = stand.host()
    port = int(host.url.rpartition(":")[2])
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", port))
        stranger.listen()
        started(host)
        assert not host.url.endswith(f":{port}")
        stand.answer(host)
    assert stand.moves == [host.url]


def test_two_that_start_it_at_once_start_one(stand: Stand) -> None:
    program = rehearsal(stand.folder)

    def slowly(profile: str, port: int) -> Launch:
        time.sleep(0.2)  # All of them have looked by then.
        return program.launch(profile, port)

    hosts = [stand.host(program=replace(program, launch=slowly)) for _ in range(4)]

    async def story() -> list[Serving]:
        return await asyncio.gather(*(host.start("default") for host in hosts))

    assert len(set(asyncio.run(story()))) == 1
    assert len(stand.held()) == 1
    assert len({host.url for host in hosts}) == 1


def test_one_whose_shim_was_killed_is_found_and_ended(stand: Stand) -> None:
    """N4.4: by its own lock, pid, start and boot."""
    host = stand.host()
    serving = started(host)
    os.kill(stand.record(serving.life)["pid"], signal.SIGKILL)
    until(lambda: not is_held(stand.folder / "lives" / serving.life / "shim"))
    assert looked(host) == serving
    asyncio.run(host.stop())
    assert looked(host) is None
    assert "not known" in asyncio.run(host.ending())


def test_an_orphan_that_cannot_be_verified_is_not_signalled(stand: Stand) -> None:
    host = stand.host()
    serving = started(host)
    record = stand.record(serving.life)
    path = stand.folder / "lives" / serving.life / "shim.json"
    os.kill(record["pid"], signal.SIGKILL)
    until(lambda: not is_held(path.parent / "shim"))
    path.write_text(json.dumps({**record, "child_started": "1"}))
    with pytest.raises(WorldError) as refused:
        asyncio.run(host.stop())
    assert refused.value.code == "ENGINE_STOP"
    assert looked(host) == serving
    path.write_text(json.dumps(record))


@pytest.mark.parametrize("text", ["", "[]", '{"port":0}', '{"port":"x"}', None])
def test_a_record_that_makes_no_sense_hides_no_server(stand: Stand, text: str | None) -> None:
    """Its profile is not known any more, so whoever wants one stops it and starts another."""
    host = stand.host()
    serving = started(host)
    record = stand.folder / "engine.json"
    record.unlink() if text is None else record.write_text(text)
    assert looked(stand.host()) == Serving(serving.life, "")
    asyncio.run(stand.host().stop())
    assert looked(host) is None


def test_what_is_missing_is_said_and_nothing_is_started(stand: Stand) -> None:
    program = Program("It", stand.folder, lambda profile, port: (["/nonexistent/it"], {}))
    host = stand.host(program=program)
    assert asyncio.run(host.ending()) == ""
    started(host)
    until(lambda: looked(host) is None)
    assert "/nonexistent/it could not be started" in asyncio.run(host.ending())


def test_its_words_are_read_from_where_they_were_and_old_lives_go(stand: Stand) -> None:
    """A3.3: no more than the latest MiB; a log with escapes is made visible."""
    code = "import sys; sys.stderr.write('old\\n' + 'x' * 2**20 + '\\n\\x1b[31mnew\\n')"
    program = Program("It", stand.folder, lambda *_: ([sys.executable, "-c", code], {}))
    host = stand.host(program=program)
    for _ in range(7):
        started(host)
        until(lambda: looked(host) is None)
    assert len(list(stand.folder.glob("lives/*"))) == 5
    size = asyncio.run(host.log_end())
    assert asyncio.run(host.log_text(since=size - 4, until=size)) == "new\n"
    assert asyncio.run(host.log_text(since=0, until=3)) == "old"
    assert len(asyncio.run(host.log_text(since=0, until=size))) == 2**20
    assert asyncio.run(host.log_text(since=size + 1, until=size)) == ""
    assert "\\x1b[31mnew" in asyncio.run(host.ending())


def test_the_daemons_environment_is_not_handed_on(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    code = "import os, sys; sys.stderr.write(str(sorted(os.environ)))"
    program = Program("It", stand.folder, lambda *_: ([sys.executable, "-c", code], {"OWN": "1"}))
    host = stand.host(program=program)
    started(host)
    until(lambda: looked(host) is None)
    said = asyncio.run(host.log_text(since=0, until=9999))
    assert "'OWN'" in said
    assert "PYTHONPATH" not in said
