"""Spells what names and paths in a job file may look like; each rule is a sentence or ''.

Law: no name that passes can leave the folder it is looked up in, and no model that passes can
carry code (M4.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from daemon.core.ids import split_job
from daemon.wire.given import Fault, Given
from daemon.wire.text import excerpt, is_control

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_DRIVE = re.compile(r"[A-Za-z]:")
_EMBEDDING = re.compile(r"embedding:([^\s,():]+)", re.IGNORECASE)

_CARRIES_CODE = (".ckpt", ".pt", ".pt2", ".pth", ".bin", ".pkl")
MAX_PATH = 200

_SPELLING = (
    "it has only a-z, 0-9, dot, _ and -, 64 at most, a letter or digit first (a Mac's disk does "
    "not tell capitals apart)"
)


def name_fault(name: str, *, key: str, of_file: bool) -> str:
    """Why this cannot be a job's name. ``of_file``: the name is the file's, no key gave one."""
    if _NAME.fullmatch(name):
        return ""
    better = proper_name(name)
    if of_file:
        return (
            f'The job is named after its file, and "{excerpt(name)}" is no job name: {_SPELLING}. '
            f'Rename the file to {better}.toml, or write {key} = "{better}".'
        )
    return f'"{excerpt(name)}" is no job name: {_SPELLING}. Write {key} = "{better}".'


def proper_name(name: str) -> str:
    """The name to propose: lowercase, what is not allowed replaced by _."""
    tame = re.sub(r"[^a-z0-9._-]+", "_", name[:200].lower()).lstrip("._-").rstrip("_")
    return tame[:64] or "panel1"


def ref_fault(ref: str) -> str:
    """Why this cannot be a reference; it is echoed in logs and on terminals."""
    if len(ref) <= 64 and ref.isprintable():
        return ""
    return (
        f"`ref` takes at most 64 printable characters in one line, and this has {len(ref)}. "
        'Write for example: ref = "run-7/ch01/3"'
    )


def path_fault(path: str, *, folder: str) -> str:
    """Why this is no path below ``folder``."""
    shown = excerpt(path, limit=80)
    if not path.strip():
        return f"It is empty. Write the file's name as it is in {folder}."
    if any(map(is_control, path)) or not path.isprintable():
        return f'"{shown}" has control or invisible characters. Type the name anew.'
    if "\\" in path:
        return (
            f'"{shown}" has a backslash. Write / between folders: "{path.replace(chr(92), "/")}".'
        )
    if path.startswith(("/", "~")) or _DRIVE.match(path):
        return (
            f'"{shown}" is an absolute path, and a job must run on any machine. Write the path '
            f"within {folder}."
        )
    if any(not part or part.startswith(".") for part in path.split("/")):
        return (
            f'"{shown}" leaves {folder} or names something hidden: no part of it may be empty or '
            "begin with a dot."
        )
    if len(path) > MAX_PATH:
        return f"The path has {len(path)} characters, {MAX_PATH} are enough. Rename the file."
    return ""


def model_fault(name: str, *, folder: str) -> str:
    """Why this is no model file that will be loaded (M4.1)."""
    if fault := path_fault(name, folder=folder):
        return fault
    if name.endswith(".safetensors"):
        return ""
    stem = name.rpartition(".")[0] if "." in name.rpartition("/")[2] else name
    stem = stem.removesuffix(".safetensors")
    better = f'Write "{excerpt(stem, limit=80)}.safetensors"'
    if name.lower().endswith(_CARRIES_CODE):
        return (
            f'"{excerpt(name)}" can run code when it is loaded; only .safetensors files cannot. '
            f"Get the model as .safetensors and put it into {folder}. {better} if it is called so."
        )
    return (
        f'"{excerpt(name)}" has not the ending .safetensors, and only such files are loaded. '
        f"{better} if the file in {folder} is called so."
    )


def lora_fault(name: str) -> str:
    """Why this is neither a LoRA file nor a training's job."""
    if split_job(name) is not None:
        return ""
    if "." in name or "/" in name or not _NAME.fullmatch(name):
        return model_fault(name, folder="the engine's models/loras folder")
    return (
        f'"{name}" is neither a file nor a job. Write "{name}_v1" for what the training {name} '
        f'made first, or "{name}.safetensors" for a file in models/loras.'
    )


def text_fault(text: str) -> str:
    """Why this text cannot be a prompt: control characters but newline and tab."""
    bad = next((c for c in text if is_control(c) and c not in "\n\t"), None)
    if bad is None:
        return ""
    return (
        f"There is a control character ({ascii(bad)[1:-1]}) in this text, after "
        f'"{excerpt(text.partition(bad)[0][-20:])}". Delete it; line breaks and tabs are fine.'
    )


def embedding_faults(given: Given, key: str) -> Iterator[Fault]:
    """``embedding:name`` in a prompt names a .safetensors file, with or without its ending."""
    for name in _EMBEDDING.findall(given.text(key) or ""):
        tail = name.rpartition("/")[2].lower()
        full = name if tail.endswith((".safetensors", *_CARRIES_CODE)) else f"{name}.safetensors"
        if fault := model_fault(full, folder="the engine's models/embeddings folder"):
            yield Fault(given.at(key), f"embedding: {fault}")
