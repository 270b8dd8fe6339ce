"""The face: `dataset caption`, tags by a program where no caption is; marked as such until read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from daemon.adapters.tagger import Tagger
from daemon.adapters.training_process import own_python
from daemon.cli import place
from daemon.cli.arguments import Arguments
from daemon.cli.dataset_files import put, sources
from daemon.cli.say import aligned, say
from daemon.home import at_home
from daemon.wire.phrases import counted
from daemon.wire.sources import SOURCES, Source
from daemon.wire.text import visible

_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def caption(arguments: Arguments) -> int:
    """Write the captions that lack; 1 when they cannot be written."""
    folder = Path(arguments.dir)
    if not folder.is_dir():
        raise place.WrongCommand(f"{visible(str(folder))} is no folder: name a dataset's.")
    bare = _without_caption(folder)
    if not bare:
        say(f"Every picture in {visible(str(folder))} has a caption; none was changed.")
        return 0
    program = _tagger(arguments)
    if why := program.why_missing():
        raise place.Bad(
            f"{visible(why)}\nUntil then write the captions yourself: one .txt a picture."
        )
    marks = sources(folder)
    say(f"{counted(len(bare), 'picture')} without a caption; tagging takes seconds for each…")
    tags = program.tags(bare)
    rows = [(picture.name, f"{arguments.trigger}, {told}") for picture, told in tags.items()]
    captions = {f"{Path(name).stem}.txt": f"{text}\n".encode() for name, text in rows}
    written = {name: Source(marks.get(name, Source()).source, auto=True) for name, _ in rows}
    put(folder, captions, written)
    for line in aligned((visible(name), visible(text)) for name, text in rows):
        say(line)
    say(f"Next: read and correct each caption, then write reviewed = true for it in {SOURCES}")
    if len(rows) < len(bare):
        raise place.Bad(f"{counted(len(bare) - len(rows), 'picture')} got no tag: caption them.")
    return 0


def _tagger(arguments: Arguments) -> Tagger:
    """That of the sd-scripts which trains in this studio; one that is missing says so."""
    settings = at_home(place.studio(arguments), os.environ).settings
    python = settings.trainer_python or own_python(settings.trainer_path)
    return Tagger(Path(settings.trainer_path), Path(python), os.environ)


def _without_caption(folder: Path) -> Sequence[Path]:
    """The pictures that have none, one of those that would share one."""
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        picture = file.suffix.lower() in _ENDINGS and not file.name.startswith(".")
        if picture and file.is_file() and not os.path.lexists(file.with_suffix(".txt")):
            found.setdefault(file.stem, file)
    return list(found.values())
