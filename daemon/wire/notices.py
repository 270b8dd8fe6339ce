"""Spells what a person is told of, as it happens: done, failed, needs you.

Law: a text is one line of what she can read, however many things happened; nothing in it is obeyed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from daemon.core.events import Event, Incident, JobEnded, JobHeld, JobRejected
from daemon.core.jobs import Phase
from daemon.core.state import State
from daemon.core.windows import NEVER, Windows
from daemon.craft.diagnosis import first_check
from daemon.wire.notify_keys import Kind
from daemon.wire.phrases import counted, joined, some
from daemon.wire.text import excerpt

_TEXT_CHARS = 240
_HELD = frozenset(
    {
        *("ENGINE_MISSING", "ENGINE_TROUBLE", "ENGINE_ON_CPU", "ENGINE_START", "COMFY_NOT_READY"),
        *("TRAINER_MISSING", "TRAINER_UNFIT", "DISK_LOW", "CANARY_FAILED"),
    }
)
"""Reasons that do not pass by themselves."""
_GRAVE = frozenset({"LEDGER_INCOMPLETE", "ENGINE_EXPOSED", "MODEL_CHANGED", "INBOX_BLOCKED"})
_TITLES: Mapping[Kind, str] = {"needs_you": "needs you", "failed": "failed", "done": "done"}


@dataclass(frozen=True, slots=True)
class Telling:
    """Of what a person is told, but not in her ``quiet`` hours; by which ``command``, () = as the
    system does.
    """

    on: tuple[Kind, ...] = ()
    quiet: Windows = NEVER
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that somebody wants to know of. ``job`` '' = of no single one."""

    kind: Kind
    job: str
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Message:
    """What is shown: a title, a line; ``events`` are what it is of, for programs."""

    title: str
    text: str
    events: Sequence[Happening]


def happening(event: Event, state: State) -> Happening | None:
    """What an event is to a person; None: nothing that she must know at once."""
    match event:
        case JobEnded(job, Phase.PUBLISHED):
            ended = state.jobs.get(job)
            if ended is not None and ended.kind == "train" and not ended.approved:
                text = f"{job} is trained: look at its grid, and approve a checkpoint."
                return Happening("needs_you", job, "", text)
            return Happening("done", job, "", f"{job} is published.")
        case JobEnded(job, Phase.FAILED | Phase.QUARANTINED as phase, code):
            return Happening("failed", job, code, f"{job} {phase}, {code}. {first_check(code)}")
        case JobRejected(name=name, errors=errors):
            why = errors[0].text if errors else ""
            return Happening("failed", "", "REJECTED", f"{name} was refused. {why}")
        case JobHeld(job, code, text) if code in _HELD:
            return Happening("needs_you", job, code, f"{code}: {text}")
        case Incident(code, text, job) if code in _GRAVE:
            return Happening("needs_you", job, code, f"{code}: {text}")
        case _:
            return None


def message(happenings: Iterable[Happening]) -> Message:
    """Several things in one: what needs her first; of each kind how many, or the only one."""
    told = list(happenings)
    kinds = [kind for kind in _TITLES if any(each.kind == kind for each in told)]
    title = f"nightpress: {joined(_TITLES[kind] for kind in kinds)}"
    parts = []
    for kind in kinds:
        own = [each for each in told if each.kind == kind]
        names = some([each.job or "a file" for each in own])
        many = f"{counted(len(own), 'job')} {_TITLES[kind]}: {names}."
        parts.append(own[0].text if len(own) == 1 else many)
    return Message(title, excerpt(" ".join(parts), limit=_TEXT_CHARS), told)
