"""Examines one job file: everything acceptance would say, from its bytes to the models it names.

Law: nothing is changed but copies of the hint image and the dataset kept aside; the answer is one
command.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from hashlib import sha256
from typing import assert_never

from daemon.core.commands import Command, Reject, Submit, TakeControl
from daemon.core.ids import split_job
from daemon.core.jobs import (
    Asked,
    Complaint,
    Control,
    FileFacts,
    ModelFacts,
    PanelSpec,
    TrainingImage,
    TrainSpec,
)
from daemon.core.policy import Policy
from daemon.craft.controlnets import hint_fault, mode_doubt, net_doubt, shape_doubt
from daemon.craft.dataset import Vocabulary
from daemon.craft.graph import ModelUse, bind
from daemon.craft.limits import complaints
from daemon.craft.preflight import faults
from daemon.craft.template import Template, read_template
from daemon.errors import AskerError, WorldError
from daemon.ports import Disk, Pixels, Trainer, Weights
from daemon.shell.dataset import Examiner, aside, resolved
from daemon.shell.originals import read_asked
from daemon.wire.job_file import Refused, read_job_file

Examine = Callable[[FileFacts, bytes | None], Awaitable[Command]]

HINTS = ".nightpress/hints"
HINT_LIMIT_BYTES = 32 * 2**20
_TEMPLATE_LIMIT_BYTES = 4 * 2**20
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(slots=True)
class _Models:
    """A job's models and what is to be said of them; ``waiting``: one of them is hashed first."""

    facts: list[ModelFacts] = field(default_factory=list)
    complaints: list[Complaint] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    waiting: WorldError | None = None


@dataclass(frozen=True, slots=True)
class Hint:
    """What was found of a job's hint image; ``sha256`` '' = it cannot be taken."""

    sha256: str = ""
    wrong: tuple[Complaint, ...] = ()
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pattern:
    """A template with the name and the hash under which a lock file records it."""

    name: str
    sha256: str
    template: Template


class Intake:
    """Examines job files. ``weights`` None: the model folders are not known, so models are not
    judged; so with ``trainer``. ``packs`` are the custom nodes that the settings allow; ``known``:
    the words by which captions are judged. ``keep``: what a job brings along is copied aside, for
    the job to be accepted. ``waits`` is called for each look at a job that has to wait.
    """

    def __init__(
        self,
        disk: Disk,
        policy: Policy,
        *,
        weights: Weights | None,
        pixels: Pixels,
        trainer: Trainer | None = None,
        packs: Collection[str] = (),
        known: Vocabulary | None = None,
        keep: bool = True,
        waits: Callable[[], None] | None = None,
    ) -> None:
        self._keep = keep
        self._datasets = Examiner(disk, pixels, policy, known or Vocabulary())
        self._waits = waits
        self._disk = disk
        self._policy = policy
        self._weights = weights
        self._pixels = pixels
        self._trainer = trainer
        self._packs = packs

    async def examine(self, file: FileFacts, data: bytes | None) -> Command:
        """The command that answers a settled file; ``data`` None: it is larger than a job may
        be.

        Raises ``WorldError`` HASHING when nothing is wrong with it but that a model is not hashed
        yet: it is to be asked again.
        """
        if data is None:
            size_kib, limit_kib = file.size / 1024, self._policy.max_job_file_bytes // 1024
            text = (
                f"The file has {size_kib:.0f} KiB; a job file has at most {limit_kib} KiB. Is it a "
                "picture or a model with the wrong ending? Jobs name such files, they do not "
                "hold them."
            )
            return Reject(file, None, "", (Complaint(0, "", text),))
        answer = read_job_file(data, stem=stem_of(file.name), policy=self._policy)
        match answer:
            case Refused(ref=ref, errors=errors):
                return Reject(file, data, ref, errors)
            case Control(kind="reproduce" | "calibrate"):
                return await self._again(file, data, answer)
            case Control():
                return TakeControl(file, answer)
            case Asked():
                return await self._asked(file, data, answer)
            case _:
                assert_never(answer)

    async def _asked(self, file: FileFacts, data: bytes, asked: Asked) -> Command:
        hint_sha256 = ""
        dataset: tuple[TrainingImage, ...] = ()
        models = _Models()
        match asked.spec:
            case PanelSpec() as panel:
                hint = await self._hint(panel)
                hint_sha256 = hint.sha256
                found = [*hint.wrong, *await self._panel(panel, models)]
                asked = replace(asked, warnings=(*asked.warnings, *hint.doubts))
            case TrainSpec() as train:
                uses = [ModelUse("checkpoint", train.checkpoint), ModelUse("vae", train.vae)]
                await self._look_at(uses, models)
                # While a model is hashed, nothing is copied for a job that may be withdrawn.
                keep_in = aside(file.sha256) if self._keep and not models.waiting else ""
                seen = await self._datasets.examine(train, keep_in=keep_in)
                dataset = seen.images
                many, asked = resolved(asked, train, max(1, len(dataset)), self._policy)
                asked = replace(asked, warnings=(*asked.warnings, *seen.warnings))
                found = [*seen.complaints, *(many if dataset else ()), *models.complaints]
                if not models.waiting:  # It is a process; the file is looked at again and again.
                    found += await self._untrainable(train, models)
            case _:
                assert_never(asked.spec)
        if found:
            return Reject(file, data, asked.ref, tuple(found[: self._policy.max_complaints]))
        if models.waiting:
            if self._waits:
                self._waits()
            raise models.waiting
        asked = replace(asked, warnings=(*asked.warnings, *models.warnings))
        submit = Submit(file, data.decode(), asked, hint_sha256, dataset)
        return replace(submit, models=tuple(models.facts))

    async def _again(self, file: FileFacts, data: bytes, control: Control) -> Command:
        """A picture that is to be drawn again, through the same gate as any other."""
        try:
            asked, hint, original = await read_asked(self._disk, control)
            bound = original.bound({}, "hint.png")
        except AskerError as error:
            return Reject(file, data, control.ref, (Complaint(0, "lock", str(error)),))
        wrong = complaints(bound, self._policy, self._packs)[: self._policy.max_complaints]
        if wrong:
            told = tuple(Complaint(0, "lock", text) for text in wrong)
            return Reject(file, data, control.ref, told)
        digest = sha256(hint).hexdigest() if hint else ""
        if hint and self._keep:
            await self._disk.write(hint_path(digest), hint, synced=True)
        return Submit(file, data.decode(), asked, digest)

    async def _panel(self, spec: PanelSpec, found: _Models) -> list[Complaint]:
        try:
            pattern = await read_pattern(self._disk, spec.workflow)
            bound = bind(
                pattern.template,
                spec,
                seed=0,
                loras=[_as_file(lora.name) for lora in spec.loras],
                hint="hint.png" if spec.controlnet else None,
            )
        except AskerError as error:
            return [Complaint(0, "workflow", f"Template {spec.workflow!r}: {error}")]
        wrong = [
            Complaint(0, "workflow", f"Template {spec.workflow!r}: {text}")
            for text in complaints(bound, self._policy, self._packs)
        ]
        trainings = {_as_file(lora.name) for lora in spec.loras if split_job(lora.name)}
        models = [use for use in bound.models if use.role != "lora" or use.name not in trainings]
        if not wrong:
            await self._look_at(models, found)
            wrong = [*await self._lacking(pattern)]
        return [*wrong, *found.complaints]

    async def _lacking(self, pattern: Pattern) -> Sequence[Complaint]:
        """The files beside the models without which a template would draw, and guide nothing."""
        needs = pattern.template.slots.needs if self._weights is not None else ()
        return [
            Complaint(
                0,
                "workflow",
                f"Template {pattern.name!r} needs $COMFYUI/{path}, which is not there. Put the file"
                " there: without it the hint would be empty, and nothing would say so.",
            )
            for path in needs
            if self._weights is not None and not await self._weights.has(path)
        ]

    async def _look_at(self, uses: Iterable[ModelUse], models: _Models) -> None:
        """Note what is to be said of the models, all of which begin to be hashed now."""
        if self._weights is None:
            return
        for use in uses:
            try:
                examined = await self._weights.examined(role=use.role, name=use.name)
                models.facts.append(examined.facts)
                models.warnings += examined.warnings
            except WorldError as error:
                if error.code == "HASHING":
                    models.waiting = error
                else:
                    models.complaints.append(Complaint(0, use.role, error.text))

    async def _untrainable(self, spec: TrainSpec, models: _Models) -> list[Complaint]:
        """What the trainer would refuse of it. Why it refuses everything is told while it waits."""
        try:
            facts = await self._trainer.describe() if self._trainer else None
        except WorldError:
            facts = None
        models.warnings += [facts.unknown] if facts and facts.unknown else []
        return [Complaint(0, fault.key, fault.text) for fault in faults(spec, facts)]

    async def _hint(self, spec: PanelSpec) -> Hint:
        """Look at the hint image, and keep a copy of it aside, by its hash."""
        if spec.controlnet is None:
            return Hint()
        path = spec.controlnet.image
        try:
            blob = await self._disk.read(path, limit_bytes=HINT_LIMIT_BYTES)
        except WorldError as error:
            return _no_hint(f"{error.text}. Paths are relative to the studio's folder.")
        if not blob.complete or not blob.data.startswith(_PNG):
            limit = HINT_LIMIT_BYTES // 2**20
            return _no_hint(
                f"{path} is not a PNG of at most {limit} MiB. Save the hint image as PNG."
            )
        try:
            stats = await self._pixels.measure(blob.data)
        except WorldError as error:
            if error.code != "PICTURE_BROKEN":
                raise
            wanted = "Save the hint again, as a PNG of about the panel's size."
            return _no_hint(f"{path}: {error.text} {wanted}")
        if fault := hint_fault(stats):
            return _no_hint(
                f"{path} ({stats.width}x{stats.height}) {fault}, so it would guide nothing, and no"
                " engine would say so. Draw the hint on it, or leave [controlnet] out."
            )
        digest = sha256(blob.data).hexdigest()
        if self._keep:
            await self._disk.write(hint_path(digest), blob.data, synced=True)
        shape = shape_doubt(stats, width=spec.width, height=spec.height)
        doubts = (net_doubt(spec.controlnet.model), shape, mode_doubt(stats))
        return Hint(digest, doubts=tuple(filter(None, doubts)))


def _no_hint(text: str) -> Hint:
    return Hint(wrong=(Complaint(0, "controlnet.image", text),))


def _as_file(name: str) -> str:
    """A LoRA as a graph names it. A training's file is not known here: the ledger resolves it."""
    return f"{name}.safetensors" if split_job(name) else name


def hint_path(digest: str) -> str:
    """Where a hint image waits between its job's examination and its acceptance."""
    return f"{HINTS}/{digest}.png"


def stem_of(name: str) -> str:
    """The job's name where its file names none: the file's name up to its first ending."""
    lower = name.lower()
    for ending in (".toml.txt", ".toml.rtf", ".toml"):
        if lower.endswith(ending):
            return name[: -len(ending)]
    return name


async def read_pattern(disk: Disk, name: str) -> Pattern:
    """The template of this name from workflows/. Raises ``AskerError`` when it is missing or
    wrong.
    """
    try:
        graph = await disk.read(f"workflows/{name}.json", limit_bytes=_TEMPLATE_LIMIT_BYTES)
        slots = await disk.read(f"workflows/{name}.slots.toml", limit_bytes=_TEMPLATE_LIMIT_BYTES)
    except WorldError as error:
        known = sorted(
            item.name.removesuffix(".slots.toml")
            for item in await disk.list("workflows")
            if item.name.endswith(".slots.toml")
        )
        near = get_close_matches(name, known, n=1) or known
        hint = f" Known: {', '.join(near)}." if near else " The folder workflows/ has none."
        raise AskerError(f"{error.text}.{hint}") from error
    try:
        template = read_template(graph.data.decode(), slots.data.decode())
    except UnicodeDecodeError as error:
        raise AskerError("The template's files are not UTF-8 text.") from error
    return Pattern(name, sha256(graph.data + b"\0" + slots.data).hexdigest(), template)
