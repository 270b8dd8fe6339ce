"""Touches the log: what a daemon says, on stderr and in a file of the studio, turned over."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path

from daemon.wire.text import tame

_FILE_BYTES = 4 * 2**20
_KEPT = 3
_PLAIN = logging.Formatter()


@contextmanager
def kept_log(folder: Path, *, aloud: bool) -> Iterator[None]:
    """Log to a file that is turned over, and to stderr, where somebody reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    logging.raiseExceptions = False  # On a full disk each line would be a traceback on stderr.
    to_file = RotatingFileHandler(
        folder / "daemon.log", maxBytes=_FILE_BYTES, backupCount=_KEPT, encoding="utf-8"
    )
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    to_file.setLevel(logging.DEBUG)
    handlers: list[logging.Handler] = [to_file]
    to_stderr = logging.StreamHandler()
    to_stderr.setLevel(logging.INFO)
    to_stderr.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    if aloud:
        handlers.append(to_stderr)
    # Of the libraries only warnings are kept: their everyday news would be all that a log held.
    logging.getLogger("daemon").setLevel(logging.DEBUG)
    try:
        for handler in handlers:
            handler.addFilter(_tamed)
            logging.getLogger().addHandler(handler)
        yield
    finally:
        for handler in handlers:
            logging.getLogger().removeHandler(handler)
            handler.close()


def _tamed(record: logging.LogRecord) -> bool:
    """Leaves nothing in the record that a terminal obeys: names and errors are others' texts."""
    record.msg, record.args = tame(record.getMessage()), ()
    if record.exc_info:
        record.exc_text = tame(_PLAIN.formatException(record.exc_info))
    return True
