"""Touches the disk to make a studio: folders, settings that say their defaults, templates.

Law: nothing that is there is overwritten, and nothing is written before all of it can be.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from daemon.errors import AskerError, PersonNeeded
from daemon.wire.text import visible

_FOLDERS = ("inbox", "outbox", "ledger", "workflows", "datasets", "poses")
_STUDIO_ID = "ledger/studio"
_ID = re.compile(r"[0-9a-f]{12}")
_PACKAGE = Path(__file__).resolve().parent.parent

_SETTINGS = """\
# Settings of this studio. Every key has a default; those below are the defaults, switched off by
# the # before them. Where ComfyUI lies is not said here, because studios are shared: set
# COMFYUI_BASE_PATH (the folder that holds models/) in the environment, or [comfyui] base_path in
# ~/.config/nightpress/config.toml.

[engine]
# use = "auto"                # "comfyui", "rehearsal"; auto: ComfyUI where its place is known

[comfyui]
# mode = "external"           # you start ComfyUI yourself; "managed": nightpress does
# url = "http://127.0.0.1:8188"    # external only
# timeout_s = 10              # an answer takes longer than this: the engine counts as silent
# custom_nodes = {}           # packs that may be loaded, each with where it is said to work on MPS

[intake]
# settle_s = 2                # a file is taken when it was quiet for so long
# rescan_s = 10               # the inbox is listed as often as this in any case

[disk]
# min_free_gb = 10            # below it nothing starts

[windows]
# training = ["22:00-07:00"]  # also of some days: "mon-fri 22:00-07:00"; [] is never
# panels = ["00:00-24:00"]
# timezone = ""               # "Europe/Berlin"; "": the clock of the machine that it runs on

[memory]
# total_gb = 0                # 0: as much as the machine says
# reserve_gb = 1              # left to everything else

[power]
# require_ac = true           # no training on the battery

[mps]
# high = 0.9                  # what a training may take, as a share of what Metal recommends
# low = 0.8                   # below high: from here on it gives back what it does not use

[policy]
# canary = false              # true: nothing is made before a reference run is green
# heavy = "warn"              # browsers and editors beside a training; "hold": it waits for them
# Caps may be tightened; beyond what 16 GB of memory bear only with i_have_more_memory = true.
# max_area = 393216           # pixels: 512 x 768
# max_side = 768
# max_steps = 60
# max_pictures = 100
# max_loras = 4

[models]
# "anything-v5.safetensors" = "…"  # the SHA-256 that a model file must have to be used

[git]
# checkpoint = "off"          # "daily": the daemon commits ledger/ once a day; it never pushes

[notify]
# on = ["failed", "needs_you"]  # also "done"; by which command: ~/.config/nightpress/config.toml
# quiet_hours = []            # as in ["22:00-08:00"]: told when they are over
"""
_IGNORE = """\
# What a run leaves behind; deletable when no daemon is alive.
.nightpress/
# Jobs on their way through, and what is rewritten all the time.
/inbox/*
!/inbox/README.md
/outbox/status.json
/outbox/index.html
/outbox/sheet/
/outbox/rejected/
# Datasets and states of trainings: large, and of use only until a checkpoint is approved.
/outbox/*/resume/
"""
_ATTRIBUTES = """\
# A ledger line is hashed byte for byte: git must never change its line ends (-text). Each host
# writes files of its own, so hosts merge by themselves; where two branches of one host meet, git
# must leave one side's bytes and no conflict markers (-merge), and say that it is a conflict. The
# side with more lines is the right one: `nightpress verify` says whether it is whole.
ledger/** -text -merge
"""
_ABOUT: Mapping[str, str] = {
    "inbox": "Drop job files (*.toml) here. It empties as they are taken; the answer to a file that"
    "\ncannot be run is in outbox/rejected/.\n",
    "outbox": "One folder a job: the request, its status, pictures, executed graphs and lock files."
    "\nOpen index.html to look through them; status.json is for programs. Nothing published here is"
    "\never rewritten.\n",
    "ledger": "What happened, one line an event, one folder a machine. Only ever appended to; keep"
    "\nit in git. `nightpress log` reads it, `nightpress verify` checks it.\n",
    "datasets": "Training pictures, each with a .txt caption beside it, one folder a character.\n",
    "poses": "Hint images for [controlnet], as PNG.\n",
}


def make_studio(folder: Path, *, studio: str) -> list[str]:
    """Make a studio with this id; gives what was left as it was, relative to the folder.

    Raises ``AskerError`` when there is one already, or something is in its way.
    """
    _refuse_conflicts(folder)
    files = _files(studio)
    for name in _FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True)
    kept = [path for path in files if (folder / path).exists()]
    for path, data in files.items():
        if path not in kept:
            (folder / path).write_bytes(data)
    return kept


def read_id(folder: Path) -> str | None:
    """A studio's id, None before it has one. Raises ``PersonNeeded`` for a file without one."""
    path = folder / _STUDIO_ID
    try:
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return None
    if not _ID.fullmatch(text):
        raise PersonNeeded(
            f"{path} holds no studio id (12 hexadecimal digits). Seeds and prompt ids derive from "
            "it: put the recorded one back (git log -p ledger/studio)."
        )
    return text


def keep_id(folder: Path, *, fresh: str) -> None:
    """See to it that a studio has its id, also when git took ledger/ away as a whole.

    A studio that was made by hand is given ``fresh``, exclusively, since it is never to change.
    Raises ``PersonNeeded`` when there are lines whose id is gone.
    """
    spare = folder / ".nightpress" / "spare"
    kept, path = spare / "studio", folder / _STUDIO_ID
    path.parent.mkdir(exist_ok=True)
    if read_id(folder) is None:
        if any(folder.glob("ledger/*/*.jsonl")) and not kept.is_file():
            raise PersonNeeded(
                f"{path} is gone, and the ledger has lines: seeds and prompt ids derive from it. "
                "Put it back (git checkout -- ledger/studio) and start again."
            )
        with path.open("x", encoding="ascii") as file:
            file.write(kept.read_text("ascii") if kept.is_file() else f"{fresh}\n")
    spare.mkdir(parents=True, exist_ok=True)
    kept.write_text(f"{read_id(folder)}\n", "ascii")


def _files(studio: str) -> Mapping[str, bytes]:
    """Path -> bytes of everything a new studio holds."""
    return {
        "nightpress.toml": _SETTINGS.encode(),
        ".gitignore": _IGNORE.encode(),
        ".gitattributes": _ATTRIBUTES.encode(),
        **{f"{name}/README.md": f"# {name}/\n\n{_ABOUT[name]}".encode() for name in _ABOUT},
        **{f"workflows/{file.name}": file.read_bytes() for file in _templates()},
        # The id comes last: a studio made halfway is not one yet, and init goes on with it.
        _STUDIO_ID: f"{studio}\n".encode(),
    }


def _templates() -> list[Path]:
    """The templates of the product: in a wheel inside the package, in a checkout beside it."""
    for folder in (_PACKAGE / "_templates", _PACKAGE.parent / "workflows"):
        if folder.is_dir():
            return sorted(file for file in folder.glob("[!.]*.*") if file.is_file())
    raise AskerError(
        "This installation of nightpress has lost its workflow templates; install it again."
    )


def _refuse_conflicts(folder: Path) -> None:
    shown = visible(str(folder))
    if (folder / _STUDIO_ID).exists():
        raise AskerError(f"{shown} is a studio already. `nightpress run` in it starts its daemon.")
    for name in _FOLDERS:
        path, why = folder / name, ""
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            why = "it is a link or a file, and a studio needs a folder of its own there"
        elif name in ("inbox", "outbox", "ledger") and set(path.glob("*")) - {path / "README.md"}:
            why = "it is not empty, so it may belong to something else"
        if why:
            raise AskerError(
                f"{shown}/{name} is in the way: {why}. Nothing was changed. Move it away, or "
                "choose another folder."
            )
