"""The face: `service`, the launchd agent that keeps a studio's daemon alive on a Mac."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from daemon.adapters import new_studio
from daemon.adapters.launchd import Launchd
from daemon.cli import place
from daemon.cli.arguments import Arguments
from daemon.cli.say import document, fitted, paint, say, trains
from daemon.cli.tables import inner, raw, status_file, text, whole
from daemon.errors import NightpressError
from daemon.home import at_home, user_home
from daemon.wire.launch_agent import (
    Agent,
    Loaded,
    Plist,
    differences,
    guarded_places,
    label_of,
    plist_bytes,
    property_list,
    read_plist,
)
from daemon.wire.text import visible

_NO_LAUNCHD = (
    "There is no launchd here: only macOS has it. `nightpress run` does the same work for as long "
    "as it runs; README, launchd/, has a systemd unit. `nightpress service print` shows what a Mac "
    "would get."
)


def service(arguments: Arguments) -> int:
    """One of the four things to do with the agent of this studio."""
    folder = place.studio(arguments)
    match arguments.action:
        case "print":
            sys.stdout.write(plist_bytes(_wanted(folder)).decode())
            return 0
        case "install":
            return _install(folder, anyway=arguments.anyway)
        case "uninstall":
            return _uninstall(folder)
        case _:
            return _status(folder, as_json=arguments.json)


def _install(folder: Path, *, anyway: bool) -> int:
    wanted, launchd = _wanted(folder), _launchd()
    label, data = _label(folder), plist_bytes(wanted)
    _refuse_guarded(wanted, anyway=anyway)
    before = _installed(launchd.file(label))
    other = text(inner(before, "EnvironmentVariables"), "NIGHTPRESS_STUDIO")
    if other not in ("", visible(str(folder))) and place.is_studio(Path(other)):
        raise place.Bad(
            f"{label} already keeps {other}, of which this studio is a copy: both have the id in "
            f"ledger/studio. Uninstall it there first: nightpress --studio '{other}' service "
            "uninstall"
        )
    (folder / ".nightpress" / "logs").mkdir(parents=True, exist_ok=True)
    busy = place.is_alive(folder) and launchd.loaded(label) is None
    launchd.install(label, data)
    say(f"{paint('Installed', 'green')}: launchd starts this studio's daemon now and at each login")
    say(f"  {launchd.file(label)}")
    base = raw(inner(wanted, "EnvironmentVariables"), "COMFYUI_BASE_PATH")
    say(f"  It draws with ComfyUI, models in {visible(base)}" if base else _rehearses())
    if changed := differences(before, wanted) if before else ():
        say(fitted(f"  Changed: {', '.join(map(visible, changed))}"))
    if busy:
        said = "A daemon already works in this studio, in a terminal: the agent waits until it ends"
        say(fitted(paint(f"  {said}.", "yellow")))
    say("`nightpress service status` says how it does; `nightpress status` what it does.")
    return 0


def _rehearses() -> str:
    said = "It rehearses: neither COMFYUI_BASE_PATH nor base_path in the user's settings is set"
    return fitted(paint(f"  {said}.", "yellow"))


def _refuse_guarded(wanted: Plist, *, anyway: bool) -> None:
    said = inner(wanted, "EnvironmentVariables")
    names = ("NIGHTPRESS_STUDIO", "COMFYUI_BASE_PATH", "SD_SCRIPTS_PATH")
    guarded = guarded_places((raw(said, name) for name in names), raw(said, "HOME"))
    if guarded and not anyway:
        raise place.Bad(
            f"{', '.join(map(visible, guarded))}: macOS guards Documents, Desktop, Downloads, "
            "iCloud Drive and other volumes, and refuses them to a program that launchd starts, "
            "without a question. Move it, for example to ~/farm. Or give "
            f"{visible(os.path.realpath(sys.executable))} Full Disk Access (System Settings, "
            "Privacy & Security; again whenever Python is upgraded), then: nightpress service "
            "install --anyway"
        )


def _uninstall(folder: Path) -> int:
    launchd, label = _launchd(), _label(folder)
    lease = inner(status_file(folder), "lease")
    if not launchd.uninstall(label):
        say("Nothing was installed for this studio.")
        return 0
    say(f"Uninstalled: {label} is stopped, its file is gone, and nothing starts at login.")
    if trains(lease):
        said = "goes on to its end; to stop it: `nightpress run`, then `nightpress cancel`"
        say(fitted(f"  The training {text(lease, 'job')} {said}."))
    say(fitted("  The studio, its ledger and everything in outbox/ stay as they are."))
    return 0


@dataclass(frozen=True, slots=True)
class Seen:
    """An agent as launchd, its file and its daemon's status tell of it. ``outdated``: what of its
    file installing again would change, None where settings are wrong; ``code`` and ``text``: why
    its daemon is idle.
    """

    label: str
    file: str
    installed: bool
    disabled: bool
    loaded: Loaded | None
    outdated: tuple[str, ...] | None
    code: str
    text: str

    @property
    def good(self) -> bool:
        """Whether it works, with the settings of now."""
        pid = self.loaded.pid if self.loaded else 0
        return bool(self.installed and pid and not (self.disabled or self.outdated or self.code))


def agent_seen(folder: Path, launchd: Launchd) -> Seen:
    """How the studio's agent is."""
    label = _label(folder)
    file, loaded = launchd.file(label), launchd.loaded(label)
    installed, outdated = _installed(file), None
    with suppress(NightpressError):  # What is wrong with the settings, its daemon says.
        outdated = tuple(differences(installed, _wanted(folder))) if installed else ()
    daemon = inner(status_file(folder), "daemon")
    here = loaded is not None and loaded.pid and loaded.pid == whole(daemon, "pid")
    code, why = (raw(daemon, "code"), text(daemon, "text")) if here else ("", "")
    if loaded and loaded.pid and not here and place.is_alive(folder):
        code = "STUDIO_BUSY"
        why = f"Another daemon (pid {whole(daemon, 'pid')}) works in this studio; it waits for that"
    there = os.path.lexists(file)
    return Seen(label, str(file), there, launchd.disabled(label), loaded, outdated, code, why)


def _status(folder: Path, *, as_json: bool) -> int:
    seen = agent_seen(folder, _launchd())
    if as_json:
        loaded = seen.loaded or Loaded()
        document(
            {
                **{key: getattr(seen, key) for key in ("label", "file", "installed", "disabled")},
                "loaded": seen.loaded is not None,
                **{key: getattr(loaded, key) for key in ("state", "pid", "last_exit")},
                **{key: getattr(seen, key) for key in ("outdated", "code", "text")},
            }
        )
    else:
        say("\n".join(map(fitted, told(seen))))
    return 0 if seen.good else 1


def told(seen: Seen) -> Iterator[str]:
    """How it is, and what to do about it, in sentences."""
    again = "`nightpress service install`"
    if seen.loaded and seen.loaded.pid:
        word = "idle" if seen.code else "running"
        yield f"{seen.label} is {word}, pid {seen.loaded.pid}."
    elif seen.loaded:
        ended = visible(seen.loaded.last_exit)
        last = f" It last ended with {ended}." if ended not in ("", "0") else ""
        yield (
            f"{seen.label} is loaded, and nothing runs.{last} launchd tries again within half a "
            "minute; .nightpress/logs/launchd.log says what happened."
        )
    elif seen.installed:
        yield f"{seen.label} is installed, and launchd has not loaded it. {again} does."
    else:
        yield f"No agent is installed for this studio. {again} makes one."
    if seen.disabled:
        yield f"It is switched off (System Settings, General, Login Items). {again} switches it on."
    if seen.code:
        yield f"{seen.code}: {seen.text}"
    if seen.installed and seen.outdated:
        what = ", ".join(map(visible, seen.outdated))
        yield (
            f"Other settings than it was installed with: {what}. {again}, "
            "from a shell in which they are as they should be, writes it anew."
        )


def _installed(file: Path) -> Plist:
    try:
        return read_plist(file.read_bytes())
    except OSError:
        return {}


def _wanted(folder: Path) -> Plist:
    """The property list by the settings and the environment of now."""
    home = at_home(folder, os.environ)
    git = shutil.which("git")
    agent = Agent(
        studio=_id(folder),
        folder=str(folder),
        home=str(user_home(os.environ)),
        python=sys.executable,
        base_path=home.settings.base_path,
        trainer_path=home.settings.trainer_path,
        programs=(str(Path(git).parent.absolute()),) if git else (),
    )
    return property_list(agent, os.environ)


def _label(folder: Path) -> str:
    return label_of(_id(folder))


def _id(folder: Path) -> str:
    found = new_studio.read_id(folder)
    if found is None:
        raise place.Bad(
            f"{folder / 'ledger' / 'studio'} is missing, and the agent is named after what stands "
            "in it. Start `nightpress run` once, which puts it back or makes one."
        )
    return found


def _launchd() -> Launchd:
    launchd = Launchd(user_home(os.environ), os.environ)
    if not launchd.here:
        raise place.Bad(_NO_LAUNCHD)
    return launchd
