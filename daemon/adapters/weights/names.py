"""Adapters room: names of model files, as jobs write them and as the engine looks them up."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from daemon.craft.tensors import FOLDERS
from daemon.errors import WorldError
from daemon.wire.text import visible

# Formats that are pickled Python: loading one runs whatever code its author put in.
PICKLED = (".ckpt", ".pt", ".pt2", ".pth", ".bin", ".pkl")
SAFE = ".safetensors"
_EMBEDDINGS = (SAFE, ".pt", ".bin")
"""The endings that ComfyUI tries for a name in a prompt, in this order."""
_MAX_FOLDERS = 500


def check_name(role: str, name: str) -> None:
    """Raises ``WorldError`` MODEL_FORBIDDEN for a path that leads out or another format."""
    shown = visible(name)
    plain = all(part not in ("", ".", "..") for part in name.split("/"))
    if not plain or "\\" in name or not name.isprintable():
        text = f"{shown}: write the file's path below models/{FOLDERS[role]}, with /, without .."
        raise WorldError("MODEL_FORBIDDEN", f"{text}.")
    if name.lower().endswith(PICKLED):
        text = (
            f"{shown} is in a format that can run code when it is loaded. Use a {SAFE} file"
            " of the same model; most are published in both."
        )
        raise WorldError("MODEL_FORBIDDEN", text)
    if not name.endswith(SAFE):
        text = f"{shown}: only files whose name ends in {SAFE} are loaded."
        raise WorldError("MODEL_FORBIDDEN", text)


def is_spelled_so(root: Path, name: str) -> bool:
    """Whether each part is there letter by letter: the engine compares names, while a Mac's disk
    would open ``Anything.safetensors`` for ``anything.safetensors``.
    """
    path = root / name
    with suppress(FileNotFoundError, NotADirectoryError):
        for part in (path, *path.parents[: name.count("/")]):
            if part not in part.parent.iterdir():
                return False
        return True
    return False


def files_below(root: Path) -> Iterator[str]:
    """The names of the files below a folder but for hidden ones, links followed. Links can lead in
    circles; no collection has as many folders as are looked into.
    """
    for folder, _, files in islice(os.walk(root, followlinks=True), _MAX_FOLDERS):
        here = Path(folder).relative_to(root)
        yield from ((here / each).as_posix() for each in files if not each.startswith("."))


def embedding_of(root: Path, name: str) -> str:
    """The file that ComfyUI would take for ``embedding:name``: in any folder below, as it is named
    or with an ending. Raises ``WorldError``: it is missing, not the only one, or no .safetensors.
    """
    check_name("embedding", name if name.endswith(SAFE) else f"{name}{SAFE}")
    there = set(files_below(root))
    folders = sorted({folder for each in there for folder in Path(each).parents})
    found = []
    for folder in folders:
        tried = [(folder / f"{name}{ending}").as_posix() for ending in ("", *_EMBEDDINGS)]
        found += [each for each in tried if each in there][:1]
    if not found:
        raise WorldError("MODEL_MISSING", missing(root, name))
    if len(found) > 1:
        text = (
            f"embedding:{visible(name)} may be {' or '.join(map(visible, found))}, and ComfyUI "
            "takes either. Write its folder too, or remove one."
        )
        raise WorldError("MODEL_FORBIDDEN", text)
    check_name("embedding", found[0])
    return found[0]


def missing(root: Path, name: str) -> str:
    """What is said of a name that is not there, with the nearest ones that are."""
    names = [each for each in files_below(root) if each.endswith(SAFE)]
    wanted = f"{name.removesuffix(SAFE)}{SAFE}"
    near = difflib.get_close_matches(wanted, sorted(names), n=3, cutoff=0.4)
    if near:
        hint = f"Nearest there: {', '.join(visible(each) for each in near)}."
    elif names:
        hint = f"None of the {len(names)} files there has a name like it."
    else:
        hint = f"That folder holds no {SAFE} file."
    where = f"$COMFYUI/models/{root.name}"
    return f"{visible(name)} is not in {where}. {hint} Names are compared letter by letter."
