"""Tells when a training that runs is in vain, or is none any more."""

from __future__ import annotations

import math

from daemon.core.night import lasting
from daemon.shell.training_start import Workshop
from daemon.shell.training_watch import TrainingWatch
from daemon.wire.shim_record import StopOrder

_AGAIN = "It was ended, and is tried once more from the last epoch."


def stop_order(watch: TrainingWatch, shop: Workshop, *, silent_s: float) -> StopOrder | None:
    """Why it is to be stopped for good, or to be begun again; None while all is well."""
    reading, spec = watch.log.output.reading, watch.attempt.spec
    if shop.gpu_expected and reading.device.partition(":")[0] == "cpu":
        return StopOrder(
            "TRAINER_ON_CPU",
            "The trainer computes on the CPU of this Mac, many times slower than on its GPU. Its "
            "Python has to be an arm64 one, with a torch that has MPS.",
        )
    if reading.loss is not None and not math.isfinite(reading.loss):
        return StopOrder(
            "LOSS_NAN",
            f"The loss became {reading.loss} before step {reading.step}; from there on nothing "
            "is learnt. Lower learning_rate, and drop the job's file again.",
        )
    if reading.nan_latents:
        return StopOrder(
            "LATENTS_NAN",
            "The VAE made no numbers of a picture, and zeros would be learnt in its place. Name "
            "another VAE, or take out pictures until it passes.",
        )
    counted = -(-reading.epoch_batches // spec.gradient_accumulation)
    if counted not in (0, spec.epoch_steps):
        return StopOrder(
            "EPOCH_SIZE",
            f"The trainer makes {counted} steps an epoch where {spec.epoch_steps} were planned,"
            " so its checkpoints would bear wrong steps. It does not see the dataset as it "
            "was copied: look for warnings in stderr.log.",
        )
    if stalled_s := watch.stalled_s:
        text = f"No step was made for {lasting(stalled_s)}, where one takes {watch.step_s:.1f} s."
        return StopOrder("TRAINER_STALLED", f"{text} {_AGAIN}")
    if silent_s > shop.policy.training_silence_s:
        text = f"The trainer said nothing for {silent_s / 60:.0f} minutes."
        return StopOrder("TRAINER_SILENT", f"{text} {_AGAIN}")
    return None
