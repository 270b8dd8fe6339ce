"""Knows how ComfyUI is to be started on a Mac: which flags, and which of them mean no good.

Law: no flag reaches the command line that the installed version does not have by its whole name,
for ComfyUI takes the beginning of a flag for the flag, and so a slip of the pen for another one.
"""

from __future__ import annotations

import ast
import difflib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from daemon.core.jobs import DEFAULT_PROFILE
from daemon.core.policy import LADDER
from daemon.errors import WorldError

PROFILES = (DEFAULT_PROFILE, *LADDER)
"""The launch profiles: the default one, then those of the quality ladder (A3.2)."""

ENVIRONMENT: Mapping[str, str] = {
    "PYTORCH_ENABLE_MPS_FALLBACK": "1",
    "PYTHONUNBUFFERED": "1",  # Else what it said is lost when it is killed.
    # Else Python warns of the first picture with NaN in a server's life and of no other (A3.3).
    "PYTHONWARNINGS": "always:invalid value encountered in cast:RuntimeWarning",
    "PYTHONIOENCODING": "utf-8",  # launchd gives no locale, and its progress bar is no ASCII.
}
"""What a server's environment holds beside what it may know of the user's (A1.1), which has no
PYTORCH_MPS_*_WATERMARK_RATIO: those are for trainings (W2).
"""

_OURS = "nightpress sets it itself"
_FOLKLORE = "it is a flag of another program, the AUTOMATIC1111 web UI; ComfyUI has none such"
_NO_USE = "it changes nothing on a Mac, whose memory is shared by CPU and GPU"
_OPEN = "whoever reaches ComfyUI can read files through it, and it asks nobody who they are"
_NO_TLS = "the server is spoken to in plain HTTP, and only from this machine"
_DEAF = "the server's log is read, and must be whole and in its place"
_ENDS = "with it ComfyUI ends at once"
_PRECISION = "precision is the launch profiles' affair: fp32 for the VAE, and the quality ladder"
_REFUSED: Mapping[str, str] = {
    **dict.fromkeys(
        ("--port", "--base-directory", "--output-directory", "--input-directory"), _OURS
    ),
    **dict.fromkeys(("--temp-directory", "--user-directory", "--database-url"), _OURS),
    **dict.fromkeys(("--extra-model-paths-config", "--preview-method"), _OURS),
    **dict.fromkeys(("--disable-api-nodes", "--disable-partner-nodes"), _OURS),
    **dict.fromkeys(("--auto-launch", "--disable-auto-launch"), _OURS),
    **dict.fromkeys(
        ("--disable-all-custom-nodes", "--whitelist-custom-nodes"),
        f"{_OURS}, by [comfyui] custom_nodes in the studio's nightpress.toml",
    ),
    **dict.fromkeys(("--medvram", "--upcast-sampling", "--opt-sdp-attention"), _FOLKLORE),
    **dict.fromkeys(("--no-half", "--no-half-vae", "--precision", "--xformers"), _FOLKLORE),
    **dict.fromkeys(("--lowvram", "--novram", "--highvram", "--normalvram"), _NO_USE),
    **dict.fromkeys(("--listen", "--enable-cors-header"), _OPEN),
    **dict.fromkeys(("--tls-keyfile", "--tls-certfile"), _NO_TLS),
    **dict.fromkeys(("--log-stdout", "--verbose"), _DEAF),
    **dict.fromkeys(("-h", "--help", "--quick-test-for-ci"), _ENDS),
    **dict.fromkeys(("--force-fp16", "--force-fp32", "--fp16"), _PRECISION),
    "--fp16-vae": "a VAE in fp16 makes black pictures, and no checkpoint has passed a test of it",
    "--disable-metadata": "a picture must say which prompt it is of",
}
_ATTENTION = "-attention"
_SPLIT = "--use-split-cross-attention"


@dataclass(frozen=True, slots=True)
class Folders:
    """Absolute paths. ``base`` holds models/ and custom_nodes/; ``own`` is for what a server writes
    (``made`` below it must be there first); ``extra`` is the file of ``extra_paths``.
    """

    base: str
    own: str
    extra: str

    @property
    def made(self) -> Sequence[str]:
        """The folders that a server does not make for itself."""
        return [f"{self.own}/{name}" for name in ("output", "input", "user")]


@dataclass(frozen=True, slots=True)
class _Flag:
    """``names``: what it was called in one version or another; ``why`` '' = it can be left out."""

    names: tuple[str, ...]
    values: tuple[str, ...] = ()
    why: str = ""


def options_of(cli_args: str) -> frozenset[str]:
    """The flags of an installed ComfyUI, from the text of its ``comfy/cli_args.py``.

    Raises ``WorldError`` ENGINE_START for a text that is no such file.
    """
    try:
        calls = [node for node in ast.walk(ast.parse(cli_args)) if isinstance(node, ast.Call)]
    except (SyntaxError, ValueError, RecursionError):
        calls = []
    found = frozenset(
        word.value
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument"
        for word in call.args
        if isinstance(word, ast.Constant) and isinstance(word.value, str)
    )
    if "--listen" in found:
        return found
    raise WorldError(
        "ENGINE_START",
        "comfy/cli_args.py, which lists ComfyUI's flags, is not what it was when this nightpress"
        " was made. Install the newest nightpress, or another version of ComfyUI.",
    )


def extra_paths(loras: str) -> str:
    """The text of a file for --extra-model-paths-config that adds a folder of LoRAs."""
    return json.dumps({"nightpress": {"loras": loras}}, ensure_ascii=False) + "\n"  # JSON is YAML.


def command_line(
    profile: str,
    *,
    program: Sequence[str],
    port: int,
    folders: Folders,
    options: Collection[str],
    extra: Sequence[str],
    packs: Collection[str],
) -> tuple[Sequence[str], Sequence[str]]:
    """The command line, and a sentence for each flag of ours that this version has not.

    ``program``: interpreter and main.py; ``extra``: the user's words, for which ``args_fault`` has
    found nothing; ``packs``: the custom nodes that may be loaded. Raises ``WorldError``
    ENGINE_START where the version lacks a flag that is needed, or one of the user's.
    """
    _check(extra, options)
    words, notes = [*program], []
    for flag in (*_places(port, folders), *_precision(profile), *_surroundings(packs)):
        name = next((name for name in flag.names if name in options), "")
        if name:
            words += [name, *flag.values]
        elif flag.why:
            text = f"This ComfyUI has no {flag.names[0]}, {flag.why}. Install a newer ComfyUI."
            raise WorldError("ENGINE_START", text)
        else:
            notes.append(f"This ComfyUI has no {flag.names[0]}, so it is started without it.")
    if profile == "split-attention":  # Two ways of attention at once are refused.
        extra = [word for word in extra if not (word.startswith("--use-") and _ATTENTION in word)]
    return (*words, *extra), notes


def args_fault(args: Sequence[str]) -> str:
    """Why [comfyui] args is not taken, whatever the version; '' when it is."""
    if args and not args[0].startswith("-"):
        return f"{_shown(args[0])} stands before any flag. Begin with one, such as --cache-none"
    for word in args:
        name = word.partition("=")[0]
        owned = name.startswith("--") and name.endswith(("-unet", "-vae"))
        reason = _REFUSED.get(name) or (_PRECISION if owned else "")
        if reason or not word.isprintable():
            why = reason or "it has control characters"
            return f"{_shown(name)} is not taken: {why}. Remove it"
    return ""


def _places(port: int, folders: Folders) -> Iterator[_Flag]:
    shared = "without which it would write among the files of others"
    yield _Flag(("--listen",), ("127.0.0.1",), "without which it could be open to others")
    yield _Flag(("--port",), (str(port),), "without which two of them could not run")
    yield _Flag(("--base-directory",), (folders.base,), "without which it has no models")
    yield _Flag(("--output-directory",), (f"{folders.own}/output",), shared)
    yield _Flag(("--input-directory",), (f"{folders.own}/input",), shared)
    yield _Flag(("--temp-directory",), (folders.own,), shared)  # It makes temp/ in it.
    yield _Flag(("--user-directory",), (f"{folders.own}/user",), shared)
    yield _Flag(("--database-url",), (f"sqlite:///{folders.own}/user/comfyui.db",))
    yield _Flag(("--extra-model-paths-config",), (folders.extra,), "without which it lacks LoRAs")


def _precision(profile: str) -> Iterator[_Flag]:
    """The document's fp16 for the UNet, and fp32 for the VAE (A1.6); on a rung, what it is for."""
    rung = "without which this launch profile cannot be"
    match profile:
        case "fp32-unet":
            yield _Flag(("--fp32-unet",), why=rung)
        case _:
            yield _Flag(("--fp16-unet",))
    match profile:
        case "cpu-vae":
            yield _Flag(("--cpu-vae",), why=rung)
        case _:
            yield _Flag(("--fp32-vae",), why="without which pictures become black")
    if profile == "split-attention":
        yield _Flag((_SPLIT,), why=rung)


def _surroundings(packs: Collection[str]) -> Iterator[_Flag]:
    kept_out = "without which any custom node would be loaded"
    yield _Flag(("--disable-all-custom-nodes",), why=kept_out)
    if packs:
        yield _Flag(("--whitelist-custom-nodes",), tuple(sorted(packs)), kept_out)
    yield _Flag(("--disable-api-nodes", "--disable-partner-nodes"))
    yield _Flag(("--preview-method",), ("none",))
    # The last one takes no value, so that no word of the user's becomes one.
    yield _Flag(("--disable-auto-launch",), why="without which it opens a browser at night")


def _check(args: Sequence[str], options: Collection[str]) -> None:
    """Each flag by its whole name; a number below zero is a value."""
    for word in args:
        name = word.partition("=")[0]
        if not name.startswith("-") or name in options or name[1:2].isdigit():
            continue
        near = difflib.get_close_matches(name, sorted(options), n=3, cutoff=0.5)
        meant = f" Near to it are {', '.join(near)}." if near else ""
        raise WorldError(
            "ENGINE_START",
            f"[comfyui] args: this ComfyUI has no flag {_shown(name)}.{meant} Mend it in"
            " ~/.config/nightpress/config.toml and start the daemon again.",
        )


def _shown(word: str) -> str:
    """A word from outside, as printable text of a sensible length."""
    return ascii(word[:60])[1:-1]
