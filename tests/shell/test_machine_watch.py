"""The watch over the machine: what it tells the loop, and what it does without."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import pytest

from daemon.core.commands import Command, ObserveMachine, ReportIncident
from daemon.core.job import Job
from daemon.core.jobs import JobId, Phase
from daemon.core.needs import Need
from daemon.core.policy import Policy
from daemon.core.state import State
from daemon.core.windows import Span, Windows
from daemon.core.world import EngineName, Heavy, Machine
from daemon.ports import Program, Serving
from daemon.shell.machine_watch import MachineWatch
from tests.core.asking import TRAIN
from tests.examples import job
from tests.fakes import NoTrainer
from tests.shell.host_fake import FakeHost
from tests.shell.machine_fake import CALM, GIB, FakeProbe
from tests.virtual_time import run

POLICY = Policy()


@dataclass
class Room:
    """A watch, and what it is told by and tells."""

    probe: FakeProbe = field(default_factory=FakeProbe)
    state: State = field(default_factory=State)
    told: list[Command] = field(default_factory=list)
    relieved: int = 0
    ahead_ms: int = 0
    host: FakeHost | None = None
    engine: EngineName = "comfyui"
    policy: Policy = POLICY

    def now(self) -> int:
        """``ports.Clock``."""
        return 1_795_000_000_000 + self.ahead_ms + round(asyncio.get_running_loop().time() * 1000)

    def watch(self) -> MachineWatch:
        return MachineWatch(
            probe=self.probe,
            policy=self.policy,
            clock=self,
            state=lambda: self.state,
            tell=self.told.append,
            host=self.host,
            trainer=NoTrainer(),
            weigh=lambda *_: Need((("UNet", 2 * GIB),)),
            engine=self.engine,
            relieve=self.relieve,
        )

    async def relieve(self) -> None:
        self.relieved += 1

    @property
    def machine(self) -> Machine:
        """As it was last told."""
        return [each.machine for each in self.told if isinstance(each, ObserveMachine)][-1]

    def incidents(self) -> list[str]:
        return [each.code for each in self.told if isinstance(each, ReportIncident)]

    def running(self, job: Job) -> None:
        self.state.jobs[job.id] = job
        self.state.queue[job.id] = None
        self.state.running = (job.id,)
        self.state.drawn = job.id


Story = Callable[[Room, MachineWatch], Awaitable[None]]


def live(room: Room, story: Story) -> Room:
    async def told() -> None:
        await story(room, room.watch())

    run(told())
    return room


@pytest.mark.parametrize(("hour", "hours"), [(22, 9), (6, 9), (12, 9)])
def test_a_night_that_is_nearly_over_does_not_stand_for_all_nights(hour: int, hours: int) -> None:
    """K3.1: what a training fits in is the longer of what is left and the next window."""
    night = Windows((Span(frozenset(range(7)), 22 * 60, 7 * 60),))

    async def story(room: Room, watch: MachineWatch) -> None:
        midnight = room.now() // 86_400_000 * 86_400_000
        room.ahead_ms = midnight + hour * 3_600_000 - room.now()
        found = watch.window_s(job()._replace(spec=replace(TRAIN, when="night")))
        assert found == pytest.approx(hours * 3600)

    live(Room(policy=Policy(training_windows=night)), story)


@pytest.mark.parametrize(("total_gb", "had_gb"), [(0.0, (9, 2)), (10.0, (9, 1)), (4.0, (4, 0))])
def test_no_more_can_be_had_than_there_is(total_gb: float, had_gb: tuple[int, int]) -> None:
    """A2.6: by [memory] total_gb, though the machine has more; nor does a guess add to it."""

    async def story(room: Room, watch: MachineWatch) -> None:
        room.running(job()._replace(attempt=1))
        await watch.look()

    machine = live(Room(policy=Policy(memory_total_gb=total_gb)), story).machine
    assert machine.total_bytes == (total_gb or 16) * GIB
    assert (machine.free_bytes, machine.ours_bytes) == (had_gb[0] * GIB, had_gb[1] * GIB)


def test_the_loop_is_told_of_news_only() -> None:
    async def story(_room: Room, watch: MachineWatch) -> None:
        for _ in range(3):
            await watch.look()

    room = live(Room(), story)
    assert len(room.told) == 1
    assert room.machine == Machine(16 * GIB, 9 * GIB, level=1, on_ac=True, battery_percent=80)


def test_a_page_more_or_less_is_no_news() -> None:
    async def story(room: Room, watch: MachineWatch) -> None:
        await watch.look()
        room.probe.seen = replace(CALM, free_bytes=9 * GIB + 2**20)
        await watch.look()

    assert len(live(Room(), story).told) == 1


@pytest.mark.parametrize("look", ["signals", "programs", "users", "footprint"])
@pytest.mark.parametrize("how", ["raises", "hangs"])
def test_a_probe_that_fails_leaves_the_rest_known_and_holds_nobody(look: str, how: str) -> None:
    """A2.6: no job fails for a probe."""

    async def story(room: Room, watch: MachineWatch) -> None:
        room.probe.fails = f"{look} {how}"
        await watch.look()

    room = live(Room(host=FakeHost(serving=Serving("life 1", "default"))), story)
    assert room.machine.code == ""
    assert (room.machine.free_bytes is None) == (look == "signals")
    unknown = {"signals": ["memory", "power", "pressure", "swap"], "footprint": []}
    assert [name for name, _ in room.machine.unknown] == unknown.get(look, [look])


def test_what_is_unknown_is_said_with_since_when() -> None:
    """A2.6"""

    async def story(room: Room, watch: MachineWatch) -> None:
        await watch.look()
        room.probe.seen = replace(CALM, level=None, unknown=("pressure",))
        await asyncio.sleep(60)
        await watch.look()
        since = room.now()
        await asyncio.sleep(60)
        await watch.look()
        assert list(room.machine.unknown) == [("pressure", since)]
        room.probe.seen = CALM
        await watch.look()
        assert not room.machine.unknown

    live(Room(), story)


def test_a_gate_that_closes_is_told_and_an_idle_engine_lets_go_once() -> None:
    """A2.6: models that nobody uses may be what there is too little room for."""

    async def story(room: Room, watch: MachineWatch) -> None:
        room.probe.seen = replace(CALM, level=2)
        for _ in range(3):
            await watch.look()
            await asyncio.sleep(5)

    room = live(Room(), story)
    assert (room.machine.code, room.relieved) == ("MEMORY_PRESSURE", 1)


def test_the_engine_of_a_job_that_runs_is_left_its_models() -> None:
    async def story(room: Room, watch: MachineWatch) -> None:
        room.running(job("ch01", phase=Phase.RUNNING))
        room.probe.seen = replace(CALM, level=2)
        await watch.look()

    assert live(Room(), story).relieved == 0


def test_critical_for_long_is_a_reason_to_give_a_picture_up() -> None:
    """A2.8"""

    async def story(room: Room, watch: MachineWatch) -> None:
        room.probe.seen = replace(CALM, level=4)
        await watch.look()
        assert watch.pressed() == ""
        await asyncio.sleep(POLICY.memory_critical_s)
        await watch.look()
        assert "20 s" in watch.pressed()
        room.probe.seen = CALM
        await watch.look()
        assert watch.pressed() == ""

    live(Room(), story)


def test_what_was_critical_before_a_sleep_was_not_so_all_night() -> None:
    """K3.5"""

    async def story(room: Room, watch: MachineWatch) -> None:
        room.probe.seen = replace(CALM, level=4)
        await watch.look()
        room.ahead_ms = 8 * 3_600_000
        assert watch.pressed() == ""
        await watch.look()
        assert watch.pressed() == ""
        assert not room.machine.runaway

    live(Room(), story)


def test_a_rehearsal_is_not_given_up_for_the_machines_sake() -> None:
    async def story(room: Room, watch: MachineWatch) -> None:
        room.probe.seen = replace(CALM, level=4)
        await watch.look()
        await asyncio.sleep(60)
        assert watch.pressed() == ""

    live(Room(engine="rehearsal"), story)


def test_swapping_that_runs_away_is_one_at_once() -> None:
    async def story(room: Room, watch: MachineWatch) -> None:
        for step in range(6):
            room.probe.seen = replace(CALM, swapouts_bytes=step * GIB)
            await watch.look()
            await asyncio.sleep(5)
        assert room.machine.runaway
        assert watch.pressed()

    live(Room(), story)


@pytest.mark.parametrize(("hours", "code"), [(8, "MACHINE_SLEPT"), (-6, "CLOCK_SET_BACK"), (0, "")])
def test_sleep_is_seen_as_a_gap_and_recorded(hours: int, code: str) -> None:
    """K3.5: with what ran meanwhile."""

    async def story(room: Room, watch: MachineWatch) -> None:
        room.running(job("spyke", phase=Phase.RUNNING))
        await watch.look()
        room.ahead_ms = hours * 3_600_000
        await asyncio.sleep(5)
        await watch.look()
        await asyncio.sleep(5)
        await watch.look()

    room = live(Room(), story)
    assert room.incidents() == ([code] if code else [])
    if code:
        [text] = [each.text for each in room.told if isinstance(each, ReportIncident)]
        assert f"{abs(hours)} h 0 min" in text
        assert "spyke_v1" in text


def test_programs_are_looked_at_now_and_then_and_at_a_trainings_start() -> None:
    """A2.10"""

    async def story(room: Room, watch: MachineWatch) -> None:
        room.probe.open = (Program("Slack", 9, GIB, trains=False),)
        for _ in range(12):
            await watch.look()
            await asyncio.sleep(5)
        assert room.probe.asked_programs == 1
        assert (await watch.beside()).programs == (Heavy("Slack", GIB),)
        assert room.probe.asked_programs == 2
        assert room.machine.programs == (Heavy("Slack", GIB),)

    live(Room(), story)


def test_a_trainer_of_somebody_else_is_a_rival() -> None:
    async def story(room: Room, watch: MachineWatch) -> None:
        room.probe.open = (Program("train_network.py", 77, 9 * GIB, trains=True),)
        await watch.look()

    room = live(Room(), story)
    assert "train_network.py (pid 77)" in room.machine.rival
    assert room.machine.programs == ()


def test_what_our_engine_holds_and_an_attempt_took_is_measured() -> None:
    """A2.7: by the highest mark of the process where it has risen meanwhile."""
    panel = job("ch01", phase=Phase.RUNNING)

    async def story(room: Room, watch: MachineWatch) -> None:
        await watch.look()
        room.running(panel)
        room.probe.holds = (3 * GIB, 4 * GIB)
        await watch.look()
        room.probe.holds = (2 * GIB, 4 * GIB)
        assert await watch.peak(panel) == 4 * GIB
        assert await watch.peak(panel) == 2 * GIB

    room = live(Room(host=FakeHost(serving=Serving("life 1", "default"))), story)
    assert room.machine.ours_bytes == 3 * GIB


def test_an_engine_of_others_is_guessed_by_what_it_was_last_made_to_load() -> None:
    async def story(room: Room, watch: MachineWatch) -> None:
        await watch.look()
        assert room.machine.ours_bytes == 0
        room.running(job("ch01", phase=Phase.RUNNING))
        await watch.look()

    assert live(Room(), story).machine.ours_bytes == 2 * GIB


def test_a_watch_that_breaks_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """A bug of ours must hold nobody up."""

    async def story(room: Room, watch: MachineWatch) -> None:
        room.state.running = (JobId("nobody_v1"),)
        watching = asyncio.ensure_future(watch.run())
        await asyncio.sleep(11)
        room.state.running = ()
        await asyncio.sleep(5)
        watching.cancel()

    room = live(Room(), story)
    assert room.machine.free_bytes == 9 * GIB
    assert "could not be looked at" in caplog.text
