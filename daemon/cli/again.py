"""The face: `again`, new requests from recorded ones: a whole chapter with the new LoRA.

Law: all or nothing. What acceptance would refuse is told, each with its job and key, and then
nothing is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from itertools import chain

from daemon.cli import place
from daemon.cli.arguments import Arguments
from daemon.cli.asking import answered, followed
from daemon.cli.folded import find, fold
from daemon.cli.follow import Follower
from daemon.cli.lines import complaints
from daemon.cli.say import paint, say
from daemon.core.events import Event, JobRejected
from daemon.core.job import Job
from daemon.core.jobs import JobId, PanelSpec
from daemon.core.state import State
from daemon.wire.phrases import counted
from daemon.wire.renewal import Changes, loras_of, renewed, value_of
from daemon.wire.text import visible

# What a job is of cannot be set, and no key lies deeper.
_KEY = re.compile(r"(?!kind$)[a-z_]+(\.[a-z_]+)?")


def again(arguments: Arguments) -> int:
    """Drop new requests made from recorded ones; say how they are answered, and with --wait how
    they end.
    """
    studio = place.studio(arguments)
    changes = _changes(arguments.lora or (), arguments.set or ())
    state = fold(studio)
    jobs = _with_the_loras(_meant(state, arguments.jobs), changes.loras)
    files = [(f"again-{job.id}.toml", renewed(job, changes)) for job in jobs]
    answers = answered(studio, state, files)
    wrong = [_would_not(job, answer) for job, answer in zip(jobs, answers, strict=True)]
    if any(wrong):
        raise place.Bad(
            f"{counted(sum(wrong), 'job')} cannot be made again so. Nothing was dropped."
        )
    follower = Follower(studio)
    for job, (name, data) in zip(jobs, files, strict=True):
        follower.drop(name, data)
        say(f"{job.id} -> inbox/{name}")
    return followed(follower, wait=arguments.wait)


def _changes(loras: Iterable[str], values: Iterable[str]) -> Changes:
    """What the options say. Raises ``WrongCommand``."""
    names = dict(_pair(text, "--lora", "spyke_v1=spyke_v2") for text in loras)
    told = dict(_pair(text, "--set", "steps=30") for text in values)
    for key in told:
        if not _KEY.fullmatch(key):
            raise place.WrongCommand(
                f"--set {visible(key)}: that is no key which can be set. Write one as it stands in "
                "the job file: --set steps=30, --set controlnet.strength=0.7"
            )
    return Changes(names, {key: value_of(text) for key, text in told.items()})


def _pair(text: str, option: str, example: str) -> tuple[str, str]:
    left, _, right = text.partition("=")
    if not left or not right:
        more = ", or --set lora=[] to draw without any" if option == "--lora" else ""
        raise place.WrongCommand(
            f"{option} {visible(text)}: both sides of the = are needed. Write for example: {option}"
            f" {example}{more}"
        )
    return left, right


def _meant(state: State, names: Iterable[str]) -> Sequence[Job]:
    """The jobs that are meant, each once. Raises ``Bad`` where one cannot be asked for again."""
    jobs = {job.id: job for name in names for job in named(state, name)}
    for job in jobs.values():
        if _reproduces(job):
            raise place.Bad(
                f"{job.id} drew a published picture again, by its lock. Name the job that the "
                "picture is of, or use `nightpress reproduce` once more."
            )
    return list(jobs.values())


def named(state: State, name: str) -> Iterable[Job]:
    """The job, or of a pattern the newest of each name. Raises ``Bad`` where there is none."""
    if not any(character in name for character in "*?["):
        return [find(state, name)]
    # The newest of each name is the last one: jobs come in the order of their acceptance.
    newest = {
        job.name: job
        for job in state.jobs.values()
        if not _reproduces(job) and (fnmatchcase(job.id, name) or fnmatchcase(job.name, name))
    }
    if not newest:
        raise place.Bad(f"No job matches {visible(name)}. `nightpress status` shows the jobs.")
    return newest.values()


def _reproduces(job: Job) -> bool:
    return isinstance(job.spec, PanelSpec) and job.spec.reproduces is not None


def _with_the_loras(jobs: Sequence[Job], loras: Mapping[str, str]) -> Sequence[Job]:
    """The jobs that use one of the LoRAs to be replaced. Raises ``Bad`` for one that none uses."""
    used: Mapping[JobId, Sequence[str]] = {job.id: loras_of(job) for job in jobs}
    known = dict.fromkeys(chain.from_iterable(used.values()))
    if unknown := [visible(old) for old in loras if old not in known]:
        there = f"They use {', '.join(map(visible, known))}." if known else "They use none at all."
        raise place.Bad(f"--lora: none of the jobs uses {' or '.join(unknown)}. {there}")
    for job in jobs:
        if loras and loras.keys().isdisjoint(used[job.id]):
            say(f"{job.id}: left out, it does not use {visible(' or '.join(loras))}")
    return [job for job in jobs if not loras or not loras.keys().isdisjoint(used[job.id])]


def _would_not(job: Job, answer: Event) -> bool:
    """Whether the new request would not be run; then why is said."""
    if not isinstance(answer, JobRejected):
        return False
    say(f"{job.id}: {paint('refused', 'red')}")
    # The lines of a file that nobody wrote help nobody.
    errors = [{**asdict(error), "line": 0} for error in answer.errors]
    for text in complaints({"errors": errors}):
        say(f"  {text}")
    return True
