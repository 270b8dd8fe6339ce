"""Adapters room: grid.png through a process of its own, which is gone when it is made."""

from __future__ import annotations

import asyncio
import json
import struct
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from daemon.craft.grid import MAX_CELLS, Sheet
from daemon.errors import WorldError

_COMPOSER = Path(__file__).with_name("composer.py")
_END = b"IEND\xaeB`\x82"
# A thousand pictures take half a minute; a Mac that swaps takes longer.
_DEADLINE_S = 300.0


async def compose(sheet: Sheet) -> bytes:
    """The PNG. Raises ``WorldError`` GRID_FAILED."""
    cells = len(sheet.columns) * len(sheet.rows)
    if not 0 < cells <= MAX_CELLS:
        raise _failed(f"it would have {cells} pictures, and 1 to {MAX_CELLS} can be shown")
    command, process = (sys.executable, "-I", str(_COMPOSER)), None
    try:
        async with asyncio.timeout(_DEADLINE_S):
            process = await asyncio.create_subprocess_exec(
                *command, stdin=PIPE, stdout=PIPE, start_new_session=True
            )
            png, _ = await process.communicate(b"".join(_question(sheet)))
    except TimeoutError as error:
        raise _failed(f"it took more than {_DEADLINE_S:g} s") from error
    except OSError as error:
        raise _failed(f"its process did not start: {error.strerror}") from error
    finally:
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode == 0 and png.endswith(_END):
        return png
    raise _failed(f"its process ended with {process.returncode}")


def _question(sheet: Sheet) -> Iterator[bytes]:
    """As ``composer.serve`` reads it."""
    cells = [cell for row in sheet.rows for cell in row.cells]
    for blob in (json.dumps(_told(sheet)).encode(), *(cell.png for cell in cells)):
        yield struct.pack("<Q", len(blob)) + blob


def _told(sheet: Sheet) -> dict[str, object]:
    rows = [
        {
            "label": row.label,
            "lines": row.lines,
            "cells": [{"label": cell.label, "mark": cell.mark} for cell in row.cells],
        }
        for row in sheet.rows
    ]
    columns = [asdict(column) for column in sheet.columns]
    return {"title": sheet.title, "notes": sheet.notes, "columns": columns, "rows": rows}


def _failed(why: str) -> WorldError:
    return WorldError("GRID_FAILED", f"grid.png could not be put together: {why}.")
