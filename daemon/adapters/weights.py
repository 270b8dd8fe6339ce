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
import math
import os
import stat
import struct
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

from safetensors import SafetensorError, safe_open

from daemon.core.jobs import ModelFacts
from daemon.errors import WorldError
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
_MAX_FOLDERS = 500
_MAX_KNOWN = 2_000
_KEPT_ALIASES = 16

_VAE = ("decoder.conv_in.weight", "post_quant_conv.weight")
_LORA_LAYER = "lora_unet_down_blocks_0_attentions_0_proj_in"
# The tensors by which a loader tells a role.
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


class ModelFolders:
    """Implements ``ports.Weights`` for ``base_path``/models, as ComfyUI lays it out.

    Links to files and folders are followed, as ComfyUI follows them; names never lead out by
    themselves. Hashes are kept in ``cache_path``, a file that may be deleted at any time. With
    ``props`` nothing is ever missing: the rehearsal's own folder gets a stage prop instead.
    ``aliases`` is a folder of LoRAs that the engine reads too, None where it does not.
    """

    def __init__(
        self,
        base_path: Path,
        cache_path: Path,
        *,
        props: bool = False,
        aliases: Path | None = None,
    ) -> None:
        self._models = base_path / "models"
        self._cache_path = cache_path
        self._props = props
        self._aliases = aliases
        # Device, inode, size and mtime in ns -> SHA-256 and dtype.
        self._known: dict[str, tuple[str, str]] | None = None
        # One large file is hashed at a time: two would only make the drive seek.
        self._turn = threading.Lock()

    async def facts(self, *, role: str, name: str) -> ModelFacts:
        """Raises ``WorldError`` MODEL_MISSING, MODEL_BROKEN or MODEL_FORBIDDEN, in sentences.

        ``role``: checkpoint, vae, lora, controlnet or embedding; ``name`` relative to its folder.
        """
        return await asyncio.to_thread(self._facts, role, name)

    def path(self, *, role: str, name: str) -> str:
        """Absolute, of the file as it is named; nothing is looked at."""
        return str((self._models / _FOLDERS[role] / name).absolute())

    async def has(self, path: str) -> bool:
        """See ``ports.Weights``."""
        return self._props or await asyncio.to_thread((self._models.parent / path).is_file)

    async def alias(self, name: str, *, sha256: str) -> str:
        """See ``ports.Weights``; '' also where the volumes differ, or the file has changed."""
        return await asyncio.to_thread(self._alias, name, sha256)

    async def install(self, name: str, data: bytes) -> None:
        """See ``ports.Weights``. Never through a link, and never over anything."""
        await asyncio.to_thread(self._install, name, data)

    def _alias(self, name: str, sha256: str) -> str:
        if self._aliases is None:
            return ""
        alias = f"{Path(name).stem}-{sha256[:12]}.safetensors"
        link = self._aliases / alias
        with self._turn, suppress(OSError):
            self._aliases.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                # A hard link keeps the bytes when another file takes the name.
                os.link((self._models / _FOLDERS["lora"] / name).resolve(), link)
            if self._look_up(link)[1] == sha256:
                self._forget_aliases(but=link)
                return alias
            link.unlink()
        return ""

    def _forget_aliases(self, *, but: Path) -> None:
        """Those of long ago: each keeps the bytes of a file that was replaced."""
        assert self._aliases is not None, "who has made one has a folder for them"
        links = sorted(self._aliases.glob("*.safetensors"), key=lambda link: link.stat().st_ctime)
        for link in links[:-_KEPT_ALIASES]:
            if link != but:
                link.unlink()

    def _install(self, name: str, data: bytes) -> None:
        _check_name("lora", name)
        path = self._models / _FOLDERS["lora"] / name
        with _told("lora", name):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            try:
                # A link, unlike a rename, replaces nothing, and both names are whole at any time.
                os.link(temporary, path)
            except FileExistsError:
                if path.is_symlink() or path.read_bytes() != data:
                    raise WorldError("LORA_EXISTS", _taken(name)) from None
            finally:
                temporary.unlink()

    def _facts(self, role: str, name: str) -> ModelFacts:
        _check_name(role, name)
        root = self._models / _FOLDERS[role]
        with self._turn, _told(role, name):
            if self._props and not (root / name).exists():
                _write_whole(root / name, prop(role, name))
            if not _is_spelled_so(root, name):
                raise WorldError("MODEL_MISSING", _missing(root, name))
            size, sha256, dtype = self._look_up(root / name)
        return ModelFacts(role, name, sha256, size, dtype)

    def _look_up(self, path: Path) -> tuple[int, str, str]:
        """Size in bytes, SHA-256 and dtype; from memory when the file has not changed."""
        if self._known is None:
            self._known = _read_cache(self._cache_path)
        key, size = _identity(path)
        if key not in self._known:
            if len(self._known) >= _MAX_KNOWN:
                del self._known[next(iter(self._known))]
            found = _examine(path)
            if _identity(path)[0] != key:
                text = "it is being written to; wait until its download has ended"
                raise OSError(errno.EBUSY, text)
            self._known[key] = found
            try:
                _write_whole(self._cache_path, json.dumps(self._known).encode())
            except OSError as error:
                _log.warning("Hashes of models are not kept (%s); made again.", error.strerror)
        return size, *self._known[key]


def prop(role: str, name: str) -> bytes:
    """A stage prop: a tiny valid file that says what it is; the same name gives the same bytes."""
    header: dict[str, object] = {
        "__metadata__": {"rehearsal": "prop", "role": role, "name": name},
        **{
            tensor: {"dtype": "F16", "shape": [4], "data_offsets": [8 * number, 8 * number + 8]}
            for number, tensor in enumerate(_PROPS[role])
        },
    }
    raw = json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + bytes(8 * len(_PROPS[role]))


def _check_name(role: str, name: str) -> None:
    """Raises ``WorldError`` MODEL_FORBIDDEN for a path that leads out or another format."""
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


def _is_spelled_so(root: Path, name: str) -> bool:
    """Whether each part is there letter by letter: the engine compares names, while a Mac's disk
    would open ``Anything.safetensors`` for ``anything.safetensors``.
    """
    path = root / name
    with suppress(FileNotFoundError, NotADirectoryError):
        for part in (path, *path.parents[: name.count("/")]):
            if part not in part.parent.iterdir():
                return False
        return True
    return False


def _taken(name: str) -> str:
    return (
        f"{visible(name)} in $COMFYUI/models/loras is another file than the approved checkpoint, "
        "and nothing there is overwritten. Move it away; the checkpoint is installed then."
    )


def _missing(root: Path, name: str) -> str:
    names = []
    # Links can lead in circles; no collection has as many folders as this.
    for folder, _, files in islice(os.walk(root, followlinks=True), _MAX_FOLDERS):
        here = Path(folder).relative_to(root)
        names += [(here / each).as_posix() for each in files if each.endswith(".safetensors")]
    near = difflib.get_close_matches(name, sorted(names), n=3, cutoff=0.4)
    if near:
        hint = f"Nearest there: {', '.join(visible(each) for each in near)}."
    elif names:
        hint = f"None of the {len(names)} files there has a name like it."
    else:
        hint = "That folder holds no .safetensors file."
    where = f"$COMFYUI/models/{root.name}"
    return f"{visible(name)} is not in {where}. {hint} Names are compared letter by letter."


def _read_cache(path: Path) -> dict[str, tuple[str, str]]:
    """What is kept; a cache that cannot be read is no loss but of time."""
    with suppress(OSError, ValueError, TypeError, AttributeError, RecursionError):
        kept = json.loads(path.read_bytes())
        return {key: (str(sha256), str(dtype)) for key, (sha256, dtype) in kept.items()}
    return {}


def _identity(path: Path) -> tuple[str, int]:
    """Device, inode, size and mtime in ns, and the size alone. Raises ``OSError`` for no file."""
    facts = path.stat()
    if not stat.S_ISREG(facts.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
    key = f"{facts.st_dev}:{facts.st_ino}:{facts.st_size}:{facts.st_mtime_ns}"
    return key, facts.st_size


def _examine(path: Path) -> tuple[str, str]:
    """SHA-256, and the dtype of most numbers. The header is checked first, since that is cheap."""
    numbers: Counter[str] = Counter()
    with safe_open(path, framework="numpy") as tensors:
        for name in tensors.keys():  # noqa: SIM118  # The library's object is no mapping.
            tensor = tensors.get_slice(name)
            numbers[tensor.get_dtype()] += math.prod(tensor.get_shape())
    if not numbers:
        raise SafetensorError("it holds no tensors")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), numbers.most_common(1)[0][0]


@contextmanager
def _told(role: str, name: str) -> Iterator[None]:
    shown = f"{visible(name)} in $COMFYUI/models/{_FOLDERS[role]}"
    try:
        yield
    except SafetensorError as error:
        text = f"{shown} is cut short or damaged ({visible(str(error))}). Download it again."
        raise WorldError("MODEL_BROKEN", text) from error
    except OSError as error:
        said = error.strerror or str(error)
        raise WorldError("MODEL_BROKEN", f"{shown} cannot be read: {said}.") from error


def _write_whole(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)
