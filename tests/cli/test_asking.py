"""`submit` and the control verbs: dropped whole or not at all, and answered by the ledger."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.cli import main
from daemon.cli.demo import _draw_dataset
from daemon.cli.drop import drop
from daemon.cli.follow import Follower
from daemon.cli.place import Bad
from daemon.core.events import ControlTaken, Event, JobAccepted, JobDuplicate
from daemon.core.jobs import FileFacts, JobId
from tests.cli.studio import (
    StudioFiles,
    control,
    drawn,
    failed,
    refusal,
    started,
    taken,
    trained,
    whole_story,
)
from tests.examples import accepted

TRAINING = """kind = "train"
trigger = "spyke_plasma_v1"
dataset = "datasets/spyke"
steps = 1000
gradient_accumulation = {}
checkpoint = "a.safetensors"
vae = "v.safetensors"
"""

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudioFiles:
    studio = StudioFiles(tmp_path / "studio")
    monkeypatch.setenv("NIGHTPRESS_STUDIO", str(studio.root))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return studio


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "ch01_p003.toml"
    path.write_text('kind = "panel"\n')
    return str(path)


def inbox(studio: StudioFiles) -> list[str]:
    return sorted(path.name for path in (studio.root / "inbox").iterdir())


@pytest.mark.parametrize("command", [["submit", "{}"], ["submit", "{}", "--wait"], ["pause"]])
def test_with_no_daemon_alive_nothing_is_dropped(
    studio: StudioFiles, file: str, capsys: Captured, command: list[str]
) -> None:
    assert main([part.format(file) for part in command]) == 1
    assert "No daemon is alive" in capsys.readouterr().err
    assert inbox(studio) == []


def test_an_idle_daemon_would_answer_nothing_so_nothing_is_dropped(
    studio: StudioFiles, file: str, capsys: Captured
) -> None:
    """Under launchd a daemon stays up where one in a terminal would have ended."""
    said = {"daemon": {"code": "SETTINGS_WRONG", "text": "Mend it."}}
    (studio.root / "outbox" / "status.json").write_text(json.dumps(said))
    with studio.guarded():
        assert main(["submit", file, "--wait"]) == 1
    assert "idle, SETTINGS_WRONG: Mend it. Nothing was dropped" in capsys.readouterr().err
    assert inbox(studio) == []


def test_submit_prints_the_job_and_its_warnings(
    studio: StudioFiles, file: str, capsys: Captured
) -> None:
    with studio.answering(lambda facts, _: taken(file=facts)):
        assert main(["submit", file]) == 0
    shown = capsys.readouterr().out
    assert "ch01_p003_v1  accepted, panel, 1 picture" in shown
    assert "warning: strength 0.95 is high" in shown


def test_a_refusal_is_printed_in_its_own_words_and_is_an_exit_status(
    studio: StudioFiles, file: str, capsys: Captured
) -> None:
    with studio.answering(refusal):
        assert main(["submit", file]) == 1
    assert "line 3, width: 1024 is too wide. Write 768 at most.\\x1b[2J" in capsys.readouterr().out


@pytest.mark.parametrize("way", ["accepted", "duplicate"])
def test_wait_follows_to_the_end(
    studio: StudioFiles, file: str, capsys: Captured, way: str
) -> None:
    def answer(facts: FileFacts, _: bytes) -> list[Event]:
        if way == "duplicate":
            return [JobDuplicate(JobId("ch01_p003_v1"), facts)]
        return [*taken(file=facts), *drawn()]

    if way == "duplicate":
        studio.write(started(), *whole_story())
    with studio.answering(answer):
        assert main(["submit", file, "--wait"]) == 0
    assert ("published" if way == "accepted" else "same request") in capsys.readouterr().out


def test_a_failure_is_told_with_what_to_look_at_first(
    studio: StudioFiles, file: str, capsys: Captured
) -> None:
    with studio.answering(lambda facts, _: [*taken(file=facts), *failed()]):
        assert main(["submit", file, "--wait"]) == 1
    assert "failed  BLACK_OR_GRAY\n  First check: Run the VAE in fp32" in capsys.readouterr().out


def test_the_bar_says_which_step_of_how_many(studio: StudioFiles) -> None:
    lease = {"job": "a_v1", "image": 2, "images": 3, "step": 44, "steps": 60}
    (studio.root / "outbox" / "status.json").write_text(json.dumps({"lease": lease}))
    words = Follower(studio.root)._drawing()[-1]
    assert words == "picture 2 of 3, step 44 of 60"


def test_the_bar_of_a_training_is_of_its_true_steps(studio: StudioFiles) -> None:
    lease = {"job": "a_v1", "kind": "train", "image": 0, "images": 0, "step": 240, "steps": 990}
    lease |= {"epoch": 2, "epochs": 5, "loss": 0.12}
    (studio.root / "outbox" / "status.json").write_text(json.dumps({"lease": lease}))
    shown = Follower(studio.root)._drawing()
    assert shown[1:] == (240, 990, "step 240 of 990, epoch 2 of 5, loss 0.12")


def test_wait_ends_when_the_daemon_does(
    studio: StudioFiles, file: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = iter([True, True, True])
    monkeypatch.setattr("daemon.cli.place.is_alive", lambda _: next(alive, False))
    assert main(["submit", file, "--wait"]) == 1
    assert "The daemon is gone" in capsys.readouterr().err


def test_what_lies_in_the_inbox_is_never_replaced(studio: StudioFiles) -> None:
    with studio.guarded():
        first = drop(studio.root, "a.toml", b"one\n")
        assert drop(studio.root, "a.toml", b"one\n") == first
        with pytest.raises(Bad, match="other content"):
            drop(studio.root, "a.toml", b"two\n")
    assert (studio.root / "inbox" / "a.toml").read_bytes() == b"one\n"
    assert inbox(studio) == ["a.toml"]


def test_a_link_in_the_inbox_is_not_written_through(studio: StudioFiles, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    for name in ("a.toml", ".b.toml.tmp"):
        (studio.root / "inbox" / name).symlink_to(precious)
    with studio.guarded():
        for name in ("a.toml", "b.toml"):
            with pytest.raises(Bad):
                drop(studio.root, name, b"one\n")
    assert precious.read_text() == "mine"


@pytest.mark.parametrize("verb", ["check", "submit"])
def test_what_is_no_file_is_called_what_it_is(
    studio: StudioFiles, tmp_path: Path, capsys: Captured, verb: str
) -> None:
    for path, why in ((studio.root, "is a folder"), (tmp_path / "gone", "is not there")):
        assert main([verb, str(path)]) == 2
        assert f"{path} {why}: " in capsys.readouterr().err


@pytest.mark.parametrize("name", ["job.txt", ".job.toml", "missing.toml"])
def test_a_file_that_would_never_be_taken_is_a_wrong_command(
    studio: StudioFiles, tmp_path: Path, name: str
) -> None:
    if name != "missing.toml":
        (tmp_path / name).write_text("x")
    with studio.guarded():
        assert main(["submit", str(tmp_path / name)]) == 2
    assert inbox(studio) == []


def test_control_verbs_print_the_answer(studio: StudioFiles, capsys: Captured) -> None:
    with studio.answering(control("pause")):
        assert main(["pause"]) == 0
    assert capsys.readouterr().out == "pause: ok\n"
    studio.write(*taken())
    with studio.answering(control("cancel", "ch01_p003_v1", "It is too late.")):
        assert main(["cancel", "ch01_p003"]) == 1
    assert "It is too late." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["spyke", "--checkpoint", "396"], {"job": "spyke_v1", "checkpoint": 396}),
        (["spyke_v1", "--checkpoint", "200"], {"job": "spyke_v1", "checkpoint": 200}),
        (["ch01_p003", "--image", "2"], {"job": "ch01_p003_v1", "image": 2}),
        (["ch01_p003"], {"job": "ch01_p003_v1", "image": 1}),
    ],
)
def test_approve_drops_what_is_chosen_and_prints_the_answer(
    studio: StudioFiles, capsys: Captured, words: list[str], asked: dict[str, object]
) -> None:
    """Whether it can be chosen is the daemon's to say."""
    studio.write(started(), *whole_story(), *trained())
    dropped: list[dict[str, object]] = []

    def answer(file: FileFacts, data: bytes) -> list[Event]:
        dropped.append(tomllib.loads(data.decode()))
        return [ControlTaken(str(asked["job"]), "approve", "", file)]

    with studio.answering(answer):
        assert main(["approve", *words]) == 0
    assert dropped == [{"kind": "approve", **asked}]
    assert capsys.readouterr().out == f"approve {asked['job']}: ok\n"


def test_a_refused_approval_is_an_exit_status(studio: StudioFiles, capsys: Captured) -> None:
    studio.write(started(), *trained())
    with studio.answering(control("approve", "spyke_v1", "It has 198, 396.")):
        assert main(["approve", "spyke", "--checkpoint", "200"]) == 1
    assert capsys.readouterr().out == "It has 198, 396.\n"


def test_who_approves_a_rehearsed_checkpoint_is_told_that_it_is_not_installed(
    studio: StudioFiles, capsys: Captured
) -> None:
    first, *_ = trained()
    assert isinstance(first, JobAccepted)
    studio.write(started(), replace(first, job=JobId("spyke_r1")))
    for error, told in (("", True), ("It has none.", False)):
        with studio.answering(control("approve", "spyke_r1", error)):
            main(["approve", "spyke_r1", "--checkpoint", "198"])
        assert ("not put into models/loras" in capsys.readouterr().out) is told


def test_an_approval_is_of_one_result_of_one_job(studio: StudioFiles, capsys: Captured) -> None:
    studio.write(started(), *trained(), accepted("ch02"))
    with studio.guarded():
        for name, known in (("spyke", "--checkpoint STEP (198, 396)"), ("ch02", "N (1 to 2)")):
            assert main(["approve", name]) == 2
            assert known in capsys.readouterr().err
        assert main(["approve", "spyke_*", "--checkpoint", "396"]) == 1
        assert main(["approve", "nobody", "--image", "1"]) == 1
        with pytest.raises(SystemExit, match="2"):
            main(["approve", "spyke", "--image", "1", "--checkpoint", "396"])
    assert inbox(studio) == []


def test_wait_tells_of_each_checkpoint(studio: StudioFiles, file: str, capsys: Captured) -> None:
    def answer(facts: FileFacts, _: bytes) -> list[Event]:
        first, *rest = trained()
        assert isinstance(first, JobAccepted)
        return [replace(first, file=facts), *rest]

    with studio.answering(answer):
        assert main(["submit", file, "--wait"]) == 0
    shown = capsys.readouterr().out
    assert "spyke_v1  accepted, train, 990 steps on 18 pictures" in shown
    assert "spyke_v1  checkpoint: step 198, loss 0.123" in shown


@pytest.mark.parametrize("pattern", ["ch01_*", "ch01_p00[34]", "ch01_p00?_v1"])
def test_a_pattern_means_the_jobs_for_which_it_makes_sense(
    studio: StudioFiles, capsys: Captured, pattern: str
) -> None:
    studio.write(started(), *whole_story(), *taken("ch01_p004"), *taken("ch02_p001"))
    with studio.answering(control("cancel", "ch01_p004_v1")):
        assert main(["cancel", pattern]) == 0
    assert capsys.readouterr().out == "cancel ch01_p004_v1: ok\n"
    with studio.guarded():
        assert main(["retry", "ch02_*"]) == 1
        assert main(["cancel", "nobody"]) == 1
    assert inbox(studio) == []


def test_check_says_how_long_a_training_takes_and_when_it_would_start(
    studio: StudioFiles, tmp_path: Path, capsys: Captured
) -> None:
    """K2.3, A5.1: the rehearsal's 0.1 s a pass, times 1.5, and 2 s to begin."""
    _draw_dataset(studio.root / "datasets" / "spyke")
    file = tmp_path / "spyke.toml"
    for passes, took, other in (
        (1, "3 min", "4 it would take 10"),
        (4, "10 min", "1 it would take 3"),
    ):
        file.write_text(TRAINING.format(passes))
        assert main(["check", str(file)]) == 0
        told = capsys.readouterr().out
        assert f"  It takes about {took}: 1000 steps are left" in told
        assert f"  gradient_accumulation = {passes}; 4 to 8 are recommended" in told
        assert f"with {other}" in told
        assert (
            "  Before it, by day too: what the trigger draws without a LoRA and a short run" in told
        )
        assert "  After it: a grid of 60 pictures, to choose a checkpoint by." in told
    settings = studio.root / "nightpress.toml"
    settings.write_text('[windows]\ntraining = ["00:00-24:00"]\n')
    assert main(["check", str(file)]) == 0
    assert "\n  Begun now: The 1000 steps that are left" in capsys.readouterr().out
    settings.write_text("[windows]\ntraining = []\n")
    assert main(["check", str(file)]) == 0
    told = capsys.readouterr().out
    assert "only inside their windows, and there are none" in told
    assert "Begun" not in told


def test_check_foresees_nothing_of_what_is_refused(
    studio: StudioFiles, file: str, capsys: Captured
) -> None:
    assert main(["check", file]) == 1
    told = capsys.readouterr().out
    assert "refused" in told
    assert not any(word in told for word in ("needs", "takes", "Begun"))
