"""A daemon that writes down all it opens, changes, runs, loads and connects to, as JSON lines.

``python tests/audited.py RECORD`` is ``nightpress run`` under Python's own audit hook, which no
code can take off. Not seen: what libraries in other languages do, and other processes.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import CodeType

WATCHED = (
    *("open", "os.", "shutil.", "subprocess.", "pickle.", "marshal.", "ctypes.", "socket.connect"),
    *("compile", "exec", "import", "code.", "pty.", "webbrowser.", "sqlite3."),
)
MOST_CHARS = 2_000


def text_of(value: object) -> object:
    """An argument of an event as JSON can hold it."""
    match value:
        case int() | None:
            return value
        case str():
            return value[:MOST_CHARS]
        case bytes() | os.PathLike():
            return os.fsdecode(value)[:MOST_CHARS]
        case list() | tuple():
            return [text_of(each) for each in value]
        case CodeType():
            return value.co_filename
        case _:
            return type(value).__name__


def record_into(path: Path) -> None:
    """From here on each watched event is a line of the file."""
    record = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event.startswith(WATCHED):
            os.write(record, json.dumps([event, *map(text_of, arguments)]).encode() + b"\n")

    sys.addaudithook(hook)


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from daemon.cli import main

    record_into(Path(sys.argv[1]))
    sys.exit(main(["run"]))
