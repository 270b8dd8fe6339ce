"""A dataset is examined before its job is accepted: what costs a night otherwise, costs a line."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from hashlib import sha256

import pytest

from daemon.core.jobs import Asked, TrainingImage, TrainSpec
from daemon.core.policy import Policy
from daemon.craft.dataset import Vocabulary
from daemon.errors import WorldError
from daemon.shell.dataset import Examiner, resolved
from daemon.shell.dataset_folder import IMAGE_LIMIT_BYTES
from tests.core.asking import TRAIN
from tests.fakes import MemoryDisk
from tests.sim.engine import SimPixels

ASKED = Asked("train", "spyke", "", 0, rerun=False, spec=TRAIN)
FRESH = replace(TRAIN, steps=1000, images=0, repeats=0, epoch_steps=0, epochs=0)
ASIDE = ".nightpress/datasets/x"


def folder(count: int = 18) -> MemoryDisk:
    disk = MemoryDisk()
    for number in range(count):
        disk.put(f"datasets/spyke/{number:03}.png", b"png %d" % number)
        disk.put(f"datasets/spyke/{number:03}.txt", b"spyke_plasma_v1, pose %d\n" % number)
    return disk


def examined(
    disk: MemoryDisk, spec: TrainSpec = TRAIN, *, keep_in: str = ASIDE
) -> tuple[list[str], tuple[TrainingImage, ...]]:
    examiner = Examiner(disk, SimPixels(), Policy(), Vocabulary())
    found = asyncio.run(examiner.examine(spec, keep_in=keep_in))
    assert {each.key for each in found.complaints} <= {"dataset"}
    return [each.text for each in found.complaints], found.images


def test_a_good_dataset_is_copied_aside_with_the_hashes_of_the_copies() -> None:
    disk = folder()
    found, images = examined(disk)
    assert found == []
    assert images[0] == TrainingImage(
        "000.png",
        sha256(b"png 0").hexdigest(),
        sha256(b"spyke_plasma_v1, pose 0\n").hexdigest(),
    )
    assert len(images) == 18
    assert len(disk.files(ASIDE)) == 37  # ... and lint.toml


def test_the_makers_folder_is_only_read() -> None:
    disk = folder()
    before = {path: disk.data(path) for path in disk.files("datasets")}
    examined(disk)
    assert {path: disk.data(path) for path in disk.files("datasets")} == before
    assert [path for _, path, _ in disk.log if path.startswith("datasets")] == []


def test_what_was_left_aside_from_an_earlier_look_is_gone() -> None:
    disk = folder()
    disk.put(f"{ASIDE}/old.png", b"old")
    examined(disk)
    assert f"{ASIDE}/old.png" not in disk.nodes


def test_a_check_copies_nothing() -> None:
    disk = folder()
    found, images = examined(disk, keep_in="")
    assert (found, len(images)) == ([], 18)
    assert disk.log == []


def _missing_caption(disk: MemoryDisk) -> None:
    del disk.nodes["datasets/spyke/007.txt"]


def _empty_caption(disk: MemoryDisk) -> None:
    disk.put("datasets/spyke/007.txt", b"")


def _blank_caption(disk: MemoryDisk) -> None:
    disk.put("datasets/spyke/007.txt", b" \nsecond line\n")


def _latin_caption(disk: MemoryDisk) -> None:
    disk.put("datasets/spyke/007.txt", b"\xe9p\xe9e")


def _mixed_ending(disk: MemoryDisk) -> None:
    disk.put("datasets/spyke/extra.Png", b"png")


def _shared_caption(disk: MemoryDisk) -> None:
    disk.put("datasets/spyke/007.jpg", b"jpg")


def _link(disk: MemoryDisk) -> None:
    disk.symlink("datasets/spyke/zz.png", "/etc/passwd")
    disk.put("datasets/spyke/zz.txt", b"spyke")


def _empty_picture(disk: MemoryDisk) -> None:
    disk.put("datasets/spyke/007.png", b"")


def _strange_name(disk: MemoryDisk) -> None:
    disk.put("datasets/spyke/" + "x" * 120 + ".png", b"png")


def _copied_just_now(disk: MemoryDisk) -> None:
    disk.nodes["datasets/spyke/007.png"].busy = True


def _vast(disk: MemoryDisk) -> None:
    disk.put("datasets/spyke/007.png", b"\0" * (IMAGE_LIMIT_BYTES + 1))


SPOILED = {
    _missing_caption: "007.png has no caption",
    _empty_caption: "007.png has no caption",
    _blank_caption: "007.txt is no caption",
    _latin_caption: "007.txt is no caption",
    _mixed_ending: "extra.Png: the trainer does not see this ending",
    _shared_caption: "007.jpg and 007.png would share one caption",
    _link: "zz.png is a link",
    _empty_picture: "007.png has 0 bytes",
    _strange_name: "give the picture a plain name",
    _copied_just_now: "still being copied",
    _vast: "007.png has 67108865 bytes",
}


@pytest.mark.parametrize("spoil", SPOILED, ids=lambda spoil: spoil.__name__.strip("_"))
def test_what_would_spoil_a_night_is_told_by_name(spoil: object) -> None:
    """K5.1: every picture has its own caption; the trainer would go on without."""
    assert callable(spoil)
    disk = folder()
    spoil(disk)
    found, _ = examined(disk)
    assert len(found) == 1
    assert SPOILED[spoil] in found[0]


def test_an_empty_or_missing_folder_is_no_dataset() -> None:
    """The trainer would end with exit status 0 and nothing trained."""
    assert "There is no picture in datasets/spyke/" in examined(MemoryDisk())[0][0]


def test_hidden_files_and_other_files_are_no_pictures() -> None:
    disk = folder()
    for name in ("._000.png", ".DS_Store", "notes.md", "lint.toml"):
        disk.put(f"datasets/spyke/{name}", b"x")
    assert (examined(disk)[0], len(examined(disk)[1])) == ([], 18)


def test_few_pictures_are_refused_unless_forced() -> None:
    assert "9 pictures: from fewer than 10" in examined(folder(9))[0][0]
    assert examined(folder(9), replace(TRAIN, force=True))[0] == []
    assert "more than 300" in examined(folder(301))[0][0]


def warnings(images: int, spec: TrainSpec = FRESH) -> tuple[str, TrainSpec]:
    found, asked = resolved(ASKED, spec, images, Policy())
    assert found == []
    assert isinstance(asked.spec, TrainSpec)
    return " ".join(asked.warnings), asked.spec


def test_a_training_is_cut_into_whole_epochs_and_says_so() -> None:
    """D2.1, D2.2: 18 pictures x 11 are 198 an epoch, 990 steps for 1000."""
    said, spec = warnings(18)
    assert (spec.images, spec.repeats, spec.epoch_steps, spec.epochs) == (18, 11, 198, 5)
    assert spec.steps == 990
    assert said == "990 steps: 5 epochs of 198 (18 pictures x 11), with a checkpoint after each."


def test_few_steps_and_many_steps_are_warned_of() -> None:
    """K3.4, W21: of steps only below 800."""
    assert "seldom enough" not in warnings(18, replace(FRESH, steps=900))[0]
    assert "Fewer than 800" in warnings(18, replace(FRESH, steps=400))[0]
    assert "More than 1200" in warnings(18, replace(FRESH, steps=1800))[0]


def test_more_checkpoints_than_a_ledger_line_lists_are_refused() -> None:
    spec = replace(FRESH, steps=3000, save_every=10, allow_overfit=True)
    found, _ = resolved(ASKED, spec, 10, Policy())
    assert [each.key for each in found] == ["save_every"]


@pytest.mark.parametrize("name", ["a.gif", "b.TIFF", "c.heic"])
def test_a_picture_of_a_kind_that_the_trainer_passes_over_is_told(name: str) -> None:
    disk = folder()
    disk.put(f"datasets/spyke/{name}", b"picture")
    assert f"{name}: the trainer reads no" in examined(disk)[0][0]


def test_a_full_disk_is_waited_for_and_the_copy_is_taken_back() -> None:
    """It is no fault of the job's file, and a partial copy would be part of the trouble."""
    disk = folder()
    disk.free = 100
    with pytest.raises(WorldError) as waited:
        examined(disk)
    assert waited.value.code == "DISK_FULL"
    assert disk.files(ASIDE) == []
