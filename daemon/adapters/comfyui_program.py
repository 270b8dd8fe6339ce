"""Touches an installed ComfyUI, to start it: its list of flags, and the folders that it writes to.

Law: it writes below a folder of ours; models and custom nodes are read where the user has them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from daemon.craft.launch import ENVIRONMENT, Folders, command_line, extra_paths, options_of
from daemon.errors import WorldError

_log = logging.getLogger(__name__)

_FLAGS_LIMIT_BYTES = 2**20
_REMEDY = "in ~/.config/nightpress/config.toml, and start the daemon again."


def launcher(
    program: Path,
    *,
    python: Path,
    base: Path,
    own: Path,
    loras: Path,
    extra: Sequence[str],
    packs: Collection[str],
) -> Callable[[str, int], tuple[Sequence[str], Mapping[str, str]]]:
    """Gives command line and environment for a launch profile and a port.

    ``program`` holds main.py, ``base`` models/ and custom_nodes/; ``own`` is what it writes to and
    ``loras`` what is ours of models. What it gives raises ``WorldError`` ENGINE_START.
    """
    folders = Folders(base=str(base), own=str(own), extra=str(own / "extra_model_paths.yaml"))
    main = program / "main.py"

    def launch(profile: str, port: int) -> tuple[Sequence[str], Mapping[str, str]]:
        _refuse_missing(main, python=python, base=base)
        for folder in (*folders.made, str(loras)):
            Path(folder).mkdir(parents=True, exist_ok=True)
        Path(folders.extra).write_text(extra_paths(str(loras)), encoding="utf-8")
        words, notes = command_line(
            profile,
            program=[str(python), str(main)],
            port=port,
            folders=folders,
            options=options_of(_flags(program / "comfy" / "cli_args.py")),
            extra=extra,
            packs=packs,
        )
        for note in notes:
            _log.warning("%s", note)
        return words, ENVIRONMENT

    return launch


def _refuse_missing(main: Path, *, python: Path, base: Path) -> None:
    if not main.is_file():
        why = f"There is no {main}. Name ComfyUI's own folder: [comfyui] program {_REMEDY}"
    elif not os.access(python, os.X_OK):
        why = (
            f"There is no interpreter {python}. Make ComfyUI's own environment there, or name "
            f"another: [comfyui] python {_REMEDY}"
        )
    elif not (base / "custom_nodes").is_dir():
        why = f"ComfyUI does not start without a folder {base / 'custom_nodes'}: make an empty one."
    else:
        return
    raise WorldError("ENGINE_START", why)


def _flags(path: Path) -> str:
    """The text of an installed ``comfy/cli_args.py``; '' when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_FLAGS_LIMIT_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
