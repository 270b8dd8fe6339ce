"""The composition root: the only module that knows every concrete class.

Law: nothing here decides about jobs. It finds out where it is, takes the guard, puts adapters into
ports, and lets the press work until a signal.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from hashlib import sha256
from pathlib import Path

from daemon import __version__
from daemon.adapters import (
    access,
    comfyui_program,
    engine_process,
    new_studio,
    node_packs,
    training_process,
)
from daemon.adapters.alarm import SchedulerAlarm
from daemon.adapters.clock import SystemClock, SystemEntropy
from daemon.adapters.comfyui import ComfyRenderer
from daemon.adapters.disk import StudioDisk
from daemon.adapters.engine_process import EngineProcess, Program
from daemon.adapters.folder_watch import FolderWatch
from daemon.adapters.git import StudioGit
from daemon.adapters.gpu_lock import NoGpuLock, UserGpuLock, gpu_lock_path
from daemon.adapters.guard import Guard
from daemon.adapters.log_file import kept_log
from daemon.adapters.notifier import CommandNotifier
from daemon.adapters.pixels import PictureReader
from daemon.adapters.probe import MachineProbe
from daemon.adapters.weights import ModelFolders
from daemon.core.commands import Command
from daemon.core.jobs import FileFacts
from daemon.core.policy import LADDER
from daemon.errors import NightpressError, WorldError
from daemon.home import Home, bound_host, made_home, user_home, vocabulary
from daemon.ports import EngineHost, Renderer, Trainer, Weights
from daemon.settings import doubts
from daemon.shell.intake import Intake
from daemon.shell.premises import Ports, Setup
from daemon.shell.press import Press
from daemon.wire.instants import instant_text
from daemon.wire.launch_agent import SERVICE
from daemon.wire.status import DaemonFacts

log = logging.getLogger(__name__)

_COMFYUI_LEAVE_S = 600.0
_REHEARSAL_LEAVE_S = 60.0
"""How long an engine of ours outlives its daemon."""


def make_studio(folder: Path, environment: Mapping[str, str]) -> list[str]:
    """Make a studio and bind its ledger to this machine; gives what was left as it was."""
    kept = new_studio.make_studio(folder, studio=SystemEntropy().token()[:12])
    bound_host(folder, environment)
    return kept


def run_daemon(folder: Path, environment: Mapping[str, str]) -> int:
    """Be the daemon of a studio until SIGTERM or SIGINT; the exit status.

    Raises ``AskerError`` for wrong settings, ``PersonNeeded`` when it must not go on by itself.
    """
    access.check(folder)
    clock = SystemClock()
    guard = Guard(folder / ".nightpress" / "guard")
    guard.take(since=instant_text(clock.now()))
    try:
        with kept_log(folder / ".nightpress" / "logs", aloud=SERVICE not in environment):
            try:
                asyncio.run(_serve(made_home(folder, environment), clock))
            except NightpressError as error:
                # Who started it reads it on stderr; this is for who comes to look in the morning.
                log.debug("ended: %s", error)
                raise
    finally:
        guard.give_back()
    return 0


async def examine(home: Home, weights: Weights, *, name: str, data: bytes) -> Command:
    """The command that would answer this file in the inbox, once its models are hashed."""
    file = FileFacts(name, sha256(data).hexdigest(), 0, 0, len(data))
    policy, pixels = home.settings.policy, PictureReader()
    intake = Intake(
        StudioDisk(home.folder),
        policy,
        weights=weights,
        pixels=pixels,
        trainer=idle_trainer(home),
        packs=home.settings.packs,
        known=vocabulary(home),
        keep=False,
    )
    whole = data if len(data) <= policy.max_job_file_bytes else None
    try:
        while True:
            try:
                return await intake.examine(file, whole)
            except WorldError as error:
                if error.code != "HASHING":
                    raise
    finally:
        await pixels.close()


async def _serve(home: Home, clock: SystemClock) -> None:
    async with AsyncExitStack() as stack:
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
        # A closed terminal is no reason to stop printing.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        await _end_others(home)
        press = Press(await _ports(home, clock, stack), _setup(home, clock))
        inbox = FolderWatch(home.folder / "inbox", press.wake_inbox, renamed=press.wake_inbox)
        inbox.start()
        stack.push_async_callback(inbox.stop)
        stopping = asyncio.ensure_future(stopped.wait())
        stopping.add_done_callback(lambda _: press.stop())
        stack.callback(stopping.cancel)
        _say_hello(home)
        await press.run()
    log.info("stopped")


async def _ports(home: Home, clock: SystemClock, stack: AsyncExitStack) -> Ports:
    pixels = PictureReader()
    stack.push_async_callback(pixels.close)
    alarm = SchedulerAlarm()
    alarm.start()
    stack.push_async_callback(alarm.stop)
    gpu = _gpu(home)
    renderer, host = _engine_ports(home, stack)
    return Ports(
        disk=StudioDisk(home.folder),
        clock=clock,
        gpu=gpu,
        alarm=alarm,
        renderer=renderer,
        host=host,
        pixels=pixels,
        weights=model_folders(home),
        trainer=_trainer(home, gpu),
        git=StudioGit(home.folder, environment=home.environment),
        probe=MachineProbe(),
        notifier=CommandNotifier(home.settings.telling.command, environment=home.environment),
    )


def _setup(home: Home, clock: SystemClock) -> Setup:
    settings = home.settings
    return Setup(
        studio=home.id,
        host=home.host,
        version=__version__,
        daemon=DaemonFacts(__version__, os.getpid(), home.id, clock.now()),
        engine=home.engine,
        places=home.places,
        policy=settings.policy,
        settle_s=settings.settle_s,
        rescan_s=settings.rescan_s,
        trainer_text=trainer_text(home),
        checkpoints=settings.checkpoint == "daily",
        profiles=LADDER if home.managed else (),
        mac=sys.platform == "darwin",
        rests=home.engine == "comfyui",
        packs=frozenset(settings.packs),
        known=vocabulary(home),
        sheet=True,
        telling=settings.telling,
    )


def _engine_ports(home: Home, stack: AsyncExitStack) -> tuple[Renderer | None, EngineHost | None]:
    """Who draws, and the process of it that is ours to start."""
    if home.engine == "none":
        return None, None

    def moved(url: str) -> None:
        renderer.move_to(url)

    process = _process(home, moved=moved)
    renderer = ComfyRenderer(
        process.url if process else home.settings.url,
        entropy=SystemEntropy(),
        mode="managed" if process else "external",
        timeout_s=home.settings.timeout_s,
    )
    stack.push_async_callback(renderer.close)
    if process and home.engine == "rehearsal":
        stack.push_async_callback(_end_idle, process, renderer)
    return renderer, process


def _process(home: Home, *, moved: Callable[[str], None]) -> EngineProcess | None:
    """The engine's process, where it is ours to start."""
    if not home.managed:
        return None
    rehearses = home.engine == "rehearsal"
    folder = home.private / ("rehearsal" if rehearses else "engine")
    program = engine_process.rehearsal(folder) if rehearses else engine_program(home)
    return _hosted(home, folder, program, moved)


async def _end_others(home: Home) -> None:
    """End an engine that a daemon with other settings has left in the midst of a prompt: two would
    share the memory, and nobody would ask this one for its picture.
    """
    for name in ("engine", "rehearsal"):
        folder = home.private / name
        used = home.managed and name == ("rehearsal" if home.engine == "rehearsal" else "engine")
        if used or not folder.is_dir():
            continue
        with suppress(WorldError):  # One that cannot be ended is no reason not to print.
            await _hosted(home, folder, engine_process.rehearsal(folder), lambda _: None).stop()


def _hosted(
    home: Home, folder: Path, program: Program, moved: Callable[[str], None]
) -> EngineProcess:
    return EngineProcess(
        folder,
        program,
        guard=home.private / "guard",
        leave_s=_REHEARSAL_LEAVE_S if home.engine == "rehearsal" else _COMFYUI_LEAVE_S,
        environment=home.environment,
        moved=moved,
    )


def engine_program(home: Home) -> Program:
    """A ComfyUI of ours, as it would be started. Its ``launch`` raises ``WorldError`` ENGINE_START
    with what is missing.
    """
    settings, own = home.settings, home.private / "engine"
    program = Path(settings.program)
    launch = comfyui_program.launcher(
        program,
        python=_python(settings.python, settings.program),
        base=Path(settings.base_path),
        own=own,
        loras=home.private / "loras",
        extra=settings.args,
        packs=settings.packs,
    )
    return Program("ComfyUI", program, launch)


async def _end_idle(host: EngineHost, renderer: Renderer) -> None:
    """End an engine that draws nothing; one that does goes on, to be rejoined at the next start."""
    with suppress(WorldError):
        queue = await renderer.queue()
        if not queue.running and not queue.pending:
            await host.stop()


def model_folders(home: Home) -> ModelFolders:
    """The model folders of the studio's engine."""
    cache = home.private / "weights.json"
    if home.engine == "rehearsal" or not home.settings.base_path:
        return ModelFolders(home.private / "rehearsal", cache, props=True)
    aliases = home.private / "loras" if home.managed else None
    base, expected = Path(home.settings.base_path), home.settings.models
    return ModelFolders(base, cache, aliases=aliases, expected=expected)


def idle_trainer(home: Home) -> Trainer | None:
    """The trainer, to be asked what it can do; None where there is none."""
    return None if trainer_text(home) else _trainer(home, NoGpuLock())


def _trainer(home: Home, gpu: UserGpuLock | NoGpuLock) -> Trainer:
    """The trainer of the engine; one that is missing says so when it is asked."""
    settings = home.settings
    if home.engine == "rehearsal":
        return training_process.rehearsal(home.folder, environment=home.environment)
    return training_process.sd_scripts(
        home.folder,
        path=Path(settings.trainer_path),
        python=_python(settings.trainer_python, settings.trainer_path),
        environment=home.environment,
        gpu_fd=lambda: gpu.fd,
        tokenizer=settings.tokenizer,
        comfyui=settings.program,
    )


def _python(named: str, program: str) -> Path:
    return Path(named) if named else training_process.own_python(program)


def trainer_text(home: Home) -> str:
    """Why there is no trainer, as a sentence; '' when there is."""
    settings = home.settings
    if home.engine == "rehearsal":
        return ""
    if not settings.trainer_path or not settings.base_path:
        return (
            "There is no trainer. Set SD_SCRIPTS_PATH to a checkout of kohya-ss/sd-scripts (or "
            "[trainer] path in ~/.config/nightpress/config.toml) and COMFYUI_BASE_PATH to the "
            "folder that holds models/, then start the daemon again."
        )
    return training_process.why_missing(
        settings.trainer_path, _python(settings.trainer_python, settings.trainer_path)
    )


def _gpu(home: Home) -> UserGpuLock | NoGpuLock:
    if home.engine == "rehearsal":
        return NoGpuLock()
    path = gpu_lock_path(home.environment, home=user_home(home.environment))
    return UserGpuLock(path, who=str(home.folder))


def _say_hello(home: Home) -> None:
    log.info("nightpress %s works in %s (ledger: %s)", __version__, home.folder, home.host)
    match home.engine:
        case "rehearsal":
            log.warning("REHEARSAL: pictures are storyboards; no ComfyUI is set up, none is asked")
        case "comfyui":
            where = f"from {home.settings.program}" if home.managed else f"at {home.settings.url}"
            log.info("ComfyUI %s, models in %s", where, home.settings.base_path)
            nodes = Path(home.settings.base_path) / "custom_nodes"
            for doubt in node_packs.doubts(nodes, home.settings.packs):
                log.warning("%s", doubt)
        case "none":
            log.warning("ENGINE_MISSING: this studio has printed with ComfyUI, and none is set now")
    for doubt in doubts(home.settings.policy):
        log.warning("%s", doubt)
    log.info("hours by the clock of %s", home.settings.policy.training_windows.zone)
    log.info("drop job files into %s; Ctrl-C stops", home.folder / "inbox")
