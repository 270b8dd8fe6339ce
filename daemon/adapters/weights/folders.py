"""Adapters room: ``ports.Weights`` for the folders of one ComfyUI, links followed as it does.

Law: only .safetensors, only below the folder of its role, only when its header accounts for every
byte and says what the role wants, and only with the hash that is expected of it.
"""

from __future__ import annotations

import asyncio
import math
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from daemon.adapters.weights.hashing import File, Hasher, file_at, write_whole
from daemon.adapters.weights.names import (
    PICKLED,
    SAFE,
    check_name,
    embedding_of,
    files_below,
    is_spelled_so,
    missing,
)
from daemon.core.jobs import ModelFacts
from daemon.craft.props import prop
from daemon.craft.tensors import FOLDERS, Judged, Tensor, judge
from daemon.errors import WorldError
from daemon.ports import Examined
from daemon.wire.status import Hashing
from daemon.wire.text import visible

_MAX_JUDGED = 2_000
_KEPT_ALIASES = 16
_MAX_PAUSE_S = 0.25
_SHORT_S = 0.5
"""Most LoRAs are hashed in this time; who examines a job waits no longer."""


@dataclass(frozen=True, slots=True)
class Installed:
    """A file below models/. ``sha256`` '' = not known yet; ``refusal`` '' = it can be used.

    ``expected``: whether its hash is the one in the settings, None where none is.
    """

    role: str
    name: str
    bytes: int
    kind: str = "unknown"
    dtype: str = ""
    sha256: str = ""
    expected: bool | None = None
    warnings: tuple[str, ...] = ()
    refusal: str = ""


class ModelFolders:
    """The folders below ``base_path``/models. Hashes are kept in ``cache_path``.

    With ``props`` nothing is ever missing: the rehearsal's own folder gets a stage prop instead.
    ``aliases`` is a folder of LoRAs that the engine reads too, None where it does not.
    ``expected``: SHA-256 by name.
    """

    def __init__(
        self,
        base_path: Path,
        cache_path: Path,
        *,
        props: bool = False,
        aliases: Path | None = None,
        expected: Mapping[str, str] | None = None,
    ) -> None:
        self._models = base_path / "models"
        self._props = props
        self._aliases = aliases
        self._expected = expected or {}
        self._hasher = Hasher(cache_path)
        self._judged: dict[tuple[str, str], Judged] = {}
        self._turn = threading.Lock()

    @property
    def hashing(self) -> Hashing | None:
        """See ``ports.Weights``."""
        return self._hasher.now

    async def facts(self, *, role: str, name: str) -> ModelFacts:
        """See ``ports.Weights``."""
        return (await self._examined(role, name, wait_s=math.inf)).facts

    async def examined(self, *, role: str, name: str) -> Examined:
        """See ``ports.Weights``."""
        return await self._examined(role, name, wait_s=_SHORT_S)

    def path(self, *, role: str, name: str) -> str:
        """Absolute, of the file as it is named; nothing is looked at."""
        return str((self._models / FOLDERS[role] / name).absolute())

    async def has(self, path: str) -> bool:
        """See ``ports.Weights``."""
        return self._props or await asyncio.to_thread((self._models.parent / path).is_file)

    async def alias(self, name: str, *, sha256: str) -> str:
        """See ``ports.Weights``; '' also where the volumes differ, or the file has changed."""
        return await asyncio.to_thread(self._alias, name, sha256)

    async def install(self, name: str, data: bytes) -> None:
        """See ``ports.Weights``. Never through a link, and never over anything."""
        await asyncio.to_thread(self._install, name, data)

    async def take_back(self, folder: str) -> None:
        """See ``ports.Weights``. Only the files that lie there, and no links' targets."""
        await asyncio.to_thread(self._take_back, folder)

    def installed(self) -> Sequence[Installed]:
        """Every model file of every role, as far as it is known without hashing anything."""
        return [
            self._described(role, name)
            for role, folder in FOLDERS.items()
            for name in sorted(files_below(self._models / folder))
            if name.lower().endswith((SAFE, ".sft", *PICKLED))
        ]

    async def _examined(self, role: str, name: str, *, wait_s: float) -> Examined:
        name, file, judged = await asyncio.to_thread(self._found, role, name)
        sha256 = self._hasher.known(file)
        if not sha256:
            future = self._hasher.want(file)
            if not await _is_done(future, within_s=wait_s):
                text = "is hashed for the first time; what needs it waits, the rest goes on."
                raise WorldError("HASHING", _where(role, name, text))
            self._hasher.forget(file)
            with _told(role, name):
                sha256 = future.result()
        if wrong := self._mismatch(name, sha256):
            raise WorldError("MODEL_MISMATCH", _where(role, name, wrong))
        warnings = tuple(f"{visible(name)} {visible(text)}" for text in judged.warnings)
        facts = ModelFacts(role, name, sha256, file.size, judged.dtype, judged.parts)
        return Examined(facts, warnings)

    def _found(self, role: str, name: str) -> tuple[str, File, Judged]:
        """The file of this name, judged by its header. Raises ``WorldError``."""
        root = self._models / FOLDERS[role]
        if role == "embedding":
            name = f"{name.removesuffix(SAFE)}{SAFE}" if self._props else embedding_of(root, name)
        check_name(role, name)
        with _told(role, name):
            with self._turn:
                if self._props and not (root / name).exists():
                    write_whole(root / name, prop(role, name))
            if not is_spelled_so(root, name):
                raise WorldError("MODEL_MISSING", missing(root, name))
            file = file_at(root / name)
            judged = self._judge(role, file)
        if judged.refusal:
            raise WorldError("MODEL_WRONG", _where(role, name, judged.refusal))
        return name, file, judged

    def _judge(self, role: str, file: File) -> Judged:
        """From memory when the file has not changed."""
        key = (role, file.key)
        if key not in self._judged:
            if len(self._judged) >= _MAX_JUDGED:
                self._judged.clear()
            self._judged[key] = _by_header(role, file.path)
        return self._judged[key]

    def _mismatch(self, name: str, sha256: str) -> str:
        """What is wrong with the hash of a file, as the rest of a sentence; '' when nothing is."""
        expected = self._expected.get(name, sha256)
        if not sha256 or sha256 == expected:
            return ""
        return (
            f"has the SHA-256 {sha256[:12]}…, and nightpress.toml expects {expected[:12]}… under "
            "[models]: it is another file. Put the right one in its place, or correct the line if "
            "this one is meant."
        )

    def _described(self, role: str, name: str) -> Installed:
        path = self._models / FOLDERS[role] / name
        try:
            check_name(role, name)
            with _told(role, name):
                file = file_at(path)
                judged = self._judge(role, file)
        except WorldError as error:
            size = path.stat().st_size if path.exists() else 0
            return Installed(role, name, size, refusal=error.text)
        sha256 = self._hasher.known(file)
        wrong = judged.refusal or self._mismatch(name, sha256)
        return Installed(
            role=role,
            name=name,
            bytes=file.size,
            kind=judged.kind,
            dtype=judged.dtype,
            sha256=sha256,
            expected=sha256 == self._expected[name] if sha256 and name in self._expected else None,
            warnings=tuple(visible(text) for text in judged.warnings),
            refusal=_where(role, name, wrong) if wrong else "",
        )

    def _alias(self, name: str, sha256: str) -> str:
        if self._aliases is None:
            return ""
        alias = f"{Path(name).stem}-{sha256[:12]}{SAFE}"
        link = self._aliases / alias
        with self._turn, suppress(OSError):
            self._aliases.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                # A hard link keeps the bytes when another file takes the name.
                os.link((self._models / FOLDERS["lora"] / name).resolve(), link)
            if self._hasher.wait(file_at(link)) == sha256:
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
        check_name("lora", name)
        path = self._models / FOLDERS["lora"] / name
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

    def _take_back(self, folder: str) -> None:
        place = self._models / FOLDERS["lora"] / folder
        with suppress(OSError):
            for path in list(place.iterdir()):
                path.unlink()
            place.rmdir()


async def _is_done(future: Future[str], *, within_s: float) -> bool:
    """Whether it is done in time. Nothing of this loop is left with the future's thread."""
    waited_s, pause_s = 0.0, 0.005
    while not future.done() and waited_s < within_s:
        await asyncio.sleep(pause_s)
        waited_s, pause_s = waited_s + pause_s, min(2 * pause_s, _MAX_PAUSE_S)
    return future.done()


def _by_header(role: str, path: Path) -> Judged:
    """What the header says; the library sees to it that it accounts for every byte."""
    with safe_open(path, framework="numpy") as opened:
        tensors = {}
        for name in opened.keys():  # noqa: SIM118  # The library's object is no mapping.
            part = opened.get_slice(name)
            tensors[name] = Tensor(part.get_dtype(), tuple(part.get_shape()))
        metadata = opened.metadata() or {}
    if not tensors:
        raise SafetensorError("it holds no tensors")
    return judge(role, tensors, metadata)


def _taken(name: str) -> str:
    return (
        f"{visible(name)} in $COMFYUI/models/loras is another file than the approved checkpoint, "
        "and nothing there is overwritten. Move it away; the checkpoint is installed then."
    )


def _where(role: str, name: str, text: str) -> str:
    return f"{visible(name)} in $COMFYUI/models/{FOLDERS[role]} {visible(text)}"


@contextmanager
def _told(role: str, name: str) -> Iterator[None]:
    try:
        yield
    except SafetensorError as error:
        text = f"is cut short or damaged ({error}). Download it again."
        raise WorldError("MODEL_BROKEN", _where(role, name, text)) from error
    except OSError as error:
        text = f"cannot be read: {error.strerror or error}."
        raise WorldError("MODEL_BROKEN", _where(role, name, text)) from error
