"""Spells yesterday's lines in today's words, so that no other room knows of earlier releases.

Law: a line of today passes as it is, and one that no release ever wrote is not made good: a step
knows the shape that it mends by what that shape lacks as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

_Line = dict[str, Any]


def upcast(kind: str, line: _Line) -> _Line:
    """The fields of a line of this type in today's shape, whichever release wrote it."""
    for step in _STEPS.get(kind, ()):
        line = step(line)
    return line


def _tells_how_it_was_made(judged: _Line) -> _Line:
    """0.2.0: release 0.1.0 told how a picture was made in its lock only."""
    if "engine" in judged:
        return judged
    words = ("template", "template_sha256", "workflow_sha256", "perceptual_hash", "rung")
    return {**judged, "engine": 0, "models": [], **dict.fromkeys(words, ""), "bytes": 0}


def _tells_its_map(judged: _Line) -> _Line:
    """0.2.0 kept the first pose maps."""
    return judged if "map_sha256" in judged else {**judged, "map_sha256": ""}


def _tells_its_size(saved: _Line) -> _Line:
    """0.2.0: release 0.1.0 told a checkpoint's size and device in its lock only."""
    return saved if "bytes" in saved else {**saved, "bytes": 0, "device": ""}


def _tells_its_parts(recorded: _Line) -> _Line:
    """0.2.0 counted the first."""
    return recorded if "parts" in recorded else {**recorded, "parts": {}}


def _tells_its_need(started: _Line) -> _Line:
    """0.2.0 predicted the first."""
    return started if "need_bytes" in started else {**started, "need_bytes": 0}


def _tells_its_stage(started: _Line) -> _Line:
    """0.2.0 was the first whose trainings had stages."""
    return started if "stage" in started else {**started, "stage": ""}


def _tells_sources(recorded: _Line) -> _Line:
    """0.2.0 asked for them first."""
    if all(len(image) != 3 for image in recorded["images"]):
        return recorded
    return {**recorded, "images": [[*image, ""][:4] for image in recorded["images"]]}


def _tells_its_pace(told: _Line) -> _Line:
    """0.2.0 measured the first."""
    return told if "step_s" in told else {**told, "step_s": 0.0}


_STEPS: Mapping[str, Sequence[Callable[[_Line], _Line]]] = {
    "image.judged": (_tells_how_it_was_made, _tells_its_map),
    "checkpoint.saved": (_tells_its_size, _tells_its_pace),
    "attempt.started": (_tells_its_need, _tells_its_stage),
    "dataset.recorded": (_tells_sources,),
    "attempt.ended": (_tells_its_pace,),
    "model.recorded": (_tells_its_parts,),
}
"""By type, in the order of the releases; a step is never changed once its release is out."""
