"""What attempts at panels work with, and how they end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from daemon.core.commands import Command
from daemon.core.job import Job
from daemon.core.jobs import JobId, ModelFacts, Outcome, PanelSpec
from daemon.core.policy import Policy
from daemon.core.state import State
from daemon.craft.graph import BoundGraph
from daemon.ports import Disk, EngineHost, Pixels, Weights
from daemon.shell.intake import Pattern
from daemon.shell.outbox import Outbox
from daemon.shell.patience import now
from daemon.shell.progress import Progress
from daemon.shell.turns import Turns
from daemon.wire.comfyui import EngineFacts
from daemon.wire.places import Places

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bench:
    """What every attempt works with. ``host`` None: the engine's process is not ours. ``close``
    says that an attempt's last picture is with the engine, ``suspect`` that a prompt does not leave
    it; ``pressed`` why a picture is to be given up for the machine's sake, ``peak`` how much memory
    the running attempt has taken. ``packs`` are the custom nodes that may draw.
    """

    disk: Disk
    patterns: Lately[Pattern]
    engines: Lately[EngineFacts]
    modules: Lately[Mapping[str, str]]
    packs: Collection[str]
    pixels: Pixels
    weights: Weights
    host: EngineHost | None
    outbox: Outbox
    policy: Policy
    places: Places
    studio: str
    state: Callable[[], State]
    ask: Callable[[Command], Awaitable[None]]
    progress: Progress
    turns: Turns
    close: Callable[[JobId, int], None]
    suspect: Callable[[str], None]
    ready: Callable[[str], Awaitable[None]]
    pressed: Callable[[], str]
    peak: Callable[[Job], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Ended:
    """How an attempt ended, before it is reported."""

    outcome: Outcome
    code: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A picture that only has to be sent. ``stale``: the engine may have other weights of one of
    its models in memory, so it is not recorded yet.
    """

    image: int
    bound: BoundGraph
    models: tuple[ModelFacts, ...]
    prompt: str
    fresh: bool
    stale: bool


@dataclass(frozen=True, slots=True)
class Sheet:
    """What all pictures of one attempt share: ``bound`` gives the graph of a page and of the files
    of its LoRAs; the template that it is bound from, by name and hash.
    """

    bound: Callable[[PanelSpec, Sequence[str]], BoundGraph]
    template: str
    template_sha256: str


class Lately(Generic[T]):
    """What was asked for a moment ago, so that attempts that follow one another need not ask
    again. In the ``lately_s`` given no engine starts again.
    """

    def __init__(self, lately_s: float = 1.0) -> None:
        self._lately_s = lately_s
        self._known: dict[str, tuple[float, T]] = {}

    async def get(self, name: str, ask: Callable[[], Awaitable[T]]) -> T:
        """As it was answered a moment ago, or is now."""
        known = self._known.get(name)
        if known is not None and now() - known[0] < self._lately_s:
            return known[1]
        asked, answer = now(), await ask()
        self._known = {name: (asked, answer)}
        return answer
