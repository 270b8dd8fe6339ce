"""What a daemon says, on a terminal and in its file, is told and never obeyed."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from daemon.adapters.log_file import kept_log
from tests.shell.hostile_files import EVIL, OBEYED


def test_nothing_in_the_log_is_obeyed_by_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names, reasons and tracebacks hold what files, engines and trainers said."""
    evil = "".join(EVIL).replace("\ud800", "")  # No report of a test can hold it.
    with kept_log(tmp_path, aloud=True):
        log = logging.getLogger("daemon.test")
        log.warning("%s cannot be taken", evil)
        try:
            raise ValueError(evil)
        except ValueError:
            log.exception("it ended")
    said = capsys.readouterr().err
    for told in (said, (tmp_path / "daemon.log").read_text(encoding="utf-8")):
        assert not OBEYED.search(told)
        assert told.count("\\x1b]52;c;cm0gLXJm") == 2
        assert "Traceback" in told
