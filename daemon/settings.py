"""Settings: nightpress.toml, the user's own file and the environment become one frozen value.

Law: read once, at start, and never believed to be right: a wrong key stops the start with file,
line and remedy. A studio is a folder that people clone, so its nightpress.toml can name no program,
no path and no other machine; those come from the environment or from the user's own file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, tzinfo
from typing import Literal, TypeVar

from pydantic import BaseModel

from daemon.core.jobs import Complaint
from daemon.core.policy import Policy
from daemon.core.windows import Span, Windows
from daemon.craft.captions import Words
from daemon.errors import AskerError
from daemon.wire.addresses import DEFAULT_URL, url_fault
from daemon.wire.complaints import checked
from daemon.wire.notices import Telling
from daemon.wire.settings_keys import (
    STUDIO_FILE,
    STUDIO_UNKNOWN,
    USER_FILE,
    USER_UNKNOWN,
    Checkpoint,
    EngineUse,
    Mode,
    StudioFile,
    UserFile,
    path_fault,
)
from daemon.wire.toml_file import Unreadable, read_toml
from daemon.wire.window_text import read_span

MAX_BYTES = 64 * 1024

File = TypeVar("File", bound=BaseModel)
ZoneOf = Callable[[str], tzinfo | str]
"""A time zone by its name, '' being the machine's own; or in a sentence that there is none."""

_TWO_WAYS = (
    f'{STUDIO_FILE}, comfyui.mode: "managed" means that nightpress starts ComfyUI itself, on a port'
    " of its own, and an address is given too. Remove [comfyui] url (or COMFYUI_URL in the"
    ' environment), or write mode = "external".'
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the program was started with. ``base_path`` '' = the model folders are not known.

    ``url_given``: somebody named the address; it is not the default. ``program`` holds main.py, and
    ``packs`` are the custom nodes that may be loaded, each with where it is said to work on MPS.
    ``words``: those of captions. ``models``: the SHA-256 that is expected of a model file, in small
    letters, by its name below the folder of its role. ``trainer_path`` '' = there is no sd-scripts;
    ``python`` and ``trainer_python`` '' = the one of the program's own environment.
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
    words: Words = field(default_factory=Words)
    policy: Policy = field(default_factory=Policy)
    telling: Telling = field(default_factory=Telling)


def read_settings(
    *,
    studio_toml: str | None,
    user_toml: str | None,
    environment: Mapping[str, str],
    zone_of: ZoneOf,
) -> Settings:
    """The settings; None stands for a file that does not exist.

    Of the environment COMFYUI_BASE_PATH, COMFYUI_URL, SD_SCRIPTS_PATH and HOME are read, and go
    before the files; an empty variable is as good as none. ``zone_of`` is asked for one zone.
    Raises AskerError: all wrong keys of a file, one a line.
    """
    studio = _file(STUDIO_FILE, studio_toml, StudioFile, STUDIO_UNKNOWN)
    user = _file(USER_FILE, user_toml, UserFile, USER_UNKNOWN)
    _check(environment)
    url, zone = _url(studio, environment), _zone(zone_of, studio, studio_toml or "")
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
        **studio.intake.model_dump(),
        checkpoint=studio.git.checkpoint,
        models={name: str(sha256).lower() for name, sha256 in studio.models.items()},
        words=studio.caption.words(),
        policy=_policy(studio, zone),
        telling=_telling(studio, user, zone),
    )


def resolved_engine(settings: Settings) -> Literal["comfyui", "rehearsal"]:
    """Which engine is meant: auto is ComfyUI when a base path or a URL is set, else rehearsal."""
    if settings.engine == "auto":
        return "comfyui" if settings.base_path or settings.url_given else "rehearsal"
    return settings.engine


def doubts(policy: Policy) -> Iterator[str]:
    """What is set and no mistake, yet to be said at the start, a sentence each."""
    if policy.training_windows.zone is UTC:
        yield (
            "This machine does not say in which time zone it is, so the hours of [windows] are "
            f'UTC. Name it in {STUDIO_FILE}: [windows] timezone = "Europe/Berlin"'
        )
    if not policy.mps_high_watermark:
        yield (
            "[mps] high = 0 lets a training take all memory there is, and PyTorch warns that the "
            "system may fail. Without [mps] a training that takes too much fails by itself."
        )


def _at_home(path: str, *, home: str) -> str:
    return f"{home.rstrip('/')}/{path[2:]}" if path.startswith("~/") and home else path


def _check(environment: Mapping[str, str]) -> None:
    paths = {"COMFYUI_BASE_PATH": path_fault, "SD_SCRIPTS_PATH": path_fault}
    for name, fault in {"COMFYUI_URL": url_fault, **paths}.items():
        if (value := environment.get(name)) and (text := fault(value)):
            raise AskerError(f"{name} in the environment: {text}")


def _url(studio: StudioFile, environment: Mapping[str, str]) -> str:
    """The address of the engine, '' = nobody has named one."""
    url = environment.get("COMFYUI_URL") or studio.comfyui.url
    if url and studio.comfyui.mode == "managed":
        raise AskerError(_TWO_WAYS)
    return url


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


def _zone(zone_of: ZoneOf, studio: StudioFile, text: str) -> tzinfo:
    found = zone_of(studio.windows.timezone)
    if isinstance(found, tzinfo):
        return found
    read = read_toml(text.encode("utf-8", "replace"), max_bytes=MAX_BYTES)
    line = 0 if isinstance(read, Unreadable) else read.outline.line_of(("windows", "timezone"))
    raise _wrong(STUDIO_FILE, [Complaint(line, "windows.timezone", found)])


def _policy(studio: StudioFile, zone: tzinfo) -> Policy:
    """The mission's policy, with the hours, the machine and the caps of the file."""
    caps = studio.policy.model_dump(exclude={"i_have_more_memory"})
    return replace(
        Policy(),
        min_free_gb=studio.disk.min_free_gb,
        training_windows=_windows(studio.windows.training, zone),
        panel_windows=_windows(studio.windows.panels, zone),
        memory_total_gb=studio.memory.total_gb,
        memory_reserve_gb=studio.memory.reserve_gb,
        require_ac=studio.power.require_ac,
        mps_high_watermark=studio.mps.high,
        mps_low_watermark=studio.mps.low,
        **caps,
    )


def _telling(studio: StudioFile, user: UserFile, zone: tzinfo) -> Telling:
    own = studio.notify
    return Telling(tuple(own.on), _windows(own.quiet_hours, zone), tuple(user.notify.command))


def _windows(texts: Iterable[str], zone: tzinfo) -> Windows:
    spans = [span for span in map(read_span, texts) if isinstance(span, Span)]
    return Windows(tuple(spans), zone)
