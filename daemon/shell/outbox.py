"""Writes what appears in outbox/: taken jobs, results, refusals, and where everything stands.

Law: every file appears whole, and in an order in which a power cut at any point leaves nothing
half-true. What is drawn is staged first; a result is put together from what is staged and from the
ledger alone, so it can be put together again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from daemon.core.events import ImageJudged, JobAccepted, JobRejected
from daemon.core.ids import split_job
from daemon.core.job import Job
from daemon.core.jobs import JobId, PanelSpec, TrainSpec
from daemon.core.making import recorded_making
from daemon.core.state import State
from daemon.core.tools import Making
from daemon.errors import WorldError
from daemon.ports import Disk
from daemon.shell.dataset import aside
from daemon.shell.intake import HINT_LIMIT_BYTES, hint_path
from daemon.wire.lint_file import LINT
from daemon.wire.making import (
    digest,
    hint_name,
    picture_lock,
    result_stem,
)
from daemon.wire.notes import read_making
from daemon.wire.rejected import REJECTED, rejected_folder, rejected_status_toml
from daemon.wire.status import Document, job_status_toml, status_json

STAGING = ".nightpress/staging"
DATASET_COPY = "resume/dataset"
REJECTED_KEPT = 500
PICTURE_LIMIT_BYTES = 64 * 2**20
_GRAPH_LIMIT_BYTES = 4 * 2**20
_REFUSED = ".refused"
_NOT_THERE = frozenset({"NOT_FOUND", "NOT_A_FILE", "OUTSIDE"})


@dataclass(frozen=True, slots=True)
class StagedImage:
    """A drawn picture, its executed graph as JSON, and how it was made; ``pose_map`` is the hint
    that the graph made for itself.
    """

    png: bytes
    workflow: bytes
    making: Making
    pose_map: bytes | None = None

    def files(self, stem: str) -> Mapping[str, bytes]:
        """What is kept of it, by name."""
        maps = {} if self.pose_map is None else {f"{stem}.map.png": self.pose_map}
        return {f"{stem}.png": self.png, f"{stem}.workflow.json": self.workflow, **maps}


class Outbox:
    """One studio's outbox, and the staging before it. ``host`` is whose ledger vouches for it."""

    def __init__(self, disk: Disk, *, host: str) -> None:
        self._disk = disk
        self.host = host

    async def take(self, accepted: JobAccepted) -> None:
        """Keep a job's request, byte for byte, and what it brings, before it counts as accepted.

        Raises ``WorldError`` HINT_GONE or DATASET_GONE when what was examined is no longer there.
        """
        folder = job_folder(accepted.job)
        spec = accepted.spec
        if isinstance(spec, TrainSpec):
            await self._take_dataset(accepted, folder)
        if isinstance(spec, PanelSpec) and spec.controlnet is not None:
            wanted = spec.controlnet.sha256
            hint = await self._read(hint_path(wanted), HINT_LIMIT_BYTES)
            if hint is None or digest(hint) != wanted:
                raise WorldError(
                    "HINT_GONE",
                    f"The copy of {spec.controlnet.image} that was made for {accepted.job} is gone "
                    "from .nightpress/hints; the job's file is examined again.",
                )
            await self._disk.write(f"{folder}/{hint_name(wanted)}", hint, synced=True)
        await self._disk.write(f"{folder}/job.toml", accepted.request.encode(), synced=True)

    async def _take_dataset(self, accepted: JobAccepted, folder: str) -> None:
        kept = aside(accepted.file.sha256)
        there = {entry.name for entry in await self._disk.list(kept)}
        if not there:
            raise WorldError(
                "DATASET_GONE",
                f"The copy of the dataset that was made for {accepted.job} is gone from {kept}; "
                "the job's file is examined again.",
            )
        if LINT in there:
            await self._disk.move(f"{kept}/{LINT}", f"{folder}/{LINT}")
        # A crash may have left one there, of a job that was never accepted.
        await self._disk.remove(f"{folder}/{DATASET_COPY}")
        await self._disk.move(kept, f"{folder}/{DATASET_COPY}")

    async def reject(self, rejected: JobRejected, *, at: int, request: bytes | None) -> str:
        """Keep a refused request and the answer to it; gives the folder. ``at`` in ms since 1970.

        ``request`` None: the file was too large to be read, and who took it moves it there.
        """
        folder = rejected_folder(rejected)
        if request is not None:
            await self._disk.write(f"{folder}/job.toml", request, synced=True)
        status = rejected_status_toml(rejected, at=at)
        await self._disk.write(f"{folder}/status.toml", status, synced=True)
        await self._forget_rejected(but=folder)
        return folder

    async def _forget_rejected(self, *, but: str) -> None:
        kept = await self._disk.list(REJECTED)
        folders = [
            item for item in kept if item.kind == "folder" and f"{REJECTED}/{item.name}" != but
        ]
        folders.sort(key=lambda item: (item.mtime_ns, item.name))
        for item in folders[: max(0, len(folders) - REJECTED_KEPT + 1)]:
            await self._disk.remove(f"{REJECTED}/{item.name}")

    async def stage(
        self, job: Job, image: int, *, png: bytes, workflow: bytes, pose_map: bytes | None = None
    ) -> None:
        """Keep a drawn picture, its executed graph and its pose map where the next start finds
        them, before the ledger's line that says what they must be.
        """
        stem = _staged_stem(job, image, attempt=job.attempt)
        await self._disk.write(f"{stem}.png", png, synced=True)
        await self._disk.write(f"{stem}.workflow.json", workflow, synced=True)
        if pose_map is not None:
            await self._disk.write(f"{stem}.map.png", pose_map, synced=True)

    async def staged(self, job: Job, image: int, state: State) -> StagedImage | None:
        """A picture as its line says it was drawn, wherever it lies; None: it was not, or it is
        not whole here.
        """
        judged = job.images[image].judged if image in job.images else None
        if judged is None or not isinstance(judged.event, ImageJudged):
            return None
        stems = [_staged_stem(job, image, attempt=judged.event.attempt)]
        if job.kind == "panel":
            published = f"{job_folder(job.id)}/{result_stem(job, image)}"
            stems += [published, f"{published}{_REFUSED}"]
        for stem in stems:
            if (found := await self._whole(stem, judged.event, state)) is not None:
                return found
        return None

    async def _whole(self, stem: str, judged: ImageJudged, state: State) -> StagedImage | None:
        png = await self._read(f"{stem}.png", PICTURE_LIMIT_BYTES)
        workflow = await self._read(f"{stem}.workflow.json", _GRAPH_LIMIT_BYTES)
        if png is None or workflow is None or digest(png) != judged.sha256:
            return None
        making = recorded_making(state, judged)
        if making is None:
            note = await self._read(f"{stem}.facts.json", _GRAPH_LIMIT_BYTES)
            making = read_making(note, png=png, workflow=workflow)
        if making is None or making.workflow_sha256 != digest(workflow):
            return None
        wanted = making.map_sha256
        pose_map = await self._read(f"{stem}.map.png", PICTURE_LIMIT_BYTES) if wanted else None
        if wanted and (pose_map is None or digest(pose_map) != wanted):
            return None
        return StagedImage(png, workflow, making, pose_map)

    async def publish(self, job: Job, state: State) -> Mapping[str, str]:
        """Put a drawn job's pictures, executed graphs and locks into its folder: name -> sha256.

        A picture that was judged and is no result is kept beside them, without a lock. Writes
        nothing before every result was found whole; doing it again writes the same bytes. Raises
        ``WorldError`` RESULT_GONE when a picture has to be drawn again.
        """
        # Of a job that has failed there is what was drawn.
        drawn = [image for image in job.pictures if image in job.images or not job.code]
        known = {image: await self._drawn(job, image, state) for image in drawn}
        published: dict[str, str] = {}
        for image, drawing in known.items():
            for name, data in self._result(job, image, drawing).items():
                await self._disk.write(f"{job_folder(job.id)}/{name}", data, synced=True)
                published[name] = digest(data)
        for name in job.files.keys() - published.keys():
            if _REFUSED in name:  # It was approved, or drawn anew.
                await self._disk.remove(f"{job_folder(job.id)}/{name}")
        return published

    async def _drawn(self, job: Job, image: int, state: State) -> StagedImage | None:
        drawing = await self.staged(job, image, state)
        if drawing is not None or (job.code and not job.stands(job.images[image])):
            return drawing
        raise WorldError(
            "RESULT_GONE",
            f"Picture {image} of {job.id} was drawn and is no longer whole, neither in "
            f"$STUDIO/{STAGING} nor in its folder in outbox/; the job is drawn again.",
        )

    def _result(self, job: Job, image: int, drawing: StagedImage | None) -> Mapping[str, bytes]:
        """The files of a picture, by name; the lock last: it vouches for the others."""
        stem = result_stem(job, image)
        if drawing is None:
            return {}
        if job.code and not job.stands(job.images[image]):
            return drawing.files(f"{stem}{_REFUSED}")
        return {
            **drawing.files(stem),
            f"{stem}.lock.toml": picture_lock(job, image, drawing.making, host=self.host),
        }

    async def clear_staging(self, job: JobId) -> None:
        """Forget what was staged for a job, once its result is recorded or it needs none."""
        await self._disk.remove(f"{STAGING}/{job}")

    async def write_job_status(self, job: Job) -> None:
        """A job's status.toml. A projection: renamed into place, not synced."""
        path = f"{job_folder(job.id)}/status.toml"
        await self._disk.write(path, job_status_toml(job), synced=False)

    async def write_status(self, document: Document) -> None:
        """outbox/status.json. A projection: renamed into place, not synced."""
        await self._disk.write("outbox/status.json", status_json(document), synced=False)

    async def _read(self, path: str, limit_bytes: int) -> bytes | None:
        """A whole file, None when there is none. A disk that fails is no proof of that."""
        try:
            blob = await self._disk.read(path, limit_bytes=limit_bytes)
        except WorldError as error:
            if error.code in _NOT_THERE:
                return None
            raise
        return blob.data if blob.complete else None


async def unknown_results(disk: Disk, state: State) -> Mapping[tuple[str, str], int]:
    """The numbers of results in the outbox above all that the ledgers know, by name and letter.

    A taken job that a crash left without its line has neither a lock file nor an attempt's folder,
    and its number is free.
    """
    found: dict[tuple[str, str], int] = {}
    for item in await disk.list("outbox"):
        parts = split_job(item.name)
        if parts is None or item.kind != "folder":
            continue
        name, letter, number = parts
        known = max(state.numbers.get((name, letter), 0), found.get((name, letter), 0))
        if number > known and await _holds_result(disk, item.name):
            found[name, letter] = number
    return found


async def _holds_result(disk: Disk, job: str) -> bool:
    """Whether something was made there: a picture's lock, a checkpoint, a training's attempt."""
    files = await disk.list(f"outbox/{job}")
    attempts = await disk.list(f"outbox/{job}/resume")
    return (
        any(file.name.endswith(".lock.toml") for file in files)
        or any(item.name != DATASET_COPY.rpartition("/")[2] for item in attempts)
        or bool(await disk.list(f"outbox/{job}/checkpoints"))
    )


def job_folder(job: JobId) -> str:
    """Where a job's files are, relative to the studio."""
    return f"outbox/{job}"


def _staged_stem(job: Job, image: int, *, attempt: int) -> str:
    return f"{STAGING}/{job.id}/a{attempt}-{image:02}"
