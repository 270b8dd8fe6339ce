"""`seeds`: the library of the seeds that were good."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.adapters.machine import bind_host, machine_id
from daemon.cli import main
from daemon.core.events import JobApproved
from daemon.core.jobs import Engine, JobId
from daemon.wire.seeds import hardware
from tests.cli.studio import StudioFiles, printed, started, trained, whole_story
from tests.core.asking import ENGINE, VAE
from tests.examples import ONE_SEED

Captured = pytest.CaptureFixture[str]
CUDA = replace(ENGINE, device="cuda (cuda:0 NVIDIA RTX 3060)", os="linux")
LORA = replace(VAE, role="lora", name="spyke_v1-000396.safetensors", sha256="2" * 64)


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudioFiles:
    """This machine's ledger with one approved picture, beside a PC's with another."""
    root, home = tmp_path / "studio", tmp_path / "home"
    monkeypatch.setenv("NIGHTPRESS_STUDIO", str(root))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("HOME", str(home))
    (root / "ledger").mkdir(parents=True)
    bind_host(root / "ledger", name="mac", machine=machine_id(home / ".config" / "nightpress"))
    studio = StudioFiles(root)
    studio.write(started(), *trained())
    printed(studio, "ch01", sha256="c" * 64, engine=ENGINE, models=[VAE, LORA])
    studio.write(*whole_story("ch02"))
    return studio


def library(studio: StudioFiles) -> list[dict[str, object]]:
    assert main(["seeds"]) == 0
    [file] = (studio.root / "outbox").glob("seeds-*.json")
    told = json.loads(file.read_text())
    assert (told["schema"], told["host"], file.name) == (1, "mac", f"seeds-{told['hardware']}.json")
    rows: list[dict[str, object]] = told["seeds"]
    return rows


def test_every_approved_picture_has_its_seed_in_the_library(
    studio: StudioFiles, capsys: Captured
) -> None:
    """S2.2."""
    [row] = library(studio)
    sampler = row["sampler"]
    assert isinstance(sampler, dict)
    assert (row["job"], row["image"], sampler["seed"], sampler["noise"]) == (
        "ch01_v1",
        1,
        421,
        "portable",
    )
    assert (row["approved_at"], row["foreign"]) == ("2026-11-18T11:07:02.000Z", False)
    models = row["models"]
    assert isinstance(models, list)
    assert [(each["role"], each["strength"], each["job"]) for each in models] == [
        ("vae", None, ""),
        ("lora", 0.7, "spyke_v1"),
    ]
    shown = capsys.readouterr().out
    assert "ch01_v1 1  421  euler normal  20 steps cfg 7 512x768  portable" in shown
    assert "a.safetensors, spyke_v1-000396.safetensors at 0.7; comfyui 0.3.64 mps of mac" in shown
    assert "1 seed in outbox/seeds-darwin-mps.json" in shown


def test_seeds_of_other_hardware_are_marked_and_may_repeat_where_noise_is_portable(
    studio: StudioFiles, capsys: Captured
) -> None:
    """S2.1."""
    other = StudioFiles(studio.root, host="pc")
    printed(other, "ch03", sha256="d" * 64, engine=CUDA, models=[VAE])
    rows = {str(row["job"]): row for row in library(studio)}
    assert list(rows) == ["ch03_v1", "ch01_v1"], "the last approved last, whoever drew it"
    assert (rows["ch01_v1"]["foreign"], rows["ch01_v1"]["reason"]) == (False, "")
    assert rows["ch03_v1"]["foreign"] is True
    assert rows["ch03_v1"]["reason"] == (
        "drawn by comfyui on cuda (cuda:0 NVIDIA RTX 3060), not mps; its noise is drawn on the CPU,"
        " so it may repeat here"
    )
    environment = rows["ch03_v1"]["environment"]
    assert isinstance(environment, dict)
    assert (environment["torch"], environment["os"]) == ("2.8.0", "linux")
    assert "foreign: drawn by comfyui on cuda" in capsys.readouterr().out


def test_noise_of_another_device_gives_another_picture(studio: StudioFiles) -> None:
    """S2.1."""
    other = StudioFiles(studio.root, host="pc")
    spec = replace(ONE_SEED, sampler="euler_ancestral")
    printed(other, "ch03", sha256="d" * 64, engine=CUDA, models=[VAE], spec=spec)
    [row] = [row for row in library(studio) if row["foreign"]]
    assert str(row["reason"]).endswith("drawn on the device, so it gives another picture here")


def test_a_rehearsal_after_real_pictures_makes_them_no_strangers(studio: StudioFiles) -> None:
    rehearsal = replace(ENGINE, name="rehearsal", device="cpu (rehearsal)")
    printed(studio, "ch03", sha256="d" * 64, engine=rehearsal, models=[VAE])
    rows = {str(row["job"]): row for row in library(studio)}
    assert (studio.root / "outbox" / "seeds-darwin-mps.json").exists()
    assert rows["ch01_v1"]["foreign"] is False
    assert rows["ch03_v1"]["reason"] == (
        "drawn by rehearsal on cpu (rehearsal), not comfyui; a storyboard says nothing of what the "
        "seed draws"
    )


def test_another_allocator_is_the_same_hardware(studio: StudioFiles) -> None:
    for name, allocator in (("ch03", "native"), ("ch04", "cudaMallocAsync")):
        engine = replace(CUDA, device=f"cuda (cuda:0 NVIDIA RTX 3060 : {allocator})")
        printed(studio, name, sha256=name[-1] * 64, engine=engine, models=[VAE])
    foreign = {str(row["job"]): row["foreign"] for row in library(studio)}
    assert list(foreign.items()) == [("ch01_v1", True), ("ch03_v1", False), ("ch04_v1", False)]


def test_the_same_hardware_in_another_machine_is_another_hardware(studio: StudioFiles) -> None:
    other = StudioFiles(studio.root, host="pc")
    printed(other, "ch03", sha256="d" * 64, engine=ENGINE, models=[VAE])
    [row] = [row for row in library(studio) if row["job"] == "ch03_v1"]
    assert str(row["reason"]).startswith("drawn on pc, another machine; ")


def test_what_release_0_1_0_drew_has_its_seed_too(studio: StudioFiles) -> None:
    studio.write(JobApproved(JobId("ch02_v1"), 1, 0))
    rows = {str(row["job"]): row for row in library(studio)}
    assert rows["ch02_v1"]["environment"] is None
    assert rows["ch02_v1"]["models"] == []


def test_json_is_the_file(studio: StudioFiles, capsys: Captured) -> None:
    assert main(["seeds", "--json"]) == 0
    file = studio.root / "outbox" / "seeds-darwin-mps.json"
    assert json.loads(capsys.readouterr().out) == json.loads(file.read_text())


def test_a_studio_without_approved_pictures_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NIGHTPRESS_STUDIO", str(StudioFiles(tmp_path / "studio").root))
    assert main(["seeds"]) == 0
    assert "No picture is approved yet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("engine", "name"),
    [
        (None, "unknown"),
        (ENGINE, "darwin-mps"),
        (replace(ENGINE, os="posix"), "mps"),
        (CUDA, "linux-cuda-0-nvidia-rtx-3060"),
        (replace(CUDA, device="cuda (cuda:0 RTX : native)"), "linux-cuda-0-rtx"),
        (replace(ENGINE, os="posix", device="../../etc"), "etc"),
    ],
)
def test_hardware_is_a_short_name_that_is_good_in_a_file_name(
    engine: Engine | None, name: str
) -> None:
    assert hardware(engine) == name
