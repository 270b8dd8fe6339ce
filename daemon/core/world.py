"""What is known of the world outside just now: the part of admission that is no history and is not
folded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from daemon.core.jobs import JobId

EngineName = Literal["comfyui", "rehearsal", "none"]

_MISSING = (
    "This studio has printed with ComfyUI, and none is set now; nothing falls back to rehearsal by "
    "itself. Set COMFYUI_BASE_PATH or [comfyui] url and start the daemon again."
)


@dataclass(frozen=True, slots=True)
class World:
    """``engine_code`` '' = the engine answers; else why it does not. ``free_bytes`` None = unknown.

    ``gpu_free`` is whether the per-user lock of the GPU is ours or can be had. ``trainer_text`` ''
    = there is a trainer; else a sentence that says what is missing. ``closing`` is the job and the
    attempt whose last picture is with the engine: the one after it may be made ready.
    """

    engine: EngineName
    engine_code: str = "ENGINE_STARTING"
    engine_text: str = "The engine has not answered yet."
    gpu_free: bool = True
    free_bytes: int | None = None
    trainer_text: str = ""
    closing: tuple[JobId, int] | None = None


def first_world(engine: EngineName, trainer_text: str) -> World:
    """The world before anything of it was seen."""
    if engine != "none":
        return World(engine, trainer_text=trainer_text)
    return World("none", "ENGINE_MISSING", _MISSING, trainer_text=trainer_text)
