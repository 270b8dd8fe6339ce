"""Adapters room: the engine's model folders, asked for the facts of one file at a time.

Law: only .safetensors, only below the folder of its role, and only when its header accounts for
every byte. A file is hashed once, until its inode, size or time changes.
"""

from __future__ import annotations

import asyncio
import difflib
import errno
import hashlib
import json
import logging
import os
import stat
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from daemon.core.jobs import ModelFacts
from daemon.errors import WorldError
from daemon.wire.tensor_header import (
    PREFIX_BYTES,
    HeaderWrong,
    header_bytes,
    read_header,
    spell,
)
from daemon.wire.text import visible

_log = logging.getLogger(__name__)

# ComfyUI's own names below its models folder.
_FOLDERS: Mapping[str, str] = {
    "checkpoint": "checkpoints",
    "vae": "vae",
    "lora": "loras",
    "controlnet": "controlnet",
    "embedding": "embeddings",
}
# Formats that are pickled Python: loading one runs whatever code its author put in.
_PICKLED = (".ckpt", ".pt", ".pt2", ".pth", ".bin", ".pkl")
_CHUNK_BYTES = 2**22
_MAX_NAMES = 5_000
_MAX_FOLDERS = 500
_MAX_KNOWN = 2_000


@dataclass(frozen=True, slots=True)
class _Known:
    """What one look at a file found out."""

    sha256: str
    dtype: str


class ModelFolders:
    """Implements ``ports.Weights`` for ``base_path``/models, as ComfyUI lays it out.

    Links to files and folders are followed, as ComfyUI follows them; names never lead out by
    themselves. Hashes are kept in ``cache_path``, a file that may be deleted at any time.
    """

    def __init__(self, base_path: Path, cache_path: Path) -> None:
        self._models = base_path / "models"
        self._cache = _Cache(cache_path)

    async def facts(self, *, role: str, name: str) -> ModelFacts:
        """Raises ``WorldError`` MODEL_MISSING, MODEL_BROKEN or MODEL_FORBIDDEN, in sentences.

        ``role``: checkpoint, vae, lora, controlnet or embedding; ``name`` relative to its folder.
        """
        return await asyncio.to_thread(self._facts, role, name)

    async def names(self, *, role: str) -> Sequence[str]:
        """The .safetensors files of a role in order, relative to its folder; empty without one."""
        return await asyncio.to_thread(self._names, role)

    def _facts(self, role: str, name: str) -> ModelFacts:
        check_name(role, name)
        path = self._models / _FOLDERS[role] / name
        if not _is_spelled_so(path, depth=len(name.split("/"))):
            raise WorldError("MODEL_MISSING", self._missing(role, name))
        with _told(role, name), _opened(path) as fd:
            facts = os.fstat(fd)
            if not stat.S_ISREG(facts.st_mode):
                raise OSError(errno.EINVAL, "it is not a regular file")
            known = self._cache.look_up(fd, facts)
        return ModelFacts(role, name, known.sha256, facts.st_size, known.dtype)

    def _names(self, role: str) -> Sequence[str]:
        root = self._models / _FOLDERS[role]
        found: list[str] = []
        for count, (folder, folders, files) in enumerate(os.walk(root, followlinks=True)):
            # Links can lead in circles; no collection is as large as this.
            if count >= _MAX_FOLDERS or len(found) >= _MAX_NAMES:
                break
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            here = Path(folder).relative_to(root)
            found += [(here / name).as_posix() for name in files if name.endswith(".safetensors")]
        return sorted(found)

    def _missing(self, role: str, name: str) -> str:
        where = f"$COMFYUI/models/{_FOLDERS[role]}"
        names = self._names(role)
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
        if near:
            hint = f"Nearest there: {', '.join(visible(each) for each in near)}."
        elif names:
            hint = f"None of the {len(names)} files there has a name like it."
        else:
            hint = "That folder holds no .safetensors file."
        return f"{visible(name)} is not in {where}. {hint} Names are compared letter by letter."


class PropFolders:
    """Implements ``ports.Weights`` for the rehearsal: a model that is missing gets a stage prop.

    A prop is a tiny valid file that says what it is; the same name always gives the same bytes.
    ``base_path`` is the rehearsal engine's own folder, never a real ComfyUI's.
    """

    def __init__(self, base_path: Path, cache_path: Path) -> None:
        self._models = base_path / "models"
        self._folders = ModelFolders(base_path, cache_path)
        self._stage = threading.Lock()

    async def facts(self, *, role: str, name: str) -> ModelFacts:
        """As ``ModelFolders.facts``, but nothing is ever missing."""
        check_name(role, name)
        await asyncio.to_thread(self._lay_out, role, name)
        return await self._folders.facts(role=role, name=name)

    def _lay_out(self, role: str, name: str) -> None:
        path = self._models / _FOLDERS[role] / name
        with self._stage, _told(role, name):
            if not path.exists():
                _write_whole(path, prop(role, name))


def prop(role: str, name: str) -> bytes:
    """The bytes of a stage prop: the tensors by which a loader tells this role, all zeros."""
    tensors = dict.fromkeys(_PROPS[role], ("F16", 4))
    return spell(tensors, metadata={"rehearsal": "prop", "role": role, "name": name})


_VAE = ("decoder.conv_in.weight", "post_quant_conv.weight")
_LORA_LAYER = "lora_unet_down_blocks_0_attentions_0_proj_in"
_PROPS: Mapping[str, Sequence[str]] = {
    "checkpoint": (
        "model.diffusion_model.input_blocks.0.0.weight",
        "cond_stage_model.transformer.text_model.embeddings.position_embedding.weight",
        *(f"first_stage_model.{tensor}" for tensor in _VAE),
    ),
    "vae": _VAE,
    "lora": tuple(f"{_LORA_LAYER}.{part}" for part in ("lora_down.weight", "lora_up.weight")),
    "controlnet": (
        "control_model.zero_convs.0.0.weight",
        "control_model.input_hint_block.0.weight",
    ),
    "embedding": ("emb_params",),
}


def check_name(role: str, name: str) -> None:
    """Raises ``WorldError`` MODEL_FORBIDDEN for a path that leads out or a format that is not
    safetensors.
    """
    shown = visible(name)
    plain = all(part not in ("", ".", "..") for part in name.split("/"))
    if not plain or "\\" in name or not name.isprintable():
        text = f"{shown}: write the file's path below models/{_FOLDERS[role]}, with /, without .."
        raise WorldError("MODEL_FORBIDDEN", f"{text}.")
    if name.lower().endswith(_PICKLED):
        text = (
            f"{shown} is in a format that can run code when it is loaded. Use a .safetensors file"
            " of the same model; most are published in both."
        )
        raise WorldError("MODEL_FORBIDDEN", text)
    if not name.endswith(".safetensors"):
        text = f"{shown}: only files whose name ends in .safetensors are loaded."
        raise WorldError("MODEL_FORBIDDEN", text)


class _Cache:
    """Facts of files by device, inode, size and mtime in ns, kept in one JSON file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, _Known] | None = None
        # One large file is hashed at a time: two would only make the drive seek.
        self._hashing = threading.Lock()

    def look_up(self, fd: int, facts: os.stat_result) -> _Known:
        """The facts of an open file, from memory when it has not changed. Raises
        ``HeaderWrong``.
        """
        key = f"{facts.st_dev}:{facts.st_ino}:{facts.st_size}:{facts.st_mtime_ns}"
        with self._hashing:
            if self._known is None:
                self._known = _read_cache(self._path)
            known = self._known.get(key)
            if known is None:
                known = _examine(fd, facts)
                self._remember(key, known)
        return known

    def _remember(self, key: str, known: _Known) -> None:
        assert self._known is not None, "it was read before"
        self._known[key] = known
        while len(self._known) > _MAX_KNOWN:
            del self._known[next(iter(self._known))]
        text = json.dumps(
            {key: [known.sha256, known.dtype] for key, known in self._known.items()}, indent=0
        )
        try:
            _write_whole(self._path, text.encode())
        except OSError as error:
            _log.warning("Hashes of models are not kept (%s); they are made again.", error.strerror)


def _read_cache(path: Path) -> dict[str, _Known]:
    """What is kept; a cache that cannot be read is no loss but of time."""
    with suppress(OSError, ValueError, TypeError, AttributeError, RecursionError):
        kept = json.loads(path.read_bytes())
        return {key: _Known(str(sha256), str(dtype)) for key, (sha256, dtype) in kept.items()}
    return {}


def _examine(fd: int, facts: os.stat_result) -> _Known:
    """Check the header first, since that is cheap, then hash all of it."""
    prefix = os.pread(fd, PREFIX_BYTES, 0)
    length = header_bytes(prefix, file_bytes=facts.st_size)
    header = read_header(os.pread(fd, length, PREFIX_BYTES), file_bytes=facts.st_size)
    digest = hashlib.sha256()
    offset = 0
    while chunk := os.pread(fd, _CHUNK_BYTES, offset):
        digest.update(chunk)
        offset += len(chunk)
    now = os.fstat(fd)
    if (now.st_size, now.st_mtime_ns) != (facts.st_size, facts.st_mtime_ns):
        raise OSError(errno.EBUSY, "it is being written to; wait until its download has ended")
    return _Known(digest.hexdigest(), header.dtype)


def _is_spelled_so(path: Path, *, depth: int) -> bool:
    """Whether the last ``depth`` parts are there letter by letter: the engine compares names, while
    a Mac's disk would open ``Anything.safetensors`` for ``anything.safetensors``.
    """
    for _ in range(depth):
        try:
            if path.name not in (entry.name for entry in path.parent.iterdir()):
                return False
        except OSError:
            return False
        path = path.parent
    return True


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _told(role: str, name: str) -> Iterator[None]:
    shown = f"{visible(name)} in $COMFYUI/models/{_FOLDERS[role]}"
    try:
        yield
    except HeaderWrong as wrong:
        raise WorldError("MODEL_BROKEN", f"{shown} {wrong}. Download it again.") from wrong
    except OSError as error:
        raise WorldError("MODEL_BROKEN", f"{shown} cannot be read: {error.strerror}.") from error


def _write_whole(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)
