"""Looks at who else is on the machine: large programs by name, others' trainers, other people."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

from daemon.ports import Program

_FROM_BYTES = 300 * 2**20
"""Smaller ones are not worth a word."""
# How the processes of a program are called, by their beginnings, on macOS and on Linux.
_NAMES: Mapping[str, Sequence[str]] = {
    "Google Chrome": ("Google Chrome", "chrome", "google-chrome"),
    "Chromium": ("Chromium", "chromium"),
    "Safari": ("Safari", "com.apple.WebKit"),
    "Firefox": ("firefox", "plugin-container", "Firefox"),
    "Microsoft Edge": ("Microsoft Edge", "msedge"),
    "Brave": ("Brave Browser", "brave"),
    "Arc": ("Arc",),
    "Visual Studio Code": ("Code Helper", "Visual Studio Code", "code", "Electron"),
    "Cursor": ("Cursor",),
    "Xcode": ("Xcode",),
    "Slack": ("Slack", "slack"),
    "Discord": ("Discord",),
    "Microsoft Teams": ("Microsoft Teams", "MSTeams", "teams"),
    "Zoom": ("zoom.us", "zoom"),
    "Docker": ("com.docker", "Docker"),
    "Photoshop": ("Adobe Photoshop",),
    "Clip Studio Paint": ("CLIPStudioPaint", "CLIP STUDIO"),
    "Blender": ("Blender", "blender"),
}
_TRAINS = re.compile(
    r"(^|/)(train_network|sdxl_train\w*|train_db|fine_tune|train_textual_inversion"
    r"|flux_train\w*|train_dreambooth\w*|train_text_to_image\w*)\.py$|OneTrainer"
)
_INTERPRETER = re.compile(r"(^|/)(python[\d.]*|accelerate|torchrun)$", re.IGNORECASE)
"""What a trainer's command line begins with; an editor's has its script's name too."""
_OURS = re.compile(r"(^|/)daemon/shim\.py$")


@dataclass(frozen=True, slots=True)
class Process:
    """One that runs, as far as it lets itself be seen."""

    pid: int
    parent: int
    name: str
    words: Sequence[str]
    bytes: int


def programs() -> tuple[Program, ...]:
    """Large programs, the largest first; then trainers that have no shim of nightpress above them.

    A trainer under the shim of another studio holds the GPU's lock, and is waited for by that.
    """
    return judged({process.pid: process for process in _processes()}, own=os.getpid())


def judged(found: Mapping[int, Process], *, own: int) -> tuple[Program, ...]:
    """Who of these is worth a word. ``own`` is the daemon's pid."""
    sizes: dict[str, tuple[int, int]] = {}
    rivals = []
    for process in found.values():
        if _is_ours(process, found, own):
            continue
        if _trains(process.words):
            rivals.append(process)
        elif name := _program(process.name):
            pid, size = sizes.get(name, (process.pid, 0))
            sizes[name] = pid, size + process.bytes
    heavy = [
        Program(name, pid, size, trains=False)
        for name, (pid, size) in sizes.items()
        if size >= _FROM_BYTES
    ]
    heavy.sort(key=lambda program: -program.bytes)
    return (*heavy, *(Program(_script(each), each.pid, each.bytes, trains=True) for each in rivals))


def others() -> int:
    """How many other users are logged in."""
    own = pwd.getpwuid(os.getuid()).pw_name
    return len({user.name for user in psutil.users()} - {own})


def _processes() -> Iterator[Process]:
    for process in psutil.process_iter():
        with suppress(psutil.Error), process.oneshot():
            words: Sequence[str] = ()
            with suppress(psutil.Error):  # Not ours to read.
                words = process.cmdline()
            held = 0
            with suppress(psutil.Error):
                held = process.memory_info().rss
            yield Process(process.pid, process.ppid(), process.name(), words, held)


def _is_ours(process: Process, found: Mapping[int, Process], own: int) -> bool:
    """Whether we or a shim are among its ancestors."""
    seen: set[int] = set()
    here: Process | None = process
    while here is not None and here.pid not in seen:
        if here.pid == own or any(_OURS.search(word) for word in here.words):
            return True
        seen.add(here.pid)
        here = found.get(here.parent)
    return False


def _trains(words: Sequence[str]) -> bool:
    return any(map(_INTERPRETER.search, words[:2])) and any(map(_TRAINS.search, words))


def _program(name: str) -> str:
    for known, beginnings in _NAMES.items():
        for each in beginnings:
            # "Arc Helper" and "Arc", but not "Archive Utility".
            if name.startswith(each) and not name[len(each) :][:1].isalpha():
                return known
    return ""


def _script(process: Process) -> str:
    named = (word for word in process.words if _TRAINS.search(word))
    return next(named, process.name).rpartition("/")[2]
