"""The stages of a training: what is drawn before and after it, and the short run that tries it.

Law: which stage is next follows from the ledger alone; a stage that is over is never begun again
but to make anew what is gone.
"""

from __future__ import annotations

from math import isqrt
from typing import TYPE_CHECKING

from daemon.core.ids import is_rehearsal
from daemon.core.jobs import LoraUse, PanelSpec, TrainSpec
from daemon.core.policy import Policy

if TYPE_CHECKING:
    from daemon.core.job import Job
    from daemon.core.state import State

TRAINING, TRIGGER, REGULARIZATION, PROBE, GRID = "", "trigger", "regularization", "probe", "grid"
"""The stages of a training, which its attempts are for; a panel has none."""

DRAWN = frozenset({TRIGGER, REGULARIZATION, GRID})
"""The stages whose pictures the engine draws, by sub-prompts of the job."""

MORE_PROMPTS = 3
"""What a grid shows beside its prompts: the trigger alone, a caption, something unrelated."""

UNRELATED = "a quiet mountain lake, pine trees, morning fog, no humans"
"""A prompt that has nothing of the character: what a LoRA changes in it, it does not keep to its
trigger (K6.2)."""

_MISSION = Policy()
_STEPS, _CFG = 20, 7.0


def next_stage(job: Job, state: State) -> str:
    """What the next attempt at a job is for; '' for a panel, and for the training itself."""
    spec, over = job.spec, job.stages
    if not isinstance(spec, TrainSpec):
        return TRAINING
    if TRAINING in over:
        return GRID
    fresh = not job.checkpoints
    if fresh and not spec.waive_trigger_probe and TRIGGER not in over:
        return TRIGGER
    if spec.regularization is not None and REGULARIZATION not in over:
        return REGULARIZATION
    if fresh and spec.probe and PROBE not in over and pace_of(job) not in state.paces:
        return PROBE
    return TRAINING


def page(
    spec: TrainSpec, policy: Policy, prompt: str, *, seed: int, lora: LoraUse | None = None
) -> PanelSpec:
    """One picture that a training asks for, complete, as large as the caps let it be; nobody judges
    whether it is a good one.
    """
    side = min(policy.training_resolution, policy.max_side, isqrt(policy.max_area))
    side -= side % policy.side_multiple
    return PanelSpec(
        prompt=prompt,
        negative="",
        width=side,
        height=side,
        seeds=(seed,),
        variations=1,
        steps=min(_STEPS, policy.max_steps),
        cfg=_CFG,
        sampler="euler",
        scheduler="normal",
        denoise=1.0,
        clip_skip=spec.clip_skip,
        checkpoint=spec.checkpoint,
        vae=spec.vae,
        workflow="panel",
        quality=False,
        loras=(lora,) if lora else (),
    )


def drawn_as(job: Job, policy: Policy = _MISSION) -> PanelSpec | None:
    """What the current attempt draws, as far as its size goes: a panel's own, the like of a drawn
    stage's; None for what is trained.
    """
    spec = job.spec
    if isinstance(spec, PanelSpec):
        return spec
    if job.stage not in DRAWN:
        return None
    lora = LoraUse(job.id, 1.0) if job.stage == GRID else None
    return page(spec, policy, "", seed=0, lora=lora)


def pace_of(job: Job) -> str:
    """What two trainings share whose passes take the same time."""
    spec = job.spec
    assert isinstance(spec, TrainSpec), f"{job.id} trains nothing"
    engine = "rehearsal" if is_rehearsal(job.id) else "comfyui"
    return f"train {engine} {spec.gradient_checkpointing:d}{spec.unet_only:d} {spec.optimizer}"
