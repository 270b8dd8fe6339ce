"""Publishes what a training made: checkpoints with their locks, its log, its loss.

Law: it is put together from the ledger and the job's folder alone, so doing it again writes the
same bytes; a checkpoint whose bytes are not those that were recorded is not published.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from daemon.core.job import Checkpoint, Job
from daemon.core.jobs import JobId
from daemon.core.making import recorded_trainer
from daemon.core.stages import GRID, TRIGGER
from daemon.core.state import State
from daemon.core.tools import TrainerUse
from daemon.errors import WorldError
from daemon.ports import Disk
from daemon.shell.outbox import job_folder
from daemon.shell.training_folder import (
    NOTE,
    STDERR,
    STDOUT,
    Attempt,
    Log,
    attempts_of,
    file_or_none,
)
from daemon.wire.lint_file import LINT
from daemon.wire.loss_svg import loss_svg
from daemon.wire.making import digest
from daemon.wire.notes import read_trainer
from daemon.wire.places import Places, portable_text
from daemon.wire.sd_output import loss_csv
from daemon.wire.sd_scripts import CONFIG, done_epochs
from daemon.wire.training_lock import (
    checkpoint_lock,
    lock_name,
    result_name,
)

SHOWN = {TRIGGER: "trigger.png", GRID: "grid.png"}
"""What the pictures of a drawn stage are shown in, in the job's folder."""
_LOG_LIMIT_BYTES = 16 * 2**20
LORA_LIMIT_BYTES = 2**30


@dataclass(frozen=True, slots=True)
class _Told:
    """What an attempt was started with and what it said: its log's reading, the epochs done
    before it.
    """

    attempt: Attempt
    trainer: TrainerUse
    log: Log
    done: int


async def publish_training(
    disk: Disk, job: Job, state: State, *, host: str, places: Places
) -> Mapping[str, str]:
    """Write a training's result files into its folder: name -> sha256.

    A checkpoint of an earlier epoch that somebody took away is left out. Raises ``WorldError``
    RESULT_GONE when the last one is: it is trained again from the last whole epoch.
    """
    told = await _told(disk, job, state)
    published: dict[str, str] = {}
    for step, made in sorted(job.checkpoints.items()):
        name = result_name(job.id, step)
        by, size = told.get(made.attempt), await _size(disk, job, step, made)
        if by is None or size is None:
            if step == max(job.checkpoints):
                raise _gone(job, name)
            continue
        # Release 0.1.0 did not record on which device it was made.
        device = made.device or by.log.output.reading.device
        lock = checkpoint_lock(job, step, by.trainer, size=size, device=device, host=host)
        await _write(disk, job.id, lock_name(job.id, step), lock)
        published |= {name: made.sha256, lock_name(job.id, step): digest(lock)}
    losses = list(_losses(told.values()))
    texts = {
        "training.log": portable_text(await _said(disk, told.values()), places).encode(),
        "loss.csv": loss_csv(losses),
        "loss.svg": loss_svg(str(job.id), losses),
    }
    for name, data in texts.items():
        published[name] = digest(data)
        await _write(disk, job.id, name, data)
    for name in (LINT, *SHOWN.values()):
        path = f"{job_folder(job.id)}/{name}"
        if await disk.stat(path) is not None:
            published[name] = await disk.digest(path)
    return published


async def approved_lora(disk: Disk, job: Job, step: int) -> tuple[str, bytes]:
    """The file name and the bytes of an approved checkpoint. Raises ``WorldError`` RESULT_GONE."""
    name = result_name(job.id, step)
    try:
        blob = await disk.read(f"{job_folder(job.id)}/{name}", limit_bytes=LORA_LIMIT_BYTES)
    except WorldError as error:
        raise _not_it(job, name) from error
    if digest(blob.data) != job.checkpoints[step].sha256:
        raise _not_it(job, name)
    return name.rpartition("/")[2], blob.data


async def _told(disk: Disk, job: Job, state: State) -> Mapping[int, _Told]:
    """By attempt, those that were started."""
    found = {}
    for attempt in attempts_of(job):
        trainer = recorded_trainer(state, job, attempt.number) or read_trainer(
            await file_or_none(disk, attempt.path(NOTE)), nonce=attempt.nonce
        )
        config = await file_or_none(disk, attempt.path(CONFIG))
        if trainer is not None and config is not None:
            log = Log(disk, attempt)
            await log.catch_up()
            found[attempt.number] = _Told(attempt, trainer, log, done_epochs(config))
    return found


async def _size(disk: Disk, job: Job, step: int, made: Checkpoint) -> int | None:
    """The size in bytes of a checkpoint whose bytes are the recorded ones, else None."""
    path = f"{job_folder(job.id)}/{result_name(job.id, step)}"
    found = await disk.stat(path)
    if found is None or await disk.digest(path) != made.sha256:
        return None
    return found.size


def _losses(told: Iterable[_Told]) -> Iterator[tuple[int, int, float]]:
    """True step, epoch and average loss; what a later attempt did again counts as it did it."""
    rows: dict[int, tuple[int, int, float]] = {}
    for each in told:
        every = each.attempt.spec.epoch_steps
        before = each.done * every
        rows = {step: row for step, row in rows.items() if step <= before}
        for local, loss in each.log.output.losses.items():
            step = before + local
            rows[step] = (step, -(-step // every), loss)
    yield from (rows[step] for step in sorted(rows))


async def _said(disk: Disk, told: Iterable[_Told]) -> str:
    """What each attempt said, its bars one a line."""
    parts = []
    for each in told:
        for name in (STDOUT, STDERR):
            path = each.attempt.path(name)
            data = await disk.tail(path, offset=0, limit_bytes=_LOG_LIMIT_BYTES)
            text = data.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")
            parts.append(f"== attempt {each.attempt.number}, {name}\n{text}")
    return "\n".join(parts)


async def _write(disk: Disk, job: JobId, name: str, data: bytes) -> None:
    await disk.write(f"{job_folder(job)}/{name}", data, synced=True)


def _gone(job: Job, what: str) -> WorldError:
    return WorldError(
        "RESULT_GONE",
        f"{what} of {job.id} is not there as it was recorded, so it cannot be published. The "
        "training goes on from its last whole epoch to make it again.",
    )


def _not_it(job: Job, what: str) -> WorldError:
    return WorldError(
        "RESULT_GONE",
        f"outbox/{job.id}/{what} is not the file that was approved, so it is not installed. Put "
        "that one back (from a backup), or drop the training's file again with rerun = true.",
    )
