"""The shell conducts an attempt at a training over any number of daemons, in virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from hashlib import sha256

import pytest

from daemon.core.commands import Command, ObserveTrainer
from daemon.core.events import AttemptEnded, AttemptStarted, CheckpointSaved
from daemon.core.job import Job
from daemon.core.jobs import JobId, TrainingImage
from daemon.core.policy import Policy
from daemon.craft.training_health import STALL_S
from daemon.errors import WorldError
from daemon.ports import Holder
from daemon.shell.epochs import resume_point
from daemon.shell.machine_watch import Blind
from daemon.shell.outbox import DATASET_COPY
from daemon.shell.progress import Progress
from daemon.shell.training import Training
from daemon.shell.training_folder import attempts_of
from daemon.shell.training_start import Workshop
from daemon.wire.sd_scripts import CONFIG, checkpoint_file, done_epochs
from daemon.wire.seal import Seal, render_seal
from daemon.wire.shim_record import (
    EXIT,
    MARKER,
    START,
    ExitRecord,
    StopOrder,
    read_marker,
    stop_marker,
)
from tests.core.asking import TRAIN, control, training
from tests.desk import Desk
from tests.fakes import MemoryDisk, NoTrainer
from tests.shell.machine_fake import FakeProbe, LoopClock, watch_over
from tests.shell.trainer_fake import (
    EPOCH_STEPS,
    EPOCHS,
    FACTS,
    JOB,
    Died,
    FakeTrainer,
    Models,
    Run,
    Script,
    ended_within,
    lora,
)
from tests.virtual_time import run

HOUR_S = 3_600.0
SPEC = replace(
    TRAIN, images=2, repeats=1, epoch_steps=EPOCH_STEPS, epochs=EPOCHS, steps=EPOCHS * EPOCH_STEPS
)
DATASET = f"outbox/{JOB}/{DATASET_COPY}"


class Floor:
    """One studio that trains spyke: its desk, its disk, its trainer with these scripts."""

    def __init__(self, *scripts: Script, gpu_expected: bool = False) -> None:
        self.gpu_expected = gpu_expected
        self.desk, self.disk = Desk(), MemoryDisk()
        self.trainer = FakeTrainer(self.disk, list(scripts))
        self.rehearsal, self.released = False, 0
        self.probe, self.clock = FakeProbe(), LoopClock()
        self.policy, self.told = Policy(), list[Command]()
        self.watch = watch_over(Blind(), state=self.desk.state)
        self.evidence, self.kills = "", list[ExitRecord]()
        images = []
        for name in ("a", "b"):
            files = {f"{name}.png": f"picture {name}".encode(), f"{name}.txt": b"spyke"}
            for file, data in files.items():
                self.disk.put(f"{DATASET}/{file}", data)
            images.append(
                TrainingImage(f"{name}.png", *(sha256(d).hexdigest() for d in files.values()))
            )
        asked = training()
        asked = replace(asked, asked=replace(asked.asked, spec=SPEC), dataset=tuple(images))
        self.desk.do(asked)

    @property
    def job(self) -> Job:
        return self.desk.state.jobs[JobId(JOB)]

    @property
    def folder(self) -> str:
        """Of the latest attempt."""
        return attempts_of(self.job)[-1].folder

    def daemon(self) -> Training:
        """What a daemon that has just started knows of trainings: nothing."""

        async def ask(command: Command) -> None:
            self.desk.do(command)

        shop = Workshop(
            disk=self.disk,
            weights=Models(),
            trainer=self.trainer,
            gpu=NoTrainer(),
            places={"$STUDIO": "/studio"},
            rehearsal=self.rehearsal,
            gpu_expected=self.gpu_expected,
            policy=self.policy,
        )

        async def released() -> None:
            self.released += 1

        async def evidence(record: ExitRecord) -> str:
            self.kills.append(record)
            return self.evidence

        self.watch.kill_evidence = evidence  # type: ignore[method-assign]
        progress, watch = Progress(), self.watch
        return Training(shop, ask=ask, progress=progress, released=released, machine=watch)

    async def attempt(self) -> None:
        """The current attempt, by a daemon of its own."""
        self.watch = watch_over(
            self.probe,
            state=self.desk.state,
            policy=self.policy,
            clock=self.clock,
            trainer=self.trainer,
            tell=self.told.append,
        )
        looking = asyncio.ensure_future(self.watch.run())
        try:
            await self.daemon().run(self.job)
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    @property
    def ends(self) -> list[tuple[str, str]]:
        """Outcome and code of each attempt so far."""
        events = [entry.event for entry in self.desk.entries]
        return [(str(e.outcome), e.code) for e in events if isinstance(e, AttemptEnded)]

    @property
    def saved(self) -> list[int]:
        """The steps of the checkpoints in the ledger, in its order."""
        events = [entry.event for entry in self.desk.entries]
        return [event.step for event in events if isinstance(event, CheckpointSaved)]

    @property
    def began(self) -> list[int]:
        """After which epoch each attempt was told to begin."""
        orders = self.trainer.orders
        return [done_epochs(self.disk.data(f"{order.folder}/{CONFIG}")) for order in orders]

    def marker(self) -> str:
        """Why the latest attempt was told to stop; '' when it was not."""
        node = self.disk.nodes.get(f"{self.folder}/{MARKER}")
        order = read_marker(node.data) if node else None
        return order.code if order else ""


async def whole(run: Run) -> None:
    await run.whole()


def broken_off(after: int) -> Script:
    """It is killed when so many epochs of the training are saved, and the next has begun."""

    async def script(run: Run) -> None:
        run.begin()
        await run.epochs(range(run.done + 1, after + 1))
        await run.rest(1.0)
        run.say("stderr.log", f"\rsteps:  50%|#| {run.step + 1}/8 [00:01<00:01,  1.00s/it]")
        raise Died(signal=9)

    return script


def told(floor: Floor, story: Callable[[], Awaitable[None]]) -> float:
    """Play a story on this floor; how many seconds it took."""

    async def tell() -> float:
        await story()
        return asyncio.get_running_loop().time()

    return run(tell())


def test_each_epoch_is_reported_and_then_the_end() -> None:
    """D2.2, K2.5"""
    floor = Floor(whole)
    told(floor, floor.attempt)
    assert floor.saved == [2, 4, 6, 8]
    assert floor.ends == [("succeeded", "")]


@pytest.mark.parametrize("daemon_lives_s", [0.1, 0.7, 1.3, 2.0])
def test_a_training_is_started_once_however_many_daemons_watch_it(daemon_lives_s: float) -> None:
    """N4.4: every daemon is stopped after a while, and the next begins at the beginning."""
    floor = Floor(whole)

    async def story() -> None:
        while not await ended_within(floor.attempt(), daemon_lives_s):
            pass

    told(floor, story)
    assert len(floor.trainer.orders) == 1
    assert floor.saved == [2, 4, 6, 8]
    assert floor.ends == [("succeeded", "")]


def test_a_trainer_that_says_nothing_for_half_an_hour_is_ended_and_tried_again() -> None:
    """N6: not one that hangs for a little less, before its first step."""

    async def hangs(run: Run) -> None:
        run.begin()
        await run.rest(Policy().training_silence_s - 10)
        run.say("stdout.log", "caching latents\n")
        await run.rest(10 * HOUR_S)

    floor = Floor(hangs)
    took_s = told(floor, floor.attempt)
    assert floor.ends == [("lost", "TRAINER_SILENT")]
    silence_s = Policy().training_silence_s
    assert 2 * silence_s - 10 < took_s < 2 * silence_s + 60


@pytest.mark.parametrize(("step_s", "least_s"), [(1.0, STALL_S), (60.0, 5 * 60.0)])
def test_a_training_that_makes_no_step_any_more_goes_on_from_its_last_state(
    step_s: float, least_s: float
) -> None:
    """K2.5: found by what its own steps took, long before half an hour."""

    async def stalls(run: Run) -> None:
        run.step_s = step_s
        run.begin()
        await run.epochs([1, 2])
        while True:  # It talks on, and learns nothing.
            run.say("stderr.log", "a warning\n")
            await run.rest(10.0)

    floor = Floor(stalls)
    took_s = told(floor, floor.attempt)
    assert floor.ends == [("lost", "TRAINER_STALLED")]
    assert floor.saved == [2, 4]
    assert 4 * step_s + least_s < took_s < 4 * step_s + least_s + 30


@pytest.mark.parametrize(("vouches", "saved"), [(True, [2, 4]), (False, [2])])
def test_a_whole_file_is_a_result_though_the_log_of_its_epoch_is_lost(
    vouches: bool, saved: list[int]
) -> None:
    """N4.6: where it says itself which bytes are right; its loss is unknown."""

    async def dies(run: Run) -> None:
        run.begin()
        await run.epochs([1])
        name = checkpoint_file(JOB, epoch=2, epochs=EPOCHS)
        data = lora("epoch 2", vouches=vouches)
        run.disk.put(run.path(f"out/{name}"), data)
        cut = checkpoint_file(JOB, epoch=3, epochs=EPOCHS)
        run.disk.put(run.path(f"out/{cut}"), lora("epoch 3", vouches=True)[:-1])
        raise Died(code=1)

    floor = Floor(dies)
    told(floor, floor.attempt)
    assert floor.saved == saved
    assert floor.ends[0][0] == "failed"


def test_zeros_are_not_learnt_in_the_place_of_a_picture() -> None:
    async def spoils(run: Run) -> None:
        run.say("stdout.log", "NaN found in latents, replacing with zeros\n")
        run.begin()
        await run.rest(10 * HOUR_S)

    floor = Floor(spoils)
    assert told(floor, floor.attempt) < 60
    assert floor.ends == [("failed", "LATENTS_NAN")]


@pytest.mark.parametrize("expected", [True, False])
def test_a_mac_that_trains_on_its_cpu_is_stopped_before_the_night_is_spent(expected: bool) -> None:
    """K1.4: by the device that the trainer names; where there is no GPU, the CPU will do."""

    async def slow(run: Run) -> None:
        run.say("stdout.log", "accelerator device: cpu\nprepare optimizer\nrunning training\n")
        await run.epochs([1, 2, 3, 4])
        run.finish()

    floor = Floor(slow, gpu_expected=expected)
    told(floor, floor.attempt)
    assert floor.ends == [("failed", "TRAINER_ON_CPU") if expected else ("succeeded", "")]


def test_a_loss_that_is_no_number_ends_the_training_within_seconds() -> None:
    async def diverges(run: Run) -> None:
        run.begin()
        await run.epochs([1])
        await run.epochs([2, 3], loss=float("nan"))
        await run.rest(10 * HOUR_S)

    floor = Floor(diverges)
    assert told(floor, floor.attempt) < 10
    assert floor.ends == [("failed", "LOSS_NAN")]
    assert floor.saved == [2]


def test_an_orphan_that_cannot_be_verified_is_waited_for_and_never_reported() -> None:
    """N4.4: somebody has the lock, and two trainings never run at once."""

    async def goes_on(run: Run) -> None:
        run.begin()
        await run.epochs([1, 2])
        await asyncio.sleep(3 * HOUR_S)
        raise Died

    floor = Floor(goes_on)
    floor.trainer.ends_orphans = False

    async def story() -> None:
        assert not await ended_within(floor.attempt(), 3.0)
        floor.trainer.held = "orphan"
        assert not await ended_within(floor.attempt(), 2 * HOUR_S)
        assert floor.ends == []
        await floor.attempt()

    assert told(floor, story) >= 3 * HOUR_S
    assert floor.ends == [("lost", "TRAINER_UNKNOWN")]


def test_an_orphan_that_is_verified_is_ended_and_its_end_is_unknown() -> None:
    """N4.4: also when all that a success leaves is there."""

    async def orphaned(run: Run) -> None:
        await run.whole()
        floor.trainer.held = "orphan"
        await asyncio.sleep(HOUR_S)

    floor = Floor(orphaned)
    assert told(floor, floor.attempt) < 60
    assert floor.ends == [("lost", "TRAINER_UNKNOWN")]


def test_a_start_that_fails_leaves_the_marker_for_a_shim_that_may_still_come() -> None:
    """The end is reported when nobody has the lock."""
    floor = Floor()
    floor.trainer.refuses = WorldError("TRAINER_START", "The shim did not begin.")

    async def story() -> None:
        trying = asyncio.ensure_future(floor.attempt())
        await asyncio.sleep(0.5)
        floor.trainer.held = "shim"
        await asyncio.sleep(30.0)
        assert floor.marker() == "TRAINER_START"
        assert floor.ends == []
        floor.trainer.held = "nobody"
        await trying

    told(floor, story)
    assert floor.ends == [("lost", "TRAINER_START")]


def test_a_machine_that_has_become_unfit_is_found_before_the_start_and_the_job_waits() -> None:
    """K1.3: no attempt is spent on it, and none follows at once: the press is told."""
    floor = Floor(whole)
    floor.trainer.facts = replace(FACTS, device="cpu", macos="15.1")
    told(floor, floor.attempt)
    assert floor.ends == [("stopped", "TRAINER_UNFIT")]
    assert floor.trainer.orders == []
    assert floor.desk.state.lease is None
    assert floor.job.code == "TRAINER_UNFIT"
    floor.trainer.facts = FACTS
    floor.desk.do(ObserveTrainer("", ""))
    told(floor, floor.attempt)
    assert floor.ends[1:] == [("succeeded", "")]


def test_what_only_this_job_asks_too_much_of_fails_it_before_the_start() -> None:
    """K1.5: a package that was taken away since the job was accepted."""
    floor = Floor(whole)
    spec = replace(SPEC, optimizer="Lion")
    floor.trainer.facts = replace(FACTS, packages={"torch": "2.7.0"})
    job = floor.job._replace(spec=spec)
    floor.desk.state.jobs[job.id] = job
    told(floor, floor.attempt)
    assert floor.ends == [("failed", "TRAINER_PACKAGE")]
    assert floor.trainer.orders == []


def test_the_trainer_is_told_where_its_tokenizer_was_found() -> None:
    floor = Floor(whole)
    floor.trainer.facts = replace(FACTS, tokenizer="/studio/.nightpress/tokenizer")
    told(floor, floor.attempt)
    [order] = floor.trainer.orders
    config = floor.disk.data(f"{order.folder}/{CONFIG}").decode()
    assert 'tokenizer_cache_dir = "/studio/.nightpress/tokenizer"' in config


def test_a_full_disk_at_the_start_is_a_loss_and_the_second_is_the_last() -> None:
    """It must not begin anew for ever where nobody watches over the disk's room."""
    floor = Floor()
    floor.trainer.refuses = WorldError("DISK_FULL", "The disk is full.")

    async def story() -> None:
        await floor.attempt()
        await floor.attempt()

    told(floor, story)
    assert floor.ends == [("lost", "DISK_FULL")] * 2
    assert floor.job.phase == "quarantined"


def test_a_job_of_another_trainer_is_not_started() -> None:
    floor = Floor()
    floor.rehearsal = True
    told(floor, floor.attempt)
    assert floor.ends == [("stopped", "ENGINE_MISSING")]
    assert floor.trainer.orders == []


@pytest.mark.parametrize("name", ["a.png", "b.txt"])
@pytest.mark.parametrize("data", [b"another", None])
def test_a_copied_dataset_that_has_changed_is_not_trained_from(
    name: str, data: bytes | None
) -> None:
    """S3.2: the lock would say something else."""
    floor = Floor()
    if data is None:
        del floor.disk.nodes[f"{DATASET}/{name}"]
    else:
        floor.disk.put(f"{DATASET}/{name}", data)
    told(floor, floor.attempt)
    assert floor.ends == [("failed", "DATASET_CHANGED")]
    assert floor.trainer.orders == []


@pytest.mark.parametrize("record", [START, EXIT])
def test_a_record_of_another_history_is_none(record: str) -> None:
    """The folder of the same attempt, in a ledger that has gone back."""
    floor = Floor(whole)
    foreign = b'{"nonce": "f", "boot": "boot", "code": 0, "signal": 0, "stopped": "", '
    floor.disk.put(f"{floor.folder}/{record}", foreign + b'"started": 0, "ended": 0}')
    told(floor, floor.attempt)
    assert len(floor.trainer.orders) == 1
    assert floor.ends == [("succeeded", "")]


@pytest.mark.parametrize("held", ["shim", "orphan", "nobody"])
@pytest.mark.parametrize("record", [START, EXIT])
def test_a_training_of_a_newer_release_is_neither_followed_nor_stopped_nor_ended(
    record: str, held: Holder
) -> None:
    """An older daemon must not judge what it does not understand: its records, or its silence."""
    floor = Floor(whole)
    nonce = attempts_of(floor.job)[-1].nonce
    end = {"code": 0, "signal": 0, "stopped": "", "started": 0, "ended": 0}
    told = {"version": 2, "nonce": nonce, "boot": "boot", **end}
    floor.disk.put(f"{floor.folder}/{record}", json.dumps(told).encode())
    floor.trainer.held = held
    with pytest.raises(WorldError, match="left alone"):
        run(asyncio.wait_for(floor.attempt(), HOUR_S))
    assert (floor.ends, floor.marker(), floor.trainer.orders) == ([], "", [])


def test_what_a_restarted_machine_has_ended_goes_on_from_the_last_state_seen_whole() -> None:
    """A power cut may have torn the state of epoch 2, and nothing in it would say so."""

    async def cut(run: Run) -> None:
        run.begin()
        await run.epochs([1, 2])
        raise Died

    floor = Floor(cut, whole)
    floor.trainer.boot_now = "another boot"

    async def story() -> None:
        await floor.attempt()
        await floor.attempt()

    told(floor, story)
    assert floor.ends == [("lost", "MACHINE_RESTARTED"), ("succeeded", "")]
    assert floor.saved == [2, 4, 4, 6, 8]


def test_an_end_of_which_a_power_cut_has_left_no_log_is_no_failure() -> None:
    """The record of the end is synced, and what was said before is not."""

    async def silent(run: Run) -> None:
        raise Died(code=0)

    floor = Floor(silent, whole)
    floor.trainer.boot_now = "another boot"

    async def story() -> None:
        await floor.attempt()
        await floor.attempt()

    told(floor, story)
    assert floor.ends == [("lost", "MACHINE_RESTARTED"), ("succeeded", "")]


@pytest.mark.parametrize("began_s", [0.0, 3.2])
def test_a_cancelled_training_is_told_to_stop_and_reported_when_it_is_gone(began_s: float) -> None:
    """N4.5: also one that has not begun, so that a shim on its way does not begin it."""
    floor = Floor(whole)

    async def story() -> None:
        if began_s:
            assert not await ended_within(floor.attempt(), began_s)
        floor.desk.do(control("cancel", JOB))
        await floor.daemon().stop(floor.job)

    told(floor, story)
    assert floor.marker() == "CANCELLED"
    assert floor.ends == [("cancelled", "CANCELLED")]
    assert floor.trainer.held == "nobody"


def resumed(floor: Floor, *, harm: Callable[[], None] = lambda: None) -> int:
    """The epochs that were done before the second attempt; ``harm`` is done between the two."""

    async def story() -> None:
        await floor.attempt()
        harm()
        await floor.attempt()

    told(floor, story)
    assert floor.ends[1:] == [("succeeded", "")]
    return Run(floor.disk, floor.trainer.orders[1]).done


def state_of(floor: Floor, epoch: int) -> str:
    return f"{attempts_of(floor.job)[0].folder}/out/{JOB}-{epoch:06d}-state"


def test_the_second_attempt_goes_on_from_the_last_whole_epoch() -> None:
    """K2.5"""
    floor = Floor(broken_off(3), whole)
    assert resumed(floor) == 3
    assert floor.saved == [2, 4, 6, 8]


@pytest.mark.parametrize("harmed", ["optimizer.bin", "model.safetensors"])
def test_a_damaged_state_is_left_for_an_earlier_one(harmed: str) -> None:
    """K2.5: by its hash; its name and its length are as they were."""
    floor = Floor(broken_off(3), whole)

    def harm() -> None:
        path = f"{state_of(floor, 3)}/{harmed}"
        floor.disk.put(path, b"x" * len(floor.disk.data(path)))

    assert resumed(floor, harm=harm) == 2


def test_a_state_is_sealed_when_its_checkpoint_is_in_the_ledger() -> None:
    """Else a power cut leaves a checkpoint that was made again, and nobody makes it once more."""
    floor = Floor(whole)
    sealed = []

    def look(operation: str, path: str) -> None:
        if (operation, path[-17:-11]) == ("write", "epoch-"):
            sealed.append((int(path[-11:-5]) * EPOCH_STEPS, list(floor.saved)))

    floor.disk.before = look
    told(floor, floor.attempt)
    assert sealed == [(2, [2]), (4, [2, 4]), (6, [2, 4, 6])]


@pytest.mark.parametrize(("evidence", "code"), [("", "KILLED"), ("it swapped", "OOM_KILL")])
def test_a_kill_is_called_by_what_speaks_for_it_and_the_next_attempt_goes_on(
    evidence: str, code: str
) -> None:
    """N4.3, K2.5: what speaks for memory is asked once, of the record, and told in the ledger."""
    floor = Floor(broken_off(3), whole)
    floor.evidence = evidence

    async def story() -> None:
        await floor.attempt()
        await floor.attempt()

    told(floor, story)
    assert [end for _, end in floor.ends] == [code, ""]
    assert [kill.signal for kill in floor.kills] == [9]
    ended = next(e.event for e in floor.desk.entries if isinstance(e.event, AttemptEnded))
    assert ended.evidence.startswith("The trainer was killed (signal 9); ")
    assert (f"probable cause: memory: {evidence}." in ended.evidence) is bool(evidence)
    assert Run(floor.disk, floor.trainer.orders[-1]).done == 3


def test_nobody_is_asked_about_an_end_that_was_no_kill() -> None:
    async def cancelled(run: Run) -> None:
        run.begin()
        raise Died(signal=9, stopped="cancelled")

    floor = Floor(cancelled)
    told(floor, floor.attempt)
    assert floor.kills == []


def test_a_state_that_the_trainer_could_not_load_is_not_tried_again() -> None:
    """K2.5: though its bytes are those that were sealed."""

    async def refusing(run: Run) -> None:
        run.say("stdout.log", "accelerator device: mps\nprepare optimizer\n")
        run.say("stderr.log", "RuntimeError: PytorchStreamReader failed reading zip archive\n")
        raise Died(code=1)

    floor = Floor(broken_off(3), refusing, whole)

    async def story() -> None:
        await floor.attempt()
        await floor.attempt()
        floor.desk.do(control("retry", JOB))
        await floor.attempt()

    told(floor, story)
    assert [code for _, code in floor.ends] == ["KILLED", "STATE_BROKEN", ""]
    assert [Run(floor.disk, order).done for order in floor.trainer.orders] == [0, 3, 2]


def test_pictures_that_a_power_cut_left_out_of_the_ledger_are_recorded_from_the_copy() -> None:
    """N6.2: the lines of one acceptance can be torn apart, and the locks need them all."""
    floor = Floor(whole)
    listed = floor.job.dataset
    floor.desk.state.jobs[floor.job.id] = floor.job._replace(dataset=listed[:1])
    told(floor, floor.attempt)
    assert floor.job.dataset == listed
    assert floor.ends == [("succeeded", "")]


def test_without_any_whole_state_it_begins_at_the_beginning() -> None:
    floor = Floor(broken_off(2), whole)

    def harm() -> None:
        for epoch in (1, 2):
            del floor.disk.nodes[f"{state_of(floor, epoch)}/optimizer.bin"]

    assert resumed(floor, harm=harm) == 0


def test_a_training_that_may_not_be_split_begins_at_the_beginning() -> None:
    """``resume = false``"""
    floor = Floor(broken_off(2), whole)
    jobs = floor.desk.state.jobs
    jobs[JobId(JOB)] = floor.job._replace(spec=replace(SPEC, resume=False))
    assert resumed(floor) == 0


def test_the_state_after_the_last_epoch_is_never_gone_on_from() -> None:
    """There would be nothing left to train, and so no end."""

    async def unseen(run: Run) -> None:
        run.begin()
        await run.epochs(range(1, EPOCHS + 1))
        run.save_state(EPOCHS)
        run.finish()
        raise Died

    floor = Floor(unseen, whole)
    assert resumed(floor) == EPOCHS - 1
    assert floor.saved == [2, 4, 6, 8, 8]


def test_a_state_in_the_folder_of_another_history_is_no_state_of_this_one() -> None:
    floor = Floor(broken_off(1))

    async def story() -> None:
        await floor.attempt()
        foreign = f"outbox/{JOB}/resume/a1-ffffffff/out/{JOB}-000001-state"
        floor.disk.put(f"{foreign}/optimizer.bin", b"foreign")
        sealed(floor, 1, foreign)
        assert await resume_point(floor.disk, floor.job) is None

    told(floor, story)


def sealed(floor: Floor, epoch: int, folder: str) -> None:
    """Seal a folder as the state after an epoch, whatever lies there."""
    paths = floor.disk.files(folder)
    files = {path.rpartition("/")[2]: sha256(floor.disk.data(path)).hexdigest() for path in paths}
    seal = render_seal(Seal(epoch, folder, files))
    floor.disk.put(f"outbox/{JOB}/resume/epoch-{epoch:06d}.json", seal)


def test_every_attempt_is_started_by_an_event_of_the_ledger() -> None:
    floor = Floor(broken_off(1), whole)
    resumed(floor)
    events = [entry.event for entry in floor.desk.entries]
    started = [event.attempt for event in events if isinstance(event, AttemptStarted)]
    assert started == [1, 2]
    assert [order.nonce for order in floor.trainer.orders] == list(floor.job.nonces.values())


def test_a_trainer_that_counts_other_steps_is_ended_before_a_checkpoint_bears_a_wrong_one() -> None:
    async def sees_less(run: Run) -> None:
        run.begin()
        run.say("stdout.log", "  num batches per epoch / 1epoch: 1\n")
        await run.rest(10 * HOUR_S)

    floor = Floor(sees_less)
    assert told(floor, floor.attempt) < 10
    assert floor.ends == [("failed", "EPOCH_SIZE")]
    assert floor.saved == []


@pytest.mark.parametrize(
    ("code", "end"),
    [("MODEL_MISSING", "failed"), ("DISK_FULL", "lost"), ("CANCELLED", "cancelled")],
)
def test_a_start_that_failed_in_an_earlier_life_ends_for_its_own_reason(
    code: str, end: str
) -> None:
    """The daemon died between the marker and the report; the shim then refuses to begin."""
    floor = Floor(whole)
    floor.disk.put(f"{floor.folder}/{MARKER}", stop_marker(StopOrder(code, "It is missing.")))
    told(floor, floor.attempt)
    assert floor.ends == [(end, code)]
    assert floor.saved == []


def test_a_picture_that_was_put_into_the_copy_is_not_trained_from() -> None:
    """The lock would not name it."""
    floor = Floor(whole)
    floor.disk.put(f"{DATASET}/zz.png", b"another")
    told(floor, floor.attempt)
    assert floor.ends == [("failed", "DATASET_CHANGED")]
    assert floor.trainer.orders == []


def test_a_trainer_that_ended_on_a_full_disk_is_tried_again_though_its_log_ends_early() -> None:
    """The record itself had to wait for room; what the trainer said last is nowhere."""

    async def dies(run: Run) -> None:
        run.begin()
        await run.epochs([1])
        run.say("stderr.log", "\rTraceback (most recent call la")
        raise Died(code=1, disk_full=True)

    floor = Floor(dies)
    told(floor, floor.attempt)
    assert floor.ends == [("lost", "DISK_FULL")]
