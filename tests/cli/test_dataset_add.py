"""`dataset add`: published panels become training pictures."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from daemon.cli import main
from daemon.core.events import Event, JobApproved, JobEnded, ResultPublished
from daemon.core.jobs import JobId, Phase
from daemon.wire.sources import Source, read_sources
from tests.cli.studio import StudioFiles, started, trained
from tests.examples import ONE_SEED, accepted

Captured = pytest.CaptureFixture[str]
PROMPT = "spyke_plasma_v1, (white cloak:1.2), leaping"
TWO = replace(ONE_SEED, prompt=PROMPT, seeds=(1, 2))


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudioFiles:
    """A panel of two pictures."""
    studio = StudioFiles(tmp_path / "studio")
    monkeypatch.setenv("NIGHTPRESS_STUDIO", str(studio.root))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)
    studio.write(started(), *published(studio, "ch01_v1"))
    return studio


def published(studio: StudioFiles, job: str) -> list[Event]:
    folder = studio.root / "outbox" / job
    folder.mkdir()
    files = {f"{job}-{number:02}.png": f"{job} {number}".encode() for number in (1, 2)}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    known = {name: sha256(data).hexdigest() for name, data in files.items()}
    first = replace(accepted(job[:-3], spec=TWO), job=JobId(job))
    return [first, ResultPublished(first.job, known), JobEnded(first.job, Phase.PUBLISHED, "")]


def add(*jobs: str) -> int:
    return main(["dataset", "add", *jobs, "--into", "set"])


def test_the_approved_picture_is_taken_byte_for_byte_with_its_prompt(
    studio: StudioFiles, capsys: Captured
) -> None:
    """K4.3, K5.5."""
    studio.write(JobApproved(JobId("ch01_v1"), 2, 0))
    assert add("ch01") == 0
    names = ["ch01_v1-02.png", "ch01_v1-02.txt", "sources.toml"]
    assert sorted(file.name for file in Path("set").iterdir()) == names
    assert Path("set/ch01_v1-02.png").read_bytes() == b"ch01_v1 2"
    assert Path("set/ch01_v1-02.txt").read_text() == "spyke_plasma_v1, white cloak, leaping\n"
    marks, _ = read_sources(Path("set/sources.toml").read_bytes())
    assert marks == {"ch01_v1-02.png": Source("panel", auto=True, reviewed=False)}
    assert "1 picture added to set" in capsys.readouterr().out
    assert add("ch01") == 1


def test_where_none_is_approved_all_are_taken_of_the_newest_job_of_each_name(
    studio: StudioFiles, capsys: Captured
) -> None:
    studio.write(*published(studio, "ch01_r2"), *published(studio, "ch02_v1"))
    assert add("ch*") == 0
    names = ["ch01_r2-01.png", "ch01_r2-02.png", "ch02_v1-01.png", "ch02_v1-02.png"]
    assert sorted(file.name for file in Path("set").glob("*.png")) == names
    marks, _ = read_sources(Path("set/sources.toml").read_bytes())
    assert [marks[name].source for name in names] == ["rehearsal", "rehearsal", "panel", "panel"]
    assert "a rehearsal's storyboards teach no LoRA" in capsys.readouterr().out


@pytest.mark.parametrize("spoil", [Path.unlink, lambda file: file.write_bytes(b"other")])
def test_a_picture_that_is_not_the_published_one_adds_nothing(
    studio: StudioFiles, capsys: Captured, spoil: object
) -> None:
    assert callable(spoil)
    spoil(studio.root / "outbox" / "ch01_v1" / "ch01_v1-02.png")
    assert add("ch01") == 1
    assert "Nothing was added" in capsys.readouterr().err
    assert not Path("set").exists()


def test_what_has_no_picture_is_told(studio: StudioFiles, capsys: Captured) -> None:
    studio.write(*trained(), accepted("ch03", spec=TWO))
    for job, told in (
        ("spyke", "is a training"),
        ("ch03", "has published no such picture: it is waiting"),
        ("ch09", "There is no job ch09"),
        ("nobody*", "No job matches"),
    ):
        assert add("ch01", job) == 1
        assert told in capsys.readouterr().err
    assert not Path("set").exists()
