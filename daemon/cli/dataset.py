"""The face: `dataset lint`, what a training would say of its pictures before it is asked for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

from daemon.adapters.disk import StudioDisk
from daemon.adapters.pixels import PictureReader
from daemon.cli import place
from daemon.cli.arguments import Arguments
from daemon.cli.say import document, paint, say
from daemon.core.policy import Policy
from daemon.craft.dataset import Aim, Vocabulary, distinct
from daemon.craft.findings import is_refused
from daemon.home import at_home, vocabulary
from daemon.shell.dataset import Examiner, Survey
from daemon.wire.lint_file import lint_document
from daemon.wire.phrases import counted
from daemon.wire.text import visible

_COLOURS = {"refuse": "red", "warn": "yellow", "note": "dim"}


def lint(arguments: Arguments) -> int:
    """Say all of a folder that a training would; 1 when it would be refused."""
    folder = Path(arguments.folder).expanduser().resolve()
    if not folder.is_dir():
        raise place.WrongCommand(f"{folder} is no folder. Name the one that holds the pictures.")
    policy, known = _here(arguments)
    aim = Aim(arguments.trigger, tuple(arguments.feature))
    found = asyncio.run(_survey(folder, aim, policy, known))
    if arguments.json:
        document(lint_document(found.pictures, found.findings, known.words))
    else:
        for line in _lines(folder, found):
            say(line)
    return 1 if is_refused(found.findings) else 0


def _here(arguments: Arguments) -> tuple[Policy, Vocabulary]:
    """By what a studio judges; without one by what nightpress knows."""
    try:
        home = at_home(place.studio(arguments), os.environ)
    except place.WrongCommand:
        if arguments.studio:
            raise
        return Policy(), Vocabulary()
    return home.settings.policy, vocabulary(home)


async def _survey(folder: Path, aim: Aim, policy: Policy, known: Vocabulary) -> Survey:
    disk, pixels = StudioDisk(folder.parent), PictureReader()
    try:
        return await Examiner(disk, pixels, policy, known).survey(folder.name, lambda _: aim)
    finally:
        await pixels.close()


def _lines(folder: Path, found: Survey) -> Iterator[str]:
    for each in found.findings:
        yield f"{paint(each.severity, _COLOURS[each.severity])}: {visible(each.text)}"
    several = len(found.pictures) - len(distinct(found.pictures))
    alike = f", {several} of them like another" if several else ""
    verdict = "Refused" if is_refused(found.findings) else "Fine"
    if verdict == "Fine" and any(each.severity == "warn" for each in found.findings):
        verdict = "It could be trained, and could be better"
    whole = counted(len(found.pictures), "picture")
    yield f"{paint(verdict, 'bold')}: {whole}{alike} in {folder}"
