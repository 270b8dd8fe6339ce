"""An installed ComfyUI: what it is started with, and what must be there first."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from daemon.adapters.comfyui_program import launcher
from daemon.errors import WorldError

FLAGS = (
    *("--listen", "--port", "--base-directory", "--output-directory", "--input-directory"),
    *("--temp-directory", "--user-directory", "--extra-model-paths-config", "--fp32-vae"),
    *("--disable-all-custom-nodes", "--disable-auto-launch"),
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A ComfyUI of which nothing but the list of its flags is looked at."""
    (tmp_path / "ComfyUI" / "comfy").mkdir(parents=True)
    (tmp_path / "ComfyUI" / "main.py").touch()
    lines = (f'parser.add_argument("{flag}")' for flag in FLAGS)
    (tmp_path / "ComfyUI" / "comfy" / "cli_args.py").write_text("\n".join(lines))
    (tmp_path / "base" / "custom_nodes").mkdir(parents=True)
    return tmp_path


def launch_in(
    home: Path, python: str = sys.executable
) -> Callable[[str, int], tuple[Sequence[str], Mapping[str, str]]]:
    return launcher(
        home / "ComfyUI",
        python=Path(python),
        base=home / "base",
        own=home / "own",
        loras=home / "loras 'x': #",
        extra=[],
        packs=[],
    )


def test_it_writes_below_its_own_folder_and_finds_our_loras(home: Path) -> None:
    """N3.1: the models stay where they are; each flag is one that this version has."""
    argv, environment = launch_in(home)("default", 1234)
    assert argv[:2] == (sys.executable, str(home / "ComfyUI" / "main.py"))
    assert argv[argv.index("--output-directory") + 1] == str(home / "own" / "output")
    assert (home / "own" / "user").is_dir()
    assert environment["PYTORCH_ENABLE_MPS_FALLBACK"] == "1"
    extra = Path(argv[argv.index("--extra-model-paths-config") + 1]).read_text()
    assert f'"loras": "{home}/loras \'x\': #"' in extra
    assert (home / "loras 'x': #").is_dir()


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        ("ComfyUI/main.py", "[comfyui] program"),
        ("base/custom_nodes", "make an empty one"),
        ("ComfyUI/comfy/cli_args.py", "cli_args.py"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_started(
    home: Path, gone: str, words: str
) -> None:
    (home / gone).rename(home / "away")
    with pytest.raises(WorldError) as refused:
        launch_in(home)("default", 1234)
    assert refused.value.code == "ENGINE_START"
    assert words in refused.value.text


def test_an_interpreter_that_is_not_there_is_told(home: Path) -> None:
    with pytest.raises(WorldError, match=r"\[comfyui\] python"):
        launch_in(home, "/nonexistent/python")("default", 1234)
