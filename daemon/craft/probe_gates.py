"""Craft room: what the short run before the first night shows: its four gates (K1.4, K3.1).

Law: a gate that nothing was measured for is not closed; each says what was seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from daemon.core.hurdles import GIB
from daemon.core.jobs import TrainSpec
from daemon.core.night import lasting
from daemon.core.policy import Policy

LEAST_LOSS = 0.001
"""Below it nothing is left to learn, or nothing is seen of the pictures (D2.4)."""


@dataclass(frozen=True, slots=True)
class Gate:
    """One of the four; ``code`` '' = open, ``text`` is a clause."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Tried:
    """What was seen of a short run: the device as the trainer said it, seconds a step (awake), the
    most memory that it took and the machine has, in bytes (0 = not measured), its losses; and how
    long the training takes to begin.
    """

    device: str
    step_s: float
    peak_bytes: int
    total_bytes: int
    losses: tuple[float, ...]
    start_s: float


def gates(
    tried: Tried, spec: TrainSpec, policy: Policy, *, gpu: bool, window_s: float | None
) -> Sequence[Gate]:
    """Device, time, memory and loss, in this order. ``gpu``: this machine should have one;
    ``window_s``: how long the next window is, None = as long as it takes.
    """
    return (
        _device(tried.device, gpu=gpu),
        _time(tried, spec, policy, window_s),
        _memory(tried, policy),
        _loss(tried.losses),
    )


def _device(device: str, *, gpu: bool) -> Gate:
    if gpu and device.partition(":")[0] == "cpu":
        return Gate("TRAINER_ON_CPU", "it runs on the CPU, many times slower than on the GPU")
    return Gate("", f"it runs on {device or 'a device that it did not name'}")


def _time(tried: Tried, spec: TrainSpec, policy: Policy, window_s: float | None) -> Gate:
    step_s = tried.step_s
    if step_s <= 0:
        return Gate("", "how long a step takes was not measured")
    expected_s = step_s * spec.steps * policy.probe_factor
    told = f"{step_s:.1f} s a step, so about {lasting(expected_s)} for {spec.steps} steps"
    epoch_s = step_s * spec.epoch_steps * policy.probe_factor + tried.start_s
    if window_s is not None and epoch_s > window_s:
        # It is no failure: wider windows or a smaller save_every let it run, and it waits for them.
        told += f"; not one epoch fits a window of {lasting(window_s)}"
    return Gate("", told)


def _memory(tried: Tried, policy: Policy) -> Gate:
    if not tried.peak_bytes:
        return Gate("", "its memory was not measured")
    told = f"{tried.peak_bytes / GIB:.1f} GB at its peak"
    room = tried.total_bytes - (policy.memory_reserve_gb + policy.memory_system_gb) * GIB
    if tried.total_bytes and tried.peak_bytes > room:
        return Gate("PROBE_MEMORY", f"{told}, more than this machine can spare")
    return Gate("", told)


def _loss(losses: Iterable[float]) -> Gate:
    seen = list(losses)
    if not seen:
        return Gate("", "it told no loss")
    if not all(map(math.isfinite, seen)):
        return Gate("LOSS_NAN", "its loss is no number, so nothing would be learnt")
    if max(seen) < LEAST_LOSS:
        return Gate("PROBE_LOSS", f"its loss is {seen[-1]:.5f} from the start: it learns nothing")
    return Gate("", f"loss {seen[-1]:.3f}")
