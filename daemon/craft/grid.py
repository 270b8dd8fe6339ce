"""Craft room: what grid.png shows: a row a checkpoint, a column a prompt and seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from daemon.craft.memorising import (
    NEAR_PLACES,
    SAME_PLACES,
    Drawn,
    Kind,
    Mark,
    kind_of,
    nearest,
    sights,
)

# Two nights of drawing, and all that a picture of 6000 x 12000 pixels can show.
MAX_CELLS = 1000

_KINDS: Mapping[Kind, str] = {
    "trigger": "THE TRIGGER ALONE",
    "training": "TRAINING PROMPT",
    "novel": "NOVEL PROMPT",
    "unrelated": "WITHOUT THE TRIGGER",
}
_CHOICE = (
    "{job}: choose a checkpoint",
    (
        "Choose the one that keeps the character in poses that it was never trained on; the last"
        " one is often not it. Then: nightpress approve {job} --checkpoint STEP"
    ),
)
_TRIGGER = (
    "{job}: what its trigger draws before it is trained",
    (
        "A good trigger draws nothing in particular. Where its pictures have something in common,"
        " the word means that already: run nightpress cancel {job} and drop the file with another."
    ),
)
_LEGEND = (
    '"n of 64": in how many places the perceptual hash differs from the nearest training image.'
    f" SAME: up to {SAME_PLACES}, the same picture to a person. NEAR: up to {NEAR_PLACES}."
    " Unrelated pictures differ in about 32; the nearest of many, in about 20."
)


@dataclass(frozen=True, slots=True)
class GridCell:
    """A picture, what is written below it, and its mark. ``png`` is empty where there is none."""

    png: bytes
    label: str
    mark: Mark


@dataclass(frozen=True, slots=True)
class GridColumn:
    """``heading`` stands above all neighbours that share it, ``label`` above this one."""

    heading: str
    label: str


@dataclass(frozen=True, slots=True)
class GridRow:
    """``label`` is large, ``lines`` are below it; as many cells as there are columns."""

    label: str
    lines: tuple[str, ...]
    cells: tuple[GridCell, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """The whole of grid.png; ``notes`` are sentences below the title."""

    title: str
    notes: tuple[str, ...]
    columns: tuple[GridColumn, ...]
    rows: tuple[GridRow, ...]


def sheet(
    job: str,
    drawn: Sequence[Drawn],
    *,
    training: Mapping[str, str],
    captions: Sequence[str],
    told: Mapping[int, str],
) -> Sheet:
    """The checkpoints of ``job`` beside one another, in order of steps; columns as first drawn.

    ``training``: image -> perceptual hash. ``told``: step -> what else is known of a checkpoint
    (its epoch, its loss), a line each.
    """
    asked = list(dict.fromkeys((each.prompt, each.seed) for each in drawn))
    at = {(each.step, each.prompt, each.seed): each for each in drawn}
    rows = [
        GridRow(
            label=f"step {sight.step}" if sight.step else "without the LoRA",
            lines=tuple(filter(None, (told.get(sight.step, ""), *sight.lines))),
            cells=tuple(_cell(at.get((sight.step, *each)), training) for each in asked),
        )
        for sight in sights(drawn, training, captions)
    ]
    columns = [GridColumn(_heading(prompt, captions), f"seed {seed}") for prompt, seed in asked]
    title, advice = _CHOICE if any(each.step for each in drawn) else _TRIGGER
    notes = (advice.format(job=job), _LEGEND)
    return Sheet(title.format(job=job), notes, tuple(columns), tuple(rows))


def _heading(prompt: str, captions: Sequence[str]) -> str:
    return f"{_KINDS[kind_of(prompt, captions)]}: {prompt}"


def _cell(drawn: Drawn | None, training: Mapping[str, str]) -> GridCell:
    if drawn is None or not drawn.png:
        return GridCell(b"", "not drawn", "")
    near = nearest(drawn.perceptual_hash, training)
    if near is None:
        return GridCell(drawn.png, "", "")
    return GridCell(drawn.png, near.text, near.mark)
