"""Spells what names, paths and texts in a job file may look like; each rule is a sentence or ''.

Law: no name that passes can leave the folder it is looked up in, and no model that passes can
carry code (M4.1).
"""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated

from daemon.core.ids import split_job
from daemon.core.policy import Policy
from daemon.craft.embeddings import misspelled
from daemon.wire.complaints import between, rule
from daemon.wire.text import excerpt, is_control

CHECKPOINT = "anything-v5.safetensors"
VAE = "vae-ft-mse-840000-ema-pruned.safetensors"  # M1.2
MAX_PATH = 200

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_ABSOLUTE = re.compile(r"/|~|[A-Za-z]:")
_CARRIES_CODE = (".ckpt", ".pt", ".pt2", ".pth", ".bin", ".pkl")


def name_fault(name: str, *, key: str) -> str:
    """Why this cannot be a job's name, given by ``key`` or else by the file's own name."""
    if is_name(name):
        return ""
    better = proper_name(name)
    return (
        f'"{excerpt(name)}" is no job name: it has only a-z, 0-9, dot, _ and -, 64 at most, a '
        "letter or digit first (a Mac's disk does not tell capitals apart). Write "
        f'{key} = "{better}"; or, without such a line, name the file {better}.toml.'
    )


def is_name(name: str) -> bool:
    """Whether a job or a template can be called so."""
    return _NAME.fullmatch(name) is not None


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
    shown = f'"{excerpt(path, limit=80)}"'
    if not path.strip() or not path.isprintable() or len(path) > MAX_PATH:
        return f"{shown} is empty, has control characters or more than {MAX_PATH}. Type it anew."
    if "\\" in path:
        return f'{shown} has a backslash. Write / between folders: "{path.replace(chr(92), "/")}".'
    if _ABSOLUTE.match(path):
        return f"{shown} is an absolute path; jobs run anywhere. Write the path within {folder}."
    if any(not part or part.startswith(".") for part in path.split("/")):
        return f"{shown} leaves {folder}, or a part of it is empty or hidden. Write a path within."
    return ""


def model_fault(name: str, *, folder: str) -> str:
    """Why this is no model file that will be loaded (M4.1)."""
    if (text := path_fault(name, folder=folder)) or name.endswith(".safetensors"):
        return text
    stem = name.rpartition(".")[0] if "." in name.rpartition("/")[2] else name
    better = excerpt(stem.removesuffix(".safetensors"), limit=80)
    code = name.lower().endswith(_CARRIES_CODE)
    return (
        f'"{excerpt(name)}" {"can run code" if code else "has not the right ending"}: only '
        f".safetensors files are loaded. Put the model as one into {folder}, and write its name, "
        f'for example "{better}.safetensors"'
    )


def lora_fault(name: str) -> str:
    """Why this is neither a LoRA file nor a training's job."""
    if split_job(name) is not None:
        return ""
    if "." in name or not is_name(name):
        return model_fault(name, folder="the engine's models/loras folder")
    return (
        f'"{name}" is neither a file nor a job. Write "{name}_v1" for what the training {name} '
        f'made first, or "{name}.safetensors" for a file in models/loras.'
    )


def text_fault(text: str) -> str:
    """Why this text cannot be a prompt: control characters but newline and tab, bad embeddings.

    ``embedding:name`` names a .safetensors file, with or without its ending.
    """
    bad = next((c for c in text if is_control(c) and c not in "\n\t"), None)
    if bad is not None:
        return (
            f"There is a control character ({ascii(bad)[1:-1]}) in this text, after "
            f'"{excerpt(text.partition(bad)[0][-20:])}". Delete it; line breaks and tabs are fine.'
        )
    return next(iter(misspelled(text)), "")


def _blank(text: str) -> str:
    return "" if text.strip() else "This is empty: say what to draw."


_MISSION = Policy()

Text = Annotated[str, rule(text_fault)]
SpokenText = Annotated[Text, rule(_blank)]
Ref = Annotated[str, rule(ref_fault)]
Checkpoint = Annotated[str, rule(partial(model_fault, folder="models/checkpoints"))]
Vae = Annotated[str, rule(partial(model_fault, folder="models/vae"))]
Priority = Annotated[
    int, between(-_MISSION.max_priority, _MISSION.max_priority, "higher goes first")
]
Seed = Annotated[
    int, between(0, "max_seed", "2^53-1, the last whole number that JavaScript keeps exact")
]
ClipSkip = Annotated[
    int, between("min_clip_skip", "max_clip_skip", "anime checkpoints want 1 or 2")
]
LoraStrength = Annotated[
    float,
    between(-_MISSION.max_lora_strength, "max_lora_strength", "beyond it the picture breaks"),
]
