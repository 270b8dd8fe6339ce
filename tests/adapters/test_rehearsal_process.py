"""The rehearsal engine's process: found again, started again, ended when it is idle."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from time import monotonic

import pytest

from daemon.adapters.rehearsal_process import RehearsalProcess

pytestmark = pytest.mark.realprocess


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / ".nightpress").mkdir()
    yield tmp_path
    with suppress(OSError, ValueError, KeyError, TypeError):
        os.kill(pid(tmp_path), signal.SIGKILL)


def pid(studio: Path) -> int:
    number: int = json.loads((studio / ".nightpress" / "rehearsal.json").read_text())["pid"]
    return number


def test_it_is_started_found_again_and_ended(studio: Path) -> None:
    async def story() -> None:
        first = RehearsalProcess(studio)
        url = await first.ensure()
        another_life = RehearsalProcess(studio)
        assert await another_life.ensure() == url
        await first.stop()
        assert not (studio / ".nightpress" / "rehearsal.json").exists()

    asyncio.run(story())


def test_one_that_died_is_started_again_at_its_address(studio: Path) -> None:
    async def story() -> None:
        process = RehearsalProcess(studio)
        url = await process.ensure()
        before = pid(studio)
        keeping = asyncio.ensure_future(process.keep())
        os.kill(before, signal.SIGKILL)
        deadline_s = monotonic() + 20
        while pid(studio) in (before, 0):
            assert monotonic() < deadline_s
            await asyncio.sleep(0.05)
        assert await process.ensure() == url
        keeping.cancel()
        await process.stop()

    asyncio.run(story())


def test_a_stranger_on_the_recorded_port_is_neither_believed_nor_ended(studio: Path) -> None:
    class Stranger(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"system":{"argv":["main.py","--base-directory","/elsewhere"]}}')

        def log_message(self, *_: object) -> None:
            """Tests are quiet."""

    with HTTPServer(("127.0.0.1", 0), Stranger) as server:
        Thread(target=server.serve_forever).start()
        record = {"port": server.server_port, "pid": os.getpid()}
        (studio / ".nightpress" / "rehearsal.json").write_text(json.dumps(record))

        async def story() -> None:
            process = RehearsalProcess(studio)
            await process.stop()
            url = await process.ensure()
            assert not url.endswith(f":{server.server_port}")
            await process.stop()

        try:
            asyncio.run(story())
        finally:
            server.shutdown()


@pytest.mark.parametrize("record", ["", "[]", '{"port":0,"pid":1}', '{"port":"x"}'])
def test_a_record_that_makes_no_sense_is_no_record(studio: Path, record: str) -> None:
    (studio / ".nightpress" / "rehearsal.json").write_text(record)
    assert RehearsalProcess(studio)._read_record() is None


@pytest.mark.realprocess
def test_one_whose_record_was_deleted_is_started_again_where_its_clients_look_for_it(
    studio: Path,
) -> None:
    async def story() -> None:
        process = RehearsalProcess(studio)
        url = await process.ensure()
        assert process._child is not None
        process._child.kill()
        process._child.wait()
        (studio / ".nightpress" / "rehearsal.json").unlink()
        assert not process._lives()
        assert await process.ensure() == url
        await process.stop()

    asyncio.run(story())
