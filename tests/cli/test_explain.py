"""`explain`: where a file comes from, by its bytes and the ledger alone."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from daemon.cli import main
from daemon.cli.folded import chronicles
from daemon.core.events import (
    AttemptEnded,
    AttemptStarted,
    CheckpointSaved,
    JobAccepted,
    JobApproved,
    JobEnded,
    PictureReproduced,
    ResultPublished,
)
from daemon.core.jobs import JobId, Outcome, Phase, Reproduction
from daemon.core.tools import ModelRecorded, TrainerRecorded
from daemon.wire import provenance
from tests import needs
from tests.cli.studio import (
    StudioFiles,
    printed,
    started,
    trained,
    whole_story,
)
from tests.cli.test_seeds import LORA
from tests.core.asking import ENGINE, TRAIN, TRAINER, VAE
from tests.examples import FILE, ONE_SEED, REQUEST, accepted, judged
from tests.wire.test_png_text import picture

Captured = pytest.CaptureFixture[str]
Explain = Callable[[Path], tuple[int, dict[str, Any], str]]
PNG = b"a picture"
PICTURE = sha256(PNG).hexdigest()


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudioFiles:
    """A training, approved; and a picture that was drawn with its LoRA."""
    root = tmp_path / "project" / "studio"
    monkeypatch.setenv("NIGHTPRESS_STUDIO", str(root))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    studio = StudioFiles(root)
    studio.write(started(), *trained())
    printed(studio, "ch01", sha256=PICTURE, engine=ENGINE, models=[VAE, LORA])
    return studio


@pytest.fixture
def explain(studio: StudioFiles, capsys: Captured) -> Explain:
    def told(file: Path) -> tuple[int, dict[str, Any], str]:
        code = main(["explain", str(file), "--json"])
        captured = capsys.readouterr()
        return code, json.loads(captured.out or "{}"), captured.err

    return told


def kept(folder: Path, name: str, data: bytes) -> Path:
    file = folder / name
    file.write_bytes(data)
    return file


def test_a_picture_leads_to_its_request_its_engine_and_its_models(
    studio: StudioFiles, explain: Explain, tmp_path: Path
) -> None:
    """By its bytes: any path, any name, outside the studio too."""
    code, told, doubt = explain(kept(tmp_path, "somewhere.png", PNG))
    assert (code, doubt, told["is"], told["job"], told["image"]) == (0, "", "picture", "ch01_v1", 1)
    assert (told["sampler"]["seed"], told["sampler"]["scheduler"]) == (421, "normal")
    assert told["prompt"]["positive"] == "spyke, leaping in the rain"
    assert told["request"]["text"].startswith('kind = "panel"')
    assert (told["engine"]["version"], told["engine"]["args"]) == ("0.3.64", ["main.py"])
    assert [(model["role"], model["sha256"]) for model in told["models"]] == [
        ("vae", VAE.sha256),
        ("lora", LORA.sha256),
    ]
    studio.write(JobApproved(JobId("ch01_v1"), 1, 0))  # The second time is no news.
    assert explain(tmp_path / "somewhere.png")[1] == told
    assert told["approved_at"] == "2026-11-18T11:07:02.000Z"
    assert told["ledger"]["host"] == "mac"
    assert told["ledger"]["seq"] == 19
    assert told["commit"] is None


def test_a_lora_of_ours_leads_on_to_its_training_and_its_dataset(
    studio: StudioFiles, explain: Explain, tmp_path: Path
) -> None:
    _, told, _ = explain(kept(tmp_path, "somewhere.png", PNG))
    [training] = told["trainings"]
    assert (training["lora"], training["job"], training["step"]) == (LORA.name, "spyke_v1", 396)
    assert (training["checkpoint_sha256"], training["prop"]) == ("2" * 64, False)
    assert len(training["dataset"]) == 18
    assert training["dataset"][0] == {
        "name": "001.png",
        "sha256": f"{1:064x}",
        "caption_sha256": "e" * 64,
        "source": "",
    }
    assert training["trainer"] is None


def test_a_checkpoint_says_what_trained_it_on_which_base(
    studio: StudioFiles, explain: Explain, tmp_path: Path, capsys: Captured
) -> None:
    data = b"weights"
    job = JobId("ginger_v1")
    told_by_trainer = {**asdict(TRAINER), "models": (studio.head.seq + 1,)}
    studio.write(
        ModelRecorded(**asdict(VAE)),
        JobAccepted(job, "train", "", 0, FILE, REQUEST, TRAIN, ()),
        AttemptStarted(job, 1, "comfyui", "default", 0, stage=""),
        TrainerRecorded(job, 1, **told_by_trainer),
        CheckpointSaved(job, 198, sha256(data).hexdigest(), 0.1, 1, 9, "mps", 0.0),
        JobApproved(job, 0, 198),
    )
    code, told, _ = explain(kept(tmp_path, "lora.safetensors", data))
    assert (code, told["is"], told["step"], told["device"]) == (0, "checkpoint", 198, "mps")
    assert (told["trainer"]["trainer"], told["trainer"]["commit"]) == ("sd-scripts", "48d368fa")
    assert told["trainer"]["models"][0]["sha256"] == VAE.sha256
    assert told["training"]["trigger"] == TRAIN.trigger
    assert told["approved_at"] is not None
    assert main(["explain", str(tmp_path / "lora.safetensors")]) == 0
    shown = capsys.readouterr().out
    assert "  trainer   sd-scripts 48d368fa, Python 3.11.7\n" in shown
    assert "  vae       v.safetensors, SHA-256 cccccccccccc\n" in shown


def test_a_rehearsals_lora_leads_on_by_its_name_and_is_called_a_prop(
    studio: StudioFiles, explain: Explain, tmp_path: Path
) -> None:
    job = JobId("spyke_r1")
    studio.write(
        JobAccepted(job, "train", "", 0, FILE, REQUEST, TRAIN, ()),
        CheckpointSaved(job, 198, "7" * 64, 0.1, 1, 9, "cpu", 0.0),
    )
    prop = replace(LORA, name="spyke_r1-000198.safetensors", sha256="9" * 64)
    printed(studio, "ch02", sha256=sha256(b"x").hexdigest(), engine=ENGINE, models=[prop])
    _, told, _ = explain(kept(tmp_path, "x.png", b"x"))
    [training] = told["trainings"]
    assert (training["job"], training["step"], training["prop"]) == ("spyke_r1", 198, True)


def test_a_lora_that_changed_under_its_name_leads_to_no_training(
    studio: StudioFiles, explain: Explain, tmp_path: Path
) -> None:
    other = replace(LORA, sha256="9" * 64)
    printed(studio, "ch02", sha256=sha256(b"x").hexdigest(), engine=ENGINE, models=[other])
    _, told, _ = explain(kept(tmp_path, "x.png", b"x"))
    assert told["models"][0]["name"] == LORA.name
    assert told["trainings"] == []


def test_a_lock_is_known_by_its_bytes_and_a_changed_one_by_its_subject(
    studio: StudioFiles, explain: Explain, tmp_path: Path
) -> None:
    lock = f'lock_version = 1\n[subject]\nsha256 = "{PICTURE}"\n'.encode()
    file = kept(tmp_path, "ch01.lock.toml", lock)
    code, told, doubt = explain(file)
    assert (code, told["job"]) == (1, "ch01_v1")
    assert "It is a lock file whose bytes were changed, or another studio's." in doubt
    files = {"ch01_v1.png": PICTURE, "ch01_v1.lock.toml": sha256(lock).hexdigest()}
    studio.write(ResultPublished(JobId("ch01_v1"), files))
    code, told, doubt = explain(file)
    assert (code, told["is"], told["name"]) == (0, "picture", "ch01_v1.lock.toml")
    assert (told["image"], doubt, told["also"]) == (1, "", [])


def test_a_picture_that_was_saved_again_says_which_it_was(
    studio: StudioFiles, tmp_path: Path, capsys: Captured
) -> None:
    note = json.dumps({"job": "ch01_v1", "panel": "ch01", "ref": "run-7/ch01/3"})
    file = kept(tmp_path, "edited.png", picture({"nightpress": note}))
    assert main(["explain", str(file)]) == 1
    said = capsys.readouterr().err
    assert sha256(file.read_bytes()).hexdigest() in said
    assert "It says in itself that it is of ch01_v1 run-7/ch01/3: then its bytes were" in said


def test_what_nobody_knows_is_told_with_what_was_looked_for(
    studio: StudioFiles, tmp_path: Path, capsys: Captured
) -> None:
    StudioFiles(studio.root, host="pc").write(started())
    assert main(["explain", str(kept(tmp_path, "holiday.jpg", b"sun"))]) == 1
    said = capsys.readouterr().err
    assert "No line of this studio's ledgers (mac, pc) knows" in said
    assert "neither as a picture, a checkpoint or a LoRA, nor as a published file" in said
    assert main(["explain", str(tmp_path / "gone")]) == 2


def test_any_published_file_leads_to_its_job(
    studio: StudioFiles, explain: Explain, tmp_path: Path
) -> None:
    digest = sha256(b"a log").hexdigest()
    studio.write(ResultPublished(JobId("spyke_v1"), {"training.log": digest}))
    _, told, _ = explain(kept(tmp_path, "training.log", b"a log"))
    assert (told["is"], told["job"], told["name"]) == ("file", "spyke_v1", "training.log")


def test_a_picture_of_another_host_is_explained_by_that_hosts_ledger(
    studio: StudioFiles, explain: Explain, tmp_path: Path
) -> None:
    """Its LoRA was trained here, and is found by its bytes."""
    other = StudioFiles(studio.root, host="pc")
    printed(other, "ch07", sha256=sha256(b"pc").hexdigest(), engine=ENGINE, models=[LORA])
    _, told, _ = explain(kept(tmp_path, "pc.png", b"pc"))
    assert (told["job"], told["ledger"]["host"]) == ("ch07_v1", "pc")
    assert told["trainings"][0]["ledger"]["host"] == "mac"


def test_the_same_bytes_from_two_jobs_are_told_of_both(
    studio: StudioFiles, explain: Explain, tmp_path: Path
) -> None:
    printed(studio, "ch08", sha256=PICTURE, engine=ENGINE, models=[VAE])
    _, told, _ = explain(kept(tmp_path, "a.png", PNG))
    assert (told["job"], told["also"]) == ("ch01_v1", ["ch08_v1"])


def test_what_release_0_1_0_drew_is_explained_as_far_as_it_was_recorded(
    studio: StudioFiles,
) -> None:
    studio.write(*whole_story("ch02"))
    found = provenance.explained("c" * 64, chronicles(studio.root))
    assert found is not None
    assert (found["job"], found["engine"], found["models"]) == ("ch02_v1", None, [])


def test_in_words_it_is_one_page(studio: StudioFiles, tmp_path: Path, capsys: Captured) -> None:
    assert main(["explain", str(kept(tmp_path, "somewhere.png", PNG))]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("ch01_v1.png: picture 1 of ch01_v1\n\nASKED\n")
    assert "  seed       421, portable noise\n" in shown
    assert "  engine     comfyui 0.3.64, device mps, torch 2.8.0, os darwin\n" in shown
    assert "  arguments  main.py\n" in shown
    assert "LORA spyke_v1-000396.safetensors\n  training  spyke_v1, step 396 of 990\n" in shown
    assert "  dataset   18 pictures of datasets/spyke, hashes with --json\n" in shown


def test_the_commit_that_first_has_its_line_is_named(
    studio: StudioFiles, explain: Explain, tmp_path: Path
) -> None:
    def git(*arguments: str) -> str:
        who = ("-c", "user.name=t", "-c", "user.email=t@example.com")
        command = [needs.program("git"), *who, *arguments]
        done = subprocess.run(command, cwd=studio.root, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "-q", "..")
    file = kept(tmp_path, "somewhere.png", PNG)
    assert explain(file)[1]["commit"] is None
    git("add", "-A")
    git("commit", "-qm", "night")
    first = git("rev-parse", "HEAD")
    studio.write(*whole_story("ch02"))
    git("add", "-A")
    git("commit", "-qm", "next night")
    lines = studio.segment.read_bytes()
    for now in (b"", lines):  # Taken away by accident, and put back.
        studio.segment.write_bytes(now)
        git("commit", "-qam", "oh")
    _, told, _ = explain(file)
    assert told["commit"]["id"] == first
    assert told["trainings"][0]["commit"]["id"] == first


def test_what_was_drawn_again_says_what_and_how_it_came_out(
    studio: StudioFiles, explain: Explain, tmp_path: Path, capsys: Captured
) -> None:
    again = Reproduction("ch01_v1", "ch01_v1.lock.toml", "b" * 64, "fp32-unet")
    spec = replace(ONE_SEED, quality=False, reproduces=again)
    other = sha256(b"again").hexdigest()
    job = printed(studio, "reproduce-ch01", sha256=other, engine=ENGINE, models=[VAE], spec=spec)
    studio.write(PictureReproduced(job, "b" * 64, "drifted", 3.5, ("torch: 2.4 -> 2.6",)))
    file = kept(tmp_path, "again.png", b"again")
    _, told, _ = explain(file)
    assert told["reproduces"]["job"] == "ch01_v1"
    assert (told["reproduced"]["verdict"], told["reproduced"]["distance"]) == ("drifted", 3.5)
    assert (told["verdict"], told["rung"]) == ("good", "default")
    assert main(["explain", str(file)]) == 0
    assert "ch01_v1.lock.toml, drifted" in capsys.readouterr().out


def test_a_picture_that_was_approved_against_the_judge_says_so(
    studio: StudioFiles, explain: Explain, tmp_path: Path
) -> None:
    """A3.1"""
    job, sha = JobId("night_v1"), sha256(b"night").hexdigest()
    drawn = replace(judged(job, sha256=sha), verdict="BLACK_OR_GRAY", rung="cpu-vae")
    studio.write(
        accepted("night"),
        AttemptStarted(job, 1, "comfyui", "cpu-vae", 0, stage=""),
        drawn,
        AttemptEnded(job, 1, Outcome.FAILED, "BLACK_OR_GRAY", "It is black.", 0, 0.0),
        ResultPublished(job, {"night_v1.refused.png": sha}),
        JobEnded(job, Phase.FAILED, "BLACK_OR_GRAY"),
    )
    file = kept(tmp_path, "night.png", b"night")
    assert explain(file)[1]["verdict"] == "BLACK_OR_GRAY"
    studio.write(JobApproved(job, 1, 0))
    told = explain(file)[1]
    assert (told["verdict"], told["rung"]) == ("overridden", "cpu-vae")
