"""The fault matrix: what goes wrong with the engine, at which stage, and how that ends.

Law: a cell is one row, and its outcome is written down before it is lived. Each is a story of the
whole press in virtual time: ``p_v1``, a page of two seeds, and ``q_v1`` behind it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import repeat

from daemon.wire.comfyui import Executing, Progress, Status
from tests.sim.checker import Line, parse
from tests.sim.engine import FACTS, Spoilt
from tests.sim.host import SimHost
from tests.sim.scenarios import PANEL, TWO_SEEDS, Drop, Scenario
from tests.sim.story import Fate, History, tell
from tests.sim.weather import Answer, Weather

HOUR_S = 3_600.0
DROPS = (Drop("p.toml", TWO_SEEDS), Drop("q.toml", PANEL.replace(b"leaping", b"sitting")))
PICTURES = 3

Blow = Callable[[History], None]


@dataclass(frozen=True)
class At:
    """A blow, so long after a moment."""

    moment: str
    blow: Blow
    after_s: float = 0.0


@dataclass(frozen=True)
class Cell:
    """A fault, and at which stage, ends as the ``outcome`` says (see ``Seen``), in time."""

    name: str
    trouble: Sequence[Answer | At]
    outcome: str = "published"
    within_s: float = 20.0
    ours: bool = False
    """The engine's process is the daemon's to start, and to start again."""


@dataclass(frozen=True)
class Seen:
    """How a cell went. ``ends`` and ``behind``: what became of p_v1 and q_v1 (see ``told``);
    ``draws``: how often one of the three pictures was begun, and ``again`` of these although the
    engine had it; ``incidents`` by their codes.
    """

    ends: str
    behind: str
    draws: int
    again: int
    incidents: str
    rested_s: float
    broken: Sequence[str]

    @property
    def outcome(self) -> str:
        """All that is not as it is on a good day, in one line."""
        said = [self.ends]
        if self.behind != "published":
            said.append("the next too" if self.behind == self.ends else f"the next: {self.behind}")
        if self.draws != PICTURES:
            said.append(f"{self.draws} drawn")
        if self.again:
            said.append(f"{self.again} in vain")
        if self.incidents:
            said.append(f"says {self.incidents}")
        return "; ".join(said)


def live(cell: Cell) -> Seen:
    """Live a cell through to its rest."""
    ends = frozenset(re.findall("published|failed|quarantined", cell.outcome)) | {"published"}
    scenario = Scenario(DROPS, ends=ends, step_s=0.2)

    def plot(history: History) -> None:
        history.host = SimHost(history.engine) if cell.ours else None
        history.limit_s = cell.within_s
        history.poll_s = min(max(0.1, cell.within_s / 500), 1.0)
        history.engine.weather = Weather(
            [answer for answer in cell.trouble if isinstance(answer, Answer)],
            [
                (at.moment, at.after_s, partial(at.blow, history))
                for at in cell.trouble
                if isinstance(at, At)
            ],
        )
        history.engine.weather.reach("start")

    history = tell(scenario, Fate(seed=1), plot)
    lines = parse(history.ledger())
    return Seen(
        ends=told(lines, "p_v1"),
        behind=told(lines, "q_v1"),
        draws=len(history.engine.executed),
        again=drawn_again(lines, history),
        incidents=", ".join(
            f"{count} {code}" if count > 1 else code
            for code, count in Counter(
                line["code"] for line in lines if line["type"] == "incident"
            ).items()
        ),
        rested_s=history.rested_s,
        broken=history.broken,
    )


def told(lines: Iterable[Line], job: str) -> str:
    """What the ledger says became of a job: the code of each attempt that brought no result, in
    brackets what it waited for (an engine that starts is no news), and its last phase.
    """
    found: list[str] = []
    for line in lines:
        if line.get("job") != job:
            continue
        match line["type"]:
            case "attempt.ended" if line["outcome"] != "succeeded":
                found.append(line["code"])
            case "job.held" if line["code"] != "ENGINE_STARTING":
                found.append(f"({line['code']})")
            case "job.ended":
                found.append(line["phase"])
    return " ".join(found)


def drawn_again(lines: Iterable[Line], history: History) -> int:
    """How many prompts were begun for a picture that the engine had saved whole before."""
    sent = {
        line["prompt_id"]: (line["job"], line["image"])
        for line in lines
        if line["type"] == "prompt.sent"
    }
    executed, saved = history.engine.executed, Counter(history.engine.saved)
    return sum(
        any(
            sent[before] == sent[prompt] and saved[before] > (before == prompt)
            for before in executed[:index]
        )
        for index, prompt in enumerate(executed)
    )


# Blows.


def kill(away_s: float = 3.0) -> Blow:
    """The server dies, with all that is in its memory. Somebody has started it again after so
    long, where it is not the daemon who does that.
    """

    def blow(history: History) -> None:
        if history.host is not None:
            history.host.die()
        else:
            history.engine.restart(away_s=away_s)

    return blow


def never_starts(history: History) -> None:
    """Each server dies before it answers."""
    assert history.host is not None
    history.host.sickly = True


def starts_well(history: History) -> None:
    assert history.host is not None
    history.host.sickly = False


def start_refused(times: int) -> Blow:
    """Its interpreter is not there, or the like."""

    def blow(history: History) -> None:
        assert history.host is not None
        history.host.refusals = ["There is no such program."] * times

    return blow


def kill_daemon(history: History) -> None:
    history.disk.end_life()


def drop_sockets(history: History) -> None:
    history.engine.drop_sockets()


def mute(history: History) -> None:
    history.engine.mute = True


def unmute_with_a_flood(history: History) -> None:
    """What a blocked sender had kept comes at once, long after it was so."""
    engine = history.engine
    engine.mute = False
    for ears in engine.sockets.values():
        for prompt in engine.ended:
            for step in range(1, 5):
                ears.messages.put_nowait(Progress(step, 4, prompt))
            ears.messages.put_nowait(Executing(None, prompt))


def chatter(history: History) -> None:
    """The messages of somebody else's prompt, and of none."""
    for ears in history.engine.sockets.values():
        for prompt in ("theirs", None):
            ears.messages.put_nowait(Executing(None, prompt))
        ears.messages.put_nowait(Progress(4, 4, "theirs"))
        ears.messages.put_nowait(Status(0))


def take_over(history: History) -> None:
    """Another socket has our client id from now on."""
    history.engine.sockets.clear()


def double(history: History) -> None:
    history.engine.copies = 3


def late_history(seconds: float) -> Blow:
    def blow(history: History) -> None:
        history.engine.late_s = seconds

    return blow


def forget(prompts: int) -> Blow:
    """So many prompts never get into the history."""

    def blow(history: History) -> None:
        history.engine.forgets = prompts

    return blow


def clear_history(history: History) -> None:
    history.engine.ended.clear()


def empty_queue(history: History) -> None:
    """Somebody takes out what waits."""
    history.engine.pending.clear()


def die(history: History) -> None:
    """The worker is dead; the server answers."""
    history.engine.dead = True


def swap_graph(history: History) -> None:
    """What runs under our id is another graph; the server may rewrite what it accepted."""
    running = history.engine.running
    assert running is not None
    running.graph = {node: dict(body) for node, body in running.graph.items()}
    sampler = next(node for node, body in running.graph.items() if "seed" in body["inputs"])
    inputs = {**running.graph[sampler]["inputs"], "seed": 7}
    running.graph[sampler] = {**running.graph[sampler], "inputs": inputs}


def slow_down(step_s: float) -> Blow:
    def blow(history: History) -> None:
        history.engine.step_s = step_s

    return blow


def interrupt(history: History) -> None:
    """Somebody presses Cancel in the browser."""
    if history.engine.running is not None:
        history.engine.interrupted.add(history.engine.running.id)


def spoil(*spoils: Spoilt) -> Blow:
    def blow(history: History) -> None:
        history.engine.spoils = iter(spoils)

    return blow


def spoil_all(what: Spoilt) -> Blow:
    def blow(history: History) -> None:
        history.engine.spoils = repeat(what)

    return blow


def other_version(history: History) -> None:
    history.engine.facts = replace(FACTS, version="0.4.0")


def intrude(*names: str, step_s: float) -> Blow:
    """Strangers' prompts come, four steps each."""

    def blow(history: History) -> None:
        for name in names:
            history.engine.intrude(name, step_s=step_s)

    return blow


def take_theirs_away(history: History) -> None:
    """The strangers' prompts are stopped and taken out."""
    engine = history.engine
    engine.pending = [prompt for prompt in engine.pending if not prompt.step_s]
    if engine.running is not None and engine.running.step_s:
        engine.restart()


def set_clock(hours: float) -> Blow:
    def blow(history: History) -> None:
        history.clock.jumped_ms += round(hours * HOUR_S * 1000)

    return blow


def sleep_hours(hours: float) -> Blow:
    """The machine sleeps: nothing runs, the wall clock goes on, and the sockets are dead."""

    def blow(history: History) -> None:
        set_clock(hours)(history)
        drop_sockets(history)

    return blow


def first(count: int, moment: str) -> Sequence[str]:
    """The first so many moments of a kind."""
    return [moment, *(f"{moment} {n}" for n in range(2, count + 1))]


KILL = kill()
SWIFT = kill(0.0)
"""So swift a restart that nobody notices an absence."""
