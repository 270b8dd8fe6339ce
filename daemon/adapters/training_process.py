"""Touches trainings as processes: each has a shim for its parent and outlives the daemon.

Law: whether a training lives is told by the locks of its folder. No pid is ever signalled here.
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.adapters import shim_folder
from daemon.adapters.trainer_probe import Tokenizers, TrainerProbe, rehearsed
from daemon.errors import WorldError
from daemon.ports import Holder, TrainerFacts, TrainingOrder

log = logging.getLogger(__name__)

_ASK_S = 20.0
_TRAINER_CACHE, _TOKENIZER = ".nightpress/trainer.json", ".nightpress/tokenizer"
# What a trainer may know of the user's environment; never the TQDM_ and PYTHON variables, some of
# which change what it says or make it crash (measured).
_PASSED = (
    *("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LC_CTYPE", "USER", "LOGNAME", "HF_HOME"),
    "REHEARSAL_TRAINER",  # How fast it rehearses, and with which faults.
)
_AWAKE = ("/usr/bin/caffeinate", "-i", "-s", "-w")
"""The machine does not sleep while the process lives whose pid is added; -s only on AC. The display
may sleep: one that is on takes the GPU from the training (A5.3)."""
_ADVICE = (
    "The Mac is kept awake for %s. Leave its lid open and the power adapter in; let the display"
    " sleep, for one that is on disturbs a training."
)


@dataclass(frozen=True, slots=True)
class Program:
    """What is run: ``command`` before an order's arguments, in ``cwd``; ``describe`` asks it, in a
    thread, what it is.
    """

    command: tuple[str, ...]
    cwd: Path
    describe: Callable[[], TrainerFacts]


class ShimTrainer:
    """Implements ``ports.Trainer`` for one studio (its absolute folder).

    ``environment`` is the daemon's; ``gpu_fd`` gives the descriptor of the GPU's lock, if there is
    one, for the shim to inherit. ``awake`` is run beside each training with its shim's pid; where
    there is no such program, nothing is.
    """

    def __init__(
        self,
        studio: Path,
        program: Program,
        *,
        environment: Mapping[str, str],
        gpu_fd: Callable[[], int | None],
        awake: Sequence[str] = (),
    ) -> None:
        self._studio = studio
        self._program = program
        self._passed = {key: environment[key] for key in _PASSED if key in environment}
        self._gpu_fd = gpu_fd
        self._awake = tuple(awake)
        self._shims: dict[Path, subprocess.Popen[bytes]] = {}
        self._boot = ""

    async def describe(self) -> TrainerFacts:
        return await asyncio.to_thread(self._program.describe)

    async def start(self, order: TrainingOrder) -> None:
        try:
            await asyncio.to_thread(self._start, order)
        except OSError as error:
            text = f"The shim of a training could not be started in {order.folder}: {error}."
            raise WorldError("TRAINER_START", text) from error

    async def holder(self, folder: str) -> Holder:
        return await asyncio.to_thread(self._holder, self._studio / folder)

    async def end_orphan(self, folder: str, *, nonce: str, grace_s: float) -> bool:
        place = self._studio / folder
        return await asyncio.to_thread(shim_folder.end_orphan, place, nonce=nonce, grace_s=grace_s)

    async def pid(self, folder: str) -> int | None:
        return await asyncio.to_thread(shim_folder.child_pid, self._studio / folder)

    async def boot(self) -> str:
        if not self._boot:
            told = await asyncio.to_thread(
                _asked, sys.executable, "-I", str(shim_folder.SHIM), "boot"
            )
            self._boot = told.strip()
        return self._boot

    def _holder(self, folder: Path) -> Holder:
        # One that is our child is also reaped: no zombie stays, and a folder that was removed does
        # not make its training look dead.
        child = self._shims.get(folder)
        found = shim_folder.holder(folder)
        if found == "shim" or (child is not None and child.poll() is None):
            return "shim"
        self._shims.pop(folder, None)
        return found

    def _start(self, order: TrainingOrder) -> None:
        folder = self._studio / order.folder
        told = {
            "nonce": order.nonce,
            "argv": [*self._program.command, *order.arguments],
            "cwd": str(self._program.cwd),
            "env": {**self._passed, **order.environment},
            "grace_s": order.grace_s,
            "log_limit_bytes": order.log_limit_bytes,
        }
        try:
            gpu_fd, awake = self._gpu_fd(), self._awake
            self._shims[folder] = shim_folder.begin(folder, told, gpu_fd=gpu_fd, beside=awake)
        except BlockingIOError:
            text = f"Somebody has the locks in {folder} already; this attempt is not started twice."
            raise WorldError("TRAINER_BUSY", text) from None
        if self._awake and Path(self._awake[0]).exists():
            log.info(_ADVICE, order.folder)


def sd_scripts(
    studio: Path,
    *,
    path: Path,
    python: Path,
    environment: Mapping[str, str],
    gpu_fd: Callable[[], int | None],
    tokenizer: str = "",
    comfyui: str = "",
) -> ShimTrainer:
    """The trainer of a checkout of sd-scripts, run by its own interpreter (K1.1).

    ``tokenizer`` is the folder that the settings name for it, ``comfyui`` the one that holds
    main.py; '' = none.
    """
    script = path / "train_network.py"
    probe = TrainerProbe(
        checkout=path,
        python=str(python),
        environment={key: environment[key] for key in _PASSED if key in environment},
        cache=studio / _TRAINER_CACHE,
        tokenizers=Tokenizers(tokenizer, comfyui, studio / _TOKENIZER),
    )
    program = Program((str(python), str(script)), path, probe.facts)
    return ShimTrainer(studio, program, environment=environment, gpu_fd=gpu_fd, awake=_AWAKE)


def rehearsal(studio: Path, *, environment: Mapping[str, str]) -> ShimTrainer:
    """The trainer that only rehearses, with the same arguments, files and output.

    It takes seconds, for which no machine has to be kept awake.
    """
    # -P: a module in the working folder, part of a studio from anywhere, must not be run.
    command = (sys.executable, "-P", "-m", "daemon.rehearsal.trainer")
    program = Program(command, studio, rehearsed)
    return ShimTrainer(studio, program, environment=environment, gpu_fd=lambda: None)


def why_missing(path: str, python: Path) -> str:
    """Why sd-scripts cannot be run from this checkout by this interpreter; '' when it can."""
    if not (Path(path) / "train_network.py").is_file():
        return f"There is no train_network.py in {path}. Name a checkout of kohya-ss/sd-scripts."
    if not os.access(python, os.X_OK):
        return (
            f"There is no interpreter {python}. Make sd-scripts' own environment there, or name "
            "another: [trainer] python in ~/.config/nightpress/config.toml."
        )
    return ""


def own_python(path: str) -> Path:
    """The interpreter of the environment inside a checkout."""
    inside = [Path(path) / name / "bin" / "python" for name in ("venv", ".venv")]
    return next((each for each in inside if each.exists()), inside[0])


def _asked(*command: str) -> str:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=_ASK_S,
    ).stdout
