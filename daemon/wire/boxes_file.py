"""Spells SHEET.boxes.toml: where a reference sheet is to be cut, proposed by us and corrected by
its maker.

Law: boxes that pass lie inside the sheet and make 4 to 10 files with plain names, none twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import BaseModel, Field

from daemon.core.jobs import Complaint
from daemon.craft.crops import FEWEST, MOST, Area, Crop, Sheet
from daemon.wire.complaints import STRICT, between, checked, rule
from daemon.wire.name_rules import is_name, proper_name
from daemon.wire.text import excerpt
from daemon.wire.toml_file import Unreadable, read_toml
from daemon.wire.toml_text import toml_bytes

MAX_BYTES = 16 * 1024
_HEAD = """\
# Where {sheet} is to be cut, in pixels from its upper left corner. Correct it: each box around one
# figure or head, {fewest} to {most} in all, with what it shows. Then:
#   {command}
"""
_SIDES = "pixels; a sheet has fewer"


def _name_fault(name: str) -> str:
    if is_name(name):
        return ""
    return (
        f'"{excerpt(name)}" is no name for a picture: it has only a-z, 0-9, dot, _ and -, 64 at '
        f'most, a letter or digit first. Write name = "{proper_name(name)}"'
    )


def _framing_fault(framing: str) -> str:
    if framing.strip() and len(framing) <= 64 and framing.isprintable():
        return ""
    return 'Say in a few words what the box shows. Write for example: framing = "upper body"'


class _Box(BaseModel):
    model_config = STRICT
    name: Annotated[str, rule(_name_fault)] = Field(examples=["spyke_face"])
    framing: Annotated[str, rule(_framing_fault)] = Field(examples=["upper body"])
    x: Annotated[int, between(0, 65535, _SIDES)] = Field(examples=[0])
    y: Annotated[int, between(0, 65535, _SIDES)] = Field(examples=[0])
    width: Annotated[int, between(1, 65535, _SIDES)] = Field(examples=[512])
    height: Annotated[int, between(1, 65535, _SIDES)] = Field(examples=[768])


class _Boxes(BaseModel):
    model_config = STRICT
    size: list[int] = Field(description="width and height of the sheet", examples=[[2048, 1536]])
    box: list[_Box] = Field(description="[[box]] on a line of its own, and its keys below it")


def boxes_toml(crops: Sequence[Crop], sheet: Sheet, *, name: str, command: str) -> bytes:
    """The file; ``command`` is how the sheet is cut by it."""
    head = _HEAD.format(sheet=name, fewest=FEWEST, most=MOST, command=command)
    rows = [
        {
            "name": crop.name,
            "framing": crop.framing,
            "x": crop.area.x,
            "y": crop.area.y,
            "width": crop.area.width,
            "height": crop.area.height,
        }
        for crop in crops
    ]
    # In one line, as people write a size.
    top = f"size = [{sheet.width}, {sheet.height}]\n"
    return (head + top).encode(errors="replace") + toml_bytes({}, [("box", rows)])


def read_boxes(data: bytes, sheet: Sheet) -> tuple[Sequence[Crop], Sequence[Complaint]]:
    """The crops, and what is wrong with them."""
    read = read_toml(data, max_bytes=MAX_BYTES)
    if isinstance(read, Unreadable):
        return [], read.complaints
    file = checked(_Boxes, read.table, outline=read.outline, unknown={})
    if isinstance(file, list):
        return [], file
    crops = [Crop(b.name, b.framing, Area(b.x, b.y, b.width, b.height)) for b in file.box]
    lines = [read.outline.line_of(("box", index)) for index in range(len(crops))]
    if file.size != [sheet.width, sheet.height]:
        text = (
            f"The boxes are for a picture of {' x '.join(map(str, file.size))}, and this one has "
            f"{sheet.width} x {sheet.height}. Name the sheet that they were made for, or move the "
            "file away and let boxes be proposed anew."
        )
        return crops, [Complaint(read.outline.line_of(("size",)), "size", excerpt(text, limit=400))]
    return crops, list(_faults(crops, lines, sheet))


def _faults(crops: Sequence[Crop], lines: Sequence[int], sheet: Sheet) -> Iterator[Complaint]:
    if not FEWEST <= len(crops) <= MOST:
        text = (
            f"{FEWEST} to {MOST} boxes ({len(crops)} are here): a sheet gives pictures that "
            "differ, of faces, upper bodies and full bodies. Write a [[box]] for each."
        )
        yield Complaint(0, "box", text)
    seen = set[str]()
    for crop, line in zip(crops, lines, strict=True):
        right, below = crop.area.x + crop.area.width, crop.area.y + crop.area.height
        if right > sheet.width or below > sheet.height:
            text = (
                f"{crop.name} ends at {right}, {below}, and the sheet at {sheet.width}, "
                f"{sheet.height}. Make it smaller, or move it."
            )
            yield Complaint(line, "box", text)
        if crop.name in seen:
            yield Complaint(line, "name", f"{crop.name} is the name of two boxes. Change one.")
        seen.add(crop.name)
