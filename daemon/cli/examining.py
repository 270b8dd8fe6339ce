"""The face: looks at the machine for `doctor`, each thing by itself and within a time.

Law: nothing is started on the GPU, and nothing is left behind.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import IO

from daemon.adapters import access
from daemon.adapters.clock import SystemClock, SystemEntropy
from daemon.adapters.comfyui import ComfyRenderer
from daemon.adapters.disk.flush import FULL_SYNC, Flush
from daemon.adapters.launchd import Launchd
from daemon.adapters.probe import MachineProbe
from daemon.adapters.probe.looks import Look
from daemon.bootstrap import engine_program, idle_trainer, model_folders, trainer_text
from daemon.cli import folded, place, service
from daemon.cli.place import Bad
from daemon.cli.tables import inner, raw, status_file
from daemon.core.environment import Setup, setup_of
from daemon.core.events import Incident, JobEnded
from daemon.core.jobs import JobId, Phase, TrainSpec
from daemon.core.state import State, last_reference
from daemon.core.world import Machine
from daemon.errors import AskerError, NightpressError, PersonNeeded, WorldError
from daemon.home import Home, at_home, user_home
from daemon.shell.trainer_watch import why_unfit
from daemon.wire import health, health_machine
from daemon.wire.health import Finding
from daemon.wire.making import engine_of
from daemon.wire.text import excerpt

_LIMIT_S = 150.0
"""A trainer loads torch to say what it can do."""
_QUICK_S = 15.0
_GIT_S = 10.0
_DAY_MS = 24 * 3_600_000
_MAC = sys.platform == "darwin"

Looks = Sequence[tuple[str, Callable[[], Awaitable[Iterable[Finding]]]]]
_Lately = tuple[Mapping[str, Sequence[JobId]], Mapping[str, int]]


async def examined(studio: Path) -> list[Finding]:
    """Everything there is to find; what fails, or takes too long, is a finding itself."""
    try:
        home = at_home(studio, os.environ)
    except (NightpressError, OSError) as error:
        remedy = "Mend what is named, then run `nightpress doctor` again."
        why = "The daemon would not start."
        return [Finding("settings", "SETTINGS", "bad", str(error), why, remedy)]
    try:
        state, last, events = _folded(studio)
    except (NightpressError, OSError) as error:
        choice = isinstance(error, Bad)  # Another machine's ledgers; nothing is wrong with them.
        told = health.unseen("ledger", str(error)) if choice else health.damaged(str(error))
        return [told, *await _each(_looks(home, State(), 0))]
    return [*await _each(_looks(home, state, last)), *health.lately_findings(*events)]


def _looks(home: Home, state: State, last: int) -> Looks:
    policy = home.settings.policy
    at = SystemClock().now()
    setup: list[Setup] = []

    async def engine() -> Iterable[Finding]:
        return await _engine(home, setup)

    async def reference() -> Iterable[Finding]:
        if home.engine == "rehearsal":
            return ()
        known = state.references.get(setup[0]) if setup else last_reference(state)
        return health.reference_findings(known, at=at)

    async def hours() -> Iterable[Finding]:
        return health.hours_findings(state, policy, at=at)

    return [
        ("engine", engine),
        ("reference run", reference),
        ("trainer", lambda: _trainer(home, state)),
        ("models", lambda: _in_thread(_models, home)),
        ("memory", lambda: _machine(home)),
        ("hours", hours),
        ("folder", lambda: _in_thread(_folder, home)),
        ("disk", lambda: _in_thread(_disk, home)),
        ("git", lambda: _in_thread(_git, home)),
        ("service", lambda: _in_thread(_agent, home)),
        ("clock", lambda: _in_thread(_clock, home, at, last)),
    ]


async def _in_thread(look: Callable[..., Iterable[Finding]], *given: object) -> Iterable[Finding]:
    def tried() -> list[Finding] | Exception:
        try:
            return list(look(*given))
        except Exception as error:  # noqa: BLE001  # It is told where it is waited for.
            return error

    taken: Look[list[Finding] | Exception] = Look(tried, limit_s=_QUICK_S)
    seen = await taken.take()
    if isinstance(seen, Exception):
        raise seen
    if seen is None:
        raise TimeoutError
    return seen


async def _each(looks: Looks) -> list[Finding]:
    found = []
    for area, look in looks:
        try:
            async with asyncio.timeout(_LIMIT_S if area == "trainer" else _QUICK_S):
                found += list(await look())
        except TimeoutError:
            found.append(health.unseen(area, "it did not answer in time"))
        except Exception as error:  # noqa: BLE001  # A probe that fails never fails the others.
            found.append(health.unseen(area, str(error) or type(error).__name__))
    return found


async def _engine(home: Home, setup: list[Setup]) -> list[Finding]:
    """What draws. ``setup`` gets what a reference run would be true for."""
    area = "engine"
    if home.engine == "none":
        return [
            health.symptom(
                area, "ENGINE_MISSING", "The studio has printed with ComfyUI, and none is set"
            )
        ]
    if home.engine == "rehearsal":
        remedy = "Set COMFYUI_BASE_PATH to the folder that holds ComfyUI's models/."
        why = "Nothing of it can be printed."
        return [Finding(area, "REHEARSAL", "warn", "Pictures are storyboards", why, remedy)]
    found: list[Finding] = []
    url = home.settings.url
    if home.managed:
        return await _managed(home)
    renderer = ComfyRenderer(
        url, entropy=SystemEntropy(), mode="external", timeout_s=home.settings.timeout_s
    )
    imported: bool | None = None
    try:
        facts = await renderer.describe()
        setup.append(setup_of(engine_of(facts, home.places)))
        found += health.engine_findings(facts, outside=await renderer.outside(), mac=_MAC)
        imported = bool(await renderer.modules([health.ADVANCED_NODE]))
    except WorldError as error:
        found.append(health.symptom(area, "COMFY_NOT_READY", f"{url}: {error.text}"))
    finally:
        await renderer.close()
    return [*found, _nodes(home, imported)]


async def _managed(home: Home) -> list[Finding]:
    """Whether ours could be started, and what the daemon says of it."""
    found: list[Finding] = []
    try:
        engine_program(home).launch("default", 8188)
        found.append(health.startable(home.settings.program))
    except WorldError as error:
        found.append(health.symptom("engine", error.code, error.text))
    seen = inner(status_file(home.folder), "engine")
    if place.is_alive(home.folder) and seen.get("code"):
        found.append(health.symptom("engine", raw(seen, "code"), raw(seen, "text")))
    elif place.is_alive(home.folder) and (device := raw(seen, "device")):
        what = f"{raw(seen, 'name')} {raw(seen, 'version')} on {device}"
        found.append(health.device_finding(what, device, mac=_MAC))
    return [*found, _nodes(home, None)]


def _nodes(home: Home, imported: bool | None) -> Finding:
    folder = Path(home.settings.base_path) / "custom_nodes" / health.ADVANCED
    allowed = health.ADVANCED in home.settings.packs or not home.managed
    return health.nodes_finding(there=folder.is_dir(), allowed=allowed, imported=imported)


async def _trainer(home: Home, state: State) -> Iterable[Finding]:
    if text := trainer_text(home):
        return [health.symptom("trainer", "TRAINER_MISSING", text, "warn")]
    trainer = idle_trainer(home)
    assert trainer is not None, "why there is none is told above"
    try:
        facts = await trainer.describe()
    except WorldError as error:
        return [health.symptom("trainer", error.code, error.text)]
    specs = [job.spec for job in state.jobs.values() if isinstance(job.spec, TrainSpec)]
    unfit = (await why_unfit(trainer, specs[-1], home.settings.policy)).text if specs else ""
    return health.trainer_findings(facts, unfit)


def _models(home: Home) -> list[Finding]:
    if home.engine != "comfyui":
        return []
    rows = [
        (model.role, model.name, model.refusal, model.expected, model.warnings)
        for model in model_folders(home).installed()
    ]
    return list(health.model_findings(rows))


async def _machine(home: Home) -> Iterable[Finding]:
    probe = MachineProbe()
    seen, programs, users = await asyncio.gather(probe.signals(), probe.programs(), probe.users())
    machine = Machine(
        total_bytes=seen.total_bytes,
        free_bytes=seen.free_bytes,
        level=seen.level,
        unknown=tuple((signal, 0) for signal in seen.unknown),
        on_ac=seen.on_ac,
        programs=health_machine.heavy([(each.name, each.bytes) for each in programs or ()]),
        users=users or 0,
    )
    return health_machine.machine_findings(machine, home.settings.policy, mac=_MAC)


def _folder(home: Home) -> Iterable[Finding]:
    fault = ""
    try:
        access.check(home.folder)
        for name in ("inbox", "outbox", "ledger"):
            next((home.folder / name).iterdir(), None)
    except (PersonNeeded, OSError) as error:
        fault = str(error)
    root = str(user_home(home.environment))
    return health_machine.folder_findings(str(home.folder), root, mac=_MAC, fault=fault)


def _disk(home: Home) -> Iterable[Finding]:
    volume = os.statvfs(home.folder)
    home.private.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.private, prefix="doctor-") as folder:
        file = Path(folder, "a")
        began = monotonic()
        with file.open("wb") as opened:
            opened.write(b"written")
            opened.flush()
            Flush(FULL_SYNC).file(opened.fileno())
        took_ms = (monotonic() - began) * 1000
        links = True
        try:
            Path(folder, "b").hardlink_to(file)
        except OSError:
            links = False
    free = volume.f_bavail * volume.f_frsize
    return health_machine.disk_findings(free, home.settings.policy, links=links, sync_ms=took_ms)


def _git(home: Home) -> Iterable[Finding]:
    above = (home.folder, *home.folder.parents)
    if not any((folder / ".git").exists() for folder in above):
        return health_machine.git_findings(health_machine.GitSeen(), checkpoints=False)
    segments = [str(file.relative_to(home.folder)) for file in home.folder.glob("ledger/*/*.jsonl")]

    def git(*words: str) -> str:
        command = ("git", "-C", str(home.folder), "-c", "core.fsmonitor=false", *words)
        try:
            done = subprocess.run(
                command,
                env={**home.environment, "GIT_OPTIONAL_LOCKS": "0"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                errors="replace",
                timeout=_GIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise AskerError(f"git {words[0]} did not end within {_GIT_S:g} s") from None
        # With 1 `check-ignore` says that nothing is ignored.
        if done.returncode > (words[0] == "check-ignore") or done.returncode < 0:
            said = excerpt(done.stderr.strip(), limit=300)
            raise AskerError(f"git {words[0]}: {said or f'exit status {done.returncode}'}")
        return done.stdout

    attributes, changed = "", git("status", "--porcelain", "--", "ledger")
    with suppress(OSError):
        attributes = (home.folder / ".gitattributes").read_text(encoding="utf-8", errors="replace")
    seen = health_machine.GitSeen(
        repository=True,
        ignored=bool(segments and git("check-ignore", "--", *segments)),
        attributes=attributes,
        dirty=len(changed.splitlines()),
    )
    return health_machine.git_findings(seen, checkpoints=home.settings.checkpoint == "daily")


def _clock(home: Home, at: int, last: int) -> Iterable[Finding]:
    with _own_file(home) as file:
        skew_s = Path(file.name).stat().st_mtime - SystemClock().now() / 1000
    zone = str(home.settings.policy.training_windows.zone)
    return health_machine.clock_findings(zone=zone, at=at, last=last, skew_s=skew_s)


def _agent(home: Home) -> Iterable[Finding]:
    launchd = Launchd(user_home(home.environment), home.environment)
    if not launchd.here:
        return []
    seen = service.agent_seen(home.folder, launchd)
    what = " ".join(service.told(seen))
    return [health_machine.agent_finding(what, good=seen.good, installed=seen.installed)]


def _folded(studio: Path) -> tuple[State, int, _Lately]:
    """The state, when its last line was written, what failed and was said in the last day."""
    state, last = State(), 0
    since = SystemClock().now() - _DAY_MS
    failed: dict[str, list[JobId]] = defaultdict(list)
    said: dict[str, int] = defaultdict(int)
    for entry in folded.own_entries(studio, state):
        last = entry.at
        if entry.at < since:
            continue
        match entry.event:
            case JobEnded(job, Phase.FAILED | Phase.QUARANTINED, code):
                failed[code].append(job)
            case Incident(code=code):
                said[code] += 1
            case _:
                pass
    # Whoever was tried again, and went well, is no trouble any more.
    open_ = {
        code: [job for job in jobs if state.jobs[job].phase in (Phase.FAILED, Phase.QUARANTINED)]
        for code, jobs in failed.items()
    }
    return state, last, ({code: jobs for code, jobs in open_.items() if jobs}, dict(said))


def _own_file(home: Home) -> IO[bytes]:
    home.private.mkdir(exist_ok=True)
    return tempfile.NamedTemporaryFile(dir=home.private, prefix="doctor-")
