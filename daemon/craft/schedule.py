"""Knows how a training is cut into epochs, the only pieces that sd-scripts resumes without error.

Law: the steps that come out are those the trainer makes: whole epochs, each as near to the asked
distance between checkpoints as the number of pictures allows.
"""

from __future__ import annotations

from dataclasses import dataclass

from daemon.core.policy import Policy, default_training_steps


@dataclass(frozen=True, slots=True)
class Schedule:
    """``steps`` = ``epochs`` x ``epoch_steps`` optimizer steps; an epoch shows each picture
    ``repeats`` times.
    """

    repeats: int
    epoch_steps: int
    epochs: int

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole training."""
        return self.epochs * self.epoch_steps


def schedule(
    policy: Policy, *, images: int, steps: int, save_every: int, accumulation: int, beside: bool
) -> Schedule:
    """The schedule for ``images`` pictures; ``steps`` 0 = by the policy. Batch is always 1.

    An epoch of images x repeats pictures makes one step of each ``accumulation`` of them, and a
    short last group still makes one. ``beside``: as many regularization pictures are shown beside
    them, however many there are (measured).
    """
    shown = 2 * images if beside else images
    steps = steps or default_training_steps(policy, images=images)
    wanted = min(save_every, steps)
    repeats = max(1, round(wanted * accumulation / shown))
    epoch_steps = -(-shown * repeats // accumulation)
    epochs = max(1, round(steps / epoch_steps))
    limits = (policy.max_default_training_steps, policy.overfit_training_steps - 1)
    if epochs > 1 and any(steps <= limit < epochs * epoch_steps for limit in limits):
        epochs -= 1  # Rounding up must not pass a limit that the asked number has kept.
    return Schedule(repeats, epoch_steps, epochs)
