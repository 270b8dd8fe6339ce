"""Touches a trainer's own interpreter, to ask what it is and what it can do, and its tokenizer.

Law: it is asked once, and believed until its commit, its interpreter, its packages or the system
change; a question has a deadline, and what it did not answer is unknown.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from daemon.craft.preflight import PACKAGE_OF, Option
from daemon.errors import WorldError
from daemon.ports import TrainerFacts

log = logging.getLogger(__name__)

_VERSIONS_S, _ABILITIES_S = 20.0, 120.0
_PACKAGES = (
    *("torch", "accelerate", "diffusers", "transformers", "safetensors"),
    *PACKAGE_OF.values(),
)
_VERSIONS = """\
import json, platform, sys
from importlib import metadata
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
print(json.dumps([platform.python_version(), found]))
"""
_ABILITIES = """\
import contextlib, json, platform, sys
with contextlib.redirect_stdout(sys.stderr):
    import torch, train_network
    from accelerate import Accelerator, PartialState
    from library.config_util import ConfigSanitizer
    def option(action):
        kind = "switch" if action.nargs == 0 else "list" if action.nargs else "value"
        return kind, getattr(action.type, "__name__", ""), [str(c) for c in action.choices or ()]
    options = {each.dest: option(each) for each in train_network.setup_parser()._actions}
    schemas = [each for name, each in vars(ConfigSanitizer).items() if name.endswith("_SCHEMA")]
    device = PartialState().device.type
    try:
        bf16 = Accelerator(mixed_precision="bf16").mixed_precision == "bf16"
    except ValueError:
        bf16 = False
print(json.dumps({
    "device": device, "built": torch.backends.mps.is_built(), "bf16": bf16,
    "macos": platform.mac_ver()[0], "options": options,
    "dataset_keys": sorted({str(key) for schema in schemas for key in schema}),
}))
"""
"""Made in the checkout's folder, so that ``train_network`` is the very one that will be run."""
_REHEARSED = (sys.executable, "-P", "-m", "daemon.rehearsal.trainer_options")
_CLIP = "openai_clip-vit-large-patch14"
_CLIP_LENGTH = 77
_CLIP_FILES = ("vocab.json", "merges.txt", "special_tokens_map.json")
_CLIP_CONFIG = "tokenizer_config.json"


@dataclass(frozen=True, slots=True)
class Tokenizers:
    """Where CLIP's tokenizer may be: the folder that the settings name, ComfyUI's own folder ('' =
    not known), and where a copy of what that has is kept.
    """

    named: str = ""
    comfyui: str = ""
    ours: Path = Path()


class TrainerProbe:
    """Asks one trainer. ``checkout`` is sd-scripts' folder and ``cache`` where its answer is kept;
    ``environment`` is that in which it will run. Every method waits for processes.
    """

    def __init__(
        self,
        *,
        checkout: Path,
        python: str,
        environment: Mapping[str, str],
        cache: Path,
        tokenizers: Tokenizers,
    ) -> None:
        self._checkout, self._python = checkout, python
        self._environment = {**environment, "HF_HUB_OFFLINE": "1"}
        self._cache, self._tokenizers = cache, tokenizers
        self._known: tuple[object, TrainerFacts] | None = None
        self._lock = threading.Lock()

    def facts(self) -> TrainerFacts:
        """Raises ``WorldError`` TRAINER_MISSING when it does not answer at all, TRAINER_UNFIT when
        it cannot load itself.
        """
        with self._lock:
            version, packages = self._versions()
            facts = TrainerFacts("sd-scripts", self._commit(), version, packages)
            key = self._key(facts)
            if self._known is None or self._known[0] != key:
                self._known = key, self._able(facts, key)
            tokenizer = _tokenizer(self._tokenizers, self._environment)
            return replace(self._known[1], tokenizer=tokenizer)

    def _versions(self) -> tuple[str, Mapping[str, str]]:
        command = (self._python, "-I", "-c", _VERSIONS, *_PACKAGES)
        try:
            version, packages = json.loads(_asked(command, timeout_s=_VERSIONS_S))
        except subprocess.CalledProcessError as error:
            why = f"it ended with exit status {error.returncode}"
            raise missing(f"its interpreter {self._python} does not answer ({why})") from None
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise missing(f"its interpreter {self._python} does not answer ({error})") from None
        return version, packages

    def _commit(self) -> str:
        with suppress(OSError, subprocess.SubprocessError):
            # Named, not searched for: a folder around the checkout may be another repository.
            git = ("git", "--git-dir", str(self._checkout / ".git"), "rev-parse", "HEAD")
            return _asked(git, timeout_s=_VERSIONS_S).strip()
        return ""

    def _key(self, facts: TrainerFacts) -> list[object]:
        """What its abilities follow from, as it is kept in JSON."""
        script = self._checkout / "train_network.py"
        try:
            files = [[str(each), each.stat().st_mtime_ns] for each in (Path(self._python), script)]
        except OSError as error:
            raise missing(str(error)) from None
        system = [platform.release(), facts.commit, facts.python, dict(facts.packages)]
        return [*files, *system]

    def _able(self, facts: TrainerFacts, key: list[object]) -> TrainerFacts:
        with suppress(OSError, ValueError, LookupError, TypeError):
            kept, told = json.loads(self._cache.read_bytes())
            if kept == key:
                return _with(facts, told)
        command = (self._python, "-c", _ABILITIES)
        try:
            answer = _asked(
                command, timeout_s=_ABILITIES_S, cwd=self._checkout, env=self._environment
            )
            told = json.loads(answer.splitlines()[-1])
            able = _with(facts, told)
        except subprocess.CalledProcessError as error:
            last = (error.stderr.strip().splitlines() or [f"exit status {error.returncode}"])[-1]
            text = (
                f"sd-scripts' Python {self._python} cannot load train_network.py: {last[:300]}. "
                "Install sd-scripts' requirements.txt, and torch, in that environment."
            )
            raise WorldError("TRAINER_UNFIT", text) from None
        except (OSError, ValueError, LookupError, TypeError, subprocess.SubprocessError) as error:
            why = "no answer in time" if isinstance(error, subprocess.TimeoutExpired) else error
            log.warning("what sd-scripts can do is not known: %s", why)
            return replace(facts, unknown=f"What the trainer can do is not known: {why}.")
        with suppress(OSError):
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            fresh = self._cache.with_name(f".{self._cache.name}.{os.getpid()}.tmp")
            fresh.write_text(json.dumps([key, told]))
            fresh.replace(self._cache)
        return able


def rehearsed() -> TrainerFacts:
    """What the rehearsal's trainer says of itself. Raises ``WorldError`` TRAINER_UNFIT."""
    try:
        told = json.loads(_asked(_REHEARSED, timeout_s=_VERSIONS_S))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise WorldError("TRAINER_UNFIT", f"The rehearsal's trainer is mute: {error}.") from None
    return _with(TrainerFacts("rehearsal", "", platform.python_version(), {}), told)


def missing(why: str) -> WorldError:
    """The error of a trainer that cannot be used, with the remedy."""
    return WorldError(
        "TRAINER_MISSING",
        f"sd-scripts cannot be used: {why}. Set SD_SCRIPTS_PATH to a checkout with its own "
        "environment in venv/, or [trainer] path and python in ~/.config/nightpress/config.toml.",
    )


def _with(facts: TrainerFacts, told: Mapping[str, Any]) -> TrainerFacts:
    """The facts with what the interpreter told. Raises ValueError, LookupError or TypeError."""
    return replace(
        facts,
        device=str(told["device"]),
        built=bool(told["built"]),
        bf16=bool(told["bf16"]),
        macos=str(told["macos"]),
        options={
            name: Option(kind, str(kind_of), tuple(choices))
            for name, (kind, kind_of, choices) in told["options"].items()
        },
        dataset_keys=frozenset(told["dataset_keys"]),
    )


def _tokenizer(places: Tokenizers, environment: Mapping[str, str]) -> str | None:
    """The folder for ``--tokenizer_cache_dir``; '' = the hub's cache has it, None = nobody has."""
    if places.named and _is_clip(Path(places.named) / _CLIP):
        return places.named
    comfyui = Path(places.comfyui or places.ours) / "comfy" / "sd1_tokenizer"
    if _is_clip(places.ours / _CLIP) or _copied(comfyui, places.ours / _CLIP):
        return str(places.ours)
    cache = environment.get("HF_HOME") or f"{environment.get('HOME', '')}/.cache/huggingface"
    hub = Path(cache) / "hub" / "models--openai--clip-vit-large-patch14" / "snapshots"
    return "" if any(_is_clip(each) for each in hub.glob("*")) else None


def _is_clip(folder: Path) -> bool:
    with suppress(OSError, ValueError, AttributeError):
        length = json.loads((folder / _CLIP_CONFIG).read_bytes()).get("model_max_length")
        sizes = [(folder / name).stat().st_size for name in _CLIP_FILES]
        return length == _CLIP_LENGTH and all(sizes)
    return False


def _copied(source: Path, target: Path) -> bool:
    """Copy ComfyUI's tokenizer, with the length that it is used with there for the trainer, which
    takes the file at its word and would fail at the first step.
    """
    with suppress(OSError, ValueError, TypeError):
        config = {
            **json.loads((source / _CLIP_CONFIG).read_bytes()),
            "model_max_length": _CLIP_LENGTH,
        }
        files = {name: (source / name).read_bytes() for name in _CLIP_FILES}
        target.mkdir(parents=True, exist_ok=True)
        # The document that makes it whole is written last.
        for name, data in {**files, _CLIP_CONFIG: json.dumps(config).encode()}.items():
            (target / name).write_bytes(data)
        return _is_clip(target)
    return False


def _asked(
    command: Sequence[str],
    *,
    timeout_s: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=timeout_s,
        cwd=cwd,
        env=env,
    ).stdout
