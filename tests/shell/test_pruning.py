"""What lies there of it, by a listing: nothing that is young, wanted, or not there."""

from __future__ import annotations

import asyncio

from daemon.core.ids import file_prefix
from daemon.core.job import Image
from daemon.core.jobs import JobId, Phase
from daemon.core.pruning import LOGS, OUTPUTS
from daemon.core.state import State
from daemon.shell.pruning import prunable
from tests.core.test_pruning import SPYKE, chosen
from tests.examples import job
from tests.fakes import MemoryDisk

DAY_MS = 24 * 3_600_000
PROMPT = "018f0000-0000-7000-8000-000000000000"


def found(disk: MemoryDisk, state: State, target: str, *, at: int) -> list[str]:
    return list(asyncio.run(prunable(disk, state, target, at=at)))


def test_of_a_training_only_what_is_there_is_told() -> None:
    disk, state = MemoryDisk(), chosen(198).state
    kept, gone = (f"outbox/spyke_v1/checkpoints/spyke_v1-000{n}.safetensors" for n in (198, 396))
    assert found(disk, state, SPYKE, at=0) == []
    for path in (kept, gone, gone.replace(".safetensors", ".lock.toml")):
        disk.put(path, b"x")
    disk.put("outbox/spyke_v1/resume/dataset/1.png", b"x")
    assert found(disk, state, SPYKE, at=0) == ["outbox/spyke_v1/resume", gone]


def test_logs_go_after_a_month_but_the_newest() -> None:
    disk, state = MemoryDisk(), State()
    for name in ("daemon.log.2", "daemon.log.1", "daemon.log"):
        disk.put(f".nightpress/logs/{name}", b"x")
    assert found(disk, state, LOGS, at=29 * DAY_MS) == []
    assert sorted(found(disk, state, LOGS, at=31 * DAY_MS)) == [
        ".nightpress/logs/daemon.log.1",
        ".nightpress/logs/daemon.log.2",
    ]


def test_outputs_go_after_a_day_but_those_that_an_open_job_may_still_fetch() -> None:
    disk = MemoryDisk()
    running = job(phase=Phase.RUNNING)._replace(images={1: Image(PROMPT)})
    state = State(jobs={running.id: running}, queue={JobId(running.id): None})
    mine = file_prefix(PROMPT).rpartition("/")[2]
    folder = ".nightpress/engine/output/nightpress"
    for name in (f"{mine}_00001_.png", "aaaaaaaaaaaa_00001_.png"):
        disk.put(f"{folder}/{name}", b"x")
    assert found(disk, state, OUTPUTS, at=DAY_MS // 2) == []
    assert found(disk, state, OUTPUTS, at=2 * DAY_MS) == [f"{folder}/aaaaaaaaaaaa_00001_.png"]
