"""The face: `cancel`, `retry`, `pause`, `resume`: each drops a control file for the daemon."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from daemon.cli import place
from daemon.cli.arguments import Arguments
from daemon.cli.drop import drop
from daemon.cli.follow import Follower
from daemon.cli.lines import Tail
from daemon.cli.say import complain, say

_ANSWER_S = 10.0
_ODD = re.compile(r"[^a-z0-9._-]+")
_PATTERN = re.compile(r"[*?\[]")
_WANTED = {
    "cancel": ("waiting", "held", "running"),
    "retry": ("failed", "cancelled", "quarantined"),
}


def cancel(arguments: Arguments) -> int:
    """Cancel jobs that wait or run."""
    return _jobs(arguments)


def retry(arguments: Arguments) -> int:
    """Try jobs again that failed, were cancelled or quarantined."""
    return _jobs(arguments)


def pause(arguments: Arguments) -> int:
    """Start nothing new."""
    return _control(place.studio(arguments), "pause", [""])


def resume(arguments: Arguments) -> int:
    """End a pause."""
    return _control(place.studio(arguments), "resume", [""])


def _jobs(arguments: Arguments) -> int:
    studio = place.studio(arguments)
    if not place.is_alive(studio):
        raise place.Bad(f"{place.NO_DAEMON} Nothing was dropped.")
    return _control(studio, arguments.verb, _meant(studio, arguments.verb, arguments.job))


def _meant(studio: Path, verb: str, name: str) -> Iterable[str]:
    """The ids of the jobs that are meant. Raises ``Bad`` when there is none."""
    from daemon.cli.folded import find, fold, matching  # `pause` needs no fold.

    state = fold(studio)
    if not _PATTERN.search(name):
        return [find(state, name).id]
    phases = _WANTED[verb]
    jobs = [job.id for job in matching(state, name) if job.phase in phases]
    if not jobs:
        raise place.Bad(f"No job that matches {name} is {', '.join(phases[:-1])} or {phases[-1]}.")
    return jobs


def _control(studio: Path, kind: str, jobs: Iterable[str]) -> int:
    tail = Tail(studio)
    tail.skip()
    drops = []
    for job in jobs:
        stem = _ODD.sub("_", f"{kind}-{job}".rstrip("-"))[:100]
        # A JSON string of ASCII is a TOML string too.
        about = f"job = {json.dumps(job)}\n" if job else ""
        drops.append(drop(studio, f"{stem}.toml", f'kind = "{kind}"\n{about}'.encode()))
    follower = Follower(studio, tail, drops, say)
    if not follower.wait(lambda: not follower.unanswered, timeout_s=_ANSWER_S):
        complain("The daemon has not answered yet; it will when it comes to it.")
        return 1
    return 0 if follower.fine else 1
