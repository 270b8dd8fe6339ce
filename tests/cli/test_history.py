"""`log` and `show`: what happened."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.cli import main
from daemon.core.events import AttemptEnded, AttemptStarted, Event, Incident, JobApproved
from daemon.core.jobs import JobId, Outcome
from tests.cli.studio import StudioFiles, refusal, started, taken, trained, whole_story
from tests.examples import FILE, ONE_SEED, accepted, judged

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudioFiles:
    monkeypatch.setenv("NIGHTPRESS_STUDIO", str(tmp_path))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return StudioFiles(tmp_path)


def test_log_has_a_line_an_event_and_json_is_the_ledger_itself(
    studio: StudioFiles, capsys: Captured
) -> None:
    studio.write(started(), *whole_story(), *refusal(FILE))
    assert main(["log"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("\n") == 9
    assert "line 3, width: 1024 is too wide. Write 768 at most.\\x1b[2J" in shown
    assert main(["log", "--json"]) == 0
    assert capsys.readouterr().out.encode() == studio.segment.read_bytes()


def test_log_of_a_job_and_since_a_number(studio: StudioFiles, capsys: Captured) -> None:
    studio.write(started(), *whole_story(), *taken("ch01_p004"))
    assert main(["log", "ch01_p003", "--since", "6"]) == 0
    assert [line.split()[2] for line in capsys.readouterr().out.splitlines()] == [
        "result.published",
        "job.ended",
    ]
    assert main(["log", "ch01_p009"]) == 1
    assert main(["log", "--since", "no-such-revision"]) == 2


def nan_on_one_seed() -> list[Event]:
    """Two seeds: the first is good at once, the second in the next launch profile."""
    first = accepted(spec=replace(ONE_SEED, seeds=(421, 7)))
    job = first.job
    return [
        first,
        AttemptStarted(job, 1, "comfyui", "default", 0, stage=""),
        judged(job, sha256="a" * 64),
        judged(job, sha256="b" * 64, image=2, verdict="NAN_IN_PICTURE"),
        AttemptEnded(job, 1, Outcome.STOPPED, "NAN_IN_PICTURE", "next: fp32-unet", 0, 0.0),
        AttemptStarted(job, 2, "comfyui", "fp32-unet", 0, stage=""),
        judged(job, sha256="c" * 64, attempt=2, image=2),
    ]


def test_log_of_a_code_tells_on_which_seeds_and_in_which_profile_it_was_seen(
    studio: StudioFiles, capsys: Captured
) -> None:
    """A3.5: works on one seed, fails on another."""
    studio.write(started(), *nan_on_one_seed(), Incident("NOTE", "other"))
    assert main(["log", "--code", "nan_in_picture"]) == 0
    picture, attempt = capsys.readouterr().out.splitlines()
    assert "image.judged" in picture
    assert picture.endswith(
        "ch01_p003_v1  attempt 1, image 2, verdict NAN_IN_PICTURE, seed 7, euler, normal, 20 steps,"
        " profile default"
    )
    assert "attempt.ended" in attempt
    assert main(["log", "--code", "good", "--since", "5"]) == 0
    [good] = capsys.readouterr().out.splitlines()
    assert "seed 7, " in good
    assert good.endswith("profile fp32-unet")
    assert main(["log", "--code", "LORA_SHAPE"]) == 0
    assert capsys.readouterr() == (
        "",
        "No event that was asked for has the code or verdict LORA_SHAPE.\n",
    )


def test_log_of_a_code_has_the_same_for_programs(studio: StudioFiles, capsys: Captured) -> None:
    """A3.5"""
    studio.write(started(), *nan_on_one_seed())
    assert main(["log", "--code", "NAN_IN_PICTURE", "--json"]) == 0
    picture, attempt = map(json.loads, capsys.readouterr().out.splitlines())
    asked = ("job", "image", "seed", "sampler", "scheduler", "steps", "profile")
    assert [picture[key] for key in asked] == [
        *("ch01_p003_v1", 2, 7),
        *("euler", "normal", 20, "default"),
    ]
    assert (attempt["type"], "seed" in attempt) == ("attempt.ended", False)
    assert main(["log", "--json"]) == 0
    assert capsys.readouterr().out.encode() == studio.segment.read_bytes()


def test_a_log_that_has_nothing_to_show_says_so_on_stderr(
    studio: StudioFiles, capsys: Captured
) -> None:
    assert main(["log"]) == 0
    assert "nothing has happened in this studio yet" in capsys.readouterr().err
    studio.write(started())
    assert main(["log", "--json", "--since", "7"]) == 0
    assert capsys.readouterr() == ("", "Nothing has happened since 7.\n")
    assert main(["log", "--since", "7"]) == 0
    assert capsys.readouterr() == ("Nothing has happened since 7.\n", "")


def test_log_with_two_hosts_says_whose_line_it_is(studio: StudioFiles, capsys: Captured) -> None:
    studio.write(Incident("NOTE", "here"))
    StudioFiles(studio.root, host="mini").write(Incident("NOTE", "there"))
    assert main(["log"]) == 0
    assert [line.split()[2] for line in capsys.readouterr().out.splitlines()] == ["mac", "mini"]


def test_show_tells_what_was_asked_and_what_came_of_it(
    studio: StudioFiles, capsys: Captured
) -> None:
    studio.write(started(), *whole_story())
    assert main(["show", "ch01_p003"]) == 0
    shown = capsys.readouterr().out
    for part in ("published", "seed 421", "spyke, leaping", "ch01_p003_v1.png", "on comfyui"):
        assert part in shown
    assert "quality      on" in shown
    assert "variations" not in shown
    assert main(["show", "ch01_p003_v1", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["images"][0]["verdict"] == "good"
    assert answer["attempts"][0]["outcome"] == "succeeded"
    assert answer["spec"]["seeds"] == [421]


def test_show_tells_how_a_training_was_cut_and_what_it_saved(
    studio: StudioFiles, capsys: Captured
) -> None:
    studio.write(started(), *trained())
    assert main(["show", "spyke"]) == 0
    shown = capsys.readouterr().out
    for part in (
        "990 steps: 5 epochs of 198, each with 18 pictures shown 11 times",
        "on sd-scripts",
        "step 198  loss 0.123\n",
        "step 396  loss 0.1, approved\n",
        "the checkpoint of step 396 is approved",
    ):
        assert part in shown
    assert "epoch_steps" not in shown
    assert main(["show", "spyke", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["dataset"]) == 18
    assert [(each["step"], each["approved"]) for each in answer["checkpoints"]] == [
        (198, False),
        (396, True),
    ]


def test_show_marks_the_picture_that_was_approved(studio: StudioFiles, capsys: Captured) -> None:
    studio.write(started(), *whole_story(), JobApproved(JobId("ch01_p003_v1"), 1, 0))
    assert main(["show", "ch01_p003"]) == 0
    assert "seed 421  good, approved" in capsys.readouterr().out


def test_show_and_status_refuse_a_damaged_ledger_with_file_and_line(
    studio: StudioFiles, capsys: Captured
) -> None:
    studio.write(started(), *whole_story())
    studio.segment.write_bytes(studio.segment.read_bytes().replace(b"421", b"422"))
    for command in (["show", "ch01_p003_v1"], ["status"]):
        assert main(command) == 1
        assert "ledger/mac/2026-11.jsonl line 2" in capsys.readouterr().err
