"""What macOS's reports of ended programs say of ours. Their form is the published one: a line of
JSON, then a document of JSON; none was made by a Mac of ours.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from daemon.adapters.probe.kill_evidence import evidence

PID = 4711
NAME = "JetsamEvent-2026-11-21-031502.ips"
SINCE = 1_795_000_000_000
HEADER = {
    "bug_type": "298",
    "timestamp": "2026-11-21 03:15:02.00 +0100",
    "os_version": "macOS 15.5",
}
STATUS = {"compressorSize": 541951, "pageSize": 16384, "memoryPages": {"free": 4275}}


def process(name: str, pid: int, **more: object) -> dict[str, object]:
    return {"pid": pid, "name": name, "states": ["active"], "rpages": 601_234, **more}


def written(
    folder: Path,
    *processes: object,
    largest: str = "node",
    header: object = HEADER,
    at_ms: int = SINCE + 1000,
) -> Path:
    body = {"largestProcess": largest, "memoryStatus": STATUS, "processes": list(processes)}
    path = folder / NAME
    path.write_text(f"{json.dumps(header)}\n{json.dumps(body, indent=2)}\n")
    os.utime(path, (at_ms / 1000, at_ms / 1000))
    return path


def found(folder: Path) -> str:
    return asyncio.run(evidence(pid=PID, since=SINCE, reports=folder, wait_s=0.0))


def test_a_process_that_the_system_ended_bears_the_reason(tmp_path: Path) -> None:
    """N4.3."""
    ours = process("Python", PID, reason="vm-compressor-space-shortage")
    written(tmp_path, process("node", 1), ours)
    assert found(tmp_path) == (
        f"{NAME} says that the system ended Python, pid {PID}, for vm-compressor-space-shortage"
    )


def test_the_largest_process_when_memory_ran_out_is_named(tmp_path: Path) -> None:
    """N4.3."""
    written(tmp_path, process("node", 1), process("Python", PID), largest="Python")
    assert found(tmp_path) == f"{NAME} names Python, pid {PID}, as the largest when memory ran out"


def test_what_names_another_or_another_time_or_another_reason_is_no_evidence(
    tmp_path: Path,
) -> None:
    ours = process("Python", PID, reason="per-process-limit")
    written(tmp_path, process("Python", PID + 1, reason="highwater"), largest="Python")
    assert found(tmp_path) == ""
    written(tmp_path, process("Python", PID), largest="node")
    assert found(tmp_path) == ""
    written(tmp_path, process("Python", PID, reason="disk-space-shortage"), largest="Python")
    assert found(tmp_path) == ""
    written(tmp_path, ours, header={**HEADER, "bug_type": "309"})
    assert found(tmp_path) == ""
    written(tmp_path, ours, at_ms=SINCE - 1000)
    assert found(tmp_path) == ""
    written(tmp_path, ours)
    assert "per-process-limit" in found(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "{}", "{}\n{}", "[]\n[]", '{"bug_type": "298"}\n' + "[" * 10**5, "\xff\n{", "1\n2"]
    + [f'{{"bug_type": "298"}}\n{{"processes": {bad}}}' for bad in ("7", "[7]", "[{}]", "null")],
)
def test_a_report_that_is_not_understood_is_no_evidence_and_no_failure(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / NAME).write_text(text, encoding="latin-1")
    assert found(tmp_path) == ""


def test_what_cannot_be_read_is_no_evidence(tmp_path: Path) -> None:
    assert found(tmp_path / "nowhere") == ""
    (tmp_path / NAME).mkdir()
    assert found(tmp_path) == ""
    (tmp_path / NAME).rmdir()
    report = written(tmp_path, process("Python", PID, reason="highwater"))
    assert found(tmp_path) != ""
    with report.open("a") as file:
        file.write(" " * 16 * 2**20)  # It means the same, and is too long to be read.
    assert found(tmp_path) == ""


def test_control_characters_of_a_report_are_spelled_out(tmp_path: Path) -> None:
    written(tmp_path, process("\x1b[2J", PID, reason="a\nb"))
    assert found(tmp_path).isprintable()


def test_a_report_that_is_written_late_is_waited_for(tmp_path: Path) -> None:
    async def story() -> str:
        asked = asyncio.ensure_future(
            evidence(pid=PID, since=SINCE, reports=tmp_path, wait_s=20.0, poll_s=0.01)
        )
        await asyncio.sleep(0.05)
        assert not asked.done()
        written(tmp_path, process("Python", PID, reason="highwater"))
        return await asked

    assert "highwater" in asyncio.run(story())
