"""Examines a training's dataset and copies it aside, so that the maker may go on drawing in it.

Law: the maker's folder is only read. What would make the trainer fail, or train nothing and call
it success, is said before the job is accepted (facts: it goes on without a caption, and ends well
without a picture).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from daemon.core.jobs import Asked, Complaint, TrainingImage, TrainSpec
from daemon.core.policy import Policy
from daemon.core.stages import MORE_PROMPTS
from daemon.craft.dataset import Aim, Picture, Vocabulary, lint
from daemon.craft.findings import Finding, about, is_refused, worst_first
from daemon.craft.grid import MAX_CELLS
from daemon.craft.schedule import Schedule, schedule
from daemon.errors import WorldError
from daemon.ports import Disk, FileStat, Pixels
from daemon.shell.dataset_folder import (
    IMAGE_LIMIT_BYTES,
    caption_of,
    folder_findings,
    pictures_in,
)
from daemon.wire.lint_file import LINT, lint_toml
from daemon.wire.sources import MAX_BYTES, SOURCES, Source, read_sources

DATASETS = ".nightpress/datasets"
_CAPTION_LIMIT_BYTES = 64 * 1024
_WAIT_FOR = frozenset({"DISK_FULL", "WRITE_FAILED", "PIXELS_FAILED"})
_WARNINGS = 20


def aside(request_sha256: str) -> str:
    """Where a dataset waits between its job's examination and its acceptance."""
    return f"{DATASETS}/{request_sha256}"


def resolved(
    asked: Asked, spec: TrainSpec, images: int, policy: Policy
) -> tuple[Sequence[Complaint], Asked]:
    """The training in whole epochs, with what the maker should know of it (W21, D2.1, K4.1)."""
    plan = cut(spec, images, policy)
    beside = ", and as many for regularization" if spec.regularization else ""
    epochs = (
        f"{plan.epochs} epochs of {plan.epoch_steps} ({images} pictures x {plan.repeats}{beside})"
    )
    said = [f"{plan.steps} steps: {epochs}, with a checkpoint after each."]
    if plan.steps > policy.max_default_training_steps:
        said.append(f"More than {policy.max_default_training_steps} steps mostly learn by heart.")
    if plan.steps < policy.min_default_training_steps:
        said.append(f"Fewer than {policy.min_default_training_steps} steps are seldom enough.")
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


def cut(spec: TrainSpec, images: int, policy: Policy) -> Schedule:
    """A training of so many pictures in epochs."""
    return schedule(
        policy,
        images=images,
        steps=spec.steps,
        save_every=spec.save_every,
        accumulation=spec.gradient_accumulation,
        beside=spec.regularization is not None,
    )


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


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found in a dataset: what is to be said of it, the pictures that could be looked at,
    and those that were copied (none where something refuses before that).
    """

    findings: Sequence[Finding]
    pictures: Sequence[Picture] = ()
    images: tuple[TrainingImage, ...] = ()

    @property
    def complaints(self) -> Sequence[Complaint]:
        """Why it is refused."""
        return [
            Complaint(0, "trigger" if each.code == "trigger-word" else "dataset", each.text)
            for each in self.findings
            if each.severity == "refuse"
        ]

    @property
    def warnings(self) -> Sequence[str]:
        """What the maker should know all the same."""
        told = (e for e in self.findings if e.severity == "warn" or e.code == "trigger-split")
        return [each.text for each in told][:_WARNINGS]


@dataclass(frozen=True, slots=True)
class Examiner:
    """Looks at datasets. Its methods raise ``WorldError`` where no dataset is to blame."""

    disk: Disk
    pixels: Pixels
    policy: Policy
    known: Vocabulary

    async def examine(self, spec: TrainSpec, *, keep_in: str) -> Survey:
        """A training's dataset. It is copied into ``keep_in`` ('' = nowhere), with its
        lint.toml.
        """

        def aim(images: int) -> Aim:
            plan = cut(spec, images, self.policy)
            beside = spec.regularization.count if spec.regularization else 0
            return Aim(spec.trigger, spec.features, spec.force, beside, images * plan.repeats)

        found = await self.survey(spec.dataset, aim, keep_in=keep_in)
        if found.complaints:
            await self._forget(keep_in)
        elif keep_in:
            report = lint_toml(found.pictures, found.findings, self.known.words)
            await self.disk.write(f"{keep_in}/{LINT}", report, synced=True)
        return found

    async def survey(self, folder: str, aim: Callable[[int], Aim], *, keep_in: str = "") -> Survey:
        """Everything that is to be said of a folder of pictures; ``aim`` by their number."""
        try:
            entries = await self.disk.list(folder)
        except WorldError as error:
            text = f"{error.text}. Paths are relative to the studio's folder."
            return Survey([Finding("refuse", "dataset-missing", text)])
        listed = pictures_in(entries)
        found = list(folder_findings(folder, listed, entries, self.policy))
        if not listed or len(listed) > self.policy.max_images:
            return Survey(found)
        sources, doubts = await self._sources(folder, listed, entries)
        faulty = {name for each in found if each.severity == "refuse" for name in each.images}
        keep_in = "" if is_refused(found) else keep_in
        await self._forget(keep_in)
        taken = []
        for name in (entry.name for entry in listed if entry.name not in faulty):
            try:
                taken.append(await self._take(folder, name, sources.get(name, Source()), keep_in))
            except WorldError as error:
                if error.code in _WAIT_FOR:
                    # No fault of the job's: it waits in the inbox, its copy in nobody's way.
                    await self._forget(keep_in)
                    raise
                text = error.text if name in error.text else f"{name}: {error.text}"
                found.append(Finding("refuse", "picture-unread", text, (name,)))
        pictures = [picture for picture, _ in taken]
        unseen = len(listed) - len(taken)
        found += lint(pictures, aim(len(listed)), self.policy, self.known, unseen=unseen)
        images = tuple(image for _, image in taken)
        return Survey(worst_first([*found, *doubts]), pictures, images)

    async def _forget(self, keep_in: str) -> None:
        if keep_in:
            await self.disk.remove(keep_in)

    async def _sources(
        self, folder: str, pictures: Sequence[FileStat], entries: Sequence[FileStat]
    ) -> tuple[Mapping[str, Source], Sequence[Finding]]:
        if not any(entry.name == SOURCES and entry.kind == "file" for entry in entries):
            return {}, []
        blob = await self.disk.read(f"{folder}/{SOURCES}", limit_bytes=MAX_BYTES + 1)
        sources, wrong = read_sources(blob.data)
        found = [Finding("warn", "sources-unread", text) for text in wrong]
        strangers = sorted(sources.keys() - {entry.name for entry in pictures})
        text = f"{SOURCES} names what is no picture here. Write the whole name, with its ending."
        return sources, [*found, *about("warn", "sources-stranger", strangers, text)]

    async def _take(
        self, folder: str, name: str, source: Source, keep_in: str
    ) -> tuple[Picture, TrainingImage]:
        """One picture with its caption, from the copy where one is made."""
        disk, caption, where = self.disk, caption_of(name), keep_in or folder
        if keep_in:
            for each in (name, caption):
                await disk.copy(f"{folder}/{each}", f"{keep_in}/{each}")
        text = await disk.read(f"{where}/{caption}", limit_bytes=_CAPTION_LIMIT_BYTES)
        said = _text(text.data) if text.complete else ""
        if not said.partition("\n")[0].strip():
            raise WorldError(
                "CAPTION_EMPTY",
                f"{name}: {caption} is no caption: its first line is empty or not UTF-8 text, or it"
                f" has more than {_CAPTION_LIMIT_BYTES // 1024} KiB. Write one line of tags, the"
                " trigger first.",
            )
        data = await disk.read(f"{where}/{name}", limit_bytes=IMAGE_LIMIT_BYTES)
        facts = await self.pixels.examine(data.data)
        image = replace(await _hashed(disk, where, name), source=source.tag)
        unread = source.auto and not source.reviewed
        return Picture(name, said, facts, source.tag, unread), image


async def images_in(disk: Disk, folder: str) -> tuple[TrainingImage, ...]:
    """The pictures of a folder that was examined before. Raises as ``Disk.digest``."""
    pictures = pictures_in(await disk.list(folder))
    return tuple([await _hashed(disk, folder, picture.name) for picture in pictures])


async def _hashed(disk: Disk, folder: str, name: str) -> TrainingImage:
    caption = caption_of(name)
    return TrainingImage(
        name, await disk.digest(f"{folder}/{name}"), await disk.digest(f"{folder}/{caption}")
    )


def _text(data: bytes) -> str:
    """'' when it is none."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return ""
