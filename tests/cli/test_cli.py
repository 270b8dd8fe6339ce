"""What the system refuses is answered in a sentence, whatever the verb."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.cli import main
from tests.cli.studio import StudioFiles

Captured = pytest.CaptureFixture[str]


def shell(studio: Path, rest: str) -> subprocess.CompletedProcess[str]:
    """``nightpress`` in a shell, in the C locale, with what stands after it on its line."""
    command = f"{shlex.quote(sys.executable)} -m daemon {rest}"
    environment = {**os.environ, "NIGHTPRESS_STUDIO": str(studio), "LC_ALL": "C"}
    return subprocess.run(
        ["/bin/bash", "-c", command], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("place", ["afile", "afile/deeper", "device"])
def test_a_place_where_no_studio_can_be_is_named_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured, place: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "afile").write_text("mine")
    (tmp_path / "device").symlink_to("/dev/null")
    assert main(["init", str(tmp_path / place)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("nightpress: /")
    assert ": Not a directory. " in said


def test_an_inbox_that_is_a_link_is_named_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    studio = StudioFiles(tmp_path / "studio")
    monkeypatch.setenv("NIGHTPRESS_STUDIO", str(studio.root))
    (studio.root / "inbox").rename(tmp_path / "elsewhere")
    (studio.root / "inbox").symlink_to(tmp_path / "elsewhere")
    with studio.guarded():
        assert main(["pause"]) == 1
    assert f"nightpress: {studio.root}/inbox: " in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["status", "status --json", "log --json"])
def test_an_output_that_fails_is_no_traceback(tmp_path: Path, verb: str) -> None:
    studio = StudioFiles(tmp_path)
    closed = shell(studio.root, f"{verb} >&-")
    assert (closed.returncode, "Traceback" in closed.stderr) == (0, False)
    piped = shell(studio.root, f"{verb} | true; exit ${{PIPESTATUS[0]}}")
    assert (piped.returncode, "rror" in piped.stderr) == (0, False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("verb", ["status", "status --json"])
def test_a_full_disk_under_the_output_is_said_once(tmp_path: Path, verb: str) -> None:
    full = shell(StudioFiles(tmp_path).root, f"{verb} >/dev/full")
    assert full.returncode == 1
    assert full.stderr.startswith("nightpress: what is printed")
    assert full.stderr.count("\n") == 1


def test_init_prints_a_way_into_the_studio_that_a_shell_understands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = tmp_path.resolve() / "one night; rm it"
    assert main(["init", str(folder)]) == 0
    assert f"  cd '{folder}'\n" in capsys.readouterr().out
