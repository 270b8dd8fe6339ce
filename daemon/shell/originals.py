"""Reads a published picture back, to have it drawn again: its lock, its graph, its bytes.

Law: only what lies below outbox/ and is what its lock says; a lock is untrusted text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256

from daemon.core.jobs import Asked, Control, ControlNetUse, LoraUse, PanelSpec, Reproduction
from daemon.craft.graph import BoundGraph
from daemon.craft.nodes import Node, read_nodes
from daemon.craft.reproduction import alias_of, redrawn
from daemon.errors import AskerError, WorldError
from daemon.ports import Disk
from daemon.wire.lock_file import Input, LockFacts, Model, read_lock

_LOCK = re.compile(r"outbox/(?P<job>[a-z0-9._-]{1,80})/(?P<file>[a-z0-9._-]{1,90}\.lock\.toml)")
_PLAIN = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_TEXT_LIMIT_BYTES = 4 * 2**20
_PICTURE_LIMIT_BYTES = 64 * 2**20
_NAME_CHARS = 64
_CALIBRATING = 3


@dataclass(frozen=True, slots=True)
class Original:
    """A published picture: its lock, the graph that drew it, its bytes."""

    lock: LockFacts
    nodes: Mapping[str, Node]
    png: bytes

    def bound(self, loras: Mapping[str, str], hint: str | None) -> BoundGraph:
        """Its graph, to be drawn again; ``loras``: present names by those of the lock."""
        known = [model for model in self.lock.model if model.role == "lora"]
        names = {alias_of(model.name, sha256=model.sha256): model.name for model in known}
        now = {**names, **loras, **{name: loras.get(own, own) for name, own in names.items()}}
        return redrawn(self.nodes, loras=now, hint=hint)


async def read_asked(disk: Disk, control: Control) -> tuple[Asked, bytes | None, Original]:
    """What a control file asks to be drawn again, and the bytes of its hint image, if any.

    Raises ``AskerError``: the lock is no picture's below outbox/, or what belongs to it is gone.
    """
    found = _LOCK.fullmatch(control.lock)
    if found is None:
        raise AskerError(
            "It is no lock file of a picture in this studio's outbox. Name one with its folder, as"
            ' in lock = "outbox/ch01_p003_v1/ch01_p003_v1.lock.toml".'
        )
    original, digest = await read_original(disk, found["job"], found["file"])
    lock, calibrates = original.lock, control.kind == "calibrate"
    again = Reproduction(found["job"], found["file"], digest, lock.quality.rung, calibrates)
    hint = None
    if (known := _hint(lock)) is not None:
        name = known.name.removeprefix("$JOB/")
        hint = await _bytes(disk, f"outbox/{again.job}/{_plain(name)}", _PICTURE_LIMIT_BYTES)
        _must_be(hint, known.sha256, name)
    spec = _spec(lock, again, count=_CALIBRATING if calibrates else 1)
    name = f"{control.kind}-{lock.subject.name}"[:_NAME_CHARS].rstrip("-._")
    return Asked("panel", name, control.ref, 0, rerun=True, spec=spec), hint, original


async def read_original(disk: Disk, job: str, file: str) -> tuple[Original, str]:
    """A published picture by its lock, and the lock's hash. Raises ``AskerError``."""
    folder = f"outbox/{job}"
    data = await _bytes(disk, f"{folder}/{file}", _TEXT_LIMIT_BYTES)
    lock = read_lock(data)
    if lock.job.id != job:
        raise AskerError(f"{folder}/{file} is the lock of a picture of {lock.job.id}.")
    workflow, picture = _plain(lock.workflow.file), _plain(lock.subject.file)
    graph = await _bytes(disk, f"{folder}/{workflow}", _TEXT_LIMIT_BYTES)
    _must_be(graph, lock.workflow.sha256, workflow)
    png = await _bytes(disk, f"{folder}/{picture}", _PICTURE_LIMIT_BYTES)
    _must_be(png, lock.subject.sha256, picture)
    try:
        nodes = read_nodes(graph.decode())
    except UnicodeDecodeError:
        raise AskerError(f"{folder}/{workflow} is not UTF-8 text.") from None
    return Original(lock, nodes, png), sha256(data).hexdigest()


async def _bytes(disk: Disk, path: str, limit_bytes: int) -> bytes:
    try:
        blob = await disk.read(path, limit_bytes=limit_bytes)
    except WorldError as error:
        raise AskerError(f"{error.text}. Without it the picture cannot be drawn again.") from None
    if not blob.complete:
        raise AskerError(f"{path} is larger than {limit_bytes // 2**20} MiB.")
    return blob.data


def _must_be(data: bytes, digest: str, name: str) -> None:
    if sha256(data).hexdigest() != digest:
        raise AskerError(
            f"{name} is not the file that its lock names (SHA-256 {digest[:12]}): it was changed."
            " Bring the published one back, from git or a backup."
        )


def _plain(name: str) -> str:
    if _PLAIN.fullmatch(name) is None:
        raise AskerError(f"The lock names the file {name[:80]!r}, which is no plain name.")
    return name


def _spec(lock: LockFacts, again: Reproduction, *, count: int) -> PanelSpec:
    """The picture's own sampler settings; the graph that is drawn is the executed one."""
    sampler = asdict(lock.sampler)
    seed = sampler.pop("seed")
    del sampler["noise"]
    by_role = {model.role: model for model in lock.model}
    net, hint = by_role.get("controlnet"), _hint(lock)
    use = None
    if net is not None and hint is not None:
        image = f"outbox/{again.job}/{hint.name.removeprefix('$JOB/')}"
        use = ControlNetUse(net.name, image, _strength(net), 0.0, 1.0)
    return PanelSpec(
        prompt=lock.prompt.positive,
        negative=lock.prompt.negative,
        seeds=(seed,) * count,
        variations=count,
        checkpoint=by_role["checkpoint"].name if "checkpoint" in by_role else "",
        vae=by_role["vae"].name if "vae" in by_role else "",
        workflow=lock.workflow.template.removesuffix(".json"),
        quality=False,
        loras=tuple(
            LoraUse(model.name, _strength(model), model.job)
            for model in lock.model
            if model.role == "lora"
        ),
        controlnet=use,
        reproduces=again,
        **sampler,
    )


def _hint(lock: LockFacts) -> Input | None:
    """The job's own hint image; a pose map is made anew."""
    return next((found for found in lock.input if found.role == "hint"), None)


def _strength(model: Model) -> float:
    return 1.0 if model.strength is None else model.strength
