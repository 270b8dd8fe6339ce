"""Spells the two files of settings: their keys, defaults and limits, as in the contract."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, ValidationInfo

from daemon.core.policy import Policy
from daemon.craft.captions import Words
from daemon.craft.launch import args_fault
from daemon.craft.packs import FOLDER_NAME
from daemon.wire.addresses import DEFAULT_URL, url_fault
from daemon.wire.complaints import STRICT, between, out_of_range, rule
from daemon.wire.notify_keys import Notify, UserNotify
from daemon.wire.text import excerpt
from daemon.wire.window_text import read_span

STUDIO_FILE = "nightpress.toml"
USER_FILE = "~/.config/nightpress/config.toml"

EngineUse = Literal["auto", "comfyui", "rehearsal"]
Mode = Literal["external", "managed"]
Checkpoint = Literal["off", "daily"]

_MISSION = Policy()

_MINE = (
    "A studio's nightpress.toml cannot name programs or folders outside, because a studio is "
    f"cloned from others. Write it in {USER_FILE} (for the model folder: [comfyui] base_path), or "
    "set COMFYUI_BASE_PATH or SD_SCRIPTS_PATH in the environment, and remove it here."
)
_THEIRS = f"This belongs to the studio, not to the user. Move it to the studio's {STUDIO_FILE}."
_A_PACK, _A_NOTE = "ComfyUI-Manager", "its README: no GPU code of its own"
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_A_MODEL = "anything-v5.safetensors"
_MODEL_LINE = f'Write for example: "{_A_MODEL}" = "7f96a1a9ca…", with all 64 digits.'
_PACK_LINE = f'Write for example: custom_nodes = {{ "{_A_PACK}" = "{_A_NOTE}" }}'

_MOST_WINDOWS = 50
_MOST_WORDS = 200

_STUDIOS_OWN = (
    *("engine", "intake", "disk", "policy", "git", "models", "caption"),
    *("windows", "memory", "power", "mps"),
)
_PROGRAMS = ("program", "python", "path", "args")

STUDIO_UNKNOWN: Mapping[str, str] = {
    "notify.command": _MINE,
    **dict.fromkeys(("trainer", *(f"comfyui.{key}" for key in ("base_path", *_PROGRAMS))), _MINE),
}
USER_UNKNOWN: Mapping[str, str] = {
    **dict.fromkeys(_STUDIOS_OWN, _THEIRS),
    **dict.fromkeys(
        (f"comfyui.{key}" for key in ("url", "mode", "timeout_s", "custom_nodes")), _THEIRS
    ),
    **dict.fromkeys(("notify.on", "notify.quiet_hours"), _THEIRS),
}


def path_fault(path: str) -> str:
    if (not path or path.startswith(("/", "~/"))) and path.isprintable():
        return ""
    return (
        f'The path "{excerpt(path)}" depends on where nightpress was started. Write the whole '
        "path, beginning with / or ~/"
    )


def _url_fault(url: str) -> str:
    return url and url_fault(url)


def _packs_fault(packs: Mapping[str, object]) -> str:
    """A pack is a folder's name, and somebody has to say where it works on MPS (A4.3)."""
    for name, note in packs.items():
        if not re.fullmatch(FOLDER_NAME, name):
            return f'"{excerpt(name)}" is no name of a folder in custom_nodes/. {_PACK_LINE}'
        if not isinstance(note, str) or not note.strip() or not note.isprintable():
            return f'"{name}" needs a note on where it is said to work on MPS. {_PACK_LINE}'
    return ""


def _models_fault(models: Mapping[str, object]) -> str:
    for name, sha256 in models.items():
        if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
            return (
                f'"{excerpt(name)}" needs the SHA-256 that the file is expected to have, 64 '
                f"hexadecimal digits, as its page gives it. {_MODEL_LINE}"
            )
        if not name.endswith(".safetensors"):
            return f'"{excerpt(name)}" is no name of a .safetensors file. {_MODEL_LINE}'
    return ""


def _cap(least: int, most: int) -> AfterValidator:
    """A cap may be tightened by anyone, and loosened to ``most`` by who has more memory."""

    def check(value: int, info: ValidationInfo) -> int:
        high, why = most, "beyond it nothing is promised"
        if not info.data.get("i_have_more_memory"):
            high = getattr(_MISSION, info.field_name or "")
            why = "what a 16 GB Mac bears; more needs i_have_more_memory = true in [policy]"
        if not least <= value <= high:
            raise out_of_range(least, high, why)
        return value

    return AfterValidator(check)


def _windows_fault(windows: list[str]) -> str:
    if len(windows) > _MOST_WINDOWS:
        return f"These are {len(windows)} windows, and {_MOST_WINDOWS} are enough for any week."
    faults = (found for found in map(read_span, windows) if isinstance(found, str))
    return next(faults, "")


def _mps_fault(mps: _Mps) -> str:
    """PyTorch starts with a low mark below the high one only; a high one of 0 is no limit (W2)."""
    right = f"Write for example: high = {_MISSION.mps_high_watermark}, low = "
    right += f"{_MISSION.mps_low_watermark}, or neither."
    if len(mps.model_fields_set) == 1:
        return f"`high` and `low` are set together, or PyTorch may refuse to start. {right}"
    if 0 < mps.high <= mps.low:
        return f"`low` ({mps.low:g}) must be below `high` ({mps.high:g}): PyTorch insists. {right}"
    return ""


def _words_fault(words: list[str]) -> str:
    if len(words) <= _MOST_WORDS and all(0 < len(each) <= 64 and each.strip() for each in words):
        return ""
    return f"A vocabulary has at most {_MOST_WORDS} tags of 1 to 64 letters each."


_Vocabulary = Annotated[list[str], rule(_words_fault)]
_Hours = Annotated[list[str], rule(_windows_fault)]


class _Engine(BaseModel):
    model_config = STRICT
    use: EngineUse = "auto"


class _Comfyui(BaseModel):
    model_config = STRICT
    mode: Mode = Field(default="external", description="managed: nightpress starts it itself")
    url: Annotated[str, rule(_url_fault)] = Field(default="", examples=[DEFAULT_URL])
    timeout_s: Annotated[float, between(5, 600, "a busy server answers after seconds")] = 10.0
    custom_nodes: Annotated[dict[str, object], rule(_packs_fault)] = Field(
        default={}, examples=[{_A_PACK: _A_NOTE}]
    )


class _Intake(BaseModel):
    model_config = STRICT
    settle_s: Annotated[float, between(0, 600, "how long a file must be quiet")] = 2.0
    rescan_s: Annotated[float, between(0.2, 3600, "how often the inbox is listed anyway")] = 10.0


class _Disk(BaseModel):
    model_config = STRICT
    min_free_gb: Annotated[float, between(0, 10_000, "nothing starts below")] = _MISSION.min_free_gb


class _Windows(BaseModel):
    model_config = STRICT
    training: _Hours = Field(default=["22:00-07:00"])
    panels: _Hours = Field(default=["00:00-24:00"])
    timezone: str = Field(default="", examples=["Europe/Berlin"])


class _Memory(BaseModel):
    model_config = STRICT
    total_gb: Annotated[float, between(0, 2048, "0 is what the machine says")] = (
        _MISSION.memory_total_gb
    )
    reserve_gb: Annotated[float, between(0, 64, "what is left to everything else")] = (
        _MISSION.memory_reserve_gb
    )


class _Power(BaseModel):
    model_config = STRICT
    require_ac: bool = _MISSION.require_ac


class _Mps(BaseModel):
    model_config = STRICT
    high: Annotated[float, between(0, 1, "shares of the memory that Metal recommends")] = (
        _MISSION.mps_high_watermark
    )
    low: Annotated[float, between(0, 1, "shares of the memory that Metal recommends")] = (
        _MISSION.mps_low_watermark
    )


class _Git(BaseModel):
    model_config = STRICT
    checkpoint: Checkpoint = "off"


class _Caps(BaseModel):
    model_config = STRICT
    i_have_more_memory: bool = False
    heavy: Literal["warn", "hold"] = _MISSION.heavy
    canary: bool = Field(default=_MISSION.canary, description="first of all a reference run")
    max_area: Annotated[int, _cap(64 * 64, 2048 * 2048)] = _MISSION.max_area
    max_side: Annotated[int, _cap(64, 2048)] = _MISSION.max_side
    max_steps: Annotated[int, _cap(1, 1_000)] = _MISSION.max_steps
    max_pictures: Annotated[int, _cap(1, 1_000)] = _MISSION.max_pictures
    max_loras: Annotated[int, _cap(1, 16)] = _MISSION.max_loras
    max_training_steps: Annotated[int, _cap(1, 100_000)] = _MISSION.max_training_steps


class _Framing(BaseModel):
    model_config = STRICT
    full_body: _Vocabulary = Field(default=[], examples=[["head to toe"]])
    upper_body: _Vocabulary = Field(default=[], examples=[["from the waist"]])
    face: _Vocabulary = Field(default=[], examples=[["mug shot"]])


class _Caption(BaseModel):
    """Words beside those that nightpress knows."""

    model_config = STRICT
    pose: _Vocabulary = Field(default=[], examples=[["drawing a sword"]])
    background: _Vocabulary = Field(default=[], examples=[["shipyard"]])
    framing: _Framing = _Framing()

    def words(self) -> Words:
        """All words of captions, ours and the studio's."""
        own = {"pose": self.pose, "background": self.background, **self.framing.model_dump()}
        return Words(**{name: (*getattr(Words(), name), *more) for name, more in own.items()})


class StudioFile(BaseModel):
    model_config = STRICT
    caption: _Caption = _Caption()
    engine: _Engine = _Engine()
    comfyui: _Comfyui = _Comfyui()
    intake: _Intake = _Intake()
    disk: _Disk = _Disk()
    policy: _Caps = _Caps()
    git: _Git = _Git()
    windows: _Windows = _Windows()
    memory: _Memory = _Memory()
    power: _Power = _Power()
    mps: Annotated[_Mps, rule(_mps_fault)] = _Mps()
    notify: Notify = Notify()
    models: Annotated[dict[str, object], rule(_models_fault)] = Field(
        default={}, examples=[{_A_MODEL: "0" * 64}]
    )


class _UserComfyui(BaseModel):
    model_config = STRICT
    base_path: Annotated[str, rule(path_fault)] = Field(default="", examples=["~/ComfyUI"])
    program: Annotated[str, rule(path_fault)] = Field(default="", examples=["~/ComfyUI"])
    python: Annotated[str, rule(path_fault)] = Field(
        default="", examples=["~/ComfyUI/venv/bin/python"]
    )
    args: Annotated[list[str], rule(args_fault)] = Field(
        default=[], examples=[["--use-pytorch-cross-attention"]]
    )


class _Trainer(BaseModel):
    model_config = STRICT
    path: Annotated[str, rule(path_fault)] = Field(default="", examples=["~/sd-scripts"])
    python: Annotated[str, rule(path_fault)] = Field(
        default="", examples=["~/sd-scripts/venv/bin/python"]
    )
    tokenizer_cache_dir: Annotated[str, rule(path_fault)] = Field(
        default="", examples=["~/sd-scripts/tokenizers"]
    )


class UserFile(BaseModel):
    model_config = STRICT
    comfyui: _UserComfyui = _UserComfyui()
    trainer: _Trainer = _Trainer()
    notify: UserNotify = UserNotify()
