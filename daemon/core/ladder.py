"""The quality ladder: a spoilt picture is drawn again from its seed, in another launch profile.

Law: between two retries no picture is spoilt twice on one rung, so every ladder ends.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from daemon.core.commands import ReportEnded
from daemon.core.environment import environment_of
from daemon.core.job import Job
from daemon.core.jobs import DEFAULT_PROFILE, QUALITY_CODES, Engine, Outcome, PanelSpec
from daemon.core.policy import LADDER
from daemon.core.state import State

_EVIDENCE_CHARS = 999
_NOT_OURS = (
    "No other precision can be tried: the engine's process is not nightpress's to start anew."
)


def profile_for(job: Job, state: State, profiles: Collection[str]) -> str:
    """The launch profile of a job's next attempt: the default one until a picture was spoilt.

    It is that again where the daemon came back unable to climb, so that the attempt says so. What
    is reproduced is drawn where it was drawn, if the engine can be started so.
    """
    again = job.spec.reproduces if isinstance(job.spec, PanelSpec) else None
    if again is not None:
        return again.rung if again.rung in profiles else DEFAULT_PROFILE
    return (_left(job.rungs, state, profiles) if job.rungs else "") or DEFAULT_PROFILE


def climbed(ended: ReportEnded, job: Job, state: State, profiles: Collection[str]) -> ReportEnded:
    """A report as it is recorded: stopped while a rung is left, and with what the ladder has shown
    where it ends (A3.2).
    """
    if job.cancelling:
        return ended
    if ended.outcome is Outcome.SUCCEEDED:
        return _said(ended, _mended(job)) if job.on_a_rung else ended
    # What measures the machine as it is does not try it in another way.
    wanted = isinstance(job.spec, PanelSpec) and job.spec.quality and not job.spec.measures
    if ended.outcome is not Outcome.FAILED or ended.code not in QUALITY_CODES or not wanted:
        return ended
    tried = tuple(dict.fromkeys((*job.rungs, job.profile)))
    following = _left(tried, state, profiles)
    if following:
        stopped = replace(ended, outcome=Outcome.STOPPED)
        return _said(stopped, f"Next: the same seed in profile {following}.")
    if len(tried) > 1:
        return _said(ended, f"fp16-related: no: spoilt in {spoken(tried)}, same seed.")
    return _said(ended, _NOT_OURS)


def spoken(names: Sequence[str]) -> str:
    """Names as a sentence lists them: ``a, b and c``."""
    *before, last = names
    return f"{', '.join(before)} and {last}" if before else last


def _mended(job: Job) -> str:
    related = "yes" if job.profile == "fp32-unet" else "no"
    return (
        f"fp16-related: {related}: spoilt in {spoken(job.rungs)}, good in {job.profile}, same seed."
    )


def _said(ended: ReportEnded, sentence: str) -> ReportEnded:
    """What was seen is cut where both do not fit; the sentence is not."""
    seen = ended.evidence[: _EVIDENCE_CHARS - 1 - len(sentence)]
    return replace(ended, evidence=f"{seen} {sentence}".lstrip())


def _left(tried: Collection[str], state: State, profiles: Collection[str]) -> str:
    """The most promising rung that is not tried yet, '' when none is left."""
    left = [rung for rung in LADDER if rung in profiles and rung not in tried]
    return max(left, key=lambda rung: _promise(rung, state), default="")


def _promise(rung: str, state: State) -> float:
    """How often it mended a picture in the last engine's environment: what is not known there goes
    before what only failed, and after everything that ever helped.
    """
    engine = state.recorded.get(state.latest.get(("engine", ""), 0))
    if not isinstance(engine, Engine):
        return 0.0
    tries, good = state.learnt.get((environment_of(engine), rung), (0, 0))
    return good / tries if good else -float(tries > 0)
