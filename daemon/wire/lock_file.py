"""Spells lock files: what it takes to make one picture again, beside that picture.

Law: the dataclasses are the file. Field names are its keys, in its order, and ``read_lock`` gives
back what ``render_lock`` was given; no absolute path and no user name gets in.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from pydantic import TypeAdapter, ValidationError

from daemon.core.jobs import Engine
from daemon.craft.samplers import Noise
from daemon.errors import AskerError
from daemon.wire.toml_text import Section, toml_bytes

LOCK_VERSION = 1


@dataclass(frozen=True, slots=True)
class Subject:
    """The picture. ``name`` is the job's without its number, ``size`` in bytes.

    ``perceptual_hash`` is 16 hexadecimal digits, or '' where nobody looked.
    """

    name: str
    file: str
    sha256: str
    size: int
    perceptual_hash: str


@dataclass(frozen=True, slots=True)
class Request:
    """The job it was made for, and its file's hash. ``attempt`` and ``image`` count from 1."""

    id: str
    ref: str
    attempt: int
    image: int
    request_sha256: str


@dataclass(frozen=True, slots=True)
class Sampler:
    """``noise``: "portable" when all noise is drawn on the CPU, "device" when the GPU draws some.

    Device noise is another one on other hardware, so such a picture is not the same elsewhere.
    """

    seed: int
    steps: int
    cfg: float
    sampler: str
    scheduler: str
    denoise: float
    clip_skip: int
    width: int
    height: int
    noise: Noise


@dataclass(frozen=True, slots=True)
class Prompt:
    positive: str
    negative: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A file that was loaded, by its name in the engine's folder for ``role``.

    ``strength`` is None where there is none; ``job`` is the training a LoRA of ours came from.
    """

    role: str
    name: str
    strength: float | None = None
    sha256: str
    dtype: str
    bytes: int
    job: str = ""


@dataclass(frozen=True, slots=True)
class Input:
    """A file that went in, by where it lies: ``$JOB/input-0123456789ab.png``."""

    role: str
    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Workflow:
    """The graph as it was executed, and the template that it was bound from."""

    file: str
    sha256: str
    template: str
    template_sha256: str


@dataclass(frozen=True, slots=True)
class Quality:
    """``verdict`` of the gate; ``rung`` of the precision ladder it was drawn on."""

    verdict: str
    rung: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """The line that vouches for the picture."""

    host: str
    segment: str
    seq: int
    chain: str


@dataclass(frozen=True, slots=True)
class LockFacts:
    """A whole lock file."""

    lock_version: int
    subject: Subject
    job: Request
    engine: Engine
    sampler: Sampler
    prompt: Prompt
    model: tuple[Model, ...]
    input: tuple[Input, ...]
    workflow: Workflow
    quality: Quality
    ledger: Ledger


_READER = TypeAdapter(LockFacts)
_ABSENT: Mapping[str, tuple[str, ...]] = {"engine": ("commit",), "model": ("strength", "job")}
"""Keys that are left out where there is nothing to say, by section."""


def render_lock(lock: LockFacts) -> bytes:
    """The file, sections and keys in the order of the contract."""
    return toml_bytes({"lock_version": lock.lock_version}, _sections(lock))


def read_lock(data: bytes) -> LockFacts:
    """The inverse. Keys that are not known are passed over: a later version may add some.

    Raises ``AskerError`` for what is no lock file, or one of a later form.
    """
    try:
        document = tomllib.loads(data.decode())
    except ValueError as error:
        raise AskerError(f"This is no lock file: it is not TOML ({error}).") from error
    if document.get("lock_version") != LOCK_VERSION:
        raise AskerError(
            f"This is no lock file of form {LOCK_VERSION}: its lock_version is "
            f"{document.get('lock_version')!r}. A later nightpress may be able to read it."
        )
    try:
        return _READER.validate_python({"model": (), "input": (), **document})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise AskerError(f"This lock file is damaged at {where}: {first['msg']}.") from error


def _sections(lock: LockFacts) -> Iterator[Section]:
    for name, body in asdict(lock).items():
        match body:
            case dict():
                yield name, _present(name, body)
            case tuple() | list():
                yield name, [_present(name, row) for row in body]
            case _:
                pass


def _present(section: str, row: Mapping[str, object]) -> Mapping[str, object]:
    absent = _ABSENT.get(section, ())
    return {
        key: value for key, value in row.items() if key not in absent or value not in (None, "")
    }
