"""Tells a story: a text of commands, and below each the events, wishes and reasons it led to.

A story is blocks with an empty line between them. A block is one command a line (several lines are
one turn), then ``----``, then what it led to; lines that begin with ``#`` are the narrator's.

    submit NAME [priority=N] [text=WORD] [drop=N] [rerun] [seeds=none|1,2] [train]
    prompt JOB IMAGE                        about the attempt that the job is in
    judged JOB IMAGE [verdict=CODE] [torch=VERSION]
    ended JOB OUTCOME [CODE] [attempt=N]    outcomes as in the ledger
    published|gone JOB
    cancel|retry JOB [drop=N]    pause|resume [drop=N]
    checkpoint JOB STEP [pace=S]    installed JOB STEP      of a training
    approve JOB image=N | checkpoint=STEP [drop=N]
    observe engine=up|down  gpu=free|busy  disk=ample|low  trainer=there|missing
        power=ac|battery  memory=calm|pressed  at=HH:MM (the next time that it is, in UTC)
    hours training=HH:MM-HH:MM              from now on; else always
    start [comfyui|external|rehearsal|none] [forget=N]
        the daemon starts on the ledger, which a power cut has robbed of its last N lines;
        ``comfyui`` is its own child, ``external`` is not

``python -m tests.scenarios`` says which stories no longer come true; ``--rewrite`` tells them anew,
and a person reads the diff.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import assert_never

from daemon.core.commands import (
    Command,
    ConfirmInstalled,
    Observe,
    ObserveMachine,
    RecordPrompt,
    ReportUnpublishable,
)
from daemon.core.events import Event, JobAccepted
from daemon.core.jobs import ControlKind, JobId, Outcome, PanelSpec, TrainSpec
from daemon.core.plan import (
    Effect,
    InstallLora,
    Prune,
    PublishResult,
    RunAttempt,
    RunTraining,
    StopAttempt,
)
from daemon.core.policy import LADDER, Policy
from daemon.core.windows import Span, Windows
from daemon.core.world import World
from daemon.wire.window_text import read_span
from tests.core.asking import (
    ENGINE,
    MAKING,
    PANEL,
    SEEN,
    approve,
    checkpoint,
    control,
    ended,
    image,
    panel,
    published,
    training,
)
from tests.desk import READY, REHEARSING, Desk

STORIES = Path(__file__).parent
RULE = "----"
ENGINES = {
    "comfyui": READY,
    "external": READY,
    "rehearsal": REHEARSING,
    "none": World("none", "ENGINE_MISSING", "No engine is set."),
}
CONTROLS: Mapping[str, ControlKind] = {
    "cancel": "cancel",
    "retry": "retry",
    "pause": "pause",
    "resume": "resume",
}
UNTOLD = {
    *("files", "scores", "sha256", "name", "inode", "mtime_ns", "size"),
    *("models", "template", "template_sha256", "workflow_sha256", "bytes", "perceptual_hash"),
    *("rung", "commit", "mode", "args", "device", "python", "torch", "os", "custom_nodes"),
}


@dataclass(frozen=True)
class Line:
    """A command of a story: ``prompt ch01_v1 2`` or ``submit ch01 priority=3 rerun``."""

    verb: str
    words: Sequence[str]
    options: Mapping[str, str]

    @classmethod
    def of(cls, text: str) -> Line:
        verb, *rest = text.split()
        options = dict(word.split("=", 1) for word in rest if "=" in word)
        return cls(verb, [word for word in rest if "=" not in word], options)

    def number(self, name: str, default: int) -> int:
        return int(self.options.get(name, default))


def stories() -> list[Path]:
    return sorted(STORIES.glob("*.txt"))


def retold(story: str) -> str:
    """The story with what its commands lead to now."""
    desk = Desk()
    return "\n\n".join(_block(desk, block) for block in story.strip().split("\n\n")) + "\n"


def _block(desk: Desk, block: str) -> str:
    told = block.partition(f"\n{RULE}")[0]
    lines = [line for line in told.splitlines() if not line.startswith("#")]
    if not lines:
        return told
    outcome = [_event(event) for event in _serve(desk, [Line.of(line) for line in lines])]
    outcome += [f"wants  {_effect(effect)}" for effect in desk.wants()]
    outcome += [f"why    {job} {why.code}" for job, why in desk.reasons().items()]
    return "\n".join([told, RULE, *(outcome or ["nothing"])])


def _serve(desk: Desk, lines: Sequence[Line]) -> Sequence[Event]:
    if lines[0].verb == "start":
        engine = "".join(lines[0].words)
        world = ENGINES[engine] if engine else None
        if engine:
            desk.profiles = () if engine == "external" else LADDER
        return desk.restart(world, forget=lines[0].number("forget", 0))
    if lines[0].verb == "hours":
        night = read_span(lines[0].options["training"])
        assert isinstance(night, Span), night
        desk.policy = Policy(training_windows=Windows((night,)))
        return []
    for line in lines:
        if "at" in line.options:
            desk.at = _next(desk.at, line.options["at"])
    return desk.do(*(_command(desk, line) for line in lines))


def _command(desk: Desk, line: Line) -> Command:
    name = line.words[0] if line.words else ""
    found = desk.state.jobs.get(JobId(name))
    attempt = line.number("attempt", found.attempt if found else 1)
    match line.verb:
        case "submit":
            return _submit(line, name)
        case "cancel" | "retry" | "pause" | "resume":
            return control(CONTROLS[line.verb], name, inode=line.number("drop", 1))
        case "approve":
            return approve(
                name,
                image=line.number("image", 0),
                checkpoint=line.number("checkpoint", 0),
                inode=line.number("drop", 1),
            )
        case "checkpoint":
            step = int(line.words[1])
            pace = float(line.options.get("pace", 0.0))
            return replace(checkpoint(name, step, attempt=attempt), step_s=pace)
        case "installed":
            step = int(line.words[1])
            file = f"{name}-{step:06d}.safetensors"
            return ConfirmInstalled(JobId(name), step, file, f"{step:064x}")
        case "prompt":
            number = int(line.words[1])
            return RecordPrompt(JobId(name), attempt, number, f"prompt-{attempt}-{number}")
        case "judged":
            engine = replace(ENGINE, torch=line.options.get("torch", ENGINE.torch))
            making = replace(MAKING, engine=engine)
            seen = image(name, int(line.words[1]), attempt=attempt, making=making)
            return replace(seen, verdict=line.options.get("verdict", seen.verdict))
        case "ended":
            return ended(name, attempt, Outcome(line.words[1]), "".join(line.words[2:3]))
        case "published":
            return published(name)
        case "gone":
            return ReportUnpublishable(JobId(name), "Its pictures are not there.")
        case "observe":
            world = _seen(desk.world, line.options)
            if line.options.keys() & {"power", "memory"}:
                return ObserveMachine(world.machine)
            return Observe(world)
        case _:
            raise ValueError(f"a story has no command {line.verb!r}")


def _submit(line: Line, name: str) -> Command:
    if "train" in line.words:
        return training(name, inode=line.number("drop", 1))
    asked = line.options.get("seeds", "421")
    seeds = () if asked == "none" else tuple(map(int, asked.split(",")))
    return panel(
        name,
        text=line.options.get("text", ""),
        inode=line.number("drop", 1),
        priority=line.number("priority", 0),
        rerun="rerun" in line.words,
        spec=replace(PANEL, seeds=seeds, variations=len(seeds) or 1),
    )


def _seen(world: World, options: Mapping[str, str]) -> World:
    for what, how in options.items():
        match what, how:
            case "engine", "up":
                world = replace(world, engine_code="", engine_text="")
            case "engine", "down":
                text = "The engine has not answered for 60 s."
                world = replace(world, engine_code="COMFY_NOT_READY", engine_text=text)
            case "gpu", "free" | "busy":
                world = replace(world, gpu_free=how == "free")
            case "trainer", "there" | "missing":
                text = "" if how == "there" else "No sd-scripts is set."
                world = replace(world, trainer_text=text)
            case "disk", "ample" | "low":
                world = replace(world, free_bytes=2**40 if how == "ample" else 2**30)
            case "power", "ac" | "battery":
                machine = replace(world.machine, on_ac=how == "ac")
                world = replace(world, machine=machine)
            case "memory", "calm" | "pressed":
                code, text = ("", "") if how == "calm" else ("SWAPPING", "It swaps.")
                world = replace(world, machine=replace(world.machine, code=code, text=text))
            case "at", _:
                pass
            case _:
                raise ValueError(f"nobody can observe {what}={how}")
    return world


def _next(at: int, clock: str) -> int:
    """The next time that it is so late, in ms since 1970."""
    hour, minute = map(int, clock.split(":"))
    return at + ((hour * 60 + minute) * 60_000 - at) % 86_400_000


def _event(event: Event) -> str:
    return " ".join([f"{event.type:<16}", *_facts(event)]).rstrip()


def _facts(event: Event) -> Iterator[str]:
    """What an event says beyond its type, the job first, without what goes without saying."""
    for field in fields(event):
        value = getattr(event, field.name)
        match field.name, value:
            case "job", str() if value:
                yield value
            case "spec", PanelSpec(seeds=seeds):
                yield f"seeds={','.join(map(str, seeds))}"
            case "spec", TrainSpec(epochs=epochs, steps=steps):
                yield f"epochs={epochs} steps={steps}"
            case "errors", tuple():
                yield from (f'"{error.text}"' for error in value)
            case (("text" | "error"), str()) if value:
                yield f'"{value}"'
            case "profile", "default":
                pass
            case "evidence", str():
                said = value.removeprefix(SEEN).strip()
                yield from [f'"{said}"'] if said else []
            case (("kind" | "ref" | "request"), _) if isinstance(event, JobAccepted):
                pass
            case name, (str() | int()) if value and name not in UNTOLD:
                yield f"{name}={value}"


def _effect(effect: Effect) -> str:
    match effect:
        case RunAttempt(job, attempt):
            return f"draw {job} attempt={attempt}"
        case StopAttempt(job, attempt):
            return f"stop {job} attempt={attempt}"
        case RunTraining(job, attempt):
            return f"train {job} attempt={attempt}"
        case PublishResult(job, attempt):
            return f"publish {job} attempt={attempt}"
        case InstallLora(job, checkpoint):
            return f"install {job} checkpoint={checkpoint}"
        case Prune(target):
            return f"prune {target}"
        case _:
            assert_never(effect)
