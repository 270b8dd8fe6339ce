"""Where a studio stands on this machine: its settings, its engine, its ledger's folder.

Law: what is wrong is said before anything is made; a ledger is bound to the machine that writes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from daemon.adapters import clip_vocabulary, machine, new_studio, settings_files, time_zones
from daemon.adapters.clock import SystemEntropy
from daemon.core.decide import Studio
from daemon.core.world import EngineName
from daemon.craft.dataset import Vocabulary
from daemon.errors import AskerError
from daemon.settings import Settings, read_settings, resolved_engine
from daemon.wire.places import Places

_DREW = re.compile(rb'"type":"attempt\.started","job":"[^"]*","attempt":[0-9]+,"engine":"comfyui"')


@dataclass(frozen=True, slots=True)
class Home:
    """A studio as this machine sees it, before anything works in it. ``folder`` is absolute."""

    folder: Path
    environment: Mapping[str, str]
    settings: Settings
    engine: EngineName
    id: str
    host: str

    @property
    def private(self) -> Path:
        """What is kept for a run only."""
        return self.folder / ".nightpress"

    @property
    def managed(self) -> bool:
        """Whether the engine's process is ours to start."""
        ours = self.engine == "comfyui" and self.settings.mode == "managed"
        return ours or self.engine == "rehearsal"

    @property
    def places(self) -> Places:
        """The folders that locks and the ledger name."""
        settings = self.settings
        named = {
            "$STUDIO": str(self.folder),
            "$COMFYUI": settings.base_path,
            "$TRAINER": settings.trainer_path,
        }
        return {name: folder for name, folder in named.items() if folder}

    @property
    def studio(self) -> Studio:
        """What a decision needs to know of it."""
        return Studio(self.id, rehearsal=self.engine == "rehearsal")


def at_home(folder: Path, environment: Mapping[str, str]) -> Home:
    """The studio as the daemon would find it; nothing in its ledger is made or changed."""
    settings = _settings(folder, environment)
    host = machine.own_host(folder / "ledger", machine=_machine(environment)) or ""
    engine = _engine(folder, settings, host)
    return Home(folder, environment, settings, engine, new_studio.read_id(folder) or "0" * 12, host)


def made_home(folder: Path, environment: Mapping[str, str]) -> Home:
    """The studio, with what is missing of its id and its ledger's folder made."""
    _settings(folder, environment)  # What is wrong with them is said before anything is made.
    new_studio.keep_id(folder, fresh=SystemEntropy().token()[:12])
    _bring_host_back(folder, environment)
    bound_host(folder, environment)
    return at_home(folder, environment)


def bound_host(folder: Path, environment: Mapping[str, str]) -> str:
    """The name of this machine's ledger in the studio; one is bound to it if there is none."""
    return machine.bind_host(
        folder / "ledger", name=machine.host_name(), machine=_machine(environment)
    )


def vocabulary(home: Home) -> Vocabulary:
    """The words by which captions are judged, and CLIP's tokens where ComfyUI has them."""
    folder = Path(home.settings.program, "comfy", "sd1_tokenizer")
    return Vocabulary(home.settings.words, clip_vocabulary.tokens(folder))


def user_home(environment: Mapping[str, str]) -> Path:
    """Where the user's own files are."""
    return Path(environment.get("HOME") or Path.home())


def _engine(folder: Path, settings: Settings, host: str) -> EngineName:
    """The engine that is meant; none where falling back to the rehearsal would be a surprise."""
    if resolved_engine(settings) == "comfyui":
        if not settings.base_path:
            raise AskerError(
                "ComfyUI is to draw, and nightpress does not know where its models are, so it "
                "could not check or record them. Set COMFYUI_BASE_PATH to the folder that holds "
                "models/ (or [comfyui] base_path in ~/.config/nightpress/config.toml) and start "
                "again."
            )
        return "comfyui"
    if settings.engine == "auto" and _drew_for_real(folder, host):
        return "none"
    return "rehearsal"


def _drew_for_real(folder: Path, host: str) -> bool:
    """Whether a line tells of an attempt on ComfyUI; the fold is for the press."""
    places = (folder / "ledger" / host, folder / ".nightpress" / "spare" / host)
    # Mostly both are names of one file, which is then read once.
    files = {
        file.stat().st_ino: file
        for place in places
        for file in place.glob("*.jsonl")
        if file.is_file()
    }
    return any(_DREW.search(file.read_bytes()) for file in files.values())


def _settings(folder: Path, environment: Mapping[str, str]) -> Settings:
    return read_settings(
        studio_toml=settings_files.text(folder / "nightpress.toml"),
        user_toml=settings_files.own_text(_config(environment) / "config.toml"),
        environment=environment,
        zone_of=partial(time_zones.zone, environment=environment),
    )


def _config(environment: Mapping[str, str]) -> Path:
    return user_home(environment) / ".config" / "nightpress"


def _machine(environment: Mapping[str, str]) -> str:
    return machine.machine_id(_config(environment))


def _bring_host_back(folder: Path, environment: Mapping[str, str]) -> None:
    """git may have taken the whole of this machine's ledger; whose it is must be known to mend it.

    Its lines are put back by who loads them.
    """
    spare, ours = folder / ".nightpress" / "spare", _machine(environment)
    kept = machine.own_host(spare, machine=ours)
    if kept is not None and machine.own_host(folder / "ledger", machine=ours) is None:
        machine.bring_back(spare / kept, folder / "ledger" / kept)
