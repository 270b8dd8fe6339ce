"""The reference run and the canary, in a whole press in virtual time."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from daemon.core.policy import Policy
from tests.shell.test_attempt import PANEL, Studio
from tests.sim.engine import FACTS, SimEngine

RUN = 'kind = "calibrate"\ncheckpoint = "a.safetensors"\nvae = "v.safetensors"\nend = true\n'
CANARY = replace(Policy(), canary=True)


def measures(studio: Studio) -> list[dict[str, object]]:
    return [line for line in studio.lines() if line["type"] == "calibration.measured"]


async def calibrated(studio: Studio) -> None:
    studio.drop("run", RUN)
    await studio.until(studio.ended(1), at_most_s=3e3, look_s=2.0)


def slow(step_s: float) -> Studio:
    return Studio(engine=SimEngine(random.Random(1), step_s=step_s, steps=20))


def test_the_reference_run_is_one_seed_thrice_with_its_curve() -> None:
    """A1.3, S1.2, V3: 512x512, 20 steps, Euler a; each picture drawn, none out of the cache."""
    studio = slow(2.0)
    studio.live(calibrated)
    (measured,) = measures(studio)
    assert measured["steps_s"] == pytest.approx([2.0] * 19, abs=0.05)
    assert (measured["verdict"], measured["variance"]) == ("good", 0.0)
    (accepted,) = [line for line in studio.lines() if line["type"] == "job.accepted"]
    spec = accepted["spec"]
    assert [spec[key] for key in ("width", "height", "steps")] == [512, 512, 20]
    assert (spec["sampler"], len(set(spec["seeds"])), len(spec["seeds"])) == (
        "euler_ancestral",
        1,
        3,
    )
    assert [call.partition(" ")[0] for call in studio.calls] == ["free", "free", "send"] * 3
    assert studio.said("job.ended", "phase") == ["published"]


def test_three_minutes_are_said_and_five_are_a_failure() -> None:
    """A1.3: by projected time, and whatever the deadline of an ordinary picture is."""
    studio = slow(10.0)
    studio.live(calibrated)
    assert measures(studio)[0]["verdict"] == "slow"
    assert studio.said("incident", "code") == ["SLOW_CPU_FALLBACK"]
    assert studio.said("job.ended", "phase") == ["published"]
    studio = slow(16.0)
    studio.live(calibrated)
    assert measures(studio)[0]["verdict"] == "failed"
    assert studio.said("job.ended", "code") == ["SLOW_CPU_FALLBACK"]


def test_what_was_measured_once_lengthens_the_deadline_of_a_slow_machine() -> None:
    """N6.3: three times the calibrated time; without it the same picture is given up."""
    panel = RUN.replace('"calibrate"', '"panel"\nprompt = "rain"\nheight = 512')

    async def story(studio: Studio) -> None:
        await calibrated(studio)
        studio.drop("panel", panel)
        await studio.until(studio.ended(2), at_most_s=3e3, look_s=2.0)

    studio = slow(8.0)
    studio.live(story)
    assert studio.said("job.ended", "phase") == ["published", "published"]

    async def without(studio: Studio) -> None:
        studio.drop("panel", panel)
        await studio.until(studio.ended(1), at_most_s=3e3, look_s=2.0)

    studio = slow(8.0)
    studio.live(without)
    assert studio.said("job.ended", "code") == ["SLOW_CPU_FALLBACK"]


def test_a_canary_goes_before_everything_and_again_when_the_engine_is_another() -> None:
    """A1.3: by itself, when ComfyUI, torch, system, nodes or flags have changed; and the port, or a
    restart, is no change.
    """
    studio = Studio(policy=CANARY)

    async def story(studio: Studio) -> None:
        studio.drop("one")
        await studio.until(studio.ended(2))
        studio.engine.facts = replace(FACTS, argv=("main.py", "--port", "8199"))
        studio.engine.restart(away_s=30.0)
        studio.drop("two", _named("two"))
        await studio.until(studio.ended(3))
        studio.engine.facts = replace(FACTS, torch="2.14")
        studio.engine.restart(away_s=30.0)
        await studio.until(lambda: studio.said("incident", "code").count("ENGINE_CHANGED") == 2)
        studio.drop("three", _named("three"))
        await studio.until(studio.ended(5))

    studio.live(story)
    ended = studio.said("job.ended", "job")
    assert ended == ["calibration_v1", "one_v1", "two_v1", "calibration_v2", "three_v1"]
    assert "CANARY_PENDING" in studio.said("job.held", "code")


def _named(name: str) -> str:
    return PANEL.replace("rain", name)


def test_a_canary_that_has_failed_keeps_the_queue_closed_until_one_is_green() -> None:
    """A1.3"""
    studio = slow(16.0)
    studio.policy = CANARY

    async def story(studio: Studio) -> None:
        studio.drop("one")
        held = lambda: "CANARY_FAILED" in studio.said("job.held", "code")  # noqa: E731
        await studio.until(held, at_most_s=3e3, look_s=2.0)
        studio.engine.step_s = 1.0
        studio.drop("run", RUN)
        await studio.until(studio.ended(3), at_most_s=3e3, look_s=2.0)

    studio.live(story)
    assert studio.said("job.ended", "job") == ["calibration_v1", "calibration_v2", "one_v1"]
