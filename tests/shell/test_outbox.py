"""What appears in the outbox is whole, and says what is true."""

from __future__ import annotations

import asyncio
import json
import tomllib
from collections.abc import Callable
from dataclasses import asdict, replace

import pytest

from daemon.core.events import Entry, ImageJudged, JobRejected
from daemon.core.job import Image, Job
from daemon.core.jobs import Complaint, JobId, PanelSpec, Phase
from daemon.core.state import State
from daemon.errors import WorldError
from daemon.ports import Disk
from daemon.shell.intake import hint_path
from daemon.shell.outbox import Outbox, StagedImage, unknown_results
from daemon.wire.lock_file import Input, read_lock
from daemon.wire.making import digest
from tests.core.asking import ENGINE, MAKING, VAE
from tests.examples import HINT, HINT_SHA256, ONE_SEED, PANEL, REQUEST, accepted, job, judged
from tests.fakes import MemoryDisk

STATE = State(recorded={3: ENGINE, 4: VAE})


class Dead(BaseException):
    """The process is gone."""


def drawing(image: int) -> StagedImage:
    png, workflow = b"\x89PNG %d" % image, b'{"3":%d}' % image
    making = replace(MAKING, workflow_sha256=digest(workflow), bytes=len(png))
    return StagedImage(png, workflow, making)


def drawn(spec: PanelSpec) -> Job:
    """A job whose pictures were drawn and judged, waiting to be published."""
    made = job(phase=Phase.PUBLISHING, spec=spec)
    images = {}
    for image in range(1, len(spec.seeds) + 1):
        made_so = drawing(image)
        sha256 = digest(made_so.png)
        event = ImageJudged(
            job=made.id,
            attempt=1,
            image=image,
            sha256=sha256,
            verdict="fine",
            scores={},
            engine=3,
            models=(4,),
            template=MAKING.template,
            template_sha256=MAKING.template_sha256,
            workflow_sha256=made_so.making.workflow_sha256,
            bytes=made_so.making.bytes,
            perceptual_hash=MAKING.perceptual_hash,
            rung=MAKING.rung,
            map_sha256=made_so.making.map_sha256,
        )
        images[image] = Image(
            "prompt", "fine", sha256, Entry(6 + image, 0, event, "2026-11", f"{image:032}")
        )
    return made._replace(images=images)


def outbox(disk: Disk) -> Outbox:
    return Outbox(disk, host="studio-mac")


def staged(spec: PanelSpec) -> MemoryDisk:
    """A disk on which all pictures of such a job are staged."""
    disk = MemoryDisk()

    async def stage() -> None:
        for image in range(1, len(spec.seeds) + 1):
            png, workflow = drawing(image).png, drawing(image).workflow
            await outbox(disk).stage(drawn(spec), image, png=png, workflow=workflow)

    asyncio.run(stage())
    return disk


def die_at(disk: MemoryDisk, change: int) -> None:
    """Let the process die just before its n-th change of the disk from now."""
    last = len(disk.log) + change - 1

    def before(_operation: str, _path: str) -> None:
        if len(disk.log) >= last:
            raise Dead

    disk.before = before


def test_a_taken_job_keeps_its_request_byte_for_byte_and_its_hint() -> None:
    disk = MemoryDisk()
    disk.put(hint_path(HINT_SHA256), HINT)
    asyncio.run(outbox(disk).take(accepted()))
    assert disk.data("outbox/ch01_p003_v1/job.toml") == REQUEST.encode()
    assert disk.data(f"outbox/ch01_p003_v1/input-{HINT_SHA256[:12]}.png") == HINT
    assert all(synced for _, _, synced in disk.log)


@pytest.mark.parametrize("there", [None, b"\x89PNG another"])
def test_a_job_is_not_taken_with_another_hint_than_was_examined(there: bytes | None) -> None:
    disk = MemoryDisk()
    if there is not None:
        disk.put(hint_path(HINT_SHA256), there)
    with pytest.raises(WorldError, match="examined again") as caught:
        asyncio.run(outbox(disk).take(accepted()))
    assert caught.value.code == "HINT_GONE"
    assert disk.files("outbox") == []


def rejected(name: str = "ch01.toml", digest: str = "a" * 64) -> JobRejected:
    return JobRejected(name, digest, "", (Complaint(1, "width", "Too wide."),), 1, 2, 3)


def test_a_refused_file_is_kept_with_its_answer() -> None:
    disk = MemoryDisk()
    folder = asyncio.run(outbox(disk).reject(rejected(), at=0, request=b"width = 9999"))
    assert folder == "outbox/rejected/ch01-aaaaaaaaaaaa"
    assert disk.data(f"{folder}/job.toml") == b"width = 9999"
    assert tomllib.loads(disk.data(f"{folder}/status.toml").decode())["phase"] == "rejected"


def test_a_file_too_large_to_be_read_is_answered_all_the_same() -> None:
    disk = MemoryDisk()
    folder = asyncio.run(outbox(disk).reject(rejected(), at=0, request=None))
    assert disk.files(folder) == [f"{folder}/status.toml"]


def test_the_last_500_refusals_are_kept_the_newest_among_them() -> None:
    disk = MemoryDisk()

    async def reject_many() -> None:
        for number in range(503):
            answer = rejected(digest=f"{number:012}{'0' * 52}")
            await outbox(disk).reject(answer, at=0, request=b"")

    asyncio.run(reject_many())
    kept = asyncio.run(disk.list("outbox/rejected"))
    assert len(kept) == 500
    assert kept[0].name == "ch01-000000000003"
    assert kept[-1].name == "ch01-000000000502"


def test_what_is_staged_is_found_again_whole() -> None:
    disk = staged(PANEL)
    made = drawn(PANEL)
    assert asyncio.run(outbox(disk).staged(made, 2, STATE)) == drawing(2)
    assert asyncio.run(outbox(disk).staged(made._replace(attempt=2), 2, STATE)) == drawing(2)
    assert asyncio.run(outbox(disk).staged(made._replace(images={}), 2, STATE)) is None


@pytest.mark.parametrize("change", [1, 2])
def test_a_picture_that_was_being_staged_when_the_power_went_is_not_there(change: int) -> None:
    """A2.9."""
    disk = MemoryDisk()
    die_at(disk, change)
    with pytest.raises(Dead):
        asyncio.run(outbox(disk).stage(drawn(PANEL), 1, png=b"png", workflow=b"{}"))
    assert asyncio.run(outbox(disk).staged(drawn(PANEL), 1, STATE)) is None


def test_what_release_0_1_0_staged_is_published_by_its_note() -> None:
    """Its ledger lines say less: an upgrade must not cost a night's pictures."""
    disk, made = staged(ONE_SEED), drawn(ONE_SEED)
    whole = asyncio.run(outbox(staged(ONE_SEED)).publish(made, STATE))
    [image] = made.images.values()
    assert image.judged is not None
    old = judged(made.id, sha256=image.sha256, verdict="fine")
    made = made._replace(images={1: replace(image, judged=replace(image.judged, event=old))})
    with pytest.raises(WorldError, match="drawn again"):
        asyncio.run(outbox(disk).publish(made, State()))
    note = {
        "sha256": image.sha256,
        "workflow_sha256": digest(drawing(1).workflow),
        "making": {**asdict(MAKING), "verdict": "fine"},
    }
    disk.put(".nightpress/staging/ch01_p003_v1/a1-01.facts.json", json.dumps(note).encode())
    assert asyncio.run(outbox(disk).publish(made, State())) == whole


def test_one_seed_gives_three_files_named_after_the_job() -> None:
    """S3.1."""
    disk = staged(ONE_SEED)
    files = asyncio.run(outbox(disk).publish(drawn(ONE_SEED), STATE))
    stem = "ch01_p003_v1"
    assert sorted(files) == [f"{stem}.lock.toml", f"{stem}.png", f"{stem}.workflow.json"]
    for name, recorded in files.items():
        assert digest(disk.data(f"outbox/{stem}/{name}")) == recorded


def test_several_seeds_are_numbered_in_the_order_asked() -> None:
    """S3.1, S3.3: the executed graph lies beside each picture."""
    disk = staged(PANEL)
    asyncio.run(outbox(disk).publish(drawn(PANEL), STATE))
    stem = "outbox/ch01_p003_v1/ch01_p003_v1"
    assert disk.data(f"{stem}-02.png") == drawing(2).png
    assert disk.data(f"{stem}-02.workflow.json") == drawing(2).workflow
    assert read_lock(disk.data(f"{stem}-02.lock.toml")).sampler.seed == PANEL.seeds[1]


def test_a_lock_vouches_for_its_own_files_by_the_line_of_its_verdict() -> None:
    """S3.2."""
    disk = staged(PANEL)
    files = asyncio.run(outbox(disk).publish(drawn(PANEL), STATE))
    lock = read_lock(disk.data("outbox/ch01_p003_v1/ch01_p003_v1-02.lock.toml"))
    assert lock.subject.sha256 == files[lock.subject.file]
    assert lock.workflow.sha256 == files[lock.workflow.file]
    assert (lock.ledger.host, lock.ledger.segment) == ("studio-mac", "2026-11")
    assert (lock.ledger.seq, lock.ledger.chain) == (8, f"{2:032}")


@pytest.mark.parametrize("change", range(1, 7))
def test_a_power_cut_while_publishing_leaves_whole_files_and_the_next_start_ends_it(
    change: int,
) -> None:
    """A2.9."""
    whole = staged(PANEL)
    files = asyncio.run(outbox(whole).publish(drawn(PANEL), STATE))
    disk = staged(PANEL)
    undisturbed = disk.before
    die_at(disk, change)
    with pytest.raises(Dead):
        asyncio.run(outbox(disk).publish(drawn(PANEL), STATE))
    assert len(disk.files("outbox")) == change - 1
    assert all(disk.data(path) == whole.data(path) for path in disk.files("outbox"))
    disk.before = undisturbed
    assert asyncio.run(outbox(disk).publish(drawn(PANEL), STATE)) == files
    assert disk.files("outbox") == whole.files("outbox")


def remove_picture(disk: MemoryDisk) -> None:
    del disk.nodes[".nightpress/staging/ch01_p003_v1/a1-02.png"]


def damage_picture(disk: MemoryDisk) -> None:
    disk.nodes[".nightpress/staging/ch01_p003_v1/a1-02.png"].data += b"x"


def damage_graph(disk: MemoryDisk) -> None:
    disk.nodes[".nightpress/staging/ch01_p003_v1/a1-02.workflow.json"].data = b"{}"


@pytest.mark.parametrize("harm", [remove_picture, damage_picture, damage_graph])
def test_nothing_is_published_when_one_picture_has_to_be_drawn_again(
    harm: Callable[[MemoryDisk], None],
) -> None:
    """A2.9."""
    disk = staged(PANEL)
    harm(disk)
    with pytest.raises(WorldError, match="Picture 2 of ch01_p003_v1") as caught:
        asyncio.run(outbox(disk).publish(drawn(PANEL), STATE))
    assert caught.value.code == "RESULT_GONE"
    assert disk.files("outbox") == []


def with_map(pose_map: bytes) -> tuple[Job, MemoryDisk]:
    """A job whose one picture was drawn by a hint that its graph made for itself."""
    made, disk = drawn(ONE_SEED), MemoryDisk()
    judged = made.images[1].judged
    assert judged is not None
    assert isinstance(judged.event, ImageJudged)
    event = replace(judged.event, map_sha256=digest(b"lines"))
    image = replace(made.images[1], judged=replace(judged, event=event))
    picture = drawing(1)
    stage = outbox(disk).stage(
        made, 1, png=picture.png, workflow=picture.workflow, pose_map=pose_map
    )
    asyncio.run(stage)
    return made._replace(images={1: image}), disk


def test_the_hint_that_a_graph_made_for_itself_is_published_and_locked() -> None:
    """C2.2, C2.3: what really guided the picture is kept with it."""
    made, disk = with_map(b"lines")
    published = asyncio.run(outbox(disk).publish(made, STATE))
    assert published["ch01_p003_v1.map.png"] == digest(b"lines")
    assert disk.data("outbox/ch01_p003_v1/ch01_p003_v1.map.png") == b"lines"
    lock = read_lock(disk.data("outbox/ch01_p003_v1/ch01_p003_v1.lock.toml"))
    assert lock.input[-1] == Input("pose_map", "$JOB/ch01_p003_v1.map.png", digest(b"lines"))


def test_a_picture_whose_pose_map_is_another_is_drawn_again() -> None:
    """C2.3"""
    made, disk = with_map(b"another")
    with pytest.raises(WorldError, match="drawn again"):
        asyncio.run(outbox(disk).publish(made, STATE))


def test_a_picture_without_a_verdict_is_not_published() -> None:
    disk = staged(ONE_SEED)
    with pytest.raises(WorldError, match="drawn again"):
        asyncio.run(outbox(disk).publish(drawn(ONE_SEED)._replace(images={}), STATE))


def test_a_disk_that_cannot_be_read_is_not_taken_for_a_lost_picture() -> None:
    disk = staged(ONE_SEED)
    disk.unreadable.add(".nightpress/staging/ch01_p003_v1/a1-01.png")
    with pytest.raises(WorldError, match="input/output"):
        asyncio.run(outbox(disk).publish(drawn(ONE_SEED), STATE))


def test_results_are_synced_and_projections_are_not() -> None:
    disk = staged(ONE_SEED)
    asyncio.run(outbox(disk).publish(drawn(ONE_SEED), STATE))
    assert all(synced for _, _, synced in disk.log)
    disk.log.clear()
    asyncio.run(outbox(disk).write_job_status(job()))
    asyncio.run(outbox(disk).write_status({"schema": 1}))
    assert disk.log == [
        ("write", "outbox/ch01_p003_v1/status.toml", False),
        ("write", "outbox/status.json", False),
    ]


def test_what_was_staged_is_forgotten_when_told_so_and_for_that_job_only() -> None:
    disk = staged(ONE_SEED)
    disk.put(".nightpress/staging/ch01_p003_v10/a1-01.png", b"")
    asyncio.run(outbox(disk).clear_staging(JobId("ch01_p003_v1")))
    assert disk.files() == [".nightpress/staging/ch01_p003_v10/a1-01.png"]


def test_a_result_that_no_ledger_knows_is_found_and_its_number_is_not_given_again() -> None:
    """A published picture is never rewritten, even when git took the ledger back."""

    async def story() -> None:
        disk = MemoryDisk()
        disk.put("outbox/ch01_v2/ch01_v2.lock.toml", b"")
        disk.put("outbox/ch01_v7/job.toml", b"")
        disk.put("outbox/ch02_v1/ch02_v1.lock.toml", b"")
        disk.put("outbox/rejected/ch03_v9/x.lock.toml", b"")
        state = State(numbers={("ch01", "v"): 1, ("ch02", "v"): 1})
        assert await unknown_results(disk, state) == {("ch01", "v"): 2}

    asyncio.run(story())


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("checkpoints/spyke_v3-000198.safetensors", True),
        ("resume/a1-01234567/config.toml", True),
        ("resume/dataset/001.png", False),  # A crash left it; no line ever accepted the job.
    ],
)
def test_a_training_that_no_ledger_knows_keeps_its_number(path: str, known: bool) -> None:
    async def story() -> None:
        disk = MemoryDisk()
        disk.put(f"outbox/spyke_v3/{path}", b"x")
        found = await unknown_results(disk, State())
        assert found == ({("spyke", "v"): 3} if known else {})

    asyncio.run(story())
