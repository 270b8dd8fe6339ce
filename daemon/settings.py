"""Settings: nightpress.toml, the user's own file and the environment become one frozen value.

Law: read once, at start, and never believed to be right: a wrong key stops the start with file,
line and remedy. A studio is a folder that people clone, so its nightpress.toml can name no program,
no path and no other machine; those come from the environment or from the user's own file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, Field, ValidationInfo

from daemon.core.jobs import Complaint
from daemon.core.policy import Policy
from daemon.craft.launch import args_fault
from daemon.errors import AskerError
from daemon.wire.addresses import DEFAULT_URL, url_fault
from daemon.wire.complaints import STRICT, between, checked, out_of_range, rule
from daemon.wire.text import excerpt
from daemon.wire.toml_file import Unreadable, read_toml

STUDIO_FILE = "nightpress.toml"
USER_FILE = "~/.config/nightpress/config.toml"
MAX_BYTES = 64 * 1024

EngineUse = Literal["auto", "comfyui", "rehearsal"]
Mode = Literal["external", "managed"]
Checkpoint = Literal["off", "daily"]
File = TypeVar("File", bound=BaseModel)

_MISSION = Policy()

_LATER = "This setting is known, but not in this version yet. Remove it, or put # before it."
_MINE = (
    "A studio's nightpress.toml cannot name programs or folders outside, because a studio is "
    f"cloned from others. Write it in {USER_FILE} (for the model folder: [comfyui] base_path), or "
    "set COMFYUI_BASE_PATH or SD_SCRIPTS_PATH in the environment, and remove it here."
)
_THEIRS = f"This belongs to the studio, not to the user. Move it to the studio's {STUDIO_FILE}."

_TWO_WAYS = (
    f'{STUDIO_FILE}, comfyui.mode: "managed" means that nightpress starts ComfyUI itself, on a port'
    " of its own, and an address is given too. Remove [comfyui] url (or COMFYUI_URL in the"
    ' environment), or write mode = "external".'
)
_PACK = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._ -]{0,99}")
_A_PACK, _A_NOTE = "ComfyUI-Manager", "its README: no GPU code of its own"
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_A_MODEL = "anything-v5.safetensors"
_MODEL_LINE = f'Write for example: "{_A_MODEL}" = "7f96a1a9ca…", with all 64 digits.'
_PACK_LINE = f'Write for example: custom_nodes = {{ "{_A_PACK}" = "{_A_NOTE}" }}'

_LATER_TABLES = ("windows", "memory", "power", "mps", "notify", "caption")
_PROGRAMS = ("program", "python", "path", "args")

_STUDIO_UNKNOWN: Mapping[str, str] = {
    **dict.fromkeys((*_LATER_TABLES, "policy.canary"), _LATER),
    **dict.fromkeys(("trainer", *(f"comfyui.{key}" for key in ("base_path", *_PROGRAMS))), _MINE),
}
_USER_UNKNOWN: Mapping[str, str] = {
    **dict.fromkeys(("engine", "intake", "disk", "policy", "git", "models"), _THEIRS),
    **dict.fromkeys(
        (f"comfyui.{key}" for key in ("url", "mode", "timeout_s", "custom_nodes")), _THEIRS
    ),
    **dict.fromkeys(_LATER_TABLES, _LATER),
}


def _path_fault(path: str) -> str:
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
        if not _PACK.fullmatch(name):
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


class _Git(BaseModel):
    model_config = STRICT
    checkpoint: Checkpoint = "off"


class _Caps(BaseModel):
    model_config = STRICT
    i_have_more_memory: bool = False
    max_area: Annotated[int, _cap(64 * 64, 2048 * 2048)] = _MISSION.max_area
    max_side: Annotated[int, _cap(64, 2048)] = _MISSION.max_side
    max_steps: Annotated[int, _cap(1, 1_000)] = _MISSION.max_steps
    max_pictures: Annotated[int, _cap(1, 1_000)] = _MISSION.max_pictures
    max_loras: Annotated[int, _cap(1, 16)] = _MISSION.max_loras
    max_training_steps: Annotated[int, _cap(1, 100_000)] = _MISSION.max_training_steps


class _StudioFile(BaseModel):
    model_config = STRICT
    engine: _Engine = _Engine()
    comfyui: _Comfyui = _Comfyui()
    intake: _Intake = _Intake()
    disk: _Disk = _Disk()
    policy: _Caps = _Caps()
    git: _Git = _Git()
    models: Annotated[dict[str, object], rule(_models_fault)] = Field(
        default={}, examples=[{_A_MODEL: "0" * 64}]
    )


class _UserComfyui(BaseModel):
    model_config = STRICT
    base_path: Annotated[str, rule(_path_fault)] = Field(default="", examples=["~/ComfyUI"])
    program: Annotated[str, rule(_path_fault)] = Field(default="", examples=["~/ComfyUI"])
    python: Annotated[str, rule(_path_fault)] = Field(
        default="", examples=["~/ComfyUI/venv/bin/python"]
    )
    args: Annotated[list[str], rule(args_fault)] = Field(
        default=[], examples=[["--use-pytorch-cross-attention"]]
    )


class _Trainer(BaseModel):
    model_config = STRICT
    path: Annotated[str, rule(_path_fault)] = Field(default="", examples=["~/sd-scripts"])
    python: Annotated[str, rule(_path_fault)] = Field(
        default="", examples=["~/sd-scripts/venv/bin/python"]
    )
    tokenizer_cache_dir: Annotated[str, rule(_path_fault)] = Field(
        default="", examples=["~/sd-scripts/tokenizers"]
    )


class _UserFile(BaseModel):
    model_config = STRICT
    comfyui: _UserComfyui = _UserComfyui()
    trainer: _Trainer = _Trainer()


@dataclass(frozen=True, slots=True)
class Settings:
    """What the program was started with. ``base_path`` '' = the model folders are not known.

    ``url_given``: somebody named the address; it is not the default. ``program`` holds main.py, and
    ``packs`` are the custom nodes that may be loaded, each with where it is said to work on MPS.
    ``models``: the SHA-256 that is expected of a model file, in small letters, by its name below
    the folder of its role. ``trainer_path`` '' = there is no sd-scripts; ``python`` and
    ``trainer_python`` '' = the one of the program's own environment.
    """

    engine: EngineUse = "auto"
    url: str = DEFAULT_URL
    url_given: bool = False
    base_path: str = ""
    mode: Mode = "external"
    program: str = ""
    python: str = ""
    args: tuple[str, ...] = ()
    packs: Mapping[str, str] = field(default_factory=dict)
    trainer_path: str = ""
    trainer_python: str = ""
    tokenizer: str = ""
    timeout_s: float = 10.0
    settle_s: float = 2.0
    rescan_s: float = 10.0
    checkpoint: Checkpoint = "off"
    models: Mapping[str, str] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)


def read_settings(
    *, studio_toml: str | None, user_toml: str | None, environment: Mapping[str, str]
) -> Settings:
    """The settings; None stands for a file that does not exist.

    Of the environment COMFYUI_BASE_PATH, COMFYUI_URL, SD_SCRIPTS_PATH and HOME are read, and go
    before the files; an empty variable is as good as none. Raises AskerError: all wrong keys of a
    file, one a line.
    """
    studio = _file(STUDIO_FILE, studio_toml, _StudioFile, _STUDIO_UNKNOWN)
    user = _file(USER_FILE, user_toml, _UserFile, _USER_UNKNOWN)
    paths = {"COMFYUI_BASE_PATH": _path_fault, "SD_SCRIPTS_PATH": _path_fault}
    for name, fault in {"COMFYUI_URL": _url_fault, **paths}.items():
        if (value := environment.get(name)) and (text := fault(value)):
            raise AskerError(f"{name} in the environment: {text}")
    url = environment.get("COMFYUI_URL") or studio.comfyui.url
    if url and studio.comfyui.mode == "managed":
        raise AskerError(_TWO_WAYS)
    home = environment.get("HOME", "")
    base_path = environment.get("COMFYUI_BASE_PATH") or user.comfyui.base_path
    return Settings(
        engine=studio.engine.use,
        url=(url or DEFAULT_URL).rstrip("/"),
        url_given=bool(url),
        base_path=_at_home(base_path, home=home),
        mode=studio.comfyui.mode,
        program=_at_home(user.comfyui.program or base_path, home=home),
        python=_at_home(user.comfyui.python, home=home),
        args=tuple(user.comfyui.args),
        packs={name: str(note) for name, note in studio.comfyui.custom_nodes.items()},
        trainer_path=_at_home(environment.get("SD_SCRIPTS_PATH") or user.trainer.path, home=home),
        trainer_python=_at_home(user.trainer.python, home=home),
        tokenizer=_at_home(user.trainer.tokenizer_cache_dir, home=home),
        timeout_s=studio.comfyui.timeout_s,
        settle_s=studio.intake.settle_s,
        rescan_s=studio.intake.rescan_s,
        checkpoint=studio.git.checkpoint,
        models={name: str(sha256).lower() for name, sha256 in studio.models.items()},
        policy=_policy(studio),
    )


def resolved_engine(settings: Settings) -> Literal["comfyui", "rehearsal"]:
    """Which engine is meant: auto is ComfyUI when a base path or a URL is set, else rehearsal."""
    if settings.engine == "auto":
        return "comfyui" if settings.base_path or settings.url_given else "rehearsal"
    return settings.engine


def _at_home(path: str, *, home: str) -> str:
    return f"{home.rstrip('/')}/{path[2:]}" if path.startswith("~/") and home else path


def _file(name: str, text: str | None, model: type[File], unknown: Mapping[str, str]) -> File:
    """A settings file as its model. Raises AskerError with everything that is wrong in it."""
    if text is None or not text.strip():
        return model()
    read = read_toml(text.encode("utf-8", "replace"), max_bytes=MAX_BYTES)
    if isinstance(read, Unreadable):
        raise _wrong(name, read.complaints)
    file = checked(model, read.table, outline=read.outline, unknown=unknown)
    if isinstance(file, list):
        raise _wrong(name, file)
    return file


def _wrong(name: str, complaints: Iterable[Complaint]) -> AskerError:
    lines = [
        f"{name}{f', line {c.line}' if c.line else ''}{f', {c.key}' if c.key else ''}: {c.text}"
        for c in sorted(complaints, key=lambda complaint: complaint.line)
    ]
    return AskerError("\n".join(lines))


def _policy(studio: _StudioFile) -> Policy:
    """The policy with the caps of the file."""
    caps = studio.policy.model_dump(exclude={"i_have_more_memory"})
    return replace(_MISSION, min_free_gb=studio.disk.min_free_gb, **caps)
