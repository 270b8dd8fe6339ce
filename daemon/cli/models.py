"""The face: `models`, what is installed and what it is, and the bar that shows hashing."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any, TypeVar

from daemon.adapters.weights import Installed, ModelFolders
from daemon.bootstrap import model_folders
from daemon.cli import place
from daemon.cli.arguments import Arguments
from daemon.cli.say import aligned, complain, document, paint, say
from daemon.craft.tensors import FOLDERS
from daemon.errors import WorldError
from daemon.home import Home, at_home
from daemon.wire.phrases import counted
from daemon.wire.status import Hashing
from daemon.wire.text import visible

Answer = TypeVar("Answer")
_LOOK_S = 0.1


def models(arguments: Arguments) -> int:
    """What is in the engine's model folders; 1 when a file is not the one that is expected."""
    home = at_home(place.studio(arguments), os.environ)
    folders = model_folders(home)
    if arguments.hash:
        for model in folders.installed():
            if not model.sha256 and not model.refusal:
                with suppress(WorldError):  # What is wrong with it stands in the list.
                    hashed(folders, folders.facts(role=model.role, name=model.name))
    found = folders.installed()
    if arguments.json:
        document({"engine": home.engine, "models": [asdict(model) for model in found]})
    else:
        for line in _lines(home, found):
            say(line)
    return 1 if any(model.expected is False for model in found) else 0


def hashed(folders: ModelFolders, work: Coroutine[Any, Any, Answer]) -> Answer:
    """What the work gives; how far the hashing is that it waits for is shown meanwhile."""

    async def looked() -> Answer:
        with _bar() as show:
            task = asyncio.ensure_future(work)
            while not (await asyncio.wait({task}, timeout=_LOOK_S))[0]:
                show(folders.hashing)
            return task.result()

    return asyncio.run(looked())


@contextmanager
def _bar() -> Iterator[Callable[[Hashing | None], None]]:
    """Shows hashing: a bar on a terminal, elsewhere a line for each file, on stderr."""
    if not sys.stderr.isatty():
        told: set[str] = set()

        def tell(now: Hashing | None) -> None:
            if now is not None and now.name not in told:
                told.add(now.name)
                complain(f"Hashing {now.name}, {_mb(now.bytes)}, for the first time…")

        yield tell
        return
    # rich costs more time than all the rest.
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    name = TextColumn("hashing {task.fields[name]}", markup=False)
    console = Console(stderr=True, highlight=False)
    with Progress(name, BarColumn(), DownloadColumn(), console=console, transient=True) as bar:
        task = bar.add_task("", total=None, visible=False, name="")

        def update(now: Hashing | None) -> None:
            if now is not None:
                done, total = now.bytes_done, now.bytes
                bar.update(task, completed=done, total=total, name=now.name, visible=True)

        yield update


def _lines(home: Home, found: Sequence[Installed]) -> Iterator[str]:
    if home.engine == "rehearsal":
        told = "This is a rehearsal: its models are stage props, made when a job names them."
        yield paint(told, "yellow")
    if not found:
        yield "No model file is installed."
    for role, folder in FOLDERS.items():
        those = [model for model in found if model.role == role]
        if those:
            yield paint(folder, "bold")
        yield from aligned(map(_row, those)) if those else ()
    for model in found:
        if model.refusal:
            yield f"{paint('refused', 'red')}: {model.refusal}"
        for text in model.warnings:
            yield f"{paint('warning', 'yellow')}: {visible(model.name)} {text}"
    unknown = [model for model in found if not model.sha256 and not model.refusal]
    if unknown:
        yield (
            f"{counted(len(unknown), 'file')} not hashed yet: the first job that names one waits "
            "for it, or `nightpress models --hash` does it now."
        )


def _row(model: Installed) -> Sequence[str]:
    expected = {True: "as expected", False: paint("NOT AS EXPECTED", "red"), None: ""}
    kind = paint(model.kind, "red") if model.refusal else model.kind
    sha256 = model.sha256[:12] or paint("-" if model.refusal else "not hashed yet", "dim")
    size = _mb(model.bytes)
    return visible(model.name), size, model.dtype, kind, sha256, expected[model.expected]


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
