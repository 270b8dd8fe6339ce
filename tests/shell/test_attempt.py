"""Attempts at panels that follow one another, in a whole press in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from daemon.core.policy import Policy
from daemon.craft.picture import PictureStats
from daemon.ports import Probe, Signals
from daemon.shell.machine_watch import Blind
from daemon.shell.premises import Ports, Setup
from daemon.shell.press import Press
from daemon.wire.status import DaemonFacts
from tests.fakes import MemoryDisk, NoTrainer
from tests.sim.checker import parse, violations
from tests.sim.engine import SimEngine, SimPixels, SimRenderer, SimWeights, picture_of
from tests.sim.story import FILES, SimAlarm, SimClock
from tests.virtual_time import run

EPOCH_MS = 1_795_000_000_000
PANEL = """kind = "panel"
prompt = "leaping, rain"
width = 64
height = 64
seeds = [1]
vae = "v.safetensors"
checkpoint = "a.safetensors"
end = true
"""
GRAY = PictureStats(64, 64, "RGB", 128, 0, 128, 0, 0.0, 1.0, "0" * 16, 128, 128, 0, *[0.0] * 5)


@dataclass
class SlowPixels(SimPixels):
    """Looking at a picture takes ``takes_s``; those with a number in ``gray`` are gray."""

    takes_s: float = 0.01
    gray: tuple[int, ...] = ()
    looked: int = 0
    at: list[float] = field(default_factory=list)

    async def measure(self, png: bytes) -> PictureStats:
        await asyncio.sleep(self.takes_s)
        self.looked += 1
        self.at.append(asyncio.get_running_loop().time())
        return GRAY if self.looked in self.gray else await super().measure(png)


@dataclass
class ChangingWeights(SimWeights):
    """``generation`` is which bytes the checkpoint has now."""

    generation: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    async def facts(self, *, role: str, name: str) -> Any:
        found = await super().facts(role=role, name=name)
        return replace(found, sha256=f"{self.generation:02}" * 32 if role == "checkpoint" else "0")


@dataclass
class Level(Blind):
    """A machine's memory pressure by the clock: critical in each of ``critical_s`` (from, till)."""

    critical_s: Sequence[tuple[float, float]]

    async def signals(self) -> Signals:
        now = asyncio.get_running_loop().time()
        level = 4 if any(since <= now < until for since, until in self.critical_s) else 1
        return Signals(level=level)


@dataclass
class Studio:
    """One press and what surrounds it. ``sent`` and ``drawn`` are times by prompt id."""

    engine: SimEngine = field(default_factory=lambda: SimEngine(random.Random(1), step_s=1.0))
    pixels: SlowPixels = field(default_factory=SlowPixels)
    weights: SimWeights = field(default_factory=ChangingWeights)
    probe: Probe | None = None
    policy: Policy = field(default_factory=Policy)
    sheet: bool = False
    disk: MemoryDisk = field(default_factory=MemoryDisk)
    calls: list[str] = field(default_factory=list)

    def drop(self, name: str, text: str = PANEL) -> None:
        self.disk.put(f"inbox/{name}.toml", text.encode())

    def lines(self) -> list[dict[str, Any]]:
        return parse(self.disk.data("ledger/mac/2026-11.jsonl"))

    def said(self, kind: str, key: str) -> list[Any]:
        return [line[key] for line in self.lines() if line["type"] == kind]

    async def until(
        self, done: Callable[[], bool], *, at_most_s: float = 600.0, look_s: float = 0.05
    ) -> None:
        async with asyncio.timeout(at_most_s):
            while not done():  # noqa: ASYNC110  # Nobody tells of a line in the ledger.
                await asyncio.sleep(look_s)

    def ended(self, jobs: int) -> Callable[[], bool]:
        return lambda: len(self.said("job.ended", "job")) >= jobs

    def live(self, story: Callable[[Studio], Any]) -> None:
        """Run the press while the story is told; its ledger keeps every promise."""
        run(self._live(story))
        assert violations(self.lines()) == []

    async def _live(self, story: Callable[[Studio], Any]) -> None:
        alarm, nobody = SimAlarm(), NoTrainer()
        for name, data in FILES.items():
            self.disk.put(name, data)
        press = Press(
            Ports(
                disk=self.disk,
                clock=SimClock(EPOCH_MS),
                gpu=nobody,
                alarm=alarm,
                renderer=Noting(self.engine, calls=self.calls),
                pixels=self.pixels,
                weights=self.weights,
                trainer=nobody,
                probe=self.probe,
            ),
            Setup(
                studio="0123456789ab",
                host="mac",
                version="0",
                daemon=DaemonFacts("0", 1, "0123456789ab", EPOCH_MS),
                engine="comfyui",
                places={"$STUDIO": "/studio"},
                policy=self.policy,
                settle_s=0.1,
                rescan_s=0.2,
                sheet=self.sheet,
            ),
        )
        serving = asyncio.ensure_future(press.run())
        try:
            await self.until(lambda: b"daemon.started" in b"".join(map(self._data, SEGMENTS)))
            await story(self)
        finally:
            press.stop()
            await serving
            for task in alarm.tasks:
                task.cancel()
            self.engine.crash()

    def _data(self, name: str) -> bytes:
        return self.disk.data(name) if name in self.disk.nodes else b""


SEGMENTS = ("ledger/mac/2026-11.jsonl",)


@dataclass
class Noting(SimRenderer):
    """Notes what changes something on the engine."""

    calls: list[str] = field(default_factory=list)

    async def send(self, body: Mapping[str, object]) -> Mapping[str, str]:
        self.calls.append(f"send {body['prompt_id']}")
        return await super().send(body)

    async def free(self) -> None:
        self.calls.append("free")
        await super().free()

    async def interrupt(self, prompt_id: str) -> None:
        self.calls.append(f"interrupt {prompt_id}")
        await super().interrupt(prompt_id)


def test_the_next_panel_is_ready_before_its_turn_and_sent_when_the_engine_is_free() -> None:
    """A2.3: attempt and prompt of the second are in the ledger while the first is drawn."""
    studio = Studio()

    async def story(studio: Studio) -> None:
        studio.drop("one")
        studio.drop("two", PANEL.replace("rain", "snow"))
        await studio.until(studio.ended(2))

    studio.live(story)
    order = [(line["type"], line["job"]) for line in studio.lines() if "job" in line]
    assert order.index(("prompt.sent", "two_v1")) < order.index(("image.judged", "one_v1"))
    assert studio.engine.executed == studio.said("prompt.sent", "prompt_id")
    assert studio.said("result.published", "job") == ["one_v1", "two_v1"]


def test_a_picture_is_looked_at_while_the_next_is_drawn() -> None:
    """Looking takes as long as drawing here, and costs the engine nothing."""
    studio = Studio(pixels=SlowPixels(takes_s=4.0))

    async def story(studio: Studio) -> None:
        studio.drop("many", PANEL.replace("[1]", "[1, 2, 3, 4]"))
        began = asyncio.get_running_loop().time()
        await studio.until(studio.ended(1))
        took_s = asyncio.get_running_loop().time() - began
        assert took_s < 4 * 4.0 + 4.0 + 1.0, "four are drawn one after the other, and one looked at"

    studio.live(story)


def test_what_is_drawn_later_is_not_published_before() -> None:
    """The first picture takes long to be looked at; the second waits with its end."""
    studio = Studio(pixels=SlowPixels(takes_s=9.0))

    async def story(studio: Studio) -> None:
        for name in ("one", "two", "three"):
            studio.drop(name, PANEL.replace("rain", name))
        await studio.until(studio.ended(3))

    studio.live(story)
    ends = [line["job"] for line in studio.lines() if line["type"] == "attempt.ended"]
    assert ends == studio.said("result.published", "job") == ["one_v1", "two_v1", "three_v1"]


def test_a_picture_that_is_none_costs_the_others_nothing() -> None:
    """The good ones are published, the spoilt one is kept and drawn again when asked for."""
    studio = Studio(pixels=SlowPixels(gray=(2,)))

    async def story(studio: Studio) -> None:
        studio.drop("many", PANEL.replace("[1]", "[1, 2, 3, 4]"))
        await studio.until(studio.ended(1))
        studio.drop("again", 'kind = "retry"\njob = "many_v1"\nend = true\n')
        await studio.until(studio.ended(2))

    studio.live(story)
    assert studio.said("job.ended", "phase") == ["failed", "published"]
    judged = [(line["attempt"], line["image"]) for line in studio.lines() if "verdict" in line]
    assert judged == [(1, 1), (1, 2), (1, 3), (1, 4), (2, 2)], "the good ones are not drawn again"
    first, last = studio.said("result.published", "files")
    assert sorted(name for name in first if name.endswith(".png")) == [
        "many_v1-01.png",
        "many_v1-02.refused.png",
        "many_v1-03.png",
        "many_v1-04.png",
    ]
    assert sorted(name for name in last if name.endswith(".png")) == [
        f"many_v1-0{image}.png" for image in (1, 2, 3, 4)
    ]
    assert {name: last[name] for name in first if "refused" not in name}.items() <= first.items()
    assert not [path for path in studio.disk.nodes if "refused" in path], "it was drawn anew"


def test_what_was_drawn_of_a_quarantined_job_is_there_for_a_retry_after_a_restart() -> None:
    """N6.3: two losses of the second picture do not cost the first."""
    studio = Studio()
    studio.engine.spoils = iter(["", "out of memory", "out of memory"])

    async def lost_twice(studio: Studio) -> None:
        studio.drop("two", PANEL.replace("[1]", "[1, 2]"))
        await studio.until(studio.ended(1))

    async def tried_again(studio: Studio) -> None:
        studio.drop("again", 'kind = "retry"\njob = "two_v1"\nend = true\n')
        await studio.until(studio.ended(2))

    studio.live(lost_twice)
    studio.live(tried_again)
    assert studio.said("job.ended", "phase") == ["quarantined", "published"]
    judged = [(line["attempt"], line["image"]) for line in studio.lines() if "verdict" in line]
    assert judged == [(1, 1), (3, 2)]


def test_when_the_first_two_are_none_the_rest_is_taken_back() -> None:
    """What is drawn after them would be for nothing; the third is stopped."""
    studio = Studio(pixels=SlowPixels(gray=(1, 2)))

    async def story(studio: Studio) -> None:
        studio.drop("many", PANEL.replace("[1]", "[1, 2, 3, 4]"))
        await studio.until(studio.ended(1))

    studio.live(story)
    assert studio.said("job.ended", "phase") == ["failed"]
    stopped = [call for call in studio.calls if call.startswith("interrupt")]
    assert stopped == [f"interrupt {studio.said('prompt.sent', 'prompt_id')[2]}"]
    (files,) = studio.said("result.published", "files")
    assert [name for name in files if name.endswith(".png")] == [
        "many_v1-01.refused.png",
        "many_v1-02.refused.png",
    ]


def test_a_pause_keeps_what_is_ready_and_was_not_sent() -> None:
    studio = Studio()

    async def story(studio: Studio) -> None:
        studio.drop("one")
        studio.drop("two", PANEL.replace("rain", "snow"))
        await studio.until(lambda: len(studio.said("prompt.sent", "job")) == 2)
        studio.drop("hush", 'kind = "pause"\nend = true\n')
        await studio.until(lambda: "PAUSED" in studio.said("attempt.ended", "code"))
        await asyncio.sleep(30)
        assert len(studio.engine.executed) == 1
        studio.drop("on", 'kind = "resume"\nend = true\n')
        await studio.until(studio.ended(2))

    studio.live(story)
    assert studio.said("job.ended", "phase") == ["published", "published"]


def test_a_cancelled_panel_that_was_ready_is_never_drawn() -> None:
    studio = Studio()

    async def story(studio: Studio) -> None:
        for name in ("one", "two", "three"):
            studio.drop(name, PANEL.replace("rain", name))
        await studio.until(lambda: len(studio.said("prompt.sent", "job")) == 2)
        studio.drop("stop", 'kind = "cancel"\njob = "two_v1"\nend = true\n')
        await studio.until(studio.ended(3))

    studio.live(story)
    ended = dict(
        zip(studio.said("job.ended", "job"), studio.said("job.ended", "phase"), strict=True)
    )
    assert ended == {"one_v1": "published", "two_v1": "cancelled", "three_v1": "published"}
    assert len(studio.engine.executed) == 2


def test_changed_weights_under_an_old_name_are_freed_before_they_are_recorded() -> None:
    """The engine would draw with those that it has in memory, and the lock would name the others.

    Freed twice: one request may be heeded after the next prompt only.
    """
    studio = Studio()

    async def story(studio: Studio) -> None:
        studio.drop("one")
        await studio.until(studio.ended(1))
        assert isinstance(studio.weights, ChangingWeights)
        studio.weights.generation = 1
        studio.drop("two", PANEL.replace("rain", "snow"))
        await studio.until(studio.ended(2))

    studio.live(story)
    first, second = studio.engine.executed
    assert studio.calls == [f"send {first}", "free", "free", f"send {second}"]
    [told] = studio.said("incident", "text")
    assert told.startswith("a.safetensors (checkpoint) is another file than before: 010101010101,")


@pytest.mark.parametrize("critical_s", [10.0, 35.0])
def test_memory_that_is_critical_for_long_stops_the_picture_and_it_is_tried_again(
    critical_s: float,
) -> None:
    """A2.8: interrupted, freed, requeued once; nothing starts before the memory is calm (A2.6)."""
    studio = Studio(engine=slow(), probe=Level([(4.0, 4.0 + critical_s)]))

    async def story(studio: Studio) -> None:
        studio.drop("one")
        await studio.until(studio.ended(1))

    studio.live(story)
    lost = ["MEMORY_PRESSURE", ""] if critical_s > 30 else [""]
    assert studio.said("attempt.ended", "code") == lost
    assert studio.said("job.held", "code") == lost[:-1]
    assert studio.said("job.ended", "phase") == ["published"]
    assert ("free" in studio.calls) == (critical_s > 30)


def test_memory_that_gets_critical_again_quarantines_the_second_time() -> None:
    """A2.8"""
    studio = Studio(engine=slow(), probe=Level([(4.0, 60.0), (82.0, 1e9)]))

    async def story(studio: Studio) -> None:
        studio.drop("one")
        await studio.until(studio.ended(1))

    studio.live(story)
    assert studio.said("job.ended", "phase") == ["quarantined"]
    assert studio.said("attempt.ended", "code") == ["MEMORY_PRESSURE"] * 2


def slow() -> SimEngine:
    return SimEngine(random.Random(1), step_s=9.0)


def test_templates_that_a_maker_changes_are_seen_a_second_later(tmp_path: Path) -> None:
    studio = Studio()

    async def story(studio: Studio) -> None:
        studio.drop("one")
        await studio.until(studio.ended(1))
        path = "workflows/panel.json"
        studio.disk.put(path, studio.disk.data(path).replace(b"\n", b"\n "))
        await asyncio.sleep(1.0)
        studio.drop("two", PANEL.replace("rain", "snow"))
        await studio.until(studio.ended(2))

    studio.live(story)
    one, two = studio.said("image.judged", "template_sha256")
    assert one != two


HINTED = PANEL.replace(
    "end = true\n",
    """[controlnet]
model = "openpose.safetensors"
image = "poses/pose.png"
end = true
""",
)


@pytest.mark.parametrize("harm", ["gone", "changed"])
def test_a_hint_that_is_not_the_one_that_was_taken_is_not_drawn_after(harm: str) -> None:
    """C2.2: the lock names the hint that was taken."""
    studio = Studio()
    pose = picture_of({"pose": {}})
    studio.disk.put("poses/pose.png", pose)

    async def story(studio: Studio) -> None:
        studio.drop("hush", 'kind = "pause"\nend = true\n')
        studio.drop("posed", HINTED)
        await studio.until(lambda: "posed_v1" in studio.said("job.accepted", "job"))
        kept = f"outbox/posed_v1/input-{sha256(pose).hexdigest()[:12]}.png"
        if harm == "gone":
            del studio.disk.nodes[kept]
        else:
            studio.disk.put(kept, picture_of({"other": {}}))
        studio.drop("on", 'kind = "resume"\nend = true\n')
        await studio.until(studio.ended(1))

    studio.live(story)
    assert studio.said("job.ended", "code") == ["HINT_CHANGED"]
    assert studio.said("prompt.sent", "job") == []
