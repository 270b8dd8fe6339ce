"""Rehearsal room: how pictures are written to disk, with what is known about them inside."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from daemon.rehearsal.faults import Faults
from daemon.rehearsal.folders import next_slot

_COMPRESS_LEVEL = 4


def save_png(
    images: Sequence[Image.Image],
    folder: Path,
    prefix: str,
    texts: Mapping[str, Any],
    faults: Faults,
) -> list[dict[str, str]]:
    """Saves a batch under one prefix; gives ``filename`` and ``subfolder`` of each.

    ``texts``: one tEXt chunk a key, its value as JSON. The bytes go straight to the final name,
    as the real server writes them: a crash leaves a file that is cut short.
    """
    slot = next_slot(prefix, folder, width=images[0].width, height=images[0].height)
    info = PngInfo()
    for key, value in texts.items():
        info.add_text(key, json.dumps(value))
    names = []
    for index, image in enumerate(images):
        name = slot.name(index)
        buffer = io.BytesIO()
        image.save(buffer, "PNG", pnginfo=info, compress_level=_COMPRESS_LEVEL)
        _write(slot.folder / name, buffer.getvalue(), faults)
        names.append({"filename": name, "subfolder": slot.subfolder})
    return names


def _write(path: Path, whole: bytes, faults: Faults) -> None:
    half = len(whole) // 2
    if faults.dies_at("saving"):
        path.write_bytes(whole[:half])
        faults.die_if("saving")
    path.write_bytes(whole[:half] if faults.take("truncate_output") else whole)
    if faults.take("missing_output"):
        path.unlink()
