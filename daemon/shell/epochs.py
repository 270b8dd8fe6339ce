"""Keeps what each epoch of a training leaves: a checkpoint that is whole, a state that is sealed.

Law: nothing counts before it was copied, synced and hashed; what the trainer wrote is looked at
only when the step that wrote it is known to be over.
"""

from __future__ import annotations

from daemon.core.commands import ReportCheckpoint
from daemon.core.job import Job
from daemon.errors import WorldError
from daemon.ports import Disk
from daemon.shell.training_folder import (
    OUT,
    Attempt,
    attempts_of,
    file_or_none,
    resume_folder,
)
from daemon.wire.safetensors_head import PREFIX_BYTES, header_bytes, read_head
from daemon.wire.sd_scripts import checkpoint_file, state_folder
from daemon.wire.seal import LAST_WRITTEN, Seal, read_seal, render_seal
from daemon.wire.training_lock import result_name


async def is_whole(disk: Disk, path: str, *, proven: bool = False) -> bool:
    """Whether a checkpoint has every byte that its header promises, and they are the right ones.

    ``proven``: one whose header does not say which bytes are right is not.
    """
    length = header_bytes(await disk.tail(path, offset=0, limit_bytes=PREFIX_BYTES))
    head = read_head(await disk.tail(path, offset=PREFIX_BYTES, limit_bytes=length))
    found = await disk.stat(path)
    if head is None or found is None or found.size != head.size:
        return False
    if not head.data_sha256:
        return not proven
    return head.data_sha256 == await disk.digest(path, offset=head.data_at)


def source_of(attempt: Attempt, epoch: int) -> str:
    """Where the trainer puts the checkpoint of an epoch."""
    name = checkpoint_file(attempt.job.id, epoch=epoch, epochs=attempt.spec.epochs)
    return attempt.path(f"{OUT}/{name}")


async def keep_epoch(
    disk: Disk, attempt: Attempt, epoch: int, *, loss: float, device: str, proven: bool = False
) -> ReportCheckpoint | None:
    """Copy an epoch's checkpoint to where it is published; None: it is not whole, or, where it has
    to be ``proven``, does not say so itself.
    """
    source = source_of(attempt, epoch)
    if not await is_whole(disk, source, proven=proven):
        return None
    step = epoch * attempt.spec.epoch_steps
    kept = f"outbox/{attempt.job.id}/{result_name(attempt.job.id, step)}"
    await disk.copy(source, kept)
    sha256, found = await disk.digest(kept), await disk.stat(kept)
    return ReportCheckpoint(
        job=attempt.job.id,
        attempt=attempt.number,
        step=step,
        sha256=sha256,
        loss=loss,
        bytes=found.size if found else 0,
        device=device,
    )


async def seal_state(disk: Disk, attempt: Attempt, epoch: int, *, again: bool = True) -> None:
    """Seal the state after an epoch, if it is there; the trainer keeps but the last ones. Not
    ``again``: one that this attempt has sealed stays as it is.

    Asked when the epoch's checkpoint is in the ledger: who goes on from here makes it no more, and
    what an earlier attempt had made of it is overwritten.
    """
    folder = attempt.path(f"{OUT}/{state_folder(attempt.job.id, epoch=epoch)}")
    names = [item.name for item in await disk.list(folder) if item.kind == "file"]
    if LAST_WRITTEN not in names:
        return
    known = None if again else read_seal(await file_or_none(disk, _seal_path(attempt.job, epoch)))
    if known is not None and known.folder == folder:
        # Whoever wrote it may have died before its name was synced.
        await disk.write(_seal_path(attempt.job, epoch), render_seal(known), synced=True)
        return
    try:
        # Else a power cut would cost every epoch: the trainer leaves it to the system when to
        # write them to the drive.
        await disk.sync(folder)
        files = {name: await disk.digest(f"{folder}/{name}") for name in names}
    except WorldError as error:
        if error.code not in ("NOT_FOUND", "CHANGING"):
            raise
        return  # The trainer has just removed it, being further on than we knew.
    seal = render_seal(Seal(epoch, folder, files))
    await disk.write(_seal_path(attempt.job, epoch), seal, synced=True)


async def forget_state(disk: Disk, job: Job, epoch: int) -> None:
    """Never go on from this state again: the trainer could not."""
    await disk.remove(_seal_path(job, epoch))


async def resume_point(disk: Disk, job: Job) -> Seal | None:
    """The latest sealed state of this job that is still whole; None: begin at the beginning.

    Never one after the last epoch: from it there would be nothing left to train, and so no end.
    """
    spec = attempts_of(job)[-1].spec
    folders = {attempt.folder for attempt in attempts_of(job)}
    epochs = {step // spec.epoch_steps for step in job.checkpoints if step < spec.steps}
    for epoch in sorted(epochs, reverse=True):
        seal = read_seal(await file_or_none(disk, _seal_path(job, epoch)))
        if seal is None or seal.epoch != epoch:
            continue
        if seal.folder.partition(f"/{OUT}/")[0] in folders and await _holds(disk, seal):
            return seal
    return None


async def _holds(disk: Disk, seal: Seal) -> bool:
    names = {item.name for item in await disk.list(seal.folder)}
    if names != set(seal.files):
        return False
    for name, sha256 in seal.files.items():
        if await disk.digest(f"{seal.folder}/{name}") != sha256:
            return False
    return True


def _seal_path(job: Job, epoch: int) -> str:
    return f"{resume_folder(job.id)}/epoch-{epoch:06d}.json"
