"""`models`: what is installed and what it is, with no daemon alive."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from shutil import copytree

import pytest

from daemon.cli import main
from daemon.craft.props import prop
from tests.cli.studio import StudioFiles

Captured = pytest.CaptureFixture[str]
SETTINGS = "nightpress.toml"
NAMES: Mapping[str, str] = {
    "checkpoint": "checkpoints/anything-v5.safetensors",
    "vae": "vae/v.safetensors",
}
PANEL = """kind = "panel"
prompt = "rain"
checkpoint = "anything-v5.safetensors"
vae = "v.safetensors"
"""


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudioFiles:
    studio = StudioFiles(tmp_path / "studio")
    monkeypatch.setenv("NIGHTPRESS_STUDIO", str(studio.root))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COMFYUI_BASE_PATH", str(tmp_path / "ComfyUI"))
    for role, name in NAMES.items():
        put(studio, name, prop(role, name))
    return studio


def put(studio: StudioFiles, name: str, data: bytes) -> None:
    path = studio.root.parent / "ComfyUI" / "models" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def expect(studio: StudioFiles, digest: str) -> None:
    (studio.root / SETTINGS).write_text(f'[models]\n"anything-v5.safetensors" = "{digest}"\n')


def test_models_lists_each_file_and_hashes_only_when_asked(
    studio: StudioFiles, capsys: Captured
) -> None:
    """M2.1"""
    put(studio, "loras/old.pt", b"x" * 2_500_000)
    put(studio, "loras/wrong.safetensors", prop("vae", "w"))
    put(studio, "loras/odd\x1b[2J.safetensors", prop("lora", "o"))
    assert main(["models"]) == 0
    before = capsys.readouterr().out
    assert "2 files not hashed yet" in before
    assert "refused: old.pt is in a format that can run code" in before
    assert "wrong.safetensors in $COMFYUI/models/loras is a VAE, not a LoRA." in before
    assert "odd\\x1b[2J.safetensors" in before
    assert "\x1b" not in before
    assert main(["models", "--hash"]) == 0
    shown = capsys.readouterr()
    digest = sha256(prop("checkpoint", NAMES["checkpoint"])).hexdigest()
    assert f"anything-v5.safetensors  0.0 MB  F16  checkpoint  {digest[:12]}\n" in shown.out
    assert "not hashed yet" not in shown.out


def test_the_document_has_the_same_for_programs(studio: StudioFiles, capsys: Captured) -> None:
    assert main(["models", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["engine"] == "comfyui"
    [checkpoint, vae] = shown["models"]
    assert checkpoint == {
        "role": "checkpoint",
        "name": "anything-v5.safetensors",
        "bytes": len(prop("checkpoint", NAMES["checkpoint"])),
        "kind": "checkpoint",
        "dtype": "F16",
        "sha256": "",
        "expected": None,
        "warnings": [],
        "refusal": "",
    }
    assert vae["role"] == "vae"


def test_a_file_that_is_not_the_expected_one_is_an_exit_status_and_refuses_jobs(
    studio: StudioFiles, tmp_path: Path, capsys: Captured
) -> None:
    """M2.1"""
    panel = tmp_path / "ch01_p003.toml"
    panel.write_text(PANEL)
    copytree(Path(__file__).parents[2] / "workflows", studio.root / "workflows")
    expect(studio, "ab" * 32)
    assert main(["models", "--hash"]) == 1
    assert "NOT AS EXPECTED" in capsys.readouterr().out
    assert main(["check", str(panel)]) == 1
    assert "expects abababababab" in capsys.readouterr().out
    expect(studio, sha256(prop("checkpoint", NAMES["checkpoint"])).hexdigest())
    assert main(["models"]) == 0
    assert "as expected" in capsys.readouterr().out
    assert main(["check", str(panel)]) == 0


def test_a_rehearsal_says_that_its_models_are_props(
    studio: StudioFiles, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.delenv("COMFYUI_BASE_PATH")
    assert main(["models"]) == 0
    shown = capsys.readouterr().out
    assert "stage props" in shown
    assert "No model file is installed." in shown


def test_check_adds_up_what_a_panel_needs_and_warns_where_it_never_fits(
    studio: StudioFiles, tmp_path: Path, capsys: Captured
) -> None:
    """A2.7: the models' own numbers, the reserve, and what the system keeps."""
    panel = tmp_path / "ch01_p003.toml"
    panel.write_text(PANEL)
    copytree(Path(__file__).parents[2] / "workflows", studio.root / "workflows")
    for total_gb, fits in ((64, True), (5, False)):
        (studio.root / SETTINGS).write_text(f"[memory]\ntotal_gb = {total_gb}\n")
        assert main(["check", str(panel)]) == 0
        told = capsys.readouterr().out
        assert "\n  At its peak it needs:\n" in told
        assert [f"  {size} GB\n" in told for size in ("1.00", "3.00")] == [True, True]
        assert (f"warning: This machine has {total_gb}.0 GB in all" in told) is not fits
    (studio.root / SETTINGS).write_text("[windows]\npanels = []\n")
    assert main(["check", str(panel)]) == 0
    assert "Panels are drawn only inside their windows" in capsys.readouterr().out
