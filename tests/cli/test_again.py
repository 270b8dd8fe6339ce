"""`again`: new requests from recorded ones, all or nothing."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.bootstrap import make_studio
from daemon.cli import main
from daemon.core.events import CheckpointSaved, Event, JobAccepted, JobApproved
from daemon.core.jobs import FileFacts, JobId, LoraUse, Reproduction
from tests.cli.studio import StudioFiles, started
from tests.core.asking import TRAIN
from tests.examples import FILE, ONE_SEED

Captured = pytest.CaptureFixture[str]
PAGE = """\
kind = "panel"
prompt = "leaping"
checkpoint = "a.safetensors"
vae = "v.safetensors"
"""
WITH_SPYKE = f'{PAGE}[[lora]]\nname = "spyke_r1"\n'
TRAINING = 'kind = "train"\nlora = "spyke"\n'
PLAIN = replace(ONE_SEED, controlnet=None, loras=())
SPYKE = replace(PLAIN, loras=(LoraUse("spyke_r1-000396.safetensors", 0.7, "spyke_r1"),))


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudioFiles:
    """A chapter of two pages with a LoRA, the first of them twice, and one page without."""
    root = tmp_path / "studio"
    monkeypatch.setenv("NIGHTPRESS_STUDIO", str(root))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("COMFYUI_BASE_PATH", raising=False)
    make_studio(root, os.environ)
    studio = StudioFiles(root)
    studio.write(started(), *trained("spyke_r1"), *trained("spyke_r2"))
    studio.write(
        page("ch01_p001_r1", WITH_SPYKE),
        page("ch01_p001_r2", f"steps = 30\n{WITH_SPYKE}"),
        page("ch01_p002_r1", WITH_SPYKE),
        page("ch01_p003_r1", PAGE),
    )
    return studio


def page(job: str, request: str, *, file: FileFacts = FILE) -> Event:
    spec = SPYKE if "[[lora]]" in request else PLAIN
    return JobAccepted(JobId(job), "panel", "", 0, file, request, spec, ())


def trained(job: str) -> list[Event]:
    return [
        JobAccepted(JobId(job), "train", "", 0, FILE, TRAINING, TRAIN, ()),
        CheckpointSaved(JobId(job), 396, "2" * 64, 0.1, 1, 9, "cpu", 0.0),
        JobApproved(JobId(job), 0, 396),
    ]


@contextmanager
def taking(studio: StudioFiles) -> Iterator[dict[str, Mapping[str, object]]]:
    """As if a daemon took every file; what was in them, by the files' names."""
    taken: dict[str, Mapping[str, object]] = {}

    def answer(file: FileFacts, data: bytes) -> list[Event]:
        taken[file.name] = tomllib.loads(data.decode())
        return [page(f"new_r{len(taken)}", data.decode(), file=file)]

    with studio.answering(answer):
        yield taken


def test_a_chapter_is_asked_for_again_with_the_new_lora(
    studio: StudioFiles, capsys: Captured
) -> None:
    """The newest page of each name; what has not the LoRA is named and left out."""
    with taking(studio) as taken:
        assert main(["again", "ch01_*", "--lora", "spyke_r1=spyke_r2"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[:3] == [
        "ch01_p003_r1: left out, it does not use spyke_r1",
        "ch01_p001_r2 -> inbox/again-ch01_p001_r2.toml",
        "ch01_p002_r1 -> inbox/again-ch01_p002_r1.toml",
    ]
    assert list(taken) == ["again-ch01_p001_r2.toml", "again-ch01_p002_r1.toml"]
    assert taken["again-ch01_p001_r2.toml"] == {
        **tomllib.loads(PAGE),
        "panel": "ch01_p001",
        "rerun": True,
        "steps": 30,
        "seed": 421,
        "lora": [{"name": "spyke_r2"}],
    }


def test_values_are_set_in_every_job_that_is_meant(studio: StudioFiles) -> None:
    with taking(studio) as taken:
        assert main(["again", "ch01_p001_r1", "ch01_p003", "--set", "steps=12"]) == 0
    assert [file["steps"] for file in taken.values()] == [12, 12]
    assert list(taken) == ["again-ch01_p001_r1.toml", "again-ch01_p003_r1.toml"]


def test_one_mistake_keeps_everything_out_of_the_inbox(
    studio: StudioFiles, capsys: Captured
) -> None:
    with taking(studio) as taken:
        assert main(["again", "ch01_*", "--set", "lora.strength=7.5"]) == 1
    captured = capsys.readouterr()
    assert taken == {}
    assert "ch01_p001_r2: refused\n  lora[1].strength: `strength` is -2 to 2" in captured.out
    assert captured.err.endswith("3 jobs cannot be made again so. Nothing was dropped.\n")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            ["ch01_*", *("--lora", "r7=r2"), *("--lora", "spyke_r1=r2"), *("--lora", "r8=r2")],
            "--lora: none of the jobs uses r7 or r8. They use spyke_r1.",
        ),
        (["ch01_p003", "--lora", "spyke_r7=spyke_r2"], "They use none at all."),
        (["nix_*"], "No job matches nix_*"),
        (["ch09"], "There is no job ch09"),
    ],
)
def test_what_cannot_be_meant_is_a_bad_answer(
    studio: StudioFiles, capsys: Captured, command: list[str], said: str
) -> None:
    assert main(["again", *command]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--lora", "spyke_r1="], "or --set lora=[] to draw without any"),
        (["--lora", "spyke_r1"], "Write for example: --lora spyke_v1=spyke_v2"),
        (["--set", "steps"], "Write for example: --set steps=30"),
        (["--set", "kind=pause"], "--set kind: that is no key which can be set"),
        (["--set", "a.b.c=1"], "--set a.b.c: that is no key"),
    ],
)
def test_an_option_without_sense_is_a_wrong_command(
    studio: StudioFiles, capsys: Captured, option: list[str], said: str
) -> None:
    assert main(["again", "ch01_*", *option]) == 2
    assert said in capsys.readouterr().err


def test_a_lora_that_nobody_trained_is_refused_for_each_job(
    studio: StudioFiles, capsys: Captured
) -> None:
    assert main(["again", "ch01_*", "--lora", "spyke_r1=spyke_r9"]) == 1
    shown = capsys.readouterr().out
    assert shown.count('  lora.name: "spyke_r9" is no training of this engine') == 2


def test_the_same_change_can_be_asked_for_as_often_as_one_likes(studio: StudioFiles) -> None:
    with taking(studio) as taken:
        for _ in range(2):
            assert main(["again", "ch01_p003_r1", "--set", "steps=12"]) == 0
    assert [file["rerun"] for file in taken.values()] == [True]


def test_what_drew_a_picture_again_is_no_page_of_the_chapter(
    studio: StudioFiles, capsys: Captured
) -> None:
    again = Reproduction("ch01_p003_r1", "ch01_p003_r1.lock.toml", "a" * 64, "default")
    job, spec = JobId("ch01_p004_r1"), replace(PLAIN, reproduces=again)
    studio.write(JobAccepted(job, "panel", "", 0, FILE, 'kind = "reproduce"\n', spec, ()))
    with taking(studio) as taken:
        assert main(["again", "ch01_*"]) == 0
        assert main(["again", "ch01_p004"]) == 1
    assert len(taken) == 3
    assert all(file["rerun"] is True for file in taken.values())
    assert "use `nightpress reproduce` once more" in capsys.readouterr().err


def test_with_no_daemon_alive_nothing_is_dropped(studio: StudioFiles, capsys: Captured) -> None:
    assert main(["again", "ch01_p003"]) == 1
    assert "Nothing was dropped." in capsys.readouterr().err
    assert list((studio.root / "inbox").glob("*.toml")) == []
