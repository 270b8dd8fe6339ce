"""Knows the folder of one attempt at a training: what is where in it, and how its logs are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from daemon.core.job import Job
from daemon.core.jobs import JobId, TrainSpec
from daemon.errors import WorldError
from daemon.ports import Disk
from daemon.wire.sd_output import TrainerOutput

OUT, STDOUT, STDERR, NOTE = "out", "stdout.log", "stderr.log", "note.json"
FILE_LIMIT_BYTES = 4 * 2**20
_CHUNK_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Attempt:
    """One go at a training; ``nonce`` is its own, so a folder of another history is never its."""

    job: Job
    spec: TrainSpec
    number: int
    nonce: str

    @property
    def folder(self) -> str:
        """Relative to the studio."""
        return f"{resume_folder(self.job.id)}/a{self.number}-{self.nonce[:8]}"

    def path(self, name: str) -> str:
        """Of a file in it."""
        return f"{self.folder}/{name}"


def attempts_of(job: Job) -> Sequence[Attempt]:
    """All attempts at a training, the current one last."""
    assert isinstance(job.spec, TrainSpec), f"{job.id} trains nothing"
    return [Attempt(job, job.spec, number, nonce) for number, nonce in sorted(job.nonces.items())]


def resume_folder(job: JobId) -> str:
    """Where a training keeps what only it needs, until a checkpoint is approved."""
    return f"outbox/{job}/resume"


def kept_folder(job: JobId, stage: str) -> str:
    """Where the pictures of a drawn stage are that the training learns from."""
    return f"{resume_folder(job)}/{stage}"


async def file_or_none(disk: Disk, path: str) -> bytes | None:
    """A small file's bytes, None when there is none. A disk that fails is no proof of that."""
    try:
        blob = await disk.read(path, limit_bytes=FILE_LIMIT_BYTES)
    except WorldError as error:
        if error.code == "NOT_FOUND":
            return None
        raise
    return blob.data if blob.complete else None


class Log:
    """What an attempt has said so far: its two logs, folded from their first bytes."""

    def __init__(self, disk: Disk, attempt: Attempt) -> None:
        self.output = TrainerOutput()
        self._disk = disk
        self._attempt = attempt
        self._read = {STDOUT: 0, STDERR: 0}

    async def catch_up(self) -> bool:
        """Read what was added; whether anything was."""
        before = dict(self._read)
        for name, feed in (
            (STDOUT, self.output.feed_stdout),
            (STDERR, self.output.feed_stderr),
        ):
            while data := await self._disk.tail(
                self._attempt.path(name), offset=self._read[name], limit_bytes=_CHUNK_BYTES
            ):
                feed(data)
                self._read[name] += len(data)
        return self._read != before
