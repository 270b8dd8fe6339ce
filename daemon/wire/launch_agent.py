"""Spells the launchd agent of a studio: its property list, and what `launchctl` says of it.

Law: launchd passes nothing of a shell's environment, so whatever the daemon is to know stands in
the list, resolved: absolute paths, and texts only.
"""

from __future__ import annotations

import plistlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from unicodedata import normalize
from xml.parsers.expat import ExpatError

from daemon.errors import AskerError

SERVICE = "NIGHTPRESS_SERVICE"
"""In the environment of a daemon that launchd keeps alive: its agent's label."""
EXIT_S = 30
_START_AGAIN_S = 30
_OPEN_FILES = 4096
_PLACES = ("/opt/homebrew/bin", "/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin")
_PASSED = ("COMFYUI_URL", "HF_HOME", "TZ")
"""Variables that a daemon in a terminal would heed, beside the paths that settings resolve."""
_GUARDED = ("Documents", "Desktop", "Downloads", "Library/Mobile Documents")
_SAID = re.compile(r"^\t?(state|pid|last exit code) = (.+)$", re.MULTILINE)

Plist = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Agent:
    """What launchd is to keep alive. ``python`` is the absolute one of nightpress's own virtual
    environment; ``base_path`` and ``trainer_path`` are '' where there are none; ``programs`` are
    folders that go before the system's on PATH.
    """

    studio: str
    folder: str
    home: str
    python: str
    base_path: str = ""
    trainer_path: str = ""
    programs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Loaded:
    """What launchd says of an agent that it knows; '' and 0 where it says nothing."""

    state: str = ""
    pid: int = 0
    last_exit: str = ""


def label_of(studio: str) -> str:
    """Of the agent of the studio with this id: several live side by side."""
    return f"com.nightpress.{studio}"


def property_list(agent: Agent, environment: Mapping[str, str]) -> Plist:
    """The agent's property list (launchd.plist(5)), with what of ``environment`` it must know."""
    log = f"{agent.folder}/.nightpress/logs/launchd.log"
    return {
        "Label": label_of(agent.studio),
        # -P: the working folder is the studio, and a daemon.py that lies there must not be run.
        "ProgramArguments": [agent.python, "-P", "-m", "daemon", "run"],
        "WorkingDirectory": agent.folder,
        "EnvironmentVariables": dict(_variables(agent, environment)),
        "RunAtLoad": True,
        "KeepAlive": True,
        "ThrottleInterval": _START_AGAIN_S,
        "ExitTimeOut": EXIT_S,
        # Else launchd kills the shims, and with them the training, when the daemon ends.
        "AbandonProcessGroup": True,
        # Anything else is slowed down, and so is every child.
        "ProcessType": "Interactive",
        "LimitLoadToSessionType": "Aqua",
        "SoftResourceLimits": {"NumberOfFiles": _OPEN_FILES},
        # For what is said before the daemon's own log is open; launchd never turns it over.
        "StandardOutPath": log,
        "StandardErrorPath": log,
    }


def _variables(agent: Agent, environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield SERVICE, label_of(agent.studio)
    yield "NIGHTPRESS_STUDIO", agent.folder
    yield "HOME", agent.home
    yield "PATH", ":".join(dict.fromkeys((*agent.programs, *_PLACES)))
    if agent.base_path:
        yield "COMFYUI_BASE_PATH", agent.base_path
    if agent.trainer_path:
        yield "SD_SCRIPTS_PATH", agent.trainer_path
    yield from ((name, environment[name]) for name in _PASSED if environment.get(name))


def plist_bytes(document: Plist) -> bytes:
    """The file. Raises ``AskerError`` where a path or variable has what none can hold."""
    try:
        data = plistlib.dumps(dict(document))
        if plistlib.loads(data) == document:
            return data
    except (ValueError, ExpatError):
        pass
    raise AskerError(
        "A property list cannot hold a path with control characters or with bytes that are not "
        "UTF-8. Rename the studio's folder, ComfyUI's or sd-scripts', then try again."
    )


def read_plist(data: bytes) -> Plist:
    """What a file says; empty when it is no property list."""
    try:
        document = plistlib.loads(data)
    except (ValueError, ExpatError, plistlib.InvalidFileException):
        return {}
    return document if isinstance(document, dict) else {}


def differences(installed: Plist, wanted: Plist) -> Sequence[str]:
    """The keys that installing again would change, variables by their own names."""
    return [key for key, value in _flat(wanted).items() if _flat(installed).get(key) != value] + [
        key for key in _flat(installed) if key not in _flat(wanted)
    ]


def _flat(document: Plist) -> Plist:
    variables = document.get("EnvironmentVariables")
    rest = {key: value for key, value in document.items() if key != "EnvironmentVariables"}
    return {**rest, **(variables if isinstance(variables, dict) else {})}


def read_loaded(text: str) -> Loaded:
    """What `launchctl print` says, which is no API: what it no longer says is left out."""
    said: dict[str, str] = {}
    for key, value in _SAID.findall(text):
        said.setdefault(key, value.strip())
    pid = said.get("pid", "")
    last = said.get("last exit code", "").removeprefix("(never exited)")
    return Loaded(said.get("state", ""), int(pid) if pid.isdecimal() else 0, last)


def is_disabled(text: str, label: str) -> bool:
    """Whether `launchctl print-disabled` says that the user has switched this label off."""
    return re.search(rf'"{re.escape(label)}" => (?:disabled|true)\b', text) is not None


def guarded_places(paths: Iterable[str], home: str) -> Sequence[str]:
    """Those where macOS refuses a program that launchd starts, without a question (TCC)."""
    roots = tuple(f"{_folded(home)}/{_folded(name)}/" for name in _GUARDED)
    return [path for path in paths if f"{_folded(path)}/".startswith((*roots, "/volumes/"))]


def _folded(path: str) -> str:
    """As its volume compares it: by neither case nor composition."""
    return normalize("NFC", path).casefold().rstrip("/")
