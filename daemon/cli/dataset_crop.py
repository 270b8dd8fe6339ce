"""The face: `dataset crop`, a reference sheet becomes training pictures, in two steps: boxes are
proposed, and when their maker has corrected them the sheet is cut.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from daemon.adapters.pixels.cutting import cut, look
from daemon.cli.arguments import Arguments
from daemon.cli.dataset_files import put
from daemon.cli.place import Bad, WrongCommand
from daemon.cli.say import aligned, paint, say
from daemon.craft.crops import FEWEST, LEAST_SIDE, MOST, Crop, Sheet, proposed, skeleton, too_small
from daemon.errors import WorldError
from daemon.wire.boxes_file import boxes_toml, read_boxes
from daemon.wire.name_rules import proper_name
from daemon.wire.phrases import counted, some
from daemon.wire.sources import SOURCES, Source
from daemon.wire.text import visible

_LIMIT_BYTES = 64 * 2**20


def crop(arguments: Arguments) -> int:
    """Propose boxes, or cut by them."""
    file = Path(arguments.sheet)
    picture = _bytes(file)
    try:
        sheet = look(picture)
    except WorldError as error:
        raise Bad(f"{visible(str(file))}: {error}") from error
    if arguments.boxes is None:
        _propose(file, sheet, force=arguments.force)
        return 0
    crops = _crops(Path(arguments.boxes), sheet)
    _refuse_small(crops, allowed=arguments.small)
    into = Path(arguments.into) if arguments.into is not None else file.parent
    files = dict[str, bytes]()
    for each, png in zip(crops, cut(picture, [each.area for each in crops]), strict=True):
        files[f"{each.name}.png"] = png
        files[f"{each.name}.txt"] = f"{skeleton(arguments.trigger, each.framing)}\n".encode()
    marks = {f"{each.name}.png": Source("crop", auto=True) for each in crops}
    put(into, files, marks, force=arguments.force)
    for line in aligned(_rows(crops)):
        say(line)
    say(f"{counted(len(crops), 'picture')} with captions in {visible(str(into))}")
    say(f"Next: write what stands in capitals in each .txt, then reviewed = true in {SOURCES}")
    return 0


def _propose(file: Path, sheet: Sheet, *, force: bool) -> None:
    crops = proposed(sheet, stem=proper_name(file.stem)[:40])
    boxes = file.with_name(f"{file.stem}.boxes.toml")
    command = f"nightpress dataset crop {shlex.join([str(file), '--boxes', str(boxes)])}"
    data = boxes_toml(crops, sheet, name=visible(file.name), command=visible(command))
    if boxes.exists() and not force:
        raise Bad(
            f"{visible(str(boxes))} is there already. Cut by it, or have it proposed anew with "
            f"--force:\n  {visible(command)}"
        )
    put(boxes.parent, {boxes.name: data}, {}, force=force)
    found = counted(len(sheet.areas), "part") if sheet.areas else "nothing that background parts"
    say(f"{visible(file.name)}: {sheet.width} x {sheet.height} pixels, {found}")
    for line in aligned(_rows(crops)):
        say(line)
    if len(crops) < FEWEST:
        say(f"A dataset wants {FEWEST} to {MOST} pictures of a sheet: add the boxes that lack.")
    say(
        f"Proposed in {paint(visible(str(boxes)), 'bold')}; nothing is cut yet. Correct the boxes, "
        f"their names and what they show, then:\n  {visible(command)}"
    )


def _rows(crops: Sequence[Crop]) -> Iterator[Sequence[str]]:
    small = too_small(crops)
    for each in crops:
        area = each.area
        size, place = f"{area.width}x{area.height}", f"at {area.x}, {area.y}"
        doubt = paint(f"smaller than {LEAST_SIDE}", "yellow") if each in small else ""
        yield each.name, visible(each.framing), size, place, doubt


def _crops(file: Path, sheet: Sheet) -> Sequence[Crop]:
    """What the file of boxes says. Raises ``Bad``: everything that is wrong, one a line."""
    crops, wrong = read_boxes(_bytes(file), sheet)
    if wrong:
        name = visible(str(file))
        told = (f"{name}{f', line {each.line}' * bool(each.line)}: {each.text}" for each in wrong)
        raise Bad("\n".join((*told, "Nothing was cut.")))
    return crops


def _refuse_small(crops: Sequence[Crop], *, allowed: bool) -> None:
    small = too_small(crops)
    if small and not allowed:
        raise Bad(
            f"{some(each.name for each in small)}: smaller than {LEAST_SIDE} pixels on a side, so "
            "the trainer would enlarge them and learn the blur. Nothing was cut. Make the boxes "
            "larger, take a larger scan of the sheet, or cut them as they are with --small."
        )


def _bytes(file: Path) -> bytes:
    if not file.is_file():
        raise WrongCommand(f"{visible(str(file))} is no file: name one that is there.")
    if file.stat().st_size > _LIMIT_BYTES:
        raise Bad(
            f"{visible(str(file))} has more than {_LIMIT_BYTES // 2**20} MiB. Save it smaller."
        )
    return file.read_bytes()
