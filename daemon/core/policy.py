"""Every number of the mission in one table, each with its source.

Law: nothing outside this module holds a number of the mission. Settings may tighten a cap; they
loosen one only when the owner says that there is more memory than the 16 GB these are for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from daemon.core.windows import ALWAYS, Windows

LADDER = ("fp32-unet", "split-attention", "cpu-vae")
"""Launch profiles in which a spoilt picture is drawn again, in this order until the ledger knows
better (A3.2).
"""


@dataclass(frozen=True, slots=True)
class Policy:
    """The policy table. Areas and sides in pixels, ``_s`` seconds (awake time), ``_gb`` GiB.

    Row IDs are those of the requirements; "contract" is the public description of job files.
    """

    # Pictures: what 16 GB of unified memory draw without swapping.
    max_area: int = 512 * 768  # A2.1
    max_side: int = 768  # A2.1
    min_side: int = 64  # contract
    side_multiple: int = 8  # A2.1: one latent pixel is 8 x 8 picture pixels.
    latent_batch: int = 1  # A2.5
    max_controlnets: int = 1  # A2.2
    max_loras: int = 4  # contract
    max_pictures: int = 100  # contract: seeds or variations of one job
    max_seed: int = 2**53 - 1  # contract: the last whole number that JavaScript keeps exact
    min_steps: int = 1  # contract
    max_steps: int = 60  # contract
    min_cfg: float = 1.0  # contract
    max_cfg: float = 30.0  # contract
    min_clip_skip: int = 1  # contract
    max_clip_skip: int = 4  # contract
    max_priority: int = 9  # contract: -9..9
    max_overtaking: int = 20  # Jobs that may go before one for the models that are loaded.

    # ControlNet strength.
    controlnet_strength: float = 0.65  # C3.1
    controlnet_recommended_low: float = 0.6  # C3.2
    controlnet_recommended_high: float = 0.75  # C3.2
    controlnet_ignored_below: float = 0.4  # C3.2: warns
    controlnet_warn_above: float = 0.8  # C3.2: warns
    controlnet_strong_above: float = 0.9  # C3.2: warns strongly
    max_controlnet_strength: float = 2.0  # Beyond any use; the node itself stops at 10.

    # LoRA strength.
    lora_strength: float = 0.7  # K6.3
    lora_warn_above: float = 0.8  # K6.3
    max_lora_strength: float = 2.0  # contract: -2..2

    # A picture's deadline, from its first sampler step.
    deadline_s: float = 120.0  # W22, N6.3
    deadline_area: int = 512 * 768  # N6.3: the size for which deadline_s is meant
    deadline_steps: int = 20  # N6.3: the steps for which deadline_s is meant
    deadline_calibrated: float = 3.0  # N6.3: or so often the calibrated time
    calibration_deadline_s: float = 600.0  # N6.3: of the reference run

    # The reference run: 512x512, 20 steps, on projected time (the median step from step 5 on).
    slow_s: float = 180.0  # A1.3: warns
    failed_s: float = 300.0  # A1.3: the canary has failed
    slowing: float = 1.5  # A1.4: the last steps take so often the time of the first ones
    canary: bool = False  # contract, [policy] canary: nothing is made before it is green

    start_allowance_s: float = 60.0  # N5.1
    first_load_allowance_s: float = 120.0  # N5.3, W25

    # Completion and health of the engine.
    history_poll_s: float = 2.0  # N1.3, N6.1
    model_load_slow_s: float = 60.0  # Symptom table, MODEL_LOAD_SLOW
    socket_silence_s: float = 60.0  # N1.3, W22: a code (WS_SILENT), not a failure
    health_poll_s: float = 2.0  # N5.1
    health_limit_s: float = 60.0  # N5.1
    max_engine_ends: int = 5  # N5.2: in a row, none of them useful
    engine_useful_s: float = 10.0  # A server that answered for so long was not started in vain.
    engine_retry_s: float = 600.0  # N5.2: between two starts after so many
    engine_patience_s: float = 180.0  # Two starts and their pauses: so long an attempt waits.

    # Attempts that were lost or crashed.
    max_retries: int = 1  # N6: the second time quarantines the job
    max_losses: int = 6  # Lost in a row, whosever: three jobs gone are the engine's fault.

    # One picture is drawn; beside it one is made ready and one is looked at.
    max_running: int = 3  # A2.3: at most one of them is with the engine.
    memory_critical_s: float = 20.0  # A2.8: critical for so long ends a picture
    memory_critical_training_s: float = 600.0  # A2.8: no state was saved in so long: it is ended.
    memory_critical_level: int = 4  # A2.8: kern.memorystatus_vm_pressure_level

    # Training.
    training_resolution: int = 512  # K2.2
    training_batch: int = 1  # K2.1
    steps_an_image: int = 100  # W21, D2.1
    min_default_training_steps: int = 800  # W21, D2.1
    max_default_training_steps: int = 1200  # W21, D2.1: more warns
    overfit_training_steps: int = 2000  # W21: from here on allow_overfit = true is needed
    max_training_steps: int = 10_000  # A limit on everything; ten nights of a small Mac.
    max_epochs: int = 100  # A limit on everything: checkpoints that one ledger line can list.
    max_gradient_accumulation: int = 8  # K2.3, W20
    recommended_gradient_accumulation: int = 4  # K2.3: up to max_gradient_accumulation
    save_every_steps: int = 200  # D2.2, K2.5
    max_images: int = 300  # contract: datasets in lines of 100 images, at most 300
    fewest_images: int = 10  # K4.1: fewer are refused unless forced
    few_images: int = 15  # K4.1: fewer warn strongly
    enough_images: int = 20  # K4.1
    framing_full_body: float = 0.5  # D1.3
    framing_upper_body: float = 0.3  # D1.3
    framing_face: float = 0.2  # D1.3
    framing_tolerance: float = 0.1  # D1.3
    fewest_regularization: int = 100  # D3.1
    most_regularization: int = 200  # D3.1
    probe_steps: int = 50  # K3.1
    probe_factor: float = 1.4  # K3.1
    unprobed_factor: float = 1.5  # A5.1
    mps_high_watermark: float = 0.9  # W2, A1.2
    mps_low_watermark: float = 0.8  # W2, A1.2
    training_grace_s: float = 20.0  # N4.5: from SIGTERM to SIGKILL; it saves nothing meanwhile.
    training_silence_s: float = 1_800.0  # No output at all: a step or a start is never so long.
    trainer_look_s: float = 300.0  # K1.3: so often it is seen whether the trainer can train.
    training_log_bytes: int = 256 * 2**20  # A limit on everything: a flood of warnings.

    # The machine.
    min_free_gb: float = 10.0  # Policy table, "disk": below it nothing starts (DISK_LOW).
    memory_reserve_gb: float = 1.0  # A2.6
    memory_system_gb: float = 3.0  # A2.7: the system alone keeps so much, to 5
    memory_good_samples: int = 3  # A2.6: hysteresis before work goes on
    memory_hold_level: int = 2  # A2.6: kern.memorystatus_vm_pressure_level
    memory_again_s: float = 110.0  # A2.6: calm for so long where it closed before in the last hour
    memory_blind_s: float = 600.0  # Closed, and nothing can be read any more: so long it is kept.
    memory_swap_window_s: float = 45.0  # A2.6: growing swap-outs: in so long
    memory_swap_mb: float = 64.0  # ... so much (MiB); a few idle pages are no distress.
    memory_runaway_mb_s: float = 100.0  # All through that window: what runs is ended.
    memory_total_gb: float = 0.0  # [memory] total_gb; 0 = as measured
    memory_sample_s: float = 5.0  # A2.6: so often the memory is looked at
    programs_sample_s: float = 60.0  # A2.10: and the programs beside us
    sleep_gap_s: float = 30.0  # K3.5: the wall clock ahead of the awake one by so much is sleep
    require_ac: bool = True  # A5.3: of trainings
    heavy: Literal["warn", "hold"] = "warn"  # A2.10: named programs beside a training

    # Hours. A policy without settings is always open; a studio's has the contract's windows.
    training_windows: Windows = ALWAYS  # A5.2
    panel_windows: Windows = ALWAYS  # contract
    prior_step_s: float = 10.8  # K3.3: 1000 steps take 2-4 h
    rehearsal_step_s: float = 0.1  # What the rehearsal's trainer takes at most.
    training_start_s: float = 300.0  # Loading, and caching the latents.
    rehearsal_start_s: float = 2.0
    night_margin: float = (
        1.1  # A step may take longer than it did: the last state is safely inside.
    )

    # Job files: limits that keep reading one harmless.
    max_job_file_bytes: int = 16 * 1024  # contract
    max_complaints: int = 20  # One screen; the rest shows after these are mended.


def deadline_s(
    policy: Policy, *, width: int, height: int, steps: int, pixel_step_s: float = 0.0
) -> float:
    """Seconds of awake time that one picture may take from its first sampler step (N6.3, W22).

    ``pixel_step_s``: what one step takes here for one pixel, 0 = never measured.
    """
    work = width * height * steps
    share = work / (policy.deadline_area * policy.deadline_steps)
    calibrated = policy.deadline_calibrated * pixel_step_s * work
    return max(policy.deadline_s, policy.deadline_s * share, calibrated)


def default_training_steps(policy: Policy, *, images: int) -> int:
    """Optimizer steps where a training names none: images x 100 within 800..1200 (W21, D2.1)."""
    asked = images * policy.steps_an_image
    floor, ceiling = policy.min_default_training_steps, policy.max_default_training_steps
    return min(max(asked, floor), ceiling)
