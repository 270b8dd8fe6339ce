"""Adapters room: a reference sheet looked at and cut, in a process that is gone afterwards."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from pathlib import Path

from daemon.craft.crops import Area, Sheet
from daemon.errors import WorldError
from daemon.wire.text import excerpt

_CUTTER = Path(__file__).with_name("cutter.py")
_DEADLINE_S = 120.0


def look(picture: bytes) -> Sheet:
    """The sheet and what is on it. Raises ``WorldError`` PICTURE_BROKEN."""
    said = json.loads(_answer(picture, []))
    return Sheet(said["width"], said["height"], [Area(**area) for area in said["areas"]])


def cut(picture: bytes, areas: Sequence[Area]) -> Sequence[bytes]:
    """A PNG of each area, which lies inside the picture. Raises as ``look``."""
    return list(_pngs(_answer(picture, areas)))


def _answer(picture: bytes, areas: Sequence[Area]) -> bytes:
    question = json.dumps([astuple(area) for area in areas]).encode() + b"\n" + picture
    try:
        done = subprocess.run(
            (sys.executable, "-I", str(_CUTTER)),
            input=question,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_DEADLINE_S,
            check=True,
        )
    except (subprocess.SubprocessError, OSError) as error:
        raise _broken(f"the process that decodes it failed ({type(error).__name__})") from error
    if done.stdout.startswith(b'{"broken"'):
        raise _broken(excerpt(json.loads(done.stdout)["broken"], limit=300))
    return done.stdout


def _pngs(answer: bytes) -> Iterator[bytes]:
    while answer:
        (length,) = struct.unpack_from("<Q", answer)
        yield answer[8 : 8 + length]
        answer = answer[8 + length :]


def _broken(why: str) -> WorldError:
    text = f"The picture cannot be read: {why}. Save it as PNG, of at most 40 megapixels."
    return WorldError("PICTURE_BROKEN", text)
