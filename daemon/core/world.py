"""What is known of the world outside just now: the part of admission that is no history and is not
folded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from daemon.core.jobs import JobId

EngineName = Literal["comfyui", "rehearsal", "none"]

_MISSING = (
    "This studio has printed with ComfyUI, and none is set now; nothing falls back to rehearsal by "
    "itself. Set COMFYUI_BASE_PATH or [comfyui] url and start the daemon again."
)


@dataclass(frozen=True, slots=True)
class Heavy:
    """A program beside us that takes much memory: all of its processes together, in bytes."""

    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine's memory and power, as far as they are known; one that knows nothing keeps nobody
    waiting. Bytes in steps of 64 MiB, times in ms since 1970.

    ``free_bytes`` can be had without swapping; ``ours_bytes`` is what our engine holds: a panel
    uses it again, before a training it is let go. ``code`` '' = the memory is calm, else why
    nothing starts; ``runaway``: what runs cannot wait for a state to be saved either. ``unknown``
    are signals that cannot be read, and since when. ``rival`` says who else trains, '' = nobody;
    ``users`` are logged in beside this one.
    """

    total_bytes: int | None = None
    free_bytes: int | None = None
    ours_bytes: int = 0
    level: int | None = None
    code: str = ""
    text: str = ""
    runaway: bool = False
    unknown: tuple[tuple[str, int], ...] = ()
    on_ac: bool | None = None
    battery_percent: int | None = None
    programs: tuple[Heavy, ...] = ()
    rival: str = ""
    users: int = 0


@dataclass(frozen=True, slots=True)
class World:
    """``engine_code`` '' = the engine answers; else why it does not. ``free_bytes`` None = unknown.

    ``gpu_free`` is whether the per-user lock of the GPU is ours or can be had. ``trainer_text`` ''
    = there is a trainer that can train; else why not, in a sentence, and ``trainer_code``.
    ``closing`` is the job and the attempt whose last picture is with the engine: the one after it
    may be made ready. ``setup``: what a reference run on this engine would be true for, () =
    not seen yet. ``at`` is now, in ms since 1970; that it passes is no news.
    """

    engine: EngineName
    engine_code: str = "ENGINE_STARTING"
    engine_text: str = "The engine has not answered yet."
    gpu_free: bool = True
    free_bytes: int | None = None
    trainer_text: str = ""
    trainer_code: str = "TRAINER_MISSING"
    closing: tuple[JobId, int] | None = None
    machine: Machine = Machine()
    setup: tuple[str, ...] = ()
    at: int = field(default=0, compare=False)

    @property
    def strain(self) -> Machine:
        """The machine as far as it may keep anybody waiting: a rehearsal asks nothing of it."""
        return Machine() if self.engine == "rehearsal" else self.machine


def first_world(engine: EngineName, trainer_text: str) -> World:
    """The world before anything of it was seen."""
    if engine != "none":
        return World(engine, trainer_text=trainer_text)
    return World("none", "ENGINE_MISSING", _MISSING, trainer_text=trainer_text)
