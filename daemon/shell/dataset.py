"""Examines a training's dataset and copies it aside, so that the maker may go on drawing in it.

Law: the maker's folder is only read. What would make the trainer fail, or train nothing and call
it success, is said before the job is accepted (facts: it goes on without a caption, and ends well
without a picture).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from daemon.core.jobs import Asked, Complaint, TrainingImage, TrainSpec
from daemon.core.policy import Policy
from daemon.core.stages import MORE_PROMPTS
from daemon.craft.grid import MAX_CELLS
from daemon.craft.schedule import schedule
from daemon.errors import WorldError
from daemon.ports import Disk, FileStat

DATASETS = ".nightpress/datasets"
IMAGE_LIMIT_BYTES = 64 * 2**20
_CAPTION_LIMIT_BYTES = 64 * 1024
_ENDINGS = ("png", "jpg", "jpeg", "webp", "bmp")
_UNSEEN = ("gif", "tif", "tiff", "heic", "avif", "jxl", "psd")
"""Pictures all the same, which the trainer passes over without a word."""
_WAIT_FOR = frozenset({"DISK_FULL", "WRITE_FAILED"})
_NAME_CHARS = 100


def aside(request_sha256: str) -> str:
    """Where a dataset waits between its job's examination and its acceptance."""
    return f"{DATASETS}/{request_sha256}"


def pictures_in(entries: Iterable[FileStat]) -> Sequence[FileStat]:
    """The entries that a maker takes for pictures. Hidden files and AppleDouble twins are none."""
    return [
        entry
        for entry in entries
        if not entry.name.startswith(".") and _ending(entry.name).lower() in (*_ENDINGS, *_UNSEEN)
    ]


def resolved(
    asked: Asked, spec: TrainSpec, images: int, policy: Policy
) -> tuple[Sequence[Complaint], Asked]:
    """The training in whole epochs, with what the maker should know of it (W21, D2.1, K4.1)."""
    plan = schedule(
        policy,
        images=images,
        steps=spec.steps,
        save_every=spec.save_every,
        accumulation=spec.gradient_accumulation,
        beside=spec.regularization is not None,
    )
    beside = ", and as many for regularization" if spec.regularization else ""
    cut = f"{plan.epochs} epochs of {plan.epoch_steps} ({images} pictures x {plan.repeats}{beside})"
    said = [f"{plan.steps} steps: {cut}, with a checkpoint after each."]
    if plan.steps > policy.max_default_training_steps:
        said.append(f"More than {policy.max_default_training_steps} steps mostly learn by heart.")
    if plan.steps < policy.min_default_training_steps:
        said.append(f"Fewer than {policy.min_default_training_steps} steps are seldom enough.")
    if images < policy.few_images:
        said.append(
            f"{images} pictures are few: the LoRA will know these and little else. "
            f"{policy.few_images} to {policy.enough_images} are usual."
        )
    spec = replace(
        spec,
        steps=plan.steps,
        images=images,
        repeats=plan.repeats,
        epoch_steps=plan.epoch_steps,
        epochs=plan.epochs,
    )
    found = []
    if plan.epochs > policy.max_epochs:
        text = (
            f"{plan.steps} steps with a checkpoint every {plan.epoch_steps} are {plan.epochs} "
            f"checkpoints, more than {policy.max_epochs}. Write a larger save_every."
        )
        found.append(Complaint(0, "save_every", text))
    found += _too_wide(spec)
    return found, replace(asked, spec=spec, warnings=(*asked.warnings, *said))


def _too_wide(spec: TrainSpec) -> Iterable[Complaint]:
    if spec.grid is None:
        return
    columns = (len(spec.grid.prompts) + MORE_PROMPTS) * len(spec.grid.seeds)
    if (cells := (1 + spec.epochs) * columns) > MAX_CELLS:
        text = (
            f"A grid of {spec.epochs} checkpoints by these prompts and seeds has {cells} pictures,"
            f" more than {MAX_CELLS}. Write fewer of them, or a larger save_every."
        )
        yield Complaint(0, "grid", text)


async def examine_dataset(
    disk: Disk, spec: TrainSpec, policy: Policy, *, keep_in: str
) -> tuple[Sequence[Complaint], tuple[TrainingImage, ...]]:
    """What is wrong with it, and its pictures, which are copied into ``keep_in`` ('' = nowhere)."""
    try:
        entries = await disk.list(spec.dataset)
    except WorldError as error:
        return [_wrong(f"{error.text}. Paths are relative to the studio's folder.")], ()
    pictures = pictures_in(entries)
    found = [_wrong(text) for text in _faults(spec, pictures, entries, policy)]
    if found:
        return found, ()
    if keep_in:
        await disk.remove(keep_in)
    images = []
    for picture in pictures:
        try:
            images.append(await _take(disk, spec.dataset, picture.name, keep_in))
        except WorldError as error:
            if error.code in _WAIT_FOR:
                # No fault of the job's: it waits in the inbox, and its copy is in nobody's way.
                await disk.remove(keep_in)
                raise
            found.append(_wrong(error.text))
    return found, tuple(images)


async def images_in(disk: Disk, folder: str) -> tuple[TrainingImage, ...]:
    """The pictures of a folder that was examined before. Raises as ``Disk.digest``."""
    pictures = pictures_in(await disk.list(folder))
    return tuple([await _take(disk, folder, picture.name, "") for picture in pictures])


def _faults(
    spec: TrainSpec, pictures: Sequence[FileStat], entries: Sequence[FileStat], policy: Policy
) -> Iterable[str]:
    """What the folder's listing alone tells, in sentences."""
    if not pictures:
        yield (
            f"There is no picture in {spec.dataset}/ (or no such folder). Put png, jpg, webp or bmp"
            " files there, each with a .txt caption beside it; folders below it are not read."
        )
        return
    if len(pictures) < policy.fewest_images and not spec.force:
        yield (
            f"{spec.dataset}/ has {len(pictures)} pictures. From fewer than {policy.fewest_images}"
            " a LoRA learns the pictures and not the character. Add some, or write force = true."
        )
    if len(pictures) > policy.max_images:
        yield (
            f"{spec.dataset}/ has {len(pictures)} pictures; more than {policy.max_images} are no"
            " LoRA's dataset. Choose the best."
        )
    captions = {entry.name for entry in entries if entry.kind == "file" and entry.size}
    stems: dict[str, str] = {}
    for picture in pictures:
        name, stem = picture.name, picture.name.rpartition(".")[0]
        fault = _fault(picture)
        if fault:
            yield fault
        elif stem in stems:
            yield f"{stems[stem]} and {name} would share one caption. Rename one of them."
        elif f"{stem}.txt" not in captions:
            yield (
                f"{name} has no caption: {stem}.txt is missing, empty or no plain file. Write one "
                "line into it, the trigger first, then what else is to be seen. Without it the "
                "trainer learns nothing of it."
            )
        stems[stem] = name


def _fault(picture: FileStat) -> str:
    """What is wrong with one entry by itself, as a sentence; '' when nothing is."""
    name, ending = picture.name, _ending(picture.name)
    if picture.kind != "file" or picture.busy:
        kind = "a link" if picture.kind == "link" else "no plain file"
        what = "still being copied" if picture.busy else kind
        return f"{name} is {what}. Put the picture itself there."
    if ending.lower() in _UNSEEN:
        return f"{name}: the trainer reads no .{ending.lower()}. Save it as PNG, or move it away."
    if ending not in (ending.lower(), ending.upper()):
        return f"{name}: the trainer does not see this ending. Write it small: .{ending.lower()}"
    if picture.size > IMAGE_LIMIT_BYTES or not picture.size:
        return f"{name} has {picture.size} bytes. Pictures have 1 to {IMAGE_LIMIT_BYTES}."
    if len(name) > _NAME_CHARS or not name.isprintable():
        return f"{name[:40]!r}…: give the picture a plain name of at most {_NAME_CHARS} letters."
    return ""


async def _take(disk: Disk, folder: str, name: str, keep_in: str) -> TrainingImage:
    caption = f"{name.rpartition('.')[0]}.txt"
    where = folder
    if keep_in:
        where = keep_in
        for each in (name, caption):
            await disk.copy(f"{folder}/{each}", f"{keep_in}/{each}")
    text = await disk.read(f"{where}/{caption}", limit_bytes=_CAPTION_LIMIT_BYTES)
    if not text.complete or not _first_line(text.data):
        raise WorldError(
            "CAPTION_EMPTY",
            f"{caption} is no caption: its first line is empty or not UTF-8 text, or it has more"
            f" than {_CAPTION_LIMIT_BYTES // 1024} KiB. Write one line of tags, the trigger first.",
        )
    return TrainingImage(
        name, await disk.digest(f"{where}/{name}"), await disk.digest(f"{where}/{caption}")
    )


def _first_line(data: bytes) -> str:
    """The line that the trainer reads; '' when there is none."""
    try:
        return data.decode().partition("\n")[0].strip()
    except UnicodeDecodeError:
        return ""


def _ending(name: str) -> str:
    return name.rpartition(".")[2]


def _wrong(text: str) -> Complaint:
    return Complaint(0, "dataset", text)
