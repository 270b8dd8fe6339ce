"""Settings: nightpress.toml, the user's own file and the environment become one frozen value.

Law: read once, at start, and never believed to be right: a wrong key stops the start with file,
line and remedy. A studio is a folder that people clone, so its nightpress.toml can name no program,
no path and no other machine; those come from the environment or from the user's own file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from daemon.core.jobs import Complaint
from daemon.core.policy import Policy
from daemon.errors import AskerError
from daemon.wire.addresses import DEFAULT_URL, url_fault
from daemon.wire.complaints import complaints_of
from daemon.wire.given import Fault, Given
from daemon.wire.range_rules import Range, range_faults
from daemon.wire.text import excerpt
from daemon.wire.toml_file import Unreadable, read_toml
from daemon.wire.toml_lines import dotted

STUDIO_FILE = "nightpress.toml"
USER_FILE = "~/.config/nightpress/config.toml"
MAX_BYTES = 64 * 1024

EngineUse = Literal["auto", "comfyui", "rehearsal"]
File = TypeVar("File", bound=BaseModel)

_STRICT = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

# The most that a cap can be loosened to; a limit on everything, whatever the memory.
_CEILINGS: Mapping[str, int] = {
    "max_area": 2048 * 2048,
    "max_side": 2048,
    "max_steps": 1_000,
    "max_pictures": 1_000,
    "max_loras": 16,
    "max_training_steps": 100_000,
}
_FLOORS: Mapping[str, int] = {"max_area": 64 * 64, "max_side": 64}

_LATER = "This setting is known, but not in this version yet. Remove it, or put # before it."
_MINE = (
    "A studio's nightpress.toml cannot name programs or folders outside, because a studio is "
    f"cloned from others. Write it in {USER_FILE} (for the model folder: [comfyui] base_path), or "
    "set COMFYUI_BASE_PATH in the environment, and remove it here."
)
_THEIRS = f"This belongs to the studio, not to the user. Move it to the studio's {STUDIO_FILE}."

_LATER_TABLES = ("windows", "memory", "power", "mps", "notify", "models", "git", "caption")
_PROGRAMS = ("program", "python", "path", "args")

_STUDIO_UNKNOWN: Mapping[str, str] = {
    **dict.fromkeys((*_LATER_TABLES, "comfyui.custom_nodes", "policy.canary"), _LATER),
    **dict.fromkeys(("trainer", *(f"comfyui.{key}" for key in ("base_path", *_PROGRAMS))), _MINE),
}
_USER_UNKNOWN: Mapping[str, str] = {
    **dict.fromkeys(("engine", "intake", "disk", "policy"), _THEIRS),
    **dict.fromkeys(("comfyui.url", "comfyui.mode", "comfyui.timeout_s"), _THEIRS),
    **dict.fromkeys(("trainer", *_LATER_TABLES, *(f"comfyui.{key}" for key in _PROGRAMS)), _LATER),
}


class _Engine(BaseModel):
    model_config = _STRICT
    use: EngineUse = Field(default="auto", examples=["auto"])


class _Comfyui(BaseModel):
    model_config = _STRICT
    mode: Literal["external", "managed"] = Field(default="external", examples=["external"])
    url: str = Field(default="", examples=[DEFAULT_URL])
    timeout_s: float = Field(default=10.0, examples=[10])


class _Intake(BaseModel):
    model_config = _STRICT
    settle_s: float = Field(default=2.0, examples=[2])
    rescan_s: float = Field(default=10.0, examples=[10])


class _Disk(BaseModel):
    model_config = _STRICT
    min_free_gb: float = Field(default=Policy().min_free_gb, examples=[10])


class _Caps(BaseModel):
    """Caps of the policy; None = as the policy has it."""

    model_config = _STRICT
    i_have_more_memory: bool = Field(default=False, examples=[True])
    max_area: int | None = Field(default=None, examples=[512 * 512])
    max_side: int | None = Field(default=None, examples=[512])
    max_steps: int | None = Field(default=None, examples=[30])
    max_pictures: int | None = Field(default=None, examples=[20])
    max_loras: int | None = Field(default=None, examples=[2])
    max_training_steps: int | None = Field(default=None, examples=[1200])


class _StudioFile(BaseModel):
    model_config = _STRICT
    engine: _Engine = Field(default=_Engine(), examples=["[engine]"])
    comfyui: _Comfyui = Field(default=_Comfyui(), examples=["[comfyui]"])
    intake: _Intake = Field(default=_Intake(), examples=["[intake]"])
    disk: _Disk = Field(default=_Disk(), examples=["[disk]"])
    policy: _Caps = Field(default=_Caps(), examples=["[policy]"])


class _UserComfyui(BaseModel):
    model_config = _STRICT
    base_path: str = Field(default="", examples=["~/ComfyUI"])


class _UserFile(BaseModel):
    model_config = _STRICT
    comfyui: _UserComfyui = Field(default=_UserComfyui(), examples=["[comfyui]"])


@dataclass(frozen=True, slots=True)
class Settings:
    """What the program was started with. ``base_path`` '' = the model folders are not known.

    ``url_given``: somebody named the address; it is not the default.
    """

    engine: EngineUse = "auto"
    url: str = DEFAULT_URL
    url_given: bool = False
    base_path: str = ""
    timeout_s: float = 10.0
    settle_s: float = 2.0
    rescan_s: float = 10.0
    policy: Policy = field(default_factory=Policy)


def read_settings(
    *, studio_toml: str | None, user_toml: str | None, environment: Mapping[str, str]
) -> Settings:
    """The settings; None stands for a file that does not exist.

    Of the environment COMFYUI_BASE_PATH, COMFYUI_URL and HOME are read, and go before the files; an
    empty variable is as good as none. Raises AskerError: all wrong keys of a file, one a line.
    """
    studio = _file(STUDIO_FILE, studio_toml, _StudioFile, _studio_faults, _STUDIO_UNKNOWN)
    user = _file(USER_FILE, user_toml, _UserFile, _user_faults, _USER_UNKNOWN)
    for name, fault in (("COMFYUI_URL", url_fault), ("COMFYUI_BASE_PATH", _base_path_fault)):
        if (value := environment.get(name)) and (text := fault(value)):
            raise AskerError(f"{name} in the environment: {text}")
    url = environment.get("COMFYUI_URL") or studio.comfyui.url
    return Settings(
        engine=studio.engine.use,
        url=(url or DEFAULT_URL).rstrip("/"),
        url_given=bool(url),
        base_path=_at_home(
            environment.get("COMFYUI_BASE_PATH") or user.comfyui.base_path,
            home=environment.get("HOME", ""),
        ),
        timeout_s=studio.comfyui.timeout_s,
        settle_s=studio.intake.settle_s,
        rescan_s=studio.intake.rescan_s,
        policy=_policy(studio),
    )


def resolved_engine(settings: Settings) -> Literal["comfyui", "rehearsal"]:
    """Which engine is meant: auto is ComfyUI when a base path or a URL is set, else rehearsal."""
    if settings.engine == "auto":
        return "comfyui" if settings.base_path or settings.url_given else "rehearsal"
    return settings.engine


def _base_path_fault(path: str) -> str:
    if path.startswith(("/", "~/")) and path.isprintable():
        return ""
    return (
        f'The base path "{excerpt(path)}" depends on where nightpress was started. Write the '
        "folder that holds models/, beginning with / or ~/"
    )


def _at_home(path: str, *, home: str) -> str:
    return f"{home.rstrip('/')}/{path[2:]}" if path.startswith("~/") and home else path


def _file(
    name: str,
    text: str | None,
    model: type[File],
    rules: Callable[[Given], Iterator[Fault]],
    unknown: Mapping[str, str],
) -> File:
    """A settings file as its model. Raises AskerError with everything that is wrong in it."""
    if text is None or not text.strip():
        return model()
    read = read_toml(text.encode("utf-8", "replace"), max_bytes=MAX_BYTES)
    if isinstance(read, Unreadable):
        raise _wrong(name, read.complaints)
    found = [
        Complaint(read.outline.line_of(fault.path), dotted(fault.path), fault.text)
        for fault in rules(Given(read.table))
    ]
    try:
        file = model.model_validate(read.table)
    except ValidationError as mistake:
        shape = complaints_of(mistake, model=model, outline=read.outline, unknown=unknown)
        raise _wrong(name, [*shape, *found]) from None
    if found:
        raise _wrong(name, found)
    return file


def _wrong(name: str, complaints: Iterable[Complaint]) -> AskerError:
    lines = [
        f"{name}{f', line {c.line}' if c.line else ''}{f', {c.key}' if c.key else ''}: {c.text}"
        for c in sorted(complaints, key=lambda complaint: complaint.line)
    ]
    return AskerError("\n".join(lines))


def _studio_faults(given: Given) -> Iterator[Fault]:
    comfyui = given.inner("comfyui")
    if comfyui is not None:
        if comfyui.text("mode") == "managed":
            yield Fault(
                comfyui.at("mode"),
                'mode = "managed" is not in this version yet: start ComfyUI yourself and write '
                'mode = "external".',
            )
        if comfyui.has("url") and (fault := url_fault(comfyui.text("url") or DEFAULT_URL)):
            yield Fault(comfyui.at("url"), fault)
        yield from range_faults(
            comfyui, [Range("timeout_s", 5, 600, "a busy server answers after seconds", "10")]
        )
    yield from _number_faults(given)
    yield from _cap_faults(given)


def _number_faults(given: Given) -> Iterator[Fault]:
    if (intake := given.inner("intake")) is not None:
        settle = Range("settle_s", 0, 600, "how long a file must be quiet", "2")
        rescan = Range("rescan_s", 0.2, 3600, "how often the inbox is listed in any case", "10")
        yield from range_faults(intake, (settle, rescan))
    if (disk := given.inner("disk")) is not None:
        yield from range_faults(
            disk, [Range("min_free_gb", 0, 10_000, "below it nothing starts", "10")]
        )


def _cap_faults(given: Given) -> Iterator[Fault]:
    """A cap may be tightened by anyone, and loosened by who says that there is more memory."""
    caps = given.inner("policy")
    if caps is None:
        return
    more = caps.yes("i_have_more_memory")
    reason = (
        "beyond it nothing is promised"
        if more
        else "what a 16 GB Mac bears; more needs i_have_more_memory = true in [policy]"
    )
    for key, ceiling in _CEILINGS.items():
        usual = getattr(Policy(), key)
        high = ceiling if more else usual
        yield from range_faults(caps, [Range(key, _FLOORS.get(key, 1), high, reason, f"{usual}")])


def _user_faults(given: Given) -> Iterator[Fault]:
    comfyui = given.inner("comfyui")
    path = None if comfyui is None else comfyui.text("base_path")
    if comfyui is not None and path is not None and (fault := _base_path_fault(path)):
        yield Fault(comfyui.at("base_path"), fault)


def _policy(studio: _StudioFile) -> Policy:
    """The policy with the caps of the file."""
    caps = studio.policy.model_dump(exclude={"i_have_more_memory"}, exclude_none=True)
    return replace(Policy(), min_free_gb=studio.disk.min_free_gb, **caps)
