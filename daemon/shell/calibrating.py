"""Conducts what is learnt of a machine from one seed drawn several times: its spread, its pace."""

from __future__ import annotations

from itertools import combinations

from daemon.core.commands import Calibration, ReportIncident, ReportReference
from daemon.core.environment import setup_document, setup_of
from daemon.core.events import ImageJudged
from daemon.core.job import Job
from daemon.core.jobs import Outcome, PanelSpec
from daemon.core.reference import (
    REFERENCE_STEPS,
    curve_of,
    projected_s,
    slows_down,
    verdict_of,
)
from daemon.shell.bench import Bench, Ended

_SLOW = (
    "{}: the reference run projects {:.0f} s for 512x512 and 20 steps, where 30 to 60 s are usual"
    " on an M1 Pro; some operation may have fallen back to the CPU."
)
_SLOWING = (
    "{}: the reference run's steps became slower, from {:.1f} to {:.1f} s: heat, swapping, or"
    " another program on the GPU."
)


async def measured(bench: Bench, job: Job) -> Ended:
    """Record a reference run whose pictures are all drawn; failed when it is far too slow."""
    told, policy = await calibration_of(bench, job), bench.policy
    await bench.ask(ReportReference(job.id, job.attempt, told))
    seconds = projected_s(told.times, told.steps_s)
    if slows_down(told.steps_s, policy):
        text = _SLOWING.format(job.id, told.steps_s[1], told.steps_s[-1])
        await bench.ask(ReportIncident("STEPS_SLOWING", text, job.id))
    if told.verdict == "failed":
        return Ended(Outcome.FAILED, "SLOW_CPU_FALLBACK", _SLOW.format(job.id, seconds))
    if told.verdict == "slow":
        text = _SLOW.format(job.id, seconds)
        await bench.ask(ReportIncident("SLOW_CPU_FALLBACK", text, job.id))
    return Ended(Outcome.SUCCEEDED)


async def calibration_of(bench: Bench, job: Job) -> Calibration:
    """What the pictures of a job say, all of one seed: how long each took, and by how much two of
    them differ at most.
    """
    state = bench.state()
    job = state.jobs[job.id]
    found = [await bench.outbox.staged(job, image, state) for image in job.pictures]
    drawn = [each for each in found if each is not None]
    assert len(drawn) == len(found), "who concludes has drawn all of them"
    pairs = combinations([each.png for each in drawn], 2)
    distances = [await bench.pixels.compare(*pair) for pair in pairs]
    entries = (job.images[image].judged for image in job.pictures)
    lines = [entry.event for entry in entries if entry is not None]
    scores = [line.scores for line in lines if isinstance(line, ImageJudged)]
    times = tuple(each.get("seconds", 0.0) for each in scores)
    keys = [f"step_{number:02}_s" for number in range(2, REFERENCE_STEPS + 1)]
    curve = curve_of([[each[key] for key in keys if key in each] for each in scores])
    refers = isinstance(job.spec, PanelSpec) and bool(job.spec.measures)
    return Calibration(
        times=times,
        variance=round(max(each.mean_difference for each in distances), 4),
        environment=setup_document(setup_of(drawn[0].making.engine)),
        steps_s=curve if refers else (),
        verdict=verdict_of(projected_s(times, curve), bench.policy) if refers else "",
    )
