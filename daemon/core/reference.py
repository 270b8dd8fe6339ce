"""The reference run: one picture of a fixed size, drawn thrice, by which a machine is known.

Law: it is judged by the time that a picture is projected to take, from its steps alone: loading
models, and the first steps, say nothing about the machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from daemon.core.jobs import JobId, PanelSpec
from daemon.core.policy import Policy

REFERENCE_NAME = "calibration"
REFERENCE_SIDE, REFERENCE_STEPS = 512, 20  # A1.3
_RUNS = 3
_SEED = 421
_PROMPT = "1boy, white cloak, red bandana, standing, full body, simple background"
_WARM = 4  # The steps before the fifth: shaders are compiled in them.
_SOME = 5

Verdict = Literal["good", "slow", "failed"]


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference run: whose, how long a picture is projected to take (seconds), the verdict, when
    (ms since 1970).
    """

    job: JobId
    seconds: float
    verdict: str
    at: int

    @property
    def pixel_step_s(self) -> float:
        """Seconds that one step takes for one pixel."""
        return self.seconds / (REFERENCE_STEPS * REFERENCE_SIDE**2)


def reference_run(*, checkpoint: str, vae: str) -> PanelSpec:
    """What is drawn: 512x512, 20 steps, Euler a, one seed thrice (A1.3, S1.2)."""
    return PanelSpec(
        prompt=_PROMPT,
        negative="",
        width=REFERENCE_SIDE,
        height=REFERENCE_SIDE,
        seeds=(_SEED,) * _RUNS,
        variations=_RUNS,
        steps=REFERENCE_STEPS,
        cfg=7.0,
        sampler="euler_ancestral",
        scheduler="normal",
        denoise=1.0,
        clip_skip=1,
        checkpoint=checkpoint,
        vae=vae,
        workflow="panel",
        quality=True,
        measures="reference",
    )


def pace_s(steps_s: Sequence[float]) -> float:
    """Seconds of one step: the median from the fifth on, 0 = not heard. The first step of a picture
    has no length, so a curve begins with the second.
    """
    return median(steps_s[_WARM - 1 :] or steps_s or [0.0])


def curve_of(runs: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """The curve of several runs: of each step the one in the middle."""
    heard = [run for run in runs if len(run) == REFERENCE_STEPS - 1]
    return tuple(round(median(each), 3) for each in zip(*heard, strict=True))


def projected_s(times: Sequence[float], steps_s: Sequence[float]) -> float:
    """Seconds that a picture is projected to take. Where no steps were heard, what the runs took,
    from beginning to end.
    """
    return round(pace_s(steps_s) * REFERENCE_STEPS or median(times or [0.0]), 3)


def verdict_of(projected: float, policy: Policy) -> Verdict:
    """What is to be thought of a machine on which a picture takes so long."""
    if projected >= policy.failed_s:
        return "failed"
    return "slow" if projected >= policy.slow_s else "good"


def slows_down(steps_s: Sequence[float], policy: Policy) -> bool:
    """Whether the first steps are fast and the later ones slower (A1.4): heat, or swapping."""
    early, late = steps_s[1 : 1 + _SOME], steps_s[-_SOME:]
    if len(steps_s) < REFERENCE_STEPS - 1:
        return False
    return median(late) > policy.slowing * median(early) + 0.05
