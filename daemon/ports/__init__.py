"""What the shell asks of the world: one Protocol a kind of thing, so that the simulator can be the
world.

Paths are strings relative to the studio, with ``/``; every method that touches the world is async
and raises ``WorldError`` (or what its docstring names) when the world fails.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from daemon.core.jobs import ModelFacts
from daemon.craft.dataset import PixelFacts
from daemon.craft.grid import Sheet
from daemon.craft.picture import PictureDistance, PictureStats
from daemon.craft.preflight import TrainerFacts
from daemon.ports.disk import Blob, Disk, FileKind, FileStat
from daemon.ports.git import Commit, Git
from daemon.ports.host import EngineHost, Probe, Program, Serving, Signals
from daemon.wire import notices
from daemon.wire.comfyui import EngineFacts, HistoryEntry, Message, OutputFile, QueueView
from daemon.wire.status import Hashing

__all__ = [
    "Alarm",
    "Blob",
    "Clock",
    "Commit",
    "Disk",
    "Ears",
    "EngineHost",
    "Entropy",
    "Examined",
    "FileKind",
    "FileStat",
    "Git",
    "GpuLock",
    "Holder",
    "Notifier",
    "Pixels",
    "Probe",
    "Program",
    "Renderer",
    "Serving",
    "Signals",
    "Trainer",
    "TrainerFacts",
    "TrainingOrder",
    "Weights",
]


class Clock(Protocol):
    """The wall clock; waiting is asyncio's."""

    def now(self) -> int:
        """Milliseconds since 1970, UTC."""
        ...


class Entropy(Protocol):
    """The only chance in the program."""

    def token(self) -> str:
        """32 fresh hexadecimal digits."""
        ...


class Ears(Protocol):
    """One socket to the engine, with its own fresh client id."""

    @property
    def client_id(self) -> str:
        """Goes into the prompt that wants to be heard here."""
        ...

    async def hear(self, *, timeout_s: float) -> Message | None:
        """The next message, or None after ``timeout_s`` or when the socket is gone (then it returns
        at once only the first time; a dead socket waits out the time, so that a poller can lean on
        it).
        """
        ...


class Renderer(Protocol):
    """A ComfyUI-shaped server, one call a request. Each call has its own deadline and raises
    ``EngineError`` when nothing certain was answered.
    """

    async def describe(self) -> EngineFacts:
        """Version, device, arguments (/system_stats)."""
        ...

    async def history(self, prompt_id: str) -> HistoryEntry | None:
        """The entry of an ended prompt, else None."""
        ...

    async def queue(self) -> QueueView:
        """What runs and what waits."""
        ...

    async def send(self, body: Mapping[str, object]) -> Mapping[str, str]:
        """POST /prompt. The node errors in sentences by node (empty = accepted whole).

        Raises ``PromptRefused`` on 400; ``EngineError`` on anything else: it may or may not be
        queued.
        """
        ...

    async def interrupt(self, prompt_id: str) -> None:
        """Take it out of the queue, or stop it if it runs; unknown ids are fine."""
        ...

    async def upload(self, *, name: str, data: bytes) -> str:
        """Store an input picture; returns the name under which the engine knows it."""
        ...

    async def view(self, file: OutputFile) -> bytes:
        """The bytes of an output. Raises ``EngineError`` OUTPUT_MISSING when the engine has no
        such file.
        """
        ...

    async def free(self) -> None:
        """Unload all models and forget all cached results, once the worker is idle. The answer
        does not say when: one call may be heeded only after the next prompt."""
        ...

    async def modules(self, classes: Collection[str]) -> Mapping[str, str]:
        """The Python module of each node class, as the engine names it (``nodes``,
        ``comfy_extras.nodes_x``, ``custom_nodes.pack``); a class that it lacks is absent."""
        ...

    async def outside(self) -> str:
        """An address of this machine, not loopback, at which the engine answers too; '' = none.
        Whatever cannot be asked is none."""
        ...

    def listen(self) -> AbstractAsyncContextManager[Ears]:
        """Open a socket; a socket that cannot be opened is deaf ears, not an error."""
        ...


class Pixels(Protocol):
    """Looks at pictures, away from the event loop and from this process."""

    async def measure(self, png: bytes) -> PictureStats:
        """Raises ``WorldError`` PICTURE_BROKEN for bytes that are no whole picture."""
        ...

    async def examine(self, data: bytes) -> PixelFacts:
        """A training picture: PNG, JPEG, WebP or BMP of at most 40 million pixels. Raises as
        ``measure`` does."""
        ...

    async def grid(self, sheet: Sheet) -> bytes:
        """The sheet as one PNG, the same bytes again for the same sheet (and release of Pillow).

        A cell whose picture is none is drawn empty. Raises ``WorldError`` GRID_FAILED; so does a
        sheet of more than ``grid.MAX_CELLS``.
        """
        ...

    async def compare(self, one: bytes, other: bytes) -> PictureDistance:
        """By how much two pictures differ. Raises as ``measure`` does, of either."""
        ...


@dataclass(frozen=True, slots=True)
class Examined:
    """A model file that may be used, and what is to be said of it all the same, in sentences."""

    facts: ModelFacts
    warnings: tuple[str, ...] = ()


class Weights(Protocol):
    """The engine's model folders. ``hashing``: the file that is hashed just now."""

    @property
    def hashing(self) -> Hashing | None: ...

    async def facts(self, *, role: str, name: str) -> ModelFacts:
        """Hash and header of a model file, however long hashing takes. An embedding may be named
        as in a prompt, without ending and folder.

        Raises ``WorldError`` MODEL_MISSING (with the nearest names), MODEL_BROKEN, MODEL_WRONG (of
        another kind or family), MODEL_MISMATCH (not the expected hash), MODEL_FORBIDDEN (a format
        that can run code, or a path that leads outside).
        """
        ...

    async def examined(self, *, role: str, name: str) -> Examined:
        """The same for one who does not wait: raises HASHING too, and then it is being hashed."""
        ...

    def path(self, *, role: str, name: str) -> str:
        """The absolute path of a model file of this name, whether or not it is there."""
        ...

    async def has(self, path: str) -> bool:
        """Whether a file lies there, relative to the engine's base path; True where nothing real
        draws, since nothing needs it then."""
        ...

    async def alias(self, name: str, *, sha256: str) -> str:
        """Another name of a LoRA, under which the engine finds these bytes and never others; ''
        where there is none to be had.
        """
        ...

    async def install(self, name: str, data: bytes) -> None:
        """Put a LoRA into the engine's folder: a new file, or one that has these very bytes.

        Raises ``WorldError`` LORA_EXISTS when another file has the name, and what ``facts`` does.
        """
        ...

    async def take_back(self, folder: str) -> None:
        """Remove a folder of LoRAs that were installed for a while, if it is there."""
        ...


@dataclass(frozen=True, slots=True)
class TrainingOrder:
    """One attempt. ``folder`` relative to the studio; ``arguments`` follow ``python
    train_network.py``; paths in them are absolute.
    """

    folder: str
    nonce: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    grace_s: float
    log_limit_bytes: int


Holder = Literal["nobody", "shim", "orphan"]
"""Who has an attempt's ``alive`` lock: nobody; its shim; or a trainer whose shim was killed."""


class Trainer(Protocol):
    """Trainings as processes that outlive us: what is known of one lies in its folder."""

    async def describe(self) -> TrainerFacts:
        """What it is and can do; asked anew it is quick, as long as nothing of it has changed.

        Raises ``WorldError`` TRAINER_MISSING when it cannot be found, TRAINER_UNFIT when it cannot
        load itself.
        """
        ...

    async def start(self, order: TrainingOrder) -> None:
        """Give it to a shim; returns when the shim's start record is there.

        Raises ``WorldError`` TRAINER_START, or TRAINER_BUSY when somebody has the folder's lock.
        """
        ...

    async def holder(self, folder: str) -> Holder:
        """By the folder's two locks, no recorded pid."""
        ...

    async def end_orphan(self, folder: str, *, nonce: str, grace_s: float) -> bool:
        """End a trainer whose shim was killed. False: its identity could not be verified, so
        nothing was signalled, or it still lives.
        """
        ...

    async def pid(self, folder: str) -> int | None:
        """Of the attempt's shim, which is the parent of all that trains; None = nobody, or not
        certain."""
        ...

    async def boot(self) -> str:
        """The machine's boot; another than the start record's: nothing of then runs."""
        ...


class Notifier(Protocol):
    """Whatever reaches a person who is not looking."""

    async def show(self, message: notices.Message) -> None:
        """Show it, within seconds. Raises ``WorldError`` NOTIFY_FAILED."""
        ...


class GpuLock(Protocol):
    """The per-user lock of the one GPU, shared by every studio."""

    def try_take(self) -> bool:
        """Take it if it is free; True when it is (already) ours. Never waits."""
        ...

    def give_back(self) -> None:
        """Let others have it; nothing when it is not ours."""
        ...


class Alarm(Protocol):
    """Rings now and then; a ring that comes late is one ring."""

    def every(self, seconds: float, ring: Callable[[], None]) -> None:
        """Call ``ring`` on the event loop about every ``seconds``."""
        ...
