"""Durable first, believed second; and what ought to be going on is going on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field

import pytest

from daemon.core.commands import Command, Observe, ObserveTrainer, Reject, ReportIncident, Start
from daemon.core.decide import Studio
from daemon.core.events import Entry, Incident
from daemon.core.jobs import Complaint, JobId, Outcome, Phase
from daemon.core.plan import Effect, PublishResult, RunAttempt, StopAttempt
from daemon.core.policy import Policy
from daemon.core.world import World
from daemon.errors import LedgerChanged, WorldError
from daemon.shell.ledger import Ledger
from daemon.shell.loop import Believed, Loop
from daemon.shell.outbox import Outbox
from daemon.wire.rejected import rejected_folder
from tests.core.asking import DOWN, control, ended, file, panel, published
from tests.desk import EPOCH_MS, READY
from tests.fakes import MemoryDisk
from tests.virtual_time import run

CH01, CH02 = JobId("ch01_v1"), JobId("ch02_v1")
LEDGER = "ledger/mac/2026-11.jsonl"
NAMED = ("link", f".nightpress/spare/{LEDGER.removeprefix('ledger/')}", True)
"""A new segment's second name."""
Perform = Callable[[Effect], Awaitable[None]]


class Ticking:
    """A clock that is a millisecond later each time it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def now(self) -> int:
        self.asked += 1
        return EPOCH_MS + self.asked


@dataclass
class Gpu:
    """The GPU's lock: ``free`` for us or not; ``ours`` when we have it."""

    free: bool = True
    ours: bool = False
    tries: int = 0

    def try_take(self) -> bool:
        self.tries += 1
        self.ours = self.ours or self.free
        return self.ours

    def give_back(self) -> None:
        self.ours = False


@dataclass
class Office:
    """A studio's disk and GPU, and the effects that were begun, in order."""

    disk: MemoryDisk = field(default_factory=MemoryDisk)
    gpu: Gpu = field(default_factory=Gpu)
    begun: list[Effect] = field(default_factory=list)
    cancelled: list[Effect] = field(default_factory=list)
    perform: Perform | None = None

    async def open(self, world: World = READY) -> Loop:
        """A loop on what is on the disk."""
        ledger = Ledger(self.disk, host="mac")
        loaded = await ledger.load()
        return Loop(
            state=loaded.state,
            world=world,
            ledger=ledger,
            outbox=Outbox(self.disk, host="mac"),
            clock=Ticking(),
            gpu=self.gpu,
            policy=Policy(),
            studio=Studio("studio", rehearsal=False),
        )

    async def performing(self, effect: Effect) -> None:
        """Go on for ever, or as the test wants it."""
        self.begun.append(effect)
        if len(self.begun) > 100:
            raise SystemExit("effects are begun without end")
        try:
            if self.perform is not None:
                await self.perform(effect)
            else:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.append(effect)
            raise

    def types(self) -> list[str]:
        """The types of the ledger's lines."""
        lines = self.disk.data(LEDGER).splitlines() if LEDGER in self.disk.nodes else []
        return [line.split(b'"type":"')[1].split(b'"')[0].decode() for line in lines]


def day(story: Callable[[Office, Loop], Coroutine[object, object, None]], office: Office) -> None:
    """One life of the loop in virtual time."""

    async def live() -> None:
        loop = await office.open()
        serving = asyncio.ensure_future(loop.run(office.performing))
        try:
            await story(office, loop)
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    run(live())


async def rest(seconds: float = 0.01) -> None:
    """Let the loop come to rest."""
    await asyncio.sleep(seconds)


def failing(disk: MemoryDisk, operation: str, path: str) -> None:
    """This operation fails from now on, until ``mend``."""

    def before(now: str, where: str) -> None:
        if now == operation and path in where:
            raise WorldError("WRITE_FAILED", f"{where} could not be written")

    disk.before = before


def mend(disk: MemoryDisk) -> None:
    disk.before = lambda *_: None


# Durable first.


def test_an_ask_returns_and_is_believed_only_after_its_line_is_on_the_disk() -> None:
    async def story(office: Office, loop: Loop) -> None:
        seen: list[tuple[bool, int, int]] = []
        told: list[Believed] = []
        loop.observe(told.append)
        asking = asyncio.ensure_future(loop.ask(panel("ch01")))

        def before(operation: str, path: str) -> None:
            if operation == "append":
                seen.append((asking.done(), len(loop.state.jobs), len(told)))
                assert office.begun == []

        office.disk.before = before
        await asking
        assert seen == [(False, 0, 0)]
        assert office.types() == ["job.accepted", "attempt.started"]
        assert list(loop.state.jobs) == ["ch01_v1"]
        assert [entry.event.type for entry in told[0].entries] == office.types()

    day(story, Office())


def test_observers_are_told_of_what_is_believed_already() -> None:
    async def story(office: Office, loop: Loop) -> None:
        phases: list[Phase] = []
        loop.observe(lambda _: phases.extend(job.phase for job in loop.state.jobs.values()))
        await loop.ask(panel("ch01"))
        assert phases == [Phase.RUNNING]

    day(story, Office())


def test_a_jobs_files_are_on_the_disk_before_the_line_that_promises_them() -> None:
    async def story(office: Office, loop: Loop) -> None:
        asked = panel("ch01")
        await loop.ask(asked)
        folder = "outbox/ch01_v1/job.toml"
        assert office.disk.log == [("write", folder, True), ("append", LEDGER, True), NAMED]
        assert office.disk.data(folder) == asked.request.encode()

    day(story, Office())


def test_a_chapter_that_is_dropped_at_once_is_kept_in_the_time_of_one_job() -> None:
    """A2.3: while it is kept nothing is decided, so a prompt that has ended has no successor."""

    async def story(office: Office, loop: Loop) -> None:
        write = office.disk.write

        async def slowly(path: str, data: bytes, *, synced: bool) -> None:
            await asyncio.sleep(1.0)
            await write(path, data, synced=synced)

        office.disk.__dict__["write"] = slowly
        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(loop.ask(panel(f"ch{number}")) for number in range(30)))
        assert len(loop.state.jobs) == 30
        assert asyncio.get_running_loop().time() - began < 2.0

    day(story, Office())


def test_a_refused_file_is_kept_before_the_line_that_says_so() -> None:
    async def story(office: Office, loop: Loop) -> None:
        refused = Reject(file("bad"), b"bad", "", (Complaint(1, "width", "Too wide."),))
        await loop.ask(refused)
        kept = f"{rejected_folder(refused.file)}/job.toml"
        assert office.disk.data(kept) == b"bad"
        assert office.disk.log[-2:] == [("append", LEDGER, True), NAMED]

    day(story, Office())


def test_what_gathers_in_the_mailbox_shares_one_append_and_one_instant() -> None:
    async def story(office: Office, loop: Loop) -> None:
        entries: list[Entry] = []
        loop.observe(lambda believed: entries.extend(believed.entries))
        for number in range(100):
            loop.tell(ReportIncident("CODE", f"{number}"))
        await loop.ask(ReportIncident("CODE", "last"))
        assert office.disk.log == [("append", LEDGER, True), NAMED]
        assert len({entry.at for entry in entries}) == 1
        texts = [entry.event.text for entry in entries if isinstance(entry.event, Incident)]
        assert texts == [*map(str, range(100)), "last"]

    day(story, Office())


def test_a_command_that_leads_to_nothing_is_answered_and_writes_nothing() -> None:
    async def story(office: Office, loop: Loop) -> None:
        await loop.ask(ended("ch09_v1", 1, Outcome.LOST))
        assert office.disk.log == []

    day(story, Office())


# The world fails.


def test_a_failed_append_leaves_everything_as_it_was_and_can_be_asked_again() -> None:
    async def story(office: Office, loop: Loop) -> None:
        told: list[Believed] = []
        loop.observe(told.append)
        failing(office.disk, "append", LEDGER)
        with pytest.raises(WorldError, match="could not be written"):
            await loop.ask(panel("ch01"))
        assert (dict(loop.state.jobs), loop.state.seq, told) == ({}, 0, [])
        assert (loop.state.lease, list(loop.state.queue), office.begun) == (None, [], [])
        mend(office.disk)
        await loop.ask(panel("ch01"))
        assert office.types() == ["job.accepted", "attempt.started"]

    day(story, Office())


def test_a_poison_command_does_not_take_the_others_with_it() -> None:
    async def story(office: Office, loop: Loop) -> None:
        failing(office.disk, "write", "outbox/ch02_v1/")
        answers = await asyncio.gather(
            *(loop.ask(panel(name)) for name in ("ch01", "ch02", "ch03")), return_exceptions=True
        )
        assert [type(answer) for answer in answers] == [type(None), WorldError, type(None)]
        assert list(loop.state.jobs) == ["ch01_v1", "ch03_v1"]
        assert office.types().count("job.accepted") == 2

    day(story, Office())


def test_what_the_core_wanted_to_say_is_said_when_the_disk_is_back() -> None:
    """The end of an attempt is durable, the next one's start is not: the loop looks again."""

    async def story(office: Office, loop: Loop) -> None:
        await loop.ask(Observe(DOWN))
        await loop.ask(panel("ch01"))
        failing(office.disk, "append", LEDGER)
        with pytest.raises(WorldError):
            await loop.ask(Observe(READY))
        assert (loop.state.lease, office.begun) == (None, [])
        mend(office.disk)
        await rest(1.1)
        assert loop.state.lease == CH01
        assert office.begun == [RunAttempt(CH01, 1)]

    day(story, Office())


def test_a_ledger_that_is_another_file_now_ends_the_loop() -> None:
    async def story() -> None:
        office = Office()
        loop = await office.open()
        serving = asyncio.ensure_future(loop.run(office.performing))
        await loop.ask(panel("ch01"))
        await rest()
        office.disk.put(LEDGER, b'{"seq":1}\n')
        loop.tell(panel("ch02"))
        with pytest.raises(LedgerChanged):
            await serving
        assert office.cancelled == [RunAttempt(CH01, 1)]
        assert list(loop.state.jobs) == ["ch01_v1"]

    run(story())


def test_what_git_took_out_of_the_ledger_is_put_back_and_recorded() -> None:
    async def story(office: Office, loop: Loop) -> None:
        await loop.ask(panel("ch01"))
        await rest()
        before = office.disk.data(LEDGER)
        office.disk.put(LEDGER, before[: before.index(b"\n") + 1])
        loop.wake()
        await rest()
        lines = office.disk.data(LEDGER)
        assert lines.startswith(before)
        assert lines[len(before) :].count(b'"type":"ledger.restored"') == 1

    day(story, Office())


# Effects.


def test_what_the_plan_wants_is_begun_once() -> None:
    async def story(office: Office, loop: Loop) -> None:
        await loop.ask(panel("ch01"))
        await loop.ask(panel("ch02"))
        loop.wake()
        await rest(5.0)
        assert office.begun == [RunAttempt(CH01, 1)]

    day(story, Office())


def test_the_next_job_is_drawn_while_the_last_is_published() -> None:
    async def story(office: Office, loop: Loop) -> None:
        await asyncio.gather(loop.ask(panel("ch01")), loop.ask(panel("ch02")))
        await loop.ask(ended("ch01_v1", 1, Outcome.SUCCEEDED))
        await rest()
        assert office.cancelled == [RunAttempt(CH01, 1)]
        assert office.begun[1:] in (
            [RunAttempt(CH02, 1), PublishResult(CH01, 1)],
            [PublishResult(CH01, 1), RunAttempt(CH02, 1)],
        )

    day(story, Office())


def test_an_effect_that_ends_without_a_report_is_begun_again_a_second_later() -> None:
    moments = []

    async def forgetful(effect: Effect) -> None:
        moments.append(asyncio.get_running_loop().time())

    async def story(office: Office, loop: Loop) -> None:
        await loop.ask(panel("ch01"))
        await rest(3.5)
        assert office.begun == [RunAttempt(CH01, 1)] * 4
        assert [round(later - moments[0], 1) for later in moments] == [0.0, 1.0, 2.0, 3.0]

    day(story, Office(perform=forgetful))


def test_an_effect_that_raises_is_begun_again_and_does_not_end_the_loop() -> None:
    async def broken(effect: Effect) -> None:
        raise WorldError("ENGINE", "the engine is gone")

    async def story(office: Office, loop: Loop) -> None:
        await loop.ask(panel("ch01"))
        await rest(3.5)
        assert office.begun == [RunAttempt(CH01, 1)] * 4
        assert office.types().count("incident") == 1
        await loop.ask(panel("ch02"))

    day(story, Office(perform=broken))


def test_an_effect_whose_report_the_disk_refused_is_performed_again() -> None:
    office = Office()

    async def story(office: Office, loop: Loop) -> None:
        async def drawing(effect: Effect) -> None:
            outcome = Outcome.SUCCEEDED
            if isinstance(effect, RunAttempt):
                await loop.ask(ended(effect.job, effect.attempt, outcome))
            else:
                await loop.ask(published(effect.job))

        office.perform = drawing
        failing(office.disk, "append", "never")
        await loop.ask(Observe(DOWN))
        await loop.ask(panel("ch01"))
        loop.tell(Observe(READY))
        loop.observe(lambda _: failing(office.disk, "append", LEDGER))
        await rest(2.5)
        assert loop.state.lease == CH01
        assert len(office.begun) == 3
        mend(office.disk)
        loop._observers.clear()
        await rest(3.0)
        assert loop.state.jobs[CH01].phase is Phase.PUBLISHED
        assert office.types()[-3:] == ["attempt.ended", "result.published", "job.ended"]

    day(story, office)


def test_a_cancelled_job_is_stopped_and_no_longer_drawn() -> None:
    async def story(office: Office, loop: Loop) -> None:
        await loop.ask(panel("ch01"))
        await loop.ask(control("cancel", "ch01_v1"))
        await rest()
        assert office.cancelled == [RunAttempt(CH01, 1)]
        assert office.begun == [RunAttempt(CH01, 1), StopAttempt(CH01, 1)]

    day(story, Office())


def test_stopping_waits_until_the_drawing_has_let_go() -> None:
    """Two effects of one job are never at work at once."""
    released: list[str] = []

    async def slow(effect: Effect) -> None:
        released.append(type(effect).__name__)
        try:
            await asyncio.Event().wait()
        finally:
            if isinstance(effect, RunAttempt):
                await asyncio.sleep(0.5)
                released.append("let go")

    async def story(office: Office, loop: Loop) -> None:
        await loop.ask(panel("ch01"))
        await rest()
        await loop.ask(control("cancel", "ch01_v1"))
        await rest(1.0)
        assert released == ["RunAttempt", "let go", "StopAttempt"]

    day(story, Office(perform=slow))


def test_an_effect_may_tidy_up_after_its_report() -> None:
    office, done = Office(), list[str]()

    async def story(office: Office, loop: Loop) -> None:
        async def publishing(effect: Effect) -> None:
            if isinstance(effect, RunAttempt):
                await loop.ask(ended(effect.job, effect.attempt, Outcome.SUCCEEDED))
            else:
                await loop.ask(published(effect.job))
                await asyncio.sleep(0.5)
                done.append("tidy")

        office.perform = publishing
        await loop.ask(panel("ch01"))
        await rest(1.0)
        assert done == ["tidy"]

    day(story, office)


def test_the_end_of_the_loop_ends_every_effect() -> None:
    office = Office()

    async def story(office: Office, loop: Loop) -> None:
        await loop.ask(panel("ch01"))
        await rest()

    day(story, office)
    assert office.cancelled == [RunAttempt(CH01, 1)]


# Starting again.


def test_a_start_goes_on_with_what_was_going_on() -> None:
    office = Office()

    async def first(office: Office, loop: Loop) -> None:
        await asyncio.gather(loop.ask(panel("ch01")), loop.ask(panel("ch02")))
        await loop.ask(ended("ch01_v1", 1, Outcome.SUCCEEDED))
        await rest()
        office.begun.clear()

    async def second(office: Office, loop: Loop) -> None:
        await loop.ask(Start("1.0.0", "comfyui"))
        await rest()
        assert office.begun == [PublishResult(CH01, 1), RunAttempt(CH02, 1)]
        assert office.types()[-1] == "daemon.started"

    day(first, office)
    day(second, office)


@pytest.mark.parametrize("lost", [1, 2])
def test_a_start_says_what_a_power_cut_left_unsaid(lost: int) -> None:
    office = Office()

    async def first(office: Office, loop: Loop) -> None:
        await loop.ask(panel("ch01"))
        await loop.ask(ended("ch01_v1", 1, Outcome.FAILED))
        assert office.types()[-2:] == ["attempt.ended", "job.ended"]

    async def second(office: Office, loop: Loop) -> None:
        loop.wake()
        await rest()
        phase = Phase.FAILED if lost == 1 else Phase.RUNNING
        assert loop.state.jobs[CH01].phase is phase
        assert office.types()[-1] == ("job.ended" if lost == 1 else "attempt.started")

    day(first, office)
    lines = office.disk.data(LEDGER).splitlines(keepends=True)
    office.disk.nodes[LEDGER].data = b"".join(lines[:-lost])
    day(second, office)


# The one GPU.


def test_nothing_is_drawn_while_another_studio_has_the_gpu() -> None:
    async def story(office: Office, loop: Loop) -> None:
        office.gpu.free = False
        await loop.ask(panel("ch01"))
        assert loop.state.jobs[CH01].code == "GPU_BUSY"
        assert office.types() == ["job.accepted", "job.held"]
        loop.wake()
        await rest()
        assert (office.begun, office.types()) == ([], ["job.accepted", "job.held"])
        office.gpu.free = True
        loop.wake()
        await rest()
        assert (office.begun, office.gpu.ours) == ([RunAttempt(CH01, 1)], True)

    day(story, Office())


def test_the_gpu_is_given_back_when_the_last_attempt_ended() -> None:
    async def story(office: Office, loop: Loop) -> None:
        await asyncio.gather(loop.ask(panel("ch01")), loop.ask(panel("ch02")))
        await loop.ask(ended("ch01_v1", 1, Outcome.SUCCEEDED))
        assert office.gpu.ours
        await loop.ask(ended("ch02_v1", 1, Outcome.SUCCEEDED))
        assert not office.gpu.ours

    day(story, Office())


@pytest.mark.parametrize("asked", [control("pause"), Observe(DOWN), ReportIncident("CODE", "")])
def test_the_gpu_is_not_asked_for_where_nothing_could_start(asked: Command) -> None:
    async def story(office: Office, loop: Loop) -> None:
        await loop.ask(asked)
        if not isinstance(asked, ReportIncident):
            await loop.ask(panel("ch01"))
        assert (office.gpu.tries, office.gpu.ours) == (0, False)

    day(story, Office())


def test_an_attempt_of_before_waits_for_the_gpu_after_a_restart() -> None:
    """Another studio may have taken it while this one was down."""
    office = Office()

    async def first(office: Office, loop: Loop) -> None:
        await loop.ask(panel("ch01"))

    async def second(office: Office, loop: Loop) -> None:
        loop.wake()
        await rest()
        assert (loop.state.lease, office.begun) == (CH01, [])
        office.gpu.free = True
        loop.wake()
        await rest()
        assert office.begun == [RunAttempt(CH01, 1)]

    day(first, office)
    office.gpu = Gpu(free=False)
    office.begun.clear()
    day(second, office)


# What is told.


def test_observers_hear_when_the_world_changed_and_of_nothing_else() -> None:
    async def story(office: Office, loop: Loop) -> None:
        told: list[Believed] = []
        loop.observe(told.append)
        await loop.ask(Observe(DOWN))
        await loop.ask(Observe(DOWN))
        assert [(b.world_changed, len(b.entries)) for b in told] == [(True, 0), (False, 0)]
        assert loop.world == DOWN

    day(story, Office())


def test_reasons_are_those_of_the_world_as_it_is_now() -> None:
    async def story(office: Office, loop: Loop) -> None:
        await loop.ask(Observe(DOWN))
        await loop.ask(panel("ch01"))
        assert loop.reasons()[CH01].code == DOWN.engine_code

    day(story, Office())


def test_who_watches_the_engine_does_not_overwrite_what_was_seen_of_the_trainer() -> None:
    """K1.3: each sees a part of the world, at times of his own."""

    async def story(_: Office, loop: Loop) -> None:
        await loop.ask(ObserveTrainer("TRAINER_UNFIT", "It has no MPS."))
        await loop.ask(Observe(READY))
        assert (loop.world.trainer_code, loop.world.trainer_text) == (
            "TRAINER_UNFIT",
            "It has no MPS.",
        )

    day(story, Office())
