"""What the adapter says of a trainer and gives to the shim; tests/test_shim.py has the rest."""

from __future__ import annotations

import ast
import asyncio
import json
import sys
import time
from pathlib import Path

import pytest

from daemon.adapters import training_process
from daemon.adapters.trainer_probe import rehearsed
from daemon.adapters.training_process import (
    Program,
    ShimTrainer,
    own_python,
    rehearsal,
    sd_scripts,
    why_missing,
)
from daemon.errors import WorldError
from daemon.ports import TrainingOrder

pytestmark = pytest.mark.realprocess

FOLDER, NONCE = "outbox/spyke_v1/resume/a1-00000000", "0" * 32
TELL = "import os, sys; open('told', 'w').write(repr((sys.argv[1:], sorted(os.environ))))"


def checkout(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "train_network.py").touch()
    return folder


def started(trainer: ShimTrainer, *arguments: str) -> None:
    order = TrainingOrder(FOLDER, NONCE, arguments, {"SEEN": "1"}, 1.0, 2**20)
    asyncio.run(trainer.start(order))


def test_a_trainer_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = checkout(tmp_path / "sd-scripts")
    assert "train_network.py" in why_missing(str(tmp_path), Path(sys.executable))
    assert "interpreter" in why_missing(str(path), tmp_path / "nowhere")
    assert why_missing(str(path), Path(sys.executable)) == ""


def test_the_interpreter_is_that_of_the_checkouts_own_environment(tmp_path: Path) -> None:
    assert own_python(str(tmp_path)) == tmp_path / "venv/bin/python"
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").touch()
    assert own_python(str(tmp_path)) == tmp_path / ".venv/bin/python"


def test_arguments_pass_no_shell_and_the_environment_is_a_short_list(tmp_path: Path) -> None:
    """K1.6: argv is a list, whatever is in it; a variable that could change the run stays out."""
    program = Program((sys.executable, "-c", TELL), tmp_path, rehearsed)
    environment = {"HOME": "/h", "TQDM_ASCII": "1", "PYTHONPATH": "/p", "TOKEN": "secret"}
    trainer = ShimTrainer(tmp_path, program, environment=environment, gpu_fd=lambda: None)
    arguments = ("$(touch x)", "a; b", "*", "ü")
    started(trainer, *arguments)
    while asyncio.run(trainer.holder(FOLDER)) != "nobody":
        time.sleep(0.02)
    said, names = ast.literal_eval((tmp_path / "told").read_text())
    assert tuple(said) == arguments
    # The locale is the interpreter's own doing (PEP 538), and macOS adds one of its own.
    assert set(names) - {"LC_CTYPE", "__CF_USER_TEXT_ENCODING"} == {"HOME", "SEEN"}


def test_a_shim_that_does_not_begin_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shim = tmp_path / "shim.py"
    shim.write_text("raise SystemExit('no space left')")
    monkeypatch.setattr("daemon.adapters.shim_folder.SHIM", shim)
    trainer = rehearsal(tmp_path, environment={})
    with pytest.raises(WorldError, match="no space left") as failed:
        started(trainer)
    assert failed.value.code == "TRAINER_START"
    assert asyncio.run(trainer.holder(FOLDER)) == "nobody"


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir(parents=True)
    (tmp_path / FOLDER / "alive").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(WorldError) as failed:
        started(rehearsal(tmp_path, environment={}))
    assert failed.value.code == "TRAINER_START"
    assert not (tmp_path / "elsewhere").exists()


def test_a_real_training_keeps_the_mac_awake_and_says_what_else_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A5.3: never the display. A rehearsal, which takes seconds, keeps nobody awake."""
    fake, told = tmp_path / "caffeinate", tmp_path / "told.txt"
    fake.write_text(f'#!/bin/sh\necho "$@" > {told}\n')
    fake.chmod(0o755)
    monkeypatch.setattr(training_process, "_AWAKE", (str(fake), *training_process._AWAKE[1:]))
    caplog.set_level("INFO")
    program = checkout(tmp_path / "sd-scripts")
    for trainer, advice in (
        (rehearsal(tmp_path / "a", environment={}), 0),
        (
            sd_scripts(
                tmp_path / "b",
                path=program,
                python=Path(sys.executable),
                environment={},
                gpu_fd=lambda: None,
            ),
            1,
        ),
    ):
        started(trainer)
        while asyncio.run(trainer.holder(FOLDER)) != "nobody":
            time.sleep(0.02)
        assert caplog.text.count("lid open") == advice
    shim = json.loads((tmp_path / "b" / FOLDER / "shim.json").read_text())["pid"]
    assert told.read_text() == f"-i -s -w {shim}\n"
