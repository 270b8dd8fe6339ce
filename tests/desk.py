"""The writer's desk without its disk: each command goes through the core as the loop sends it.

Law: what ``do`` returns from is in ``entries``, and ``state`` is their fold.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from daemon.core import admission
from daemon.core.commands import Command, Observe, ObserveMachine, ObserveTrainer, Start
from daemon.core.decide import Studio, decide, settle
from daemon.core.events import Entry, Event
from daemon.core.hurdles import Reason, Scene
from daemon.core.jobs import JobId
from daemon.core.needs import Weigh, nothing
from daemon.core.plan import Effect, plan
from daemon.core.policy import LADDER, Policy
from daemon.core.state import State, apply, fold
from daemon.core.world import World

READY = World("comfyui", engine_code="", engine_text="")
REHEARSING = World("rehearsal", engine_code="", engine_text="")
EPOCH_MS = 1_795_000_000_000
SEGMENT = "2026-11"


@dataclass
class Desk:
    """One studio's writer. ``at`` in ms since 1970, a second later with each turn."""

    world: World = READY
    profiles: tuple[str, ...] = LADDER
    policy: Policy = field(default_factory=Policy)
    weigh: Weigh = nothing
    state: State = field(default_factory=State)
    entries: list[Entry] = field(default_factory=list)
    unsettled: list[JobId] = field(default_factory=list)
    at: int = EPOCH_MS

    @property
    def studio(self) -> Studio:
        rehearsal = self.world.engine == "rehearsal"
        return Studio("studio", rehearsal, self.profiles, self.weigh)

    def do(self, *commands: Command) -> Sequence[Event]:
        """One turn of the writer: what these commands led to, in the order of the ledger."""
        self.at += 1_000
        draft, before = self.state.draft(), len(self.entries)
        for command in commands:
            if isinstance(command, Observe):
                self.world = replace(command.world, machine=self.world.machine)
            if isinstance(command, ObserveMachine):
                self.world = replace(self.world, machine=command.machine)
            if isinstance(command, ObserveTrainer):
                seen = {"trainer_code": command.code, "trainer_text": command.text}
                self.world = replace(self.world, **seen)  # type: ignore[arg-type]
            self._write(draft, decide(draft, command, self.studio))
        for job in self.unsettled:
            self._write(draft, settle(draft, job, self.policy))
        self.unsettled = []
        self.world = replace(self.world, at=self.at)
        self._write(draft, admission.admit(self.scene(draft)))
        self.state.absorb(draft)
        return [entry.event for entry in self.entries[before:]]

    def restart(self, world: World | None = None, *, forget: int = 0) -> Sequence[Event]:
        """The daemon starts again, on a ledger that has lost its last ``forget`` entries."""
        del self.entries[len(self.entries) - forget :]
        self.state = fold(self.entries)
        self.unsettled = list(self.state.queue)
        self.world = world or self.world
        return self.do(Start("1.0.0", self.world.engine))

    def wants(self) -> Sequence[Effect]:
        return plan(self.state)

    def reasons(self) -> dict[JobId, Reason]:
        return admission.why(self.scene())

    def scene(self, state: State | None = None) -> Scene:
        return Scene(state or self.state, self.world, self.policy, self.studio)

    def _write(self, draft: State, events: Iterable[Event]) -> None:
        for event in events:
            entry = Entry(draft.seq + 1, self.at, event, SEGMENT, f"{draft.seq + 1:032x}")
            self.entries.append(entry)
            apply(draft, entry)
            job = JobId(getattr(event, "job", ""))
            if job:
                self._write(draft, settle(draft, job, self.policy))
